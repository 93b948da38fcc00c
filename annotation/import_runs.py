"""One import being carried out: one pass that reads and writes, and how it ends."""

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation import queue, search_index
from annotation.batch_rows import Row
from annotation.batches import Batch
from annotation.bulk import room_to_write
from annotation.errors import Refused
from annotation.import_files import drop
from annotation.import_hold import Cancelled, Hold
from annotation.memory import settled
from annotation.models import Import, Prompt, Response, Stage
from annotation.parsing import Parsed, TakeNote
from annotation.readers import ReadError
from annotation.records import Record, strings
from annotation.removal import remove
from annotation.reports import Report

log = logging.getLogger("annotation.importing")
ROWS_PER_WRITE = 1_000  # database rows a transaction, to begin with
LEAST, MOST = 200, 4_000
CHARACTERS_A_ROW = 2_000  # a long text counts as several rows: memory is by characters
# SQLite has one writer: others wait for as long as a transaction takes.
SECONDS_PER_WRITE = {"sqlite": 0.05, "postgresql": 0.25}
ANNOUNCE = 1_000  # prompts a call
BEAT_SECONDS = 1.0
# A file that has a refused row is still compared with what is here for so many rows, so that the
# report names every refusal at once; the rest of a longer one is only read.
COMPARED = 20_000

Source = Callable[[TakeNote], Iterable[Parsed]]


def carry_out(
    hold: Hold,
    source: Source,
    report: Report,
    *,
    origin: str = "imported",
    dry_run: bool = False,
) -> None:
    """Read and write all of it, publish it, or take it out again; it ends in any case.

    `dry_run`: everything but the publishing."""
    import_row = hold.row
    try:
        with Batch(import_row, origin, alive=hold.beat) as batch, room_to_write(), settled():
            with _collecting_by_chunks():
                _Pass(hold, report, batch).go(source(report.note))
            if report.refused and not import_row.skip_bad:
                raise Refused(first_reasons(report))
            report.created = dict(batch.created)
            if dry_run:
                hold.end(Import.State.CANCELLED, reason="A dry run.", report=report.as_dict())
                raise Cancelled
            with transaction.atomic():
                batch.publish()
                _publish(hold, report)
    except Cancelled:
        remove(import_row)
    except ReadError as error:
        _fail(hold, str(error), _of_broken(report, error))
    except Refused as refusal:
        _fail(hold, str(refusal), report)
    except IntegrityError:
        log.exception("import failed", extra={"import": import_row.pk})
        _fail(hold, COLLISION, report)
    except Exception as error:
        log.exception("import failed", extra={"import": import_row.pk})
        _fail(hold, f"It broke off unexpectedly ({type(error).__name__}).", report)
        raise
    else:
        announce(import_row)
        drop(import_row)
        search_index.send_for_more()


@contextmanager
def _collecting_by_chunks() -> Iterator[None]:
    """A chunk is no garbage before it is written: cycles are looked for after each (`_write`)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


COLLISION = (
    "Nothing was imported: somebody added a prompt with an id of this file while it came in. "
    "Start it again: the row is then compared with that prompt."
)


class _Pass:
    """The rows of a file on their way in, in chunks that take about as long as they may."""

    def __init__(self, hold: Hold, report: Report, batch: Batch) -> None:
        self.hold, self.report, self.batch = hold, report, batch
        self.chunk: list[Row] = []
        self.size = 0  # of the chunk, and what it may be
        self.most = ROWS_PER_WRITE
        # Of the last row with records: a row without any came with it, and shares its fate.
        self.verdict = ("unchanged", "")
        # Once a row is refused, nothing will stay: is the rest still compared with what is here?
        self.comparing = True

    def go(self, rows: Iterable[Parsed]) -> None:
        """Raises ReadError for a broken file, Refused where too much is refused, Cancelled."""
        report, seen = self.report, time.monotonic()
        for line, records in rows:
            if isinstance(records, str):
                report.count(line, "refused", records)
                if report.is_full:
                    self._count_only()
                    raise Refused(first_reasons(report))
            elif not self.comparing:
                report.count(line, "imported")
            else:
                self.chunk.append(Row(line, records))
                self.size += _weight(records)
                if self.size >= self.most:
                    self._write()
            if self.comparing and report.refused:
                self._compare_on()
            if (now := time.monotonic()) - seen > BEAT_SECONDS:
                self.hold.rows = report.rows
                self.hold.beat()
                seen = now
        self._write()

    def _compare_on(self) -> None:
        """Of a file that is given back a long part is compared, and not all of it."""
        if self.hold.row.skip_bad or self.report.rows + len(self.chunk) <= COMPARED:
            return
        self.comparing = False
        where = self.chunk[0].line if self.chunk else None
        since = f" from line {where} on" if where else ""
        self.report.note(
            None, f"the good rows{since} were counted and not compared with what is here"
        )
        self._count_only()

    def _count_only(self) -> None:
        for row in self.chunk:
            self.report.count(row.line, "imported")
        self.chunk, self.size = [], 0

    def _write(self) -> None:
        if not self.chunk:
            return
        report, batch = self.report, self.batch
        self.hold.rows = report.rows
        for row, (verdict, reason) in zip(self.chunk, batch.write(self.chunk), strict=True):
            if row.records:
                self.verdict = verdict, reason
            report.count(row.line, *self.verdict)
        for line, text in batch.notes:
            report.note(line, text)
        batch.notes.clear()
        self.chunk, self.size = [], 0
        gc.collect(0)
        wanted = SECONDS_PER_WRITE[connection.vendor] / max(batch.seconds, 0.001)
        longer = int(self.most * min(max(wanted, 0.5), 2))
        self.most = min(max(longer, min(LEAST, ROWS_PER_WRITE)), MOST)


def _weight(records: Sequence[Record]) -> int:
    """Database rows at most, and long texts as several."""
    size = characters = 0
    for record in records:
        size += 1 + len(record.answers)
        if record.rankings:
            size += 1 + 2 * len(record.rankings)
        for message in record.messages:
            characters += len(message.get("content") or "")
        characters += len(record.context) + len(record.system)
        for answer in record.answers:
            characters += len(answer.text)
            if answer.metadata:
                characters += sum(map(len, strings(answer.metadata)))
        if record.metadata:
            characters += sum(map(len, strings(record.metadata)))
    return max(size + characters // CHARACTERS_A_ROW, 1)


def _publish(hold: Hold, report: Report) -> None:
    """running -> done. Raises Cancelled if it was cancelled meanwhile."""
    said = report.as_dict()
    done = {"report": said, "rows_done": said["rows"], "rows_total": said["rows"]}
    if hold.total is not None:
        done["bytes_done"] = hold.total
    if not hold.end(Import.State.DONE, **done):
        raise Cancelled


def _fail(hold: Hold, reason: str, report: Report) -> None:
    """running -> failed, and everything out."""
    report.created = dict.fromkeys(report.created, 0)
    hold.end(Import.State.FAILED, reason=reason, report=report.as_dict())
    remove(hold.row)


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
    """Tell the queue which prompts have new answers. It may be called again.

    Without a stage there is nobody to be told: one that is made from now on meets all of them."""
    stages = Stage.objects.filter(project=import_row.project_id)
    told = stages.exclude(state=Stage.State.IMPORTED).exists()
    for model, column in ((Prompt, "id"), (Response, "prompt_id")) if told else ():
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
