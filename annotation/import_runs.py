"""One import being carried out: the pass that reads, the pass that writes, and how it ends."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation import queue
from annotation.batch_rows import Row
from annotation.batches import Batch
from annotation.errors import Refused
from annotation.import_files import Parsed, TakeNote, drop
from annotation.models import Import, Project, Prompt, Response
from annotation.readers import ReadError
from annotation.records import Record
from annotation.removal import others_have_rows, remove
from annotation.reports import Report

log = logging.getLogger("annotation.importing")
ROWS_PER_WRITE = 1_000  # database rows a transaction
ANNOUNCE = 1_000  # prompts a call
BEAT_SECONDS = 1.0
# A refused file of at most so many rows is still compared with what is here, so that the report
# names every refusal at once; a longer one is given back after the first pass.
COMPARED = 20_000

Source = Callable[[TakeNote], Iterable[Parsed]]


class Cancelled(Exception):
    """Somebody cancelled the import while it ran."""


def claim(import_row: Import) -> bool:
    """queued -> running, unless another import into the project runs: one at a time.

    One that was cancelled or failed is in the way until its rows are out: this one would take its
    prompts for prompts that are there, and lose with them what it adds."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=import_row.project_id)
        running = Import.objects.filter(project=import_row.project_id, state=Import.State.RUNNING)
        if running.exists() or others_have_rows(import_row):
            return False
        rows = Import.objects.filter(pk=import_row.pk, state=Import.State.QUEUED)
        return bool(
            rows.update(
                state=Import.State.RUNNING,
                heartbeat=timezone.now(),
                reason="",
                rows_done=0,
                rows_total=None,
            )
        )


def carry_out(
    import_row: Import,
    source: Source,
    report: Report,
    *,
    origin: str = "imported",
    read_first: bool = True,
    dry_run: bool = False,
) -> None:
    """Read all of it, write all of it, publish it, or take it out again; it ends in any case.

    `source` gives the rows anew at each call. `dry_run`: everything but the publishing."""
    try:
        if read_first:
            _read(import_row, source, report)
        with Batch(import_row, origin) as batch:
            _write(import_row, source(report.note), report, batch)
            if report.refused and not import_row.skip_bad:
                raise Refused(first_reasons(report))
            report.created = dict(batch.created)
            if dry_run:
                raise Cancelled
            with transaction.atomic():
                batch.publish()
                _move(import_row, Import.State.DONE, report=report.as_dict())
    except Cancelled:
        remove(import_row)
    except ReadError as error:
        _fail(import_row, str(error), _of_broken(report, error))
    except Refused as refusal:
        _fail(import_row, str(refusal), report)
    except Exception as error:
        log.exception("import failed", extra={"import": import_row.pk})
        _fail(import_row, f"It broke off unexpectedly ({type(error).__name__}).", report)
        raise
    else:
        announce(import_row)
        drop(import_row)


def _read(import_row: Import, source: Source, report: Report) -> None:
    """The first pass. Raises ReadError for a broken file, Refused for what need not be written."""
    rows = 0
    refused = Report(report.file, report.layout)
    seen = time.monotonic()
    for line, records in source(refused.note):
        rows += 1
        if isinstance(records, str):
            refused.count(line, "refused", records)
        else:
            refused.count(line, "imported")
        if refused.is_full:
            report.take(refused)
            raise Refused(first_reasons(refused))
        if time.monotonic() - seen > BEAT_SECONDS:
            beat(import_row, rows)
            seen = time.monotonic()
    if refused.refused and not import_row.skip_bad and rows > COMPARED:
        refused.note(None, "the good rows were counted and not compared with what is here")
        report.take(refused)
        raise Refused(first_reasons(refused))
    Import.objects.filter(pk=import_row.pk).update(rows_total=rows)


def _write(import_row: Import, rows: Iterable[Parsed], report: Report, batch: Batch) -> None:
    """The second pass: rows in chunks of at most so many database rows a transaction."""
    chunk: list[Row] = []
    size = 0
    for line, records in rows:
        if isinstance(records, str):
            report.count(line, "refused", records)
            if report.is_full:
                raise Refused(first_reasons(report))
            continue
        weight = _weight(records)
        if chunk and size + weight > ROWS_PER_WRITE:
            _write_chunk(import_row, chunk, report, batch)
            chunk, size = [], 0
        chunk.append(Row(line, records))
        size += weight
    _write_chunk(import_row, chunk, report, batch)


def _write_chunk(import_row: Import, chunk: Sequence[Row], report: Report, batch: Batch) -> None:
    beat(import_row, report.rows)
    for row, (verdict, reason) in zip(chunk, batch.write(chunk), strict=True):
        report.count(row.line, verdict, reason)
    for line, text in batch.notes:
        report.note(line, text)
    batch.notes.clear()


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
    now = timezone.now()
    rows = fields["report"]["rows"]
    if not running.update(state=state, finished=now, heartbeat=now, rows_done=rows, **fields):
        raise Cancelled
    import_row.state = state


def _fail(import_row: Import, reason: str, report: Report) -> None:
    """running -> failed, and everything out."""
    report.created = dict.fromkeys(report.created, 0)
    running = Import.objects.filter(pk=import_row.pk, state=Import.State.RUNNING)
    running.update(
        state=Import.State.FAILED,
        reason=reason,
        report=report.as_dict(),
        heartbeat=timezone.now(),
        finished=timezone.now(),
    )
    import_row.state = Import.State.FAILED
    remove(import_row)


def _of_broken(report: Report, error: ReadError) -> Report:
    """The report on a file that is refused as a whole, where reading stopped."""
    broken = Report(report.file, report.layout)
    if error.line is None:
        broken.note(None, str(error))
    else:
        broken.count(error.line, "refused", str(error))
    return broken


def first_reasons(report: Report) -> str:
    """The reason of a failed import: how many rows, and the first of them."""
    first = min(report.refused, key=lambda entry: entry["line"] or 0)
    where = f"line {first['line']}: " if first["line"] else ""
    count = len(report.refused)
    rows = "1 row is refused" if count == 1 else f"{count:,} rows are refused"
    if report.is_full:
        rows += ", and reading stopped there"
    return f"Nothing was imported: {rows}. First, {where}{first['reason']}."


def announce(import_row: Import) -> None:
    """Tell the queue which prompts have new answers. It may be called again."""
    for model, column in ((Prompt, "id"), (Response, "prompt_id")):
        last = 0
        while True:
            rows = model.objects.filter(batch=import_row, id__gt=last).order_by("id")
            found = list(rows.values_list("id", column)[:ANNOUNCE])
            if not found:
                break
            queue.answers_arrived(sorted({prompt for _, prompt in found}))
            Import.objects.filter(pk=import_row.pk).update(heartbeat=timezone.now())
            last = found[-1][0]
    Import.objects.filter(pk=import_row.pk).update(heartbeat=None)
