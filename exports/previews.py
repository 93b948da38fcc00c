"""What a selection gives before it is frozen: the only writer of previews."""

import hashlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from annotation.memory import settled
from annotation.models import Erasure, Project
from exports import durable, looks, raters
from exports.dispatch import send
from exports.gathering import gather
from exports.looks import Facets
from exports.models import Dataset, Preview
from exports.selection import Selection, SelectionError, data_version, read
from exports.shelf import MARKS, TEXTS, Shelf
from exports.splits import SPLITS

log = logging.getLogger("exports.previews")
FRESH = timedelta(seconds=20)  # so long a look is not repeated, unless asked for
STALE = timedelta(seconds=60)  # a look without a word for so long is dead, and asked for again
SAMPLES = 5
PEOPLE = 200  # annotators whose weights are kept
BUSY = ("queued", "running")


@transaction.atomic
def refresh(*, dataset: Dataset, force: bool = False) -> Preview:
    """The preview, and a worker asked to look again where it is old, or where `force` says so."""
    preview, created = Preview.objects.get_or_create(dataset=dataset, defaults={"key": ""})
    now = timezone.now()
    mine = Preview.objects.filter(pk=preview.pk)
    due = mine.exclude(state__in=BUSY) | mine.filter(Q(started__isnull=True))
    due = due | mine.filter(state__in=BUSY, started__lt=now - STALE)
    # Other rules than those that were looked at: no need to wait.
    if not force and preview.result.get("selection") == dataset.selection:
        due = due.filter(Q(computed__isnull=True) | Q(computed__lt=now - FRESH))
    change = {"state": "queued", "started": now} | ({"key": ""} if force else {})
    if due.update(**change):
        send("preview", dataset.pk)
        preview.refresh_from_db()
    return preview


def compute(pk: int) -> None:
    """The worker's door, with the dataset's key. Data that have not changed are not read again."""
    dataset = Dataset.objects.select_related("workspace").filter(pk=pk).first()
    mine = Preview.objects.filter(dataset=pk)
    if dataset is None or not mine.filter(state="queued").update(
        state="running", started=timezone.now(), progress=0
    ):
        return
    began, since = time.monotonic(), timezone.now()
    home = looks.folder(dataset)
    try:
        selection = read(dataset)
        version = data_version(dataset, selection)
        key = hashlib.sha256(version.encode()).hexdigest()
        shown = mine.exclude(look="").filter(key=key).first()
        here = mine.filter(key=key, look=shown.look) if shown and is_there(shown) else mine.none()
        if here.update(state="done", progress=100, computed=timezone.now()):
            return
        home.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".", dir=home))
        try:
            with Shelf(work) as shelf, settled():
                facets = Facets(dataset, work)
                heart = _heart(mine)
                result = gather(dataset, selection, shelf, heart, facets)
                result["samples"] = _samples(shelf)
                result["languages"] = facets.languages
                if raters.sources(selection):
                    result["weights"] = _weights(dataset, selection, lambda: heart(99))
            # What was erased since we began may stand in it.
            if Erasure.objects.filter(workspace=dataset.workspace, created__gte=since).exists():
                mine.update(state="queued", key="")
                send("preview", pk)
                return
            look = home / f"{key[:16]}-{since:%H%M%S%f}"
            durable.rename(work, look)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        result["selection"] = dataset.selection
        result["seconds"] = round(time.monotonic() - began, 2)
        mine.update(state="done", key=key, result=result, reason="", look=str(look),
                    progress=100, computed=timezone.now())  # fmt: skip
        looks.tidy(dataset)
    except Exception as error:  # a worker outlives whatever a look dies of
        if isinstance(error, SelectionError):
            reason = f"{error}."
        else:
            log.warning("preview failed", extra={"dataset": pk}, exc_info=error)
            reason = f"It broke off ({type(error).__name__}: {error}); the log has more."
            if isinstance(error, OSError):  # the shelf's own: a full disk
                reason = f"The files could not be written: {error}."
        # The rules that failed are kept, so that they are not tried again at every look.
        result = {"selection": dataset.selection}
        mine.update(state="failed", key="", reason=reason, result=result, computed=timezone.now())


def is_there(preview: Preview) -> bool:
    """Whether the files of its look are where they were written: they may be deleted at any time,
    and are made anew."""
    # Without marks it is a look of an older version, which kept them in a table.
    files = ("look.json", MARKS, TEXTS)
    return bool(preview.look) and all((Path(preview.look) / name).is_file() for name in files)


def _heart(mine: QuerySet[Preview]) -> Callable[[int], None]:
    """Tell the row that we live and how far we are, once a second at most."""
    last = 0.0

    def beat(share: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            mine.update(started=timezone.now(), progress=share)

    return beat


def _weights(
    dataset: Dataset, selection: Selection, alive: Callable[[], None]
) -> list[tuple[str, float, str]]:
    """What the words of the heaviest annotators weigh, and why."""
    here = Project.objects.filter(workspace=dataset.workspace, slug__in=selection.projects)
    return raters.explain(selection, here, alive)[:PEOPLE]


def _samples(shelf: Shelf) -> list[dict[str, object]]:
    """The first rows in sorting order, which is as good as drawn."""
    for split in SPLITS:
        if rows := list(shelf.read(shelf.ids(split)[:SAMPLES])):
            return [
                {
                    "split": split,
                    "row": shelved.row,
                    "project": shelved.provenance["project"],
                    "external_id": shelved.provenance["external_id"],
                    "people": len(shelved.provenance["annotators"]),
                }
                for shelved in rows
            ]
    return []
