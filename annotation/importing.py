"""Importing: the only writer of import rows. A file's way in, and the door for programs.

Preview first; then one pass that reads and writes; the rows stay invisible until the last
transaction makes the import done. What fails or is cancelled is taken out again."""

import logging
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone

from annotation import search_index
from annotation.errors import Refused
from annotation.import_files import display_name, drop, store
from annotation.import_hold import Hold, claim
from annotation.import_runs import announce, carry_out
from annotation.layouts import converter
from annotation.models import Import, Project, User
from annotation.parsing import (
    Parsed,
    Preview,
    TakeNote,
    guess,
    no_layout,
    opened,
    parsed,
    preview,
)
from annotation.readers.streams import size_of
from annotation.records import Answer, RankingIn, Record, check
from annotation.removal import has_rows, remove
from annotation.reports import Report, in_order

__all__ = [
    "Answer",
    "Busy",
    "Preview",
    "RankingIn",
    "Record",
    "Refused",
    "add_records",
    "cancel",
    "configure",
    "create",
    "preview",
    "run",
    "run_now",
    "say_header",
    "start",
    "sweep",
]

log = logging.getLogger("annotation.importing")
TASK = "annotation.tasks.run_import"
STALE = timedelta(seconds=90)  # without a heartbeat: dead
FORGOTTEN = timedelta(days=7)  # a preview that nobody started
State = Import.State


class Busy(Refused):
    """Another import into the project is running; try again when it is done."""


def create(
    *,
    project: Project,
    user: User | None,
    path: str | Path | None = None,
    upload: Any = None,
    filename: str = "",
    layout: str = "",
    mapping: dict[str, str] | None = None,
    skip_bad: bool = False,
    no_header: bool = False,
) -> Import:
    """A previewed import of a file at a path or of an upload; no rows are written yet.

    Without a layout or mapping it is recognised, and stays empty where none fits. Raises Refused,
    and keeps nothing, for a file that cannot be read and for a layout or mapping that is none."""
    if layout or mapping:
        converter(layout, mapping or {})
    name = filename or getattr(upload, "name", "") or str(path or "")
    import_row = Import.objects.create(
        project=project,
        created_by=user,
        filename=display_name(name),
        mapping=mapping or {},
        skip_bad=skip_bad,
        no_header=no_header,
    )
    try:
        import_row.path = store(import_row, upload) if path is None else str(Path(path).resolve())
        with opened(import_row) as file:
            import_row.layout = "mapping" if mapping else layout or guess(file, no_header)[0]
    except Refused:
        drop(import_row)
        import_row.delete()
        raise
    import_row.save(update_fields=["path", "layout"])
    return import_row


def configure(
    *,
    import_row: Import,
    layout: str,
    mapping: dict[str, str],
    skip_bad: bool,
    no_header: bool | None = None,
) -> None:
    """Read the file in another way; a failed import is a preview again. Raises Refused.

    `no_header`: left out, the first line stays what it is."""
    _refuse_started(import_row)
    if no_header is None:
        no_header = import_row.no_header
    if mapping:
        layout = "mapping"
    elif not layout:
        with opened(import_row) as file:
            layout, columns = guess(file, no_header)
        if not layout:
            raise Refused(no_layout(columns))
    converter(layout, mapping)
    _change(import_row, layout=layout, mapping=mapping, skip_bad=skip_bad, no_header=no_header)


def say_header(*, import_row: Import, no_header: bool) -> None:
    """Its first line is a row (`no_header`), or names the columns. They have other names then: what
    was chosen is forgotten, and where no layout fits none is in force. Raises Refused."""
    _refuse_started(import_row)
    with opened(import_row) as file:
        layout, _ = guess(file, no_header)
    _change(import_row, layout=layout, mapping={}, no_header=no_header)


def _change(import_row: Import, **fields: Any) -> None:
    _empty_first(import_row)
    rows = Import.objects.filter(pk=import_row.pk, state__in=[State.PREVIEWED, State.FAILED])
    rows.update(state=State.PREVIEWED, reason="", **fields)
    import_row.refresh_from_db()
    _refuse_started(import_row)


def _refuse_started(import_row: Import) -> None:
    if import_row.state not in (State.PREVIEWED, State.FAILED):
        raise Refused("This import has started: it cannot be changed any more.")


def start(import_row: Import) -> Import:
    """previewed or failed -> queued; a worker is sent for once the transaction is in."""
    if not import_row.layout:
        raise Refused("No layout fits this file: say which columns hold what first.")
    _empty_first(import_row)
    rows = Import.objects.filter(pk=import_row.pk, state__in=[State.PREVIEWED, State.FAILED])
    now = timezone.now()
    if not rows.update(state=State.QUEUED, heartbeat=now, reason="", report={}, finished=None):
        raise Refused("This import has started already.")
    transaction.on_commit(partial(_send, import_row.pk))
    import_row.refresh_from_db()
    return import_row


def _empty_first(import_row: Import) -> None:
    """What an earlier try left, if its removal was cut off. Refused while it may go on: what the
    next try writes would go with it."""
    if import_row.state == State.FAILED and has_rows(import_row):
        if import_row.heartbeat and import_row.heartbeat > timezone.now() - STALE:
            raise Refused("What it had written is still being taken out: try again in a moment.")
        remove(import_row)


def _send(pk: int) -> None:
    """Wake a worker. A broker that is away costs a log line: the sweeper sends again."""
    try:
        current_app.send_task(TASK, args=[pk], retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("import not sent", extra={"import": pk, "error": str(error)})


def run(import_row: Import, *, dry_run: bool = False) -> dict[str, Any]:
    """Carry a queued import out, now; returns its report, empty if it is not to be run now.

    A dry run does all of it, takes it out again and forgets the import."""
    if not claim(import_row):
        return {}
    import_row.refresh_from_db()
    report = Report(import_row.filename, import_row.layout)
    hold = Hold(import_row)
    carry_out(hold, partial(_rows, hold), report, dry_run=dry_run)
    import_row.refresh_from_db()
    if dry_run:
        import_row.delete()
    _next(import_row.project_id)
    return in_order(import_row.report) or report.as_dict()


def run_now(import_row: Import, *, dry_run: bool = False) -> dict[str, Any]:
    """Start and carry out in this process, without a worker; returns the report.

    Raises Busy, and forgets the import, if another one into the project runs."""
    if not import_row.layout:
        raise Refused("No layout fits this file: say which columns hold what first.")
    rows = Import.objects.filter(pk=import_row.pk, state=State.PREVIEWED)
    rows.update(state=State.QUEUED, heartbeat=timezone.now())
    report = run(import_row, dry_run=dry_run)
    if not report:
        import_row.delete()
        raise Busy("An import into this project is running: try again when it is done.")
    return report


def _next(project: int) -> None:
    """Imports into one project wait for one another."""
    waiting = Import.objects.filter(project=project, state=State.QUEUED).exclude(path="")
    if (pk := waiting.order_by("id").values_list("id", flat=True).first()) is not None:
        transaction.on_commit(partial(_send, pk))


def cancel(import_row: Import) -> None:
    """Stop it; a running one takes its rows out before its next chunk. Raises Refused if over."""
    rows = Import.objects.filter(
        pk=import_row.pk, state__in=[State.PREVIEWED, State.QUEUED, State.RUNNING, State.FAILED]
    )
    if not rows.update(state=State.CANCELLED, reason="Cancelled.", finished=timezone.now()):
        raise Refused("This import has ended already.")
    drop(import_row)
    import_row.refresh_from_db()


def sweep() -> int:
    """Fail the dead, empty what they left, wake workers for what waits; returns how many it met."""
    now = timezone.now()
    met = 0
    for row in Import.objects.filter(state=State.RUNNING, heartbeat__lt=now - STALE):
        met += Import.objects.filter(
            pk=row.pk, state=State.RUNNING, heartbeat=row.heartbeat
        ).update(
            state=State.FAILED,
            reason="The worker stopped in the middle. Nothing was imported: start it again.",
            finished=now,
        )
    for row in Import.objects.filter(state__in=[State.FAILED, State.CANCELLED]):
        quiet = row.heartbeat is None or row.heartbeat < now - STALE
        if quiet and has_rows(row):
            remove(row)
            met += 1
    for row in Import.objects.filter(state=State.DONE, heartbeat__lt=now - STALE):
        announce(row)
        met += 1
    for row in Import.objects.filter(state=State.QUEUED, heartbeat__lt=now - STALE):
        if row.path:
            Import.objects.filter(pk=row.pk, state=State.QUEUED).update(heartbeat=now)
            transaction.on_commit(partial(_send, row.pk))
        else:  # a program that waited for its turn and died
            row.delete()
        met += 1
    for row in Import.objects.filter(state=State.PREVIEWED, created__lt=now - FORGOTTEN):
        cancel(row)
        met += 1
    search_index.sweep()
    return met


def add_records(
    *,
    project: Project,
    records: Iterable[Record],
    source: str,
    user: User | None = None,
    origin: str = "imported",
    skip_bad: bool = False,
    patience: float = 30.0,
) -> dict[str, Any]:
    """Add records that a program holds, now and in this process; returns the report.

    The same rules as for a file; a record's number stands for its line. `origin` is that of answers
    that do not say their own ("model" for a model's). All or nothing unless `skip_bad`: raises
    Refused with the first reason and leaves nothing behind. Raises Busy if another import into the
    project still runs after `patience` seconds. Not to be called inside a transaction that others
    wait for: it writes in short ones of its own."""
    import_row = Import.objects.create(
        project=project,
        created_by=user,
        source=source[:200],
        layout="records",
        skip_bad=skip_bad,
        state=State.QUEUED,
        heartbeat=timezone.now(),
    )
    deadline = time.monotonic() + patience
    while not claim(import_row):
        if time.monotonic() >= deadline:
            import_row.delete()
            raise Busy("An import into this project is running: try again when it is done.")
        time.sleep(0.2)
    report = Report(source, "records")
    carry_out(Hold(import_row), partial(_given, records), report, origin=origin)
    import_row.refresh_from_db()
    _next(project.pk)
    if import_row.state != State.DONE:
        raise Refused(import_row.reason, rows=import_row.report.get("refused"))
    return in_order(import_row.report)


def _rows(hold: Hold, note: TakeNote) -> Iterator[Parsed]:
    """Of the import's file. Raises ReadError."""
    with opened(hold.row) as file:
        hold.of(size_of(file))
    yield from parsed(hold.row, note, reached=hold.reached)


def _given(records: Iterable[Record], note: TakeNote) -> Iterator[Parsed]:
    for number, record in enumerate(records, 1):
        said: list[str] = []
        try:
            check([record], said.append)
        except Refused as refusal:
            yield number, str(refusal)
            continue
        for text in said:
            note(number, text)
        yield number, [record]
