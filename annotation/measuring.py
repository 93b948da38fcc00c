"""What a worker counts for the pages: the only writer of measurements."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation.errors import Refused
from annotation.models import Measurement, Project, Stage

log = logging.getLogger("annotation.measuring")
TASK = "annotation.tasks.measure"
FRESH = timedelta(seconds=20)  # so long a measurement is not repeated, unless asked for
PATIENCE = 20  # one that took a second is good for so many seconds
STALE = timedelta(minutes=5)  # queued or running for so long, it is dead, and asked for again
BUSY = ("queued", "running")

Compute = Callable[[Measurement], dict[str, Any]]


def ask(
    *, project: Project, stage: Stage | None = None, kind: str, force: bool = False
) -> Measurement:
    """The measurement as it is, and a worker asked for a new one where it is old or `force` says
    so. What takes long is repeated less often."""
    found, _ = Measurement.objects.get_or_create(project=project, stage=stage, kind=kind)
    now = timezone.now()
    mine = Measurement.objects.filter(pk=found.pk)
    fresh = max(FRESH, timedelta(seconds=PATIENCE * (found.seconds or 0)))
    if found.state in BUSY:
        waits = found.started is None or found.started < now - STALE
    else:
        waits = force or found.computed is None or found.computed < now - fresh
    if not waits:  # a page that is only looked at writes nothing
        return found
    due = mine.exclude(state__in=BUSY)
    if not force:
        due = due.filter(Q(computed__isnull=True) | Q(computed__lt=now - fresh))
    due = due | mine.filter(Q(started__isnull=True) | Q(started__lt=now - STALE), state__in=BUSY)
    if due.update(state="queued", started=now):
        transaction.on_commit(lambda: _send(found.pk))
        found.refresh_from_db()
    return found


def _send(pk: int) -> None:
    try:
        current_app.send_task(TASK, args=[pk], retry=False)
    except Exception as error:  # whatever the broker's library raises: the next look asks again
        log.warning("task not sent", extra={"task": TASK, "row": pk, "error": str(error)})


def measure(pk: int, computes: Mapping[str, Compute]) -> None:
    """The worker's door: a measurement that is no longer queued is another's.

    `computes`: what counts a measurement, by its kind."""
    mine = Measurement.objects.filter(pk=pk)
    if mine.filter(state="queued").update(state="running", started=timezone.now()):
        found = mine.select_related("project__workspace", "stage__project__workspace").get()
        carry_out(found, computes[found.kind])


def at_once(
    *, project: Project, stage: Stage | None = None, kind: str, compute: Compute
) -> Measurement:
    """Measured in this process, while a page waits: for what is small."""
    found, _ = Measurement.objects.get_or_create(project=project, stage=stage, kind=kind)
    carry_out(found, compute)
    found.refresh_from_db()
    return found


def carry_out(found: Measurement, compute: Compute) -> None:
    """Measure in this process and store what came of it. A failure is kept in words, and the last
    result stays beside it."""
    mine = Measurement.objects.filter(pk=found.pk)
    began = time.monotonic()
    try:
        result = compute(found)
    except Exception as error:  # a worker outlives whatever a measurement dies of
        if isinstance(error, Refused):
            reason = str(error)
        else:
            log.warning("measurement failed", extra={"row": found.pk}, exc_info=error)
            reason = f"It broke off ({type(error).__name__}: {error}); the log has more."
        mine.update(state="failed", reason=reason, computed=timezone.now())
        return
    mine.update(
        state="done",
        result=result,
        reason="",
        seconds=round(time.monotonic() - began, 2),
        computed=timezone.now(),
    )
