"""Two frozen versions compared, once: versions never change. The only writer of what is kept of it,
which holds numbers of rows and reasons, and no text: what is withdrawn later is not in it."""

import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from django.conf import settings

from annotation.errors import Refused
from exports import diff, withdrawal
from exports.diff import Diff
from exports.dispatch import send
from exports.models import Snapshot

log = logging.getLogger("exports.comparisons")
AT_ONCE = 50_000  # rows of both together that a page compares itself; more go to a worker
NOT_KEPT = (
    "The two were compared, but what came of it could not be written: make room on the disk, and "
    "look again in two minutes."
)
AGAIN = 120  # seconds without a result after which a worker is asked once more


@dataclass(frozen=True)
class Comparison:
    """`diff`: none while a worker is at it; `reason`: why there will be none."""

    diff: Diff | None = None
    reason: str = ""


def of(old: Snapshot, new: Snapshot) -> Comparison:
    """From `old` to `new`, made now, kept, or asked for. Raises Refused, with the reason."""
    check(old, new)
    home = _home(old, new)
    if (home / "rows.npz").exists():
        return Comparison(_read(home))
    failed = home / "failed.txt"
    if failed.exists() and time.time() - failed.stat().st_mtime < AGAIN:
        return Comparison(reason=failed.read_text("utf-8", "replace") or NOT_KEPT)
    if old.rows + new.rows <= AT_ONCE:
        return _make(old, new)
    asked = home / "asked"
    if not asked.exists() or time.time() - asked.stat().st_mtime > AGAIN:
        try:
            home.mkdir(parents=True, exist_ok=True)
            asked.touch()
        except OSError as error:
            return Comparison(reason=f"Nothing can be kept of a comparison: {error}.")
        send("compare", new.pk)
    return Comparison()


def check(old: Snapshot, new: Snapshot) -> None:
    """Raises Refused for two that cannot be compared."""
    if old.pk == new.pk:
        raise Refused(f"{new} and itself are the same: choose two versions.")
    if old.dataset.kind != new.dataset.kind:
        kinds = f"{old.dataset.kind} and {new.dataset.kind}"
        raise Refused(f"{old} and {new} are of different kinds ({kinds}), so no row is the same.")
    for each in (old, new):
        if withdrawal.check(each).state != Snapshot.State.READY:
            raise Refused(f"{each} is {each.state}: its rows are given to nobody.")
        if not (Path(each.path or "/nowhere") / "snapshot.json").exists():
            raise Refused(f"The files of {each} are gone from {each.path}: bring the folder back.")


def compare_asked(pk: int) -> None:
    """The worker's door: all comparisons that are asked for with this snapshot as the new one."""
    rows = Snapshot.objects.select_related("dataset__workspace")
    new = rows.filter(pk=pk).first()
    if new is None:
        return
    for asked in sorted(_root(new).glob(f"*-{pk}/asked")):
        old = rows.filter(pk=int(asked.parent.name.partition("-")[0])).first()
        if old is not None and not (asked.parent / "rows.npz").exists():
            made = _make(old, new)
            if made.diff is not None and not (asked.parent / "rows.npz").exists():
                _note_failure(asked.parent, NOT_KEPT)


def _root(snapshot: Snapshot) -> Path:
    return Path(settings.LOOK_ROOT) / snapshot.workspace.slug / "comparisons"


def _home(old: Snapshot, new: Snapshot) -> Path:
    return _root(new) / f"{old.pk}-{new.pk}"


def _make(old: Snapshot, new: Snapshot) -> Comparison:
    """Compare and keep the result; where the disk refuses that, it is only given back."""
    home = _home(old, new)
    try:
        found = diff.compare(Path(old.path), Path(new.path), lambda _: _touch(home / "asked"))
    except Exception as error:  # a worker outlives whatever a comparison dies of
        log.warning("comparison failed", extra={"old": old.pk, "new": new.pk}, exc_info=error)
        reason = f"{old} and {new} could not be compared: {error}."
        _note_failure(home, reason)
        return Comparison(reason=reason)
    part = home / f"part-{uuid4().hex}.npz"  # two may make it at once, in one process, too
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write(part, found)
        part.rename(home / "rows.npz")
    except OSError as error:
        log.warning("comparison not kept", extra={"old": old.pk, "new": new.pk}, exc_info=error)
        part.unlink(missing_ok=True)
    return Comparison(found)


def _note_failure(home: Path, reason: str) -> None:
    """Say that there is no result; on a full disk a file can still take another name, wordless."""
    failed = home / "failed.txt"
    try:
        home.mkdir(parents=True, exist_ok=True)
        failed.write_text(reason, "utf-8")
    except OSError:
        with suppress(OSError):
            if not failed.exists():
                (home / "asked").rename(failed)
            os.utime(failed)


def _touch(asked: Path) -> None:
    """Say that somebody is at it."""
    with suppress(OSError):
        asked.touch()


def _write(path: Path, found: Diff) -> None:
    facts = {"words": found.words, "ends": found.ends, "same": found.same}
    rows = {name: getattr(found, name) for name in ("kind", "old", "new", "why")}
    np.savez(path, facts=np.array(json.dumps(facts)), **rows)


def _read(home: Path) -> Diff:
    with np.load(home / "rows.npz", allow_pickle=False) as held:
        facts: dict[str, Any] = json.loads(str(held["facts"]))
        ends = facts["ends"][0], facts["ends"][1]
        kind, old, new, why = (held[name] for name in ("kind", "old", "new", "why"))
        return Diff(kind, old, new, why, facts["words"], ends, facts["same"])
