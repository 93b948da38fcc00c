"""What workers do: one of the queue `gpu` supervises one run at a time; preflights, before which
somebody sits, wait in `preflight` for no run and no import; embedding goes to `work`."""

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
    preflights.compute(pk, closing=supervisor.shutting_down)


@signals.worker_shutting_down.connect
def close(**_: Any) -> None:
    """The worker is told to end: trainers save a checkpoint; their runs go on after a restart."""
    supervisor.shutting_down.set()
