"""What a worker of the `gpu` queue does: supervise one run at a time. Embedding, small and for the
processor, waits for no run: it goes to the queue `work`."""

from typing import Any

from celery import shared_task, signals

from training import embedding, runs, supervisor


@shared_task(name="training.tasks.supervise")
def supervise(pk: int) -> None:
    """A message is a wake-up: of the queued runs the oldest is begun, whichever it named."""
    supervisor.supervise(runs.first_in_line(pk))


@shared_task(name=embedding.TASK)
def embed(pk: int) -> None:
    """Embed a project's new prompts; what another worker has in hand is left alone."""
    embedding.run(pk)


@signals.worker_shutting_down.connect
def close(**_: Any) -> None:
    """The worker is told to end: trainers save a checkpoint; their runs go on after a restart."""
    supervisor.shutting_down.set()
