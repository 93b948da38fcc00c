"""Imports of several files, until their rows can be read: a directory's, and the Hub's.

Until an import from the Hub has its files, it is a preview without a path: a worker downloads what
is wanted, file by file, and then it is a preview like any other."""

import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from annotation import hub, importing
from annotation.errors import Refused
from annotation.folder_rows import Manifest, Stored
from annotation.folders import inside, listing, plan
from annotation.import_files import drop, drop_files, store, wanted_path
from annotation.models import Import, Project, User
from annotation.parsing import guess, opened

log = logging.getLogger("annotation.importing")
TASK = "annotation.tasks.fetch_import"
STALE = timedelta(seconds=90)  # without a heartbeat: dead
BEAT_SECONDS = 1.0
READ_BYTES = 4 * 1024**2  # of a card or a state.json


class _Cancelled(Exception):
    """Somebody cancelled the import while its files came."""


@dataclass(frozen=True)
class Wanted:
    """What a download is to bring."""

    repo: str
    sha: str
    files: list[Stored]
    left: list[str]


def roots() -> list[Path]:
    """The folders of the server from which leads may import, as the operator allows."""
    return [Path(root).resolve() for root in settings.IMPORT_ROOTS]


def allowed(text: str) -> Path:
    """A directory below one of the roots. Raises Refused; a stranger to the server learns nothing
    about what else it holds."""
    names = ", ".join(str(root) for root in roots())
    if not names:
        raise Refused(
            "Imports from folders of the server are off. The operator names the folders that may "
            "be read in ANNOTUNE_IMPORT_ROOTS.",
            field="folder",
        )
    for root in roots():
        path = (root / text.strip()).resolve() if "\0" not in text else root.parent
        if path.is_relative_to(root) and path.is_dir():
            return path
    raise Refused(f"There is no such directory below {names}.", field="folder")


def folders() -> list[str]:
    """What lies below the roots, to choose from; at most a hundred."""
    found: list[str] = []
    for root in roots():
        found += [str(path) for path in sorted(root.glob("*")) if path.is_dir()][: 100 - len(found)]
    return found


def directory(
    *,
    project: Project,
    user: User | None,
    root: Path,
    config: str = "",
    split: str = "",
    layout: str = "",
    mapping: dict[str, str] | None = None,
    skip_bad: bool = False,
) -> Import:
    """A previewed import of a dataset directory: all splits of one config, or one of them.

    Raises Refused, and keeps nothing, for a directory without data and for what leads out of it."""
    names = listing(root)

    def read(name: str) -> str:
        path = inside(root, name)
        if path.stat().st_size > READ_BYTES:
            raise Refused(f"{name} is too large to be read for what it says.")
        return path.read_text("utf-8", "replace")

    found = plan(names, read, config=config, split=split)
    files = [
        Stored(part.split, part.name, inside(root, part.name).stat().st_size)
        for part in found.parts
    ]
    import_row = importing.create(
        project=project,
        user=user,
        upload=Manifest(files, root.resolve(), found.left),
        filename=_label(root.resolve().name, found.config, split),
        layout=layout,
        mapping=mapping,
        skip_bad=skip_bad,
    )
    describe(import_row=import_row, licence=found.licence)
    return import_row


def from_hub(
    *,
    project: Project,
    user: User | None,
    repo: str,
    revision: str = "",
    config: str = "",
    split: str = "",
    skip_bad: bool = False,
) -> Import:
    """An import whose files are still to come; `send` or `fetch` brings them. Raises Refused."""
    remote = hub.look(repo, revision=revision, config=config, split=split)
    wanted = Wanted(
        remote.repo,
        remote.sha,
        [Stored(part.split, part.name, remote.sizes[part.name]) for part in remote.plan.parts],
        remote.plan.left,
    )
    import_row = Import.objects.create(
        project=project,
        created_by=user,
        source=remote.source[:200],
        filename=_label(remote.repo, remote.plan.config, split),
        licence=remote.plan.licence,
        homepage=remote.homepage[:500],
        skip_bad=skip_bad,
        bytes_total=remote.bytes,
    )
    default_storage.save(wanted_path(import_row), ContentFile(json.dumps(asdict(wanted)).encode()))
    return import_row


def _label(name: str, config: str, split: str) -> str:
    words = " ".join(word for word in (name, config, split) if word)
    return "".join(char for char in words if char.isprintable())[:255]


def describe(
    *, import_row: Import, licence: str | None = None, homepage: str | None = None
) -> None:
    """Keep what is known about the file beside its rows; None leaves what was said before."""
    said = {"licence": licence, "homepage": homepage}
    fields = {name: text for name, text in said.items() if text is not None}
    if fields:
        Import.objects.filter(pk=import_row.pk).update(**fields)
        import_row.refresh_from_db()


def is_coming(import_row: Import) -> bool:
    """Are its files still to come from the Hub?"""
    return (
        import_row.source.startswith(hub.PREFIX)
        and not import_row.path
        and import_row.state in (Import.State.PREVIEWED, Import.State.FAILED)
    )


def has_stopped(import_row: Import) -> bool:
    """Of one whose files are to come: does nobody bring them any more?"""
    if import_row.state == Import.State.FAILED:
        return True
    return bool(import_row.heartbeat and import_row.heartbeat < timezone.now() - STALE)


def send(import_row: Import) -> None:
    """Wake a worker that brings the files. Raises Refused if they are coming or are here."""
    now = timezone.now()
    rows = _coming(import_row.pk).filter(Q(heartbeat=None) | Q(heartbeat__lt=now - STALE))
    rows |= Import.objects.filter(pk=import_row.pk, path="", state=Import.State.FAILED)
    if not rows.update(state=Import.State.PREVIEWED, reason="", heartbeat=now, bytes_done=0):
        raise Refused("Its files are on their way already, or here.")
    transaction.on_commit(partial(_wake, import_row.pk))
    import_row.refresh_from_db()


def _wake(pk: int) -> None:
    try:
        current_app.send_task(TASK, args=[pk], retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("download not sent", extra={"import": pk, "error": str(error)})


def fetch(import_row: Import) -> None:
    """Bring the files, now and in this process; afterwards it is a preview, or failed with a
    reason, or, cancelled meanwhile, gone."""
    if not _coming(import_row.pk).update(heartbeat=timezone.now(), bytes_done=0):
        return
    try:
        with default_storage.open(wanted_path(import_row), "rb") as file:
            said = json.loads(file.read())
        wanted = Wanted(**{**said, "files": [Stored(**entry) for entry in said["files"]]})
        files = _bring(import_row, wanted)
        import_row.path = store(import_row, Manifest(files, None, wanted.left))
        with opened(import_row) as file:
            layout = guess(file)[0]
        here = {"path": import_row.path, "layout": layout, "heartbeat": None}
        if not _coming(import_row.pk).update(**here, bytes_done=0, bytes_total=None):
            raise _Cancelled
    except _Cancelled:
        drop(import_row)
    except Refused as refusal:
        _fail(import_row, str(refusal))
    except Exception as error:
        log.exception("download failed", extra={"import": import_row.pk})
        _fail(import_row, f"The download broke off unexpectedly ({type(error).__name__}).")
        raise
    import_row.refresh_from_db()


def _bring(import_row: Import, wanted: Wanted) -> list[Stored]:
    """Every file into the storage, one at a time through a temporary folder."""
    files: list[Stored] = []
    moved = _beat(import_row)
    for number, file in enumerate(wanted.files):
        with tempfile.TemporaryDirectory() as folder:
            path = hub.download(wanted.repo, wanted.sha, file.name, file.size, Path(folder), moved)
            with path.open("rb") as came:
                at = default_storage.save(f"imports/{import_row.pk}/files/{number}", File(came))
        files.append(replace(file, at=at))
    return files


def _beat(import_row: Import) -> Callable[[int], None]:
    """Counts bytes and says so now and then. What it gives raises _Cancelled."""
    done, said = 0, 0.0

    def moved(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said > BEAT_SECONDS:
            said = time.monotonic()
            if not _coming(import_row.pk).update(bytes_done=done, heartbeat=timezone.now()):
                raise _Cancelled

    return moved


def _coming(pk: int) -> "QuerySet[Import]":
    return Import.objects.filter(pk=pk, path="", state=Import.State.PREVIEWED)


def _fail(import_row: Import, reason: str) -> None:
    """What came of the files goes; the list of them stays for the next try."""
    drop_files(import_row)
    if import_row.path:
        default_storage.delete(import_row.path)
    _coming(import_row.pk).update(state=Import.State.FAILED, reason=reason, finished=timezone.now())
