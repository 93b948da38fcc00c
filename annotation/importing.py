"""Importing: the only writer of import rows. A file's way in, and the door for programs.

Two passes: the first reads everything and writes nothing; the second writes rows that stay
invisible until the last transaction makes the import done. What fails or is cancelled is taken out
again."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation import queue
from annotation.batch_rows import Row
from annotation.batches import Batch
from annotation.errors import Refused
from annotation.models import Import, Project, Prompt, Response, User
from annotation.records import Answer, RankingIn, Record, check
from annotation.removal import remove
from annotation.reports import Report

__all__ = ["Answer", "RankingIn", "Record", "Refused", "add_records"]

log = logging.getLogger("annotation.importing")
ROWS_PER_WRITE = 1_000  # database rows a transaction
ANNOUNCE = 1_000  # prompts a call
STALE = timedelta(seconds=90)

# What the reading side hands over: a line, and its records or the reason why there are none.
Parsed = tuple[int | None, "list[Record] | str"]


class Cancelled(Exception):
    """Somebody cancelled the import while it ran."""


class Busy(Refused):
    """Another import into the project is running; try again when it is done."""


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
    Refused with the first reasons and leaves nothing behind. Raises Busy if another import into the
    project still runs after `patience` seconds."""
    import_row = Import(
        project=project,
        created_by=user,
        source=source[:200],
        layout="records",
        skip_bad=skip_bad,
        state=Import.State.QUEUED,
    )
    import_row.save()
    deadline = time.monotonic() + patience
    while not _claim(import_row):
        if time.monotonic() >= deadline:
            import_row.delete()
            raise Busy("An import into this project is running: try again when it is done.")
        time.sleep(0.2)
    report = Report(source, "records")
    parsed = ((number, [record]) for number, record in enumerate(records, 1))
    _carry_out(import_row, list(_checked(parsed, report)), report, origin)
    import_row.refresh_from_db()
    if import_row.state != Import.State.DONE:
        raise Refused(import_row.reason)
    return import_row.report


def _claim(import_row: Import) -> bool:
    """queued -> running, unless another import into the project runs: one at a time."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=import_row.project_id)
        running = Import.objects.filter(project=import_row.project_id, state=Import.State.RUNNING)
        if running.exists():
            return False
        now = timezone.now()
        rows = Import.objects.filter(pk=import_row.pk, state=Import.State.QUEUED)
        claimed = rows.update(state=Import.State.RUNNING, heartbeat=now, reason="") == 1
    if claimed:
        import_row.state = Import.State.RUNNING
    return claimed


def _checked(parsed: Iterable[Parsed], report: Report) -> Iterator[Parsed]:
    """The rows with what `check` says about them; its notes go into the report."""
    for line, records in parsed:
        if not isinstance(records, str):
            try:
                check(records, lambda text, line=line: report.note(line, text))  # type: ignore[misc]
            except Refused as refusal:
                records = str(refusal)
        yield line, records


def _carry_out(
    import_row: Import, rows: Iterable[Parsed], report: Report, origin: str = "imported"
) -> None:
    """Write the rows, then publish them or take them out again; the import ends in any case."""
    try:
        with Batch(import_row, origin) as batch:
            _write(import_row, rows, report, batch)
            if report.refused and not import_row.skip_bad:
                raise Refused(_first_reasons(report))
            report.created = dict(batch.created)
            with transaction.atomic():
                batch.publish()
                _move(import_row, Import.State.DONE, report=report.as_dict())
    except Cancelled:
        remove(import_row)
    except Refused as refusal:
        _fail(import_row, str(refusal), report)
    except Exception as error:
        log.exception("import failed", extra={"import": import_row.pk})
        _fail(import_row, f"It broke off unexpectedly ({type(error).__name__}).", report)
        raise
    else:
        announce(import_row)


def _write(import_row: Import, rows: Iterable[Parsed], report: Report, batch: Batch) -> None:
    chunk: list[Row] = []
    size = 0
    for line, records in rows:
        if isinstance(records, str):
            report.count(line, "refused", records)
            if report.is_full:
                raise Refused(_first_reasons(report))
            continue
        weight = _weight(records)
        if chunk and size + weight > ROWS_PER_WRITE:
            _write_chunk(import_row, chunk, report, batch)
            chunk, size = [], 0
        chunk.append(Row(line, records))
        size += weight
    _write_chunk(import_row, chunk, report, batch)


def _write_chunk(import_row: Import, chunk: Sequence[Row], report: Report, batch: Batch) -> None:
    for row, (verdict, reason) in zip(chunk, batch.write(chunk), strict=True):
        report.count(row.line, verdict, reason)
    for line, text in batch.notes:
        report.note(line, text)
    batch.notes.clear()
    beat(import_row, report.rows)


def _weight(records: Sequence[Record]) -> int:
    """Database rows at most."""
    return sum(1 + len(r.answers) + (1 + 2 * len(r.rankings) if r.rankings else 0) for r in records)


def beat(import_row: Import, rows_done: int) -> None:
    """Say that it lives and how far it is. Raises Cancelled when it is no longer wanted."""
    running = Import.objects.filter(pk=import_row.pk, state=Import.State.RUNNING)
    if not running.update(rows_done=rows_done, heartbeat=timezone.now()):
        raise Cancelled


def _move(import_row: Import, state: str, **fields: Any) -> None:
    """running -> done. Raises Cancelled if it was cancelled meanwhile."""
    running = Import.objects.filter(pk=import_row.pk, state=Import.State.RUNNING)
    if not running.update(state=state, finished=timezone.now(), **fields):
        raise Cancelled
    import_row.state = state


def _fail(import_row: Import, reason: str, report: Report) -> None:
    """running -> failed, and everything out."""
    running = Import.objects.filter(pk=import_row.pk, state=Import.State.RUNNING)
    running.update(
        state=Import.State.FAILED,
        reason=reason,
        report=report.as_dict(),
        finished=timezone.now(),
    )
    import_row.state = Import.State.FAILED
    remove(import_row)


def _first_reasons(report: Report) -> str:
    """The reason of a failed import: how many rows, and the first of them."""
    first = report.refused[0]
    where = f"line {first['line']}: " if first["line"] else ""
    count = len(report.refused)
    rows = "1 row is refused" if count == 1 else f"{count} rows are refused"
    if report.is_full:
        rows = f"{count} rows are refused, and reading stopped there"
    return f"Nothing was imported: {rows}. {where}{first['reason']}"


def announce(import_row: Import) -> None:
    """Tell the queue which prompts have new answers."""
    for model, column in ((Prompt, "id"), (Response, "prompt_id")):
        last = 0
        while True:
            rows = model.objects.filter(batch=import_row, id__gt=last).order_by("id")
            found = list(rows.values_list("id", column)[:ANNOUNCE])
            if not found:
                break
            queue.answers_arrived(sorted({prompt for _, prompt in found}))
            last = found[-1][0]
    Import.objects.filter(pk=import_row.pk).update(heartbeat=None)
