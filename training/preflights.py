"""Preflight: what a run would do, found out by a worker in a process of its own before a GPU is
touched. The only writer of preflights.

One row a question, under a hash of what was asked: what passed answers the same question for ever
after, in another tab and for the shell, unless the machine that it was found on has become another.
A refusal is asked anew: room on the disk or in memory may have been made since.
"""

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from annotation.errors import Refused
from exports.models import Snapshot
from training import dispatch, hosts, moves, planning
from training import preflight_job as job
from training.models import Preflight, Run
from training.planning import Plan
from training.recipes.run_dir import write_json

log = logging.getLogger("training.preflights")
State = Preflight.State
POLL = 0.5  # seconds between two looks at what another worker does
BEAT = 3.0  # seconds between two heartbeats where nothing new is said
FRESH = timedelta(minutes=1)  # so long a refusal stands for programs that ask again
OLD = timedelta(days=30)
AT_ONCE = 4  # of a workspace: others want to be looked at, too

Command = Callable[[Path], list[str]]


class Busy(Refused):
    """The workspace has as many preflights under way as it may; try again when one has ended."""


class Lost(Exception):
    """The row is no longer this worker's: it was given up for dead, and asked anew."""


def recipe_preflight(directory: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.preflight", str(directory)]


def recipe_probe(directory: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.probe", str(directory)]


def known(plan: Plan) -> Preflight | None:
    """What has been asked of this very run, if anybody has, and still holds."""
    row = Preflight.objects.filter(key=plan.key).first()
    return None if row is None or is_outdated(row) else row


def is_outdated(row: Preflight) -> bool:
    """Passed, on this host, when it had other memory or other devices. What other hosts have is
    not known here; nor what a worker that still runs was given to see, where it is not what we
    were given."""
    here = hosts.host_of(row.worker) == hosts.HOST
    differs = row.state == State.PASSED and here and row.machine != hosts.machine()
    return differs and not hosts.supervisor_lives(row.worker)


def is_lost(row: Preflight) -> bool:
    """Busy, but with nobody at it: its worker is gone, or its message was never taken up though no
    worker has another in hand."""
    if row.state == State.QUEUED:
        return row.heartbeat < moves.stale_since() and not _in_hand().exists()
    if row.state != State.RUNNING or row.heartbeat < moves.stale_since():
        return row.state == State.RUNNING
    here = hosts.host_of(row.worker) == hosts.HOST
    return here and not hosts.supervisor_lives(row.worker)


def ahead(row: Preflight) -> int:
    """How many, of any workspace, come before one that waits for a worker."""
    waiting = Preflight.objects.filter(state=State.QUEUED, asked__lt=row.asked)
    return waiting.count() + _in_hand().count()


def _in_hand() -> QuerySet[Preflight]:
    """Those that a worker was heard of at."""
    return Preflight.objects.filter(state=State.RUNNING, heartbeat__gte=moves.stale_since())


def ask(plan: Plan, *, probe: bool = False, again: bool = False) -> Preflight:
    """A worker is asked, unless the answer is there or one is at it. `probe`: try two steps, too;
    `again`: even if it has passed. Raises Busy."""
    row = known(plan)
    if row is None or _is_due(row, probe, again):
        _check_room(plan)
    row, sent = _put(plan, probe, again)
    if sent:
        dispatch.look(row.pk)
        row.refresh_from_db()
    return row


def now(plan: Plan) -> Preflight:
    """The answer, found in this process if no worker is at it: the shell's, which needs none."""
    while True:
        row, _ = _put(plan, probe=False, again=False)
        compute(row.pk)
        row.refresh_from_db()
        if not row.is_busy:
            return row
        time.sleep(POLL)


def _check_room(plan: Plan) -> None:
    others = Preflight.objects.filter(
        workspace=plan.run.workspace, state__in=(State.QUEUED, State.RUNNING)
    ).exclude(key=plan.key)
    if sum(not is_lost(row) for row in others) >= AT_ONCE:
        raise Busy(
            f"This workspace has {AT_ONCE} preflights under way, as many as it may at once. "
            "Ask again when one of them has ended."
        )


def _is_due(row: Preflight, probe: bool, again: bool) -> bool:
    """Is a worker to be asked, though it was asked before?"""
    if row.is_busy:
        return is_lost(row)
    return row.state != State.PASSED or again or (probe and row.probe is None)


def _put(plan: Plan, probe: bool, again: bool) -> tuple[Preflight, bool]:
    """The row, and is a worker to be asked? Of two who ask at once one is told so."""
    asked = timezone.now()
    row, made = Preflight.objects.get_or_create(
        key=plan.key,
        defaults={
            "workspace": plan.run.workspace,
            "snapshot_id": plan.snapshot,
            "recipe": plan.run.recipe,
            "config": plan.run.config,
            "template": plan.run.template,
            "inputs": planning.told(plan.inputs),
            "asked": asked,
            "heartbeat": asked,
            "wants_probe": probe,
        },
    )
    if made:
        return row, True
    again = again or is_outdated(row)
    if not _is_due(row, probe, again):
        return row, False
    change: dict[str, Any] = {
        **{"state": State.QUEUED, "asked": asked, "heartbeat": asked, "worker": ""},
        **{"phase": "", "step": 0, "total": 0, "reason": ""},
        "computed": None,
        "wants_probe": probe or (row.is_busy and row.wants_probe),
    }
    if not row.found.get("ok") or again:
        change |= {"found": {}, "probe": None}
    seen = Preflight.objects.filter(pk=row.pk, state=row.state, heartbeat=row.heartbeat)
    hit = seen.update(**change)
    row.refresh_from_db()
    return row, bool(hit)


def is_fresh(row: Preflight) -> bool:
    """Passed, or answered a moment ago."""
    since = timezone.now() - FRESH
    return row.state == State.PASSED or (row.computed is not None and row.computed > since)


def check(row: Preflight) -> None:
    """Raises Refused with what the preflight has against the run, or why there is none."""
    if row.state == State.FAILED:
        raise Refused(row.reason)
    if row.state == State.REFUSED:
        reasons = [str(reason) for reason in row.found.get("refusals") or ["it gave no reason"]]
        raise Refused("The preflight refuses: " + " ".join(reasons))


def keep(run: Run) -> None:
    """Lay what the preflight of this very run found on this machine, if there was one, into its
    directory: the recipe says in the end what was expected of it."""
    key = planning.key_of(run, run.inputs.select_related("snapshot__dataset", "source"))
    passed = Preflight.objects.filter(key=key, state=State.PASSED, machine=hosts.machine())
    row = passed.first()
    if row is not None:
        run.directory.mkdir(parents=True, exist_ok=True)
        write_json(run.directory / "preflight.json", row.found)


def tidy() -> None:
    """Forget old ones, and those of snapshots that were withdrawn, or of copies of these that the
    shell named: they show texts of rows."""
    gone = Q(asked__lt=timezone.now() - OLD) | Q(snapshot__state=Snapshot.State.WITHDRAWN)
    withdrawn = Snapshot.objects.filter(state=Snapshot.State.WITHDRAWN)
    erased = set(withdrawn.exclude(sha256="").values_list("sha256", flat=True))
    unbound = Preflight.objects.filter(snapshot=None).values_list("pk", "inputs")
    copies = [pk for pk, rows in unbound if any(row["sha256"] in erased for row in rows)]
    Preflight.objects.filter(gone | Q(pk__in=copies)).delete()
    job.clear()


def compute(
    pk: int,
    *,
    command: Command = recipe_preflight,
    probe_command: Command = recipe_probe,
    closing: threading.Event | None = None,
) -> None:
    """The worker's door: one that nobody asked for, or that another has in hand, is left alone.
    `closing`: set when the worker has been told to end."""
    name = hosts.new_supervisor()
    claimed = Preflight.objects.filter(pk=pk, state=State.QUEUED).update(
        state=State.RUNNING,
        worker=name,
        machine=hosts.machine(),
        heartbeat=timezone.now(),
        phase="loading the libraries",
    )
    if not claimed:
        return
    job.clear()
    directory = job.root() / name
    directory.mkdir(mode=0o700, parents=True)
    row = Preflight.objects.select_related("workspace").get(pk=pk)
    look = Look(row, name, directory, closing)
    try:
        found = look.row.found or _ask(look, command)
        tried = look.row.probe
        if look.row.wants_probe and found.get("ok") and tried is None:
            tried = _try(look, probe_command)
        state = State.PASSED if found.get("ok") else State.REFUSED
        look.end(state, found=found, probe=tried)
    except Lost:
        log.warning("preflight lost to another worker", extra={"preflight": pk})
    except Refused as error:
        look.end(State.FAILED, reason=str(error))
    except Exception as error:  # a worker outlives whatever this dies of
        log.warning("preflight failed", extra={"preflight": pk}, exc_info=error)
        reason = f"The preflight broke off ({type(error).__name__}: {error}); the log has more."
        look.end(State.FAILED, reason=reason)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Look:
    """One worker at one preflight, in a folder of its own."""

    def __init__(
        self, row: Preflight, name: str, directory: Path, closing: threading.Event | None
    ) -> None:
        self.row, self.directory, self.closing = row, directory, closing
        self.mine = Preflight.objects.filter(pk=row.pk, worker=name, state=State.RUNNING)
        self.run = Run(
            workspace=row.workspace, recipe=row.recipe, config=row.config, template=row.template
        )
        self._said: dict[str, Any] = {}
        self._beaten = 0.0

    def beat(self, **said: Any) -> None:
        """Heartbeat and progress. Raises Lost, and Refused where the worker is to end."""
        if self.closing is not None and self.closing.is_set():
            raise Refused("Annotune was stopped while it looked. Ask again.")
        now = time.monotonic()
        if said == self._said and now - self._beaten < BEAT:
            return
        self._said, self._beaten = said, now
        if not self.mine.update(heartbeat=timezone.now(), **said):
            raise Lost

    def end(self, state: str, **columns: Any) -> None:
        self.mine.update(state=state, computed=timezone.now(), phase="", **columns)

    def follow(self, command: list[str]) -> str | None:
        """What `preflight_job.follow` says of the command."""
        return job.follow(self.run, job.inputs_of(self.row), self.directory, command, self.beat)


def _ask(look: Look, command: Command) -> dict[str, Any]:
    said = look.follow(command(look.directory))
    if said is None:
        raise Refused(
            f"The preflight took longer than {settings.PREFLIGHT_SECONDS} s and was ended. "
            "Is the machine busy? Try again, or with fewer rows."
        )
    found = job.read(look.directory, "preflight")
    if found is None:
        raise Refused(f"The preflight did not come to an end: {said}")
    return found


def _try(look: Look, command: Command) -> dict[str, Any]:
    """What probe.json says; a failure is one of two steps, and refuses nothing."""
    look.beat(phase="trying two steps", step=0, total=0)
    said = look.follow(command(look.directory))
    if said is None:
        reason = f"Two steps took longer than {settings.PREFLIGHT_SECONDS} s and were ended."
        return {"ok": False, "reason": reason}
    return job.read(look.directory, "probe") or {"ok": False, "reason": said}
