"""How a run's state moves: one table, and the conditional UPDATEs that are the only way through it.

With `runs.py`, which acts, this file is the only writer of runs. Every write names the state (and,
for a supervisor, the supervisor) that it expects, and counts the rows that it hit: a duplicate
message, a late click or a second supervisor changes nothing.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from training.models import Run, RunEvent

log = logging.getLogger("training.runs")
State = Run.State

# From -> to. What ends a run says why; what failed or was cancelled can be taken up again.
MOVES: dict[str, frozenset[str]] = {
    State.WAITING: frozenset({State.QUEUED, State.CANCELLED}),
    State.QUEUED: frozenset({State.PREPARING, State.CANCELLED}),
    State.PREPARING: frozenset({State.RUNNING, State.STOPPING, State.INTERRUPTED, State.FAILED}),
    State.RUNNING: frozenset({State.STOPPING, State.INTERRUPTED, State.SUCCEEDED, State.FAILED}),
    State.STOPPING: frozenset(
        # Running again: a stop that was taken back. Succeeded: it was done before it saw the stop.
        {State.RUNNING, State.INTERRUPTED, State.SUCCEEDED, State.FAILED, State.CANCELLED}
    ),
    State.INTERRUPTED: frozenset({State.QUEUED, State.FAILED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED, State.WAITING}),
    State.CANCELLED: frozenset({State.QUEUED, State.WAITING}),
}

# Our own notes are numbered from here, so that they never meet the trainer's numbers; the log's
# tail is one row an attempt with the number before.
NOTE_SEQ = 2_000_000_000
LOG_SEQ = NOTE_SEQ - 1


class IllegalMove(ValueError):
    """The table has no such move: a mistake in our code, not a race."""


def move(run: Run, to: str, *, reason: str = "", **columns: Any) -> bool:
    """Move the run from the state that `run` was read in; False if another was faster.

    `columns` are written in the same UPDATE; `run` is refreshed on success. Raises IllegalMove."""
    if to not in MOVES[run.state]:
        raise IllegalMove(f"A run does not go from {run.state} to {to}.")
    now = timezone.now()
    ends = to in Run.ENDED
    columns |= {"state": to, "reason": reason, "finished": now if ends else None}
    if ends:
        columns |= {"seconds_left": None, "supervisor": "", "process": {}}
    hit = Run.objects.filter(pk=run.pk, state=run.state, attempt=run.attempt).update(**columns)
    if hit != 1:
        return False
    before = run.state
    run.refresh_from_db()
    details = {"run": run.pk, "from": before, "to": to, "attempt": run.attempt, "reason": reason}
    log.info("run moved", extra=details)
    return True


def claim(run: Run, supervisor: str) -> bool:
    """Queued becomes preparing, watched by `supervisor`; exactly one claimant gets True."""
    now = timezone.now()
    return move(
        run,
        State.PREPARING,
        supervisor=supervisor,
        heartbeat=now,
        process={},
        phase="",
        started=Coalesce(F("started"), now),
    )


def adopt(run: Run, supervisor: str) -> bool:
    """An active run whose supervisor is gone gets a new one; exactly one claimant gets True."""
    hit = Run.objects.filter(
        pk=run.pk,
        state__in=Run.ACTIVE,
        attempt=run.attempt,
        supervisor=run.supervisor,
        heartbeat=run.heartbeat,
    ).update(supervisor=supervisor, heartbeat=timezone.now())
    if hit:
        run.refresh_from_db()
        log.info("run adopted", extra={"run": run.pk, "supervisor": supervisor})
    return bool(hit)


def watched(run: Run, supervisor: str) -> Q:
    """The run as long as it is this supervisor's to write."""
    return Q(pk=run.pk, supervisor=supervisor, attempt=run.attempt, state__in=Run.ACTIVE)


def beat(run: Run, supervisor: str, **columns: Any) -> bool:
    """Heartbeat and, with it, progress. False: the run is no longer this supervisor's."""
    mine = Run.objects.filter(watched(run, supervisor))
    if mine.update(heartbeat=timezone.now(), **columns) != 1:
        return False
    run.refresh_from_db()
    return True


def sent(pk: int) -> None:
    """A queued row's heartbeat is when its message was last sent."""
    Run.objects.filter(pk=pk, state=State.QUEUED).update(heartbeat=timezone.now())


def stale_since() -> datetime:
    """A heartbeat before this moment is a dead one."""
    return timezone.now() - timedelta(seconds=settings.RUN_STALE_SECONDS)


def note(run: Run, text: str, *, code: str = "", kind: str = "note") -> RunEvent:
    """Something that happened to the run, said on its page, in our own words."""
    log.info("run note", extra={"run": run.pk, "code": code, "text": text})
    data = {"text": text, "code": code}
    while True:
        number = NOTE_SEQ + run.events.filter(attempt=run.attempt, seq__gte=NOTE_SEQ).count()
        try:
            with transaction.atomic():
                return RunEvent.objects.create(
                    run=run, attempt=run.attempt, seq=number, time=timezone.now(),
                    kind=kind, step=run.step, data=data,
                )  # fmt: skip
        except IntegrityError:  # another note took the number
            continue


@transaction.atomic
def settle_waiting(run: Run) -> str:
    """A waiting run is queued once all its sources have succeeded, cancelled once one cannot.

    Returns the state that it has then."""
    sources = [given.awaited for given in run.inputs.select_related("source") if given.awaited]
    for source in sources:
        if source.state in (State.FAILED, State.CANCELLED):
            why = f"It waited for run {source.pk}, which was {source.state}"
            if source.state == State.FAILED:
                why = f"It waited for run {source.pk}, which failed"
            detail = f": {source.reason}" if source.reason else "."
            if move(run, State.CANCELLED, reason=(why + detail)[:2000]):
                settle_dependents(run)
            return run.state
    if all(source.state == State.SUCCEEDED for source in sources):
        move(run, State.QUEUED, heartbeat=None)
    return run.state


def settle_dependents(source: Run) -> list[Run]:
    """Look again at every run that waits for this one; returns those that are queued now."""
    waiting = Run.objects.filter(state=State.WAITING, inputs__source=source).distinct()
    return [run for run in waiting.order_by("pk") if settle_waiting(run) == State.QUEUED]
