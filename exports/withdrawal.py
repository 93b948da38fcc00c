"""Snapshots that hold what was erased are withdrawn: no download, no training; hash and counts
stay.

Nobody tells us of an erasure: we look at its tombstone whenever a snapshot is swept, shown,
downloaded or trained on, and read in `provenance.parquet` whether the snapshot holds it. The only
writer of the state `withdrawn`."""

import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db import transaction
from django.db.models import Q, QuerySet

from annotation.errors import Refused
from annotation.models import Erasure, Workspace
from exports import looks
from exports.models import Preview, Snapshot

log = logging.getLogger("exports.withdrawal")
State = Snapshot.State
# In the snapshot's `stats`: the erasures that were looked up in it, and the one that withdrew it.
CHECKED, BY = "erasures_checked", "withdrawn_by"


def check(snapshot: Snapshot) -> Snapshot:
    """The snapshot, withdrawn if it holds something that was erased since it was frozen."""
    if snapshot.state != State.READY:
        return snapshot
    checked = set(snapshot.stats.get(CHECKED, ()))
    since = Erasure.objects.filter(
        workspace=snapshot.dataset.workspace_id, created__gte=snapshot.created
    )
    new = list(since.exclude(pk__in=checked).order_by("pk"))
    if not new or not Path(snapshot.path or "/nowhere").is_dir():
        return snapshot  # files that are gone are given to nobody; if they come back, we look again
    for erasure in new:
        rows = rows_of(snapshot, erasure)
        if rows is None or rows:
            _withdraw(snapshot, erasure, rows)
            return snapshot
    _note(snapshot, {CHECKED: sorted(checked | {erasure.pk for erasure in new})})
    return snapshot


def rows_of(snapshot: Snapshot, erasure: Erasure) -> int | None:
    """How many rows of the snapshot hold something of the erasure; None if that cannot be told."""
    path = Path(snapshot.path) / "provenance.parquet"
    prompts, responses, submissions = (
        pa.array(ids, pa.int64())
        for ids in (erasure.prompts, erasure.responses, erasure.submissions)
    )
    try:
        held = 0
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(columns=["prompt", "responses", "submissions"]):
                hit = pc.is_in(batch["prompt"], value_set=prompts)
                for column, ids in (("responses", responses), ("submissions", submissions)):
                    hit = pc.or_(hit, _any_in(batch[column], ids))
                held += pc.sum(hit).as_py() or 0
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        log.warning("provenance unreadable", extra={"snapshot": snapshot.pk, "error": str(error)})
        return None
    return held


def _any_in(lists: pa.Array, ids: pa.Array) -> pa.Array:
    """Row by row: does the list hold one of the ids?"""
    inside = pc.is_in(pc.list_flatten(lists), value_set=ids)
    rows = pc.unique(pc.filter(pc.list_parent_indices(lists), inside))
    return pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=rows.cast(pa.int64()))


def _withdraw(snapshot: Snapshot, erasure: Erasure, rows: int | None) -> None:
    if rows is None:
        held = "its provenance.parquet cannot be read, so it may hold what was erased"
    else:
        held = f"{rows:,} of its rows {'holds' if rows == 1 else 'hold'} what was erased"
    reason = f"Withdrawn after erasure {erasure.pk}: {held}."
    stats = {**snapshot.stats, BY: erasure.pk, "rows_erased": rows}
    mine = Snapshot.objects.filter(pk=snapshot.pk, state=State.READY)
    if mine.update(state=State.WITHDRAWN, reason=reason, stats=stats):
        log.info("withdrawn", extra={"snapshot": snapshot.pk, "erasure": erasure.pk})
    snapshot.refresh_from_db()


def _note(snapshot: Snapshot, more: dict[str, object]) -> None:
    snapshot.stats = {**snapshot.stats, **more}
    Snapshot.objects.filter(pk=snapshot.pk, state=State.READY).update(stats=snapshot.stats)


def sweep(workspace: Workspace | None = None) -> int:
    """Look at every snapshot that an erasure may concern; returns how many were withdrawn. What
    dataset pages show of the data then is thrown away, too: it holds samples."""
    erasures = Erasure.objects.all()
    if workspace is not None:
        erasures = erasures.filter(workspace=workspace)
    withdrawn = 0
    for place, newest in _newest(erasures).items():
        old = Q(started__lt=newest) | Q(computed__lt=newest)
        for preview in Preview.objects.filter(old, dataset__workspace=place).select_related(
            "dataset__workspace"
        ):
            preview.delete()
            looks.destroy(preview.dataset)
        ready = Snapshot.objects.filter(
            dataset__workspace=place, state=State.READY, created__lte=newest
        )
        for snapshot in ready.select_related("dataset"):
            withdrawn += check(snapshot).state == State.WITHDRAWN
    return withdrawn


def _newest(erasures: "QuerySet[Erasure]") -> dict[int, object]:
    """{workspace: when the last one was}."""
    return dict(erasures.order_by("created").values_list("workspace", "created"))


def withdrawn_by(erasure: Erasure) -> list[Snapshot]:
    rows = Snapshot.objects.filter(
        dataset__workspace=erasure.workspace_id, state=State.WITHDRAWN
    ).select_related("dataset__workspace")
    return [row for row in rows.order_by("pk") if row.stats.get(BY) == erasure.pk]


def successor(snapshot: Snapshot) -> Snapshot | None:
    """The newest good version of the same dataset that came after it."""
    good = [State.READY, State.QUEUED, State.FREEZING]
    later = snapshot.dataset.snapshots.filter(number__gt=snapshot.number, state__in=good)
    return later.order_by("-number").first()


@transaction.atomic
def destroy(*, snapshot: Snapshot) -> None:
    """Delete the files of a withdrawn snapshot. Its row stays, with hash and counts.

    Raises Refused for one that is not withdrawn, and for a folder that is no snapshot."""
    locked = Snapshot.objects.select_for_update(of=("self",)).get(pk=snapshot.pk)
    if locked.state != State.WITHDRAWN:
        raise Refused(f"{snapshot} is {locked.state}: only a withdrawn one is destroyed.")
    path = Path(locked.path or "/nowhere")
    if path.is_dir():
        if not (path / "snapshot.json").is_file():
            raise Refused(f"{path} is no snapshot's folder: delete it yourself.")
        shutil.rmtree(path)
    locked.reason = f"{locked.reason} Its files were destroyed."
    locked.path = ""
    locked.save(update_fields=["reason", "path"])
