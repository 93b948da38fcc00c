"""What a worker does for this app: freeze, compare, and look at what a selection gives."""

from celery import shared_task

from exports import comparisons, previews, snapshots


@shared_task(name="exports.tasks.freeze")
def freeze(pk: int) -> None:
    snapshots.freeze_queued(pk)


@shared_task(name="exports.tasks.preview")
def preview(pk: int) -> None:
    previews.compute(pk)


@shared_task(name="exports.tasks.compare")
def compare(pk: int) -> None:
    comparisons.compare_asked(pk)
