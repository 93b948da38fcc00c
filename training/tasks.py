"""What a worker of the `gpu` queue does: supervise one run at a time. Preflights and embedding,
small and for the processor, wait for no run: they go to the queue `work`."""

from typing import Any

from celery import shared_task, signals

from training import dispatch, embedding, preflights, runs, supervisor


@shared_task(name=dispatch.TASK)
def supervise(pk: int) -> None:
    """A message is a wake-up: of the queued runs the oldest is begun, whichever it named."""
    supervisor.supervise(runs.first_in_line(pk))


@shared_task(name=embedding.TASK)
def embed(pk: int) -> None:
    """Embed a project's new prompts; what another worker has in hand is left alone."""
    embedding.run(pk)


@shared_task(name=dispatch.LOOK)
def preflight(pk: int) -> None:
    """Look at what a run would do; one that another worker has in hand is left alone."""
    preflights.compute(pk)


@signals.worker_shutting_down.connect
def close(**_: Any) -> None:
    """The worker is told to end: trainers save a checkpoint; their runs go on after a restart."""
    supervisor.shutting_down.set()
