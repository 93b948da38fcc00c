"""Freezing a dataset to a directory: the only writer of snapshots."""

import hmac
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow
from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from annotation.errors import Refused
from annotation.memory import settled
from annotation.models import User
from exports import card, durable, files, formats, manifest, origins, plots, told
from exports.dispatch import send
from exports.gathering import gather
from exports.models import Dataset, Snapshot
from exports.rules import to_json
from exports.selection import Selection, SelectionError, read
from exports.shelf import Shelf

log = logging.getLogger("exports.snapshots")
State = Snapshot.State
STALE = timedelta(seconds=90)  # without a heartbeat for so long, a freeze is dead
ATTEMPTS = 3


@transaction.atomic
def request(*, dataset: Dataset, user: User | None, number: int | None = None) -> Snapshot:
    """The next version, queued; a worker freezes it. `number`: the one that was asked for, which a
    second tab or click may have made already. Raises Refused, with the reason."""
    snapshot = _new(dataset, user, number)
    send("freeze", snapshot.pk)
    return snapshot


@transaction.atomic
def _new(dataset: Dataset, user: User | None, number: int | None = None) -> Snapshot:
    selection = _readable(dataset)
    # The dataset's row is the lock: two requests at once get two numbers.
    Dataset.objects.filter(pk=dataset.pk).update(name=F("name"))
    last = dataset.snapshots.aggregate(last=Max("number"))["last"] or 0
    if number is not None and number <= last:
        raise Refused(f"v{number} of {dataset.name} is there already: look at it below.")
    return Snapshot.objects.create(
        dataset=dataset,
        number=last + 1,
        selection=to_json(dataset.kind, selection),
        heartbeat=timezone.now(),
        created_by=user,
    )


def _readable(dataset: Dataset) -> Selection:
    try:
        return read(dataset)
    except SelectionError as error:
        raise Refused(f"The rules of {dataset.name} no longer fit: {error}.") from None


def freeze_now(*, dataset: Dataset, user: User | None, out: Path | None = None) -> Snapshot:
    """Freeze in this process, into `out` if given. Raises Refused with the reason if it failed."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Refused(f"{out} is there already and is not an empty folder: name another one.")
    snapshot = freeze(_new(dataset, user), out)
    if snapshot.state != State.READY:
        raise Refused(snapshot.reason)
    return snapshot


def freeze_queued(pk: int) -> None:
    """The worker's door: a snapshot that is no longer queued is somebody else's or done."""
    snapshot = Snapshot.objects.select_related("dataset__workspace").filter(pk=pk).first()
    if snapshot is not None:
        freeze(snapshot)


def freeze(snapshot: Snapshot, out: Path | None = None) -> Snapshot:
    """Freeze a queued snapshot; it ends ready, or failed with the reason in words."""
    rows = Snapshot.objects.filter(pk=snapshot.pk)
    attempts = snapshot.stats.get("attempts", 0) + 1
    claim = {"state": State.FREEZING, "heartbeat": timezone.now(), "stats": {"attempts": attempts}}
    if rows.filter(state=State.QUEUED).update(**claim) != 1:
        snapshot.refresh_from_db()
        return snapshot
    # One that was given up for dead and wakes up again writes nothing over its successor.
    mine = rows.filter(state=State.FREEZING, stats__attempts=attempts)
    try:
        with settled():
            done = _freeze(snapshot, out or _home_of(snapshot), mine)
        mine.update(**done, state=State.READY, reason="", progress=100, finished=timezone.now())
    except Exception as error:  # a worker outlives whatever a freeze dies of
        if isinstance(error, (Refused, SelectionError)):
            reason = str(error)
        elif isinstance(error, OSError):  # the shelf's own: a full disk
            reason = f"The files could not be written: {error}."
        else:
            reason = f"It broke off ({type(error).__name__}: {error}); the log has more."
        shown = None if isinstance(error, Refused | SelectionError) else error
        log.warning("freeze failed", extra={"snapshot": snapshot.pk}, exc_info=shown)
        mine.update(state=State.FAILED, reason=reason, finished=timezone.now())
    snapshot.refresh_from_db()
    return snapshot


def _home_of(snapshot: Snapshot) -> Path:
    dataset = snapshot.dataset
    root = Path(settings.SNAPSHOT_ROOT)
    return root / dataset.workspace.slug / dataset.slug / f"v{snapshot.number}"


def _freeze(snapshot: Snapshot, target: Path, mine: "QuerySet[Snapshot]") -> dict[str, Any]:
    """Write beside the target under a temporary name, hash, rename; returns what the row learns.

    `mine`: the row as long as it is this worker's."""
    dataset = snapshot.dataset
    dataset_then = Dataset(
        workspace=dataset.workspace, kind=dataset.kind, selection=snapshot.selection
    )
    selection = read(dataset_then)
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    beat, pseudonym = _heart(mine), _pseudonym(snapshot)
    imported: set[str] = set()

    def known(name: str) -> str:
        if name.startswith("name "):  # of an import's own raters, not of people here
            imported.add(pseudonym(name))
        return pseudonym(name)

    try:
        directory = work / "snapshot"
        directory.mkdir()
        with Shelf(work) as shelf:
            found = gather(dataset_then, selection, shelf, lambda done: beat(done * 7 // 10))
            settle = pyarrow.default_memory_pool().release_unused  # by malloc_trim
            settle()  # what sorting took
            counts, dropped = found.pop("counts"), found.pop("dropped")
            _refuse_empty(counts, dropped)
            schema = formats.schema(dataset.kind, margin=selection.margin != "none")
            total = sum(counts.values())
            people = files.write(
                directory,
                shelf,
                schema,
                known,
                lambda rows: beat(70 + 29 * rows // total),
            )
            found |= origins.describe(shelf.sources(), people)
            found["imported_annotators"] = len(imported)
            settle()  # what writing took
        sha256, hashes = files.hash_data(directory)
        found["labels"] = origins.labels(directory)
        found |= told.describe(dataset, snapshot.selection)
        facts = {
            "name": dataset.name,
            "kind": dataset.kind,
            "number": snapshot.number,
            "columns": schema.names,
            "selection": _without_names(snapshot.selection, pseudonym),
            "counts": counts,
            "dropped": dropped,
            "stats": found,
            "sha256": sha256,
            "files": hashes,
            "beside": {
                name: files.hash_file(directory / name)
                for name in ("provenance.parquet", "dropped.parquet")
            },
            "versions": {"format": 1, "pyarrow": pyarrow.__version__},
            "created": timezone.now().isoformat(timespec="seconds"),
        }
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (directory / "snapshot.json").write_text(text + "\n", encoding="utf-8")
        shown = {
            f"{plots.FOLDER}/{each.file}": each.title for each in plots.write(directory, facts)
        }
        (directory / "README.md").write_text(card.render(facts, shown), encoding="utf-8")
        found["manifest"] = manifest.write(directory, hashes | facts["beside"])
        _still(mine, progress=99)
        if target.exists() and target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        elif target.exists():
            _clear_leftover(target, snapshot)
        durable.rename(directory, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "path": str(target),
        "sha256": sha256,
        "counts": counts,
        "dropped": dropped,
        "stats": found,
    }


def _clear_work(target: Path) -> None:
    """What a killed attempt was writing beside the target: rows that no erasure would find."""
    for path in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(path, ignore_errors=True)


def _clear_leftover(target: Path, snapshot: Snapshot) -> None:
    """A folder of this name: what a killed attempt left is ours to replace, nothing else is."""
    if Snapshot.objects.filter(path=str(target)).exclude(pk=snapshot.pk).exists():
        raise Refused(f"{target} belongs to another snapshot.")
    if not (target / "snapshot.json").exists():
        raise Refused(f"{target} is there already and is no snapshot: move it away.")
    shutil.rmtree(target)


def _refuse_empty(counts: dict[str, int], dropped: dict[str, int]) -> None:
    if counts["train"]:
        return
    if sum(counts.values()):
        raise Refused(
            f"No row fell into train ({counts['validation']} into validation, {counts['test']} "
            "into test): add conversations, or hold out smaller shares."
        )
    most = next(iter(dropped.items()), None)
    why = f" Most were left out because: {most[0]} ({most[1]})." if most else ""
    raise Refused(f"The rules give no row at all, so there is nothing to freeze.{why}")


def _pseudonym(snapshot: Snapshot) -> Callable[[str], str]:
    """The same person bears the same pseudonym in all snapshots of the workspace; who it is cannot
    be told without the server's key."""
    key = f"{settings.SECRET_KEY}/{snapshot.dataset.workspace.slug}".encode()

    @cache
    def pseudonym(name: str) -> str:
        return "annotator-" + hmac.new(key, name.encode(), "sha256").hexdigest()[:12]

    return pseudonym


def _without_names(selection: dict[str, Any], pseudonym: Callable[[str], str]) -> dict[str, Any]:
    """The rules as the files tell them, which go to others: people under their pseudonyms."""
    people = ("annotators", "without_annotators")
    named = {name: selection[name] for name in people if name in selection}
    return selection | {name: [pseudonym(one) for one in keys] for name, keys in named.items()}


def _still(mine: "QuerySet[Snapshot]", progress: int) -> None:
    """Say that we live and how far we are. Raises Refused where the row is another's by now."""
    if not mine.update(progress=progress, heartbeat=timezone.now()):
        raise Refused("Another worker took this over.")


def _heart(mine: "QuerySet[Snapshot]") -> Callable[[int], None]:
    """Tell the row how far we are, once a second at most."""
    last = 0.0

    def beat(share: int) -> None:
        nonlocal last
        if time.monotonic() - last < 1:
            return
        last = time.monotonic()
        _still(mine, progress=share)

    return beat


def sweep() -> int:
    """Queue again what a dead worker left or a broker lost; returns how many rows were moved."""
    moved, old = 0, timezone.now() - STALE
    dead = Snapshot.objects.filter(Q(heartbeat__lt=old) | Q(heartbeat__isnull=True))
    lost = dead.filter(state__in=[State.QUEUED, State.FREEZING])
    for snapshot in lost.select_related("dataset__workspace"):
        mine = dead.filter(pk=snapshot.pk, state=snapshot.state)
        _clear_work(_home_of(snapshot))
        if snapshot.stats.get("attempts", 0) >= ATTEMPTS:
            reason = f"The worker died {ATTEMPTS} times while freezing; the log says of what."
            moved += mine.update(state=State.FAILED, reason=reason, finished=timezone.now())
        elif mine.update(state=State.QUEUED, heartbeat=timezone.now()):
            moved += 1
            send("freeze", snapshot.pk)
    return moved
