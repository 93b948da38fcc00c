"""How a run ends, as its supervisor finds: what becomes of it and of the runs that wait for it."""

from typing import Any

from django.conf import settings
from django.db import transaction

from training import dispatch, moves
from training.engine import LOCAL
from training.models import Run
from training.moves import State


def succeed(run: Run, *, result: dict[str, Any]) -> bool:
    """The run succeeded: keep its result and queue what waited for it."""
    with transaction.atomic():
        if not moves.move(run, State.SUCCEEDED, result=result):
            return False
        for waiting in moves.settle_dependents(run):
            dispatch.send(waiting.pk)
    return True


def fail(run: Run, *, reason: str, result: dict[str, Any] | None = None) -> bool:
    """The run failed, and what waited for it is cancelled."""
    with transaction.atomic():
        if not moves.move(run, State.FAILED, reason=reason, result=result or run.result):
            return False
        moves.settle_dependents(run)
    return True


def stopped(run: Run, *, result: dict[str, Any] | None = None) -> bool:
    """The trainer of a run that was asked to stop is gone: cancelled, by whoever asked."""
    step = max([run.step, *LOCAL.checkpoints(run)])  # a trainer does not tell of every step
    where = f" It stopped at step {step}" if step else " It had not trained a step"
    kept = LOCAL.kept(run)
    goes_on = f", and {kept} is kept: it can be resumed." if kept else "."
    with transaction.atomic():
        reason = run.reason + where + goes_on
        columns = {"step": step, "result": result or run.result}
        if not moves.move(run, State.CANCELLED, reason=reason, **columns):
            return False
        moves.settle_dependents(run)
    return True


def interrupted(run: Run, *, reason: str, crashed: bool) -> bool:
    """The trainer is gone without having finished: queued again, as the next attempt.

    After RUN_MAX_ATTEMPTS crashes since somebody last resumed it, it has failed instead. A stop
    of the whole installation is no crash."""
    with transaction.atomic():
        if not moves.move(run, State.INTERRUPTED, reason=reason, seconds_left=None):
            return False
        if crashed and crashes(run) + 1 >= settings.RUN_MAX_ATTEMPTS:
            tries = settings.RUN_MAX_ATTEMPTS
            return fail(run, reason=f"{reason} It was tried {tries} times; look at its log.")
        kept = LOCAL.kept(run)
        goes_on = f"goes on from {kept}" if kept else "starts over"
        moves.note(
            run,
            f"{reason} Attempt {run.attempt + 1} {goes_on}.",
            code="crash" if crashed else "pause",
            kind="alarm" if crashed else "note",
        )
        moves.move(run, State.QUEUED, attempt=run.attempt + 1, reason=reason, supervisor="",
                   process={}, heartbeat=None)  # fmt: skip
        dispatch.send(run.pk)
    return True


def crashes(run: Run) -> int:
    """How often its trainer died since somebody last resumed it."""
    last = run.events.filter(data__code="resumed").order_by("-attempt").first()
    since = last.attempt if last else 0
    return run.events.filter(data__code="crash", attempt__gte=since).count()
