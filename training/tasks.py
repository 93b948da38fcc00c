"""What a worker of the `gpu` queue does: supervise one run at a time."""

from typing import Any

from celery import shared_task, signals

from training import runs, supervisor


@shared_task(name="training.tasks.supervise")
def supervise(pk: int) -> None:
    """A message is a wake-up: of the queued runs the oldest is begun, whichever it named."""
    supervisor.supervise(runs.first_in_line(pk))


@signals.worker_shutting_down.connect
def close(**_: Any) -> None:
    """The worker is told to end: trainers save a checkpoint; their runs go on after a restart."""
    supervisor.shutting_down.set()
