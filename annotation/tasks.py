"""What a worker does for annotation. A task carries a primary key and starts nothing twice."""

from celery import shared_task

from annotation import importing, measuring
from annotation.models import Import


@shared_task(name=importing.TASK)
def run_import(pk: int) -> None:
    """Carry a queued import out; one that is gone, done or waits for another is left alone."""
    import_row = Import.objects.filter(pk=pk).first()
    if import_row is not None:
        importing.run(import_row)


@shared_task(name=measuring.TASK)
def measure(pk: int) -> None:
    """Count what a page shows; one that is not queued any more is left alone."""
    from annotation import board, quality  # numpy: loaded when something is measured

    measuring.measure(
        pk,
        {
            "board": lambda found: board.compute(found.project),
            "quality": lambda found: quality.compute(found.stage),
        },
    )
