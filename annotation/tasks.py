"""What a worker does for annotation. A task carries a primary key and starts nothing twice."""

from typing import Any

from celery import shared_task

from annotation import fetching, importing, measuring, search_index
from annotation.models import Import, Measurement


@shared_task(name=importing.TASK)
def run_import(pk: int) -> None:
    """Carry a queued import out; one that is gone, done or waits for another is left alone."""
    import_row = Import.objects.filter(pk=pk).first()
    if import_row is not None:
        importing.run(import_row)


@shared_task(name=fetching.TASK)
def fetch_import(pk: int) -> None:
    """Download an import's files; one that has them, or is gone, is left alone."""
    import_row = Import.objects.filter(pk=pk).first()
    if import_row is not None:
        fetching.fetch(import_row)


@shared_task(name=search_index.TASK)
def index_prompts() -> None:
    """Take what imports brought into the full-text index."""
    search_index.take_in_all()


@shared_task(name=measuring.TASK)
def measure(pk: int) -> None:
    """Count what a page shows; one that is not queued any more is left alone."""
    measuring.measure(pk, {"board": _board, "quality": _quality})


# What counts is loaded when it is needed: numpy is not for every worker process.


def _board(found: Measurement) -> dict[str, Any]:
    from annotation import board

    return board.compute(found.project)


def _quality(found: Measurement) -> dict[str, Any]:
    from annotation import quality

    assert found.stage is not None
    return quality.compute(found.stage)
