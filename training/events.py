"""What a trainer says, from its file into rows: in batches, from a stored byte offset.

The file is untrusted: a line may be torn, huge, or made to hurt whoever reads it.
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from training import moves
from training.engine import LocalEngine
from training.models import Run, RunEvent
from training.recipes.run_dir import KINDS

CHUNK = 4 * 1024**2  # bytes read at a time
MAX_LINE = 256 * 1024  # bytes; a longer line is left out, and a note says so
MAX_TEXT = 20_000  # characters kept of a string
MAX_ENTRIES = 100  # of a list or a mapping
MAX_DEPTH = 8  # the preflight's marked rows, the deepest of what recipes write, are 7 deep
MAX_NUMBER = 2**31 - 1
LOG_TAIL = 16_000  # bytes of the log that the page shows


@dataclass(frozen=True)
class Event:
    """A line of events.jsonl, within bounds."""

    attempt: int
    seq: int
    time: datetime
    kind: str
    step: int
    data: dict[str, Any]


def clean(value: Any, depth: int = 0) -> Any:
    """The value as a database and a page can take it: no NUL, no lone surrogate, no infinity."""
    if isinstance(value, str):
        value = value[:MAX_TEXT].replace("\0", "")
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 1e300 and math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [clean(entry, depth + 1) for entry in value[:MAX_ENTRIES]]
    entries = list(value.items())[:MAX_ENTRIES]
    return {clean(name, depth + 1)[:100]: clean(entry, depth + 1) for name, entry in entries}


def _number(value: Any, low: int, high: int) -> int | None:
    """A whole number in the bounds, or None."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        return None
    return value


def _time(value: Any, now: datetime) -> datetime:
    """When it happened; now, where the line says nothing that can be believed."""
    if isinstance(value, int | float) and 0 < value < 4_102_444_800:  # the year 2100
        return datetime.fromtimestamp(value, UTC)
    return now


def parse_line(line: bytes, now: datetime) -> Event | None:
    """The event, or None for a line that is none. Pure."""
    try:
        row = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or row.get("kind") not in KINDS:
        return None
    attempt = _number(row.pop("attempt", None), 1, 30_000)
    seq = _number(row.pop("seq", None), 0, moves.LOG_SEQ - 1)
    step = _number(row.pop("step", 0), 0, MAX_NUMBER)
    if attempt is None or seq is None or step is None:
        return None
    kind, time = row.pop("kind"), _time(row.pop("time", None), now)
    data = clean(row)
    if kind == "metrics":
        values = data.get("values")
        if not isinstance(values, dict):
            return None
        numbers = {n: v for n, v in values.items() if isinstance(v, int | float)}
        data["values"] = {n: v for n, v in numbers.items() if not isinstance(v, bool)}
    return Event(attempt=attempt, seq=seq, time=time, kind=kind, step=step, data=data)


def split_lines(chunk: bytes) -> tuple[list[bytes], int]:
    """Complete lines, and how many bytes they took: a torn last line stays for later. Pure.

    A chunk that is full and holds no line end is a piece of a huge line and is passed over."""
    end = chunk.rfind(b"\n") + 1
    if not end and len(chunk) >= CHUNK:
        return [b" " * (MAX_LINE + 1)], len(chunk)
    return chunk[:end].splitlines() if end else [], end


def progress_of(event: Event) -> dict[str, Any]:
    """The run's columns that a progress event sets. Pure."""
    left = event.data.get("seconds_left")
    total = _number(event.data.get("total"), 0, MAX_NUMBER)
    return {
        "step": event.step,
        "total": total or 0,
        "phase": str(event.data.get("phase") or "")[:100],
        "seconds_left": min(int(left), MAX_NUMBER)
        if isinstance(left, int | float) and left >= 0
        else None,
    }


def ingest(run: Run, supervisor: str, engine: LocalEngine) -> int | None:
    """Bring in what the trainer has written since; returns how many events.

    None: the run is no longer this supervisor's, and nothing was written."""
    count = 0
    while True:
        chunk = engine.read(run, "events.jsonl", run.event_offset, CHUNK)
        lines, taken = split_lines(chunk)
        if not taken:
            return count
        now = timezone.now()
        huge = [line for line in lines if len(line) > MAX_LINE]
        parsed = [parse_line(line, now) for line in lines if len(line) <= MAX_LINE]
        found = [event for event in parsed if event is not None]
        columns: dict[str, Any] = {"event_offset": run.event_offset + taken}
        for event in found:
            if event.kind == "progress" and event.attempt == run.attempt:
                columns |= progress_of(event)
        if "step" in columns and (saved := max(engine.checkpoints(run), default=0)):
            # Before a resumed trainer has got there again it counts from nothing.
            columns["step"] = max(columns["step"], saved)
            columns["total"] = columns["total"] or run.total
        with transaction.atomic():
            if not moves.beat(run, supervisor, **columns):
                return None
            count += _store(run, found)
        if huge:
            moves.note(run, f"{len(huge)} event lines over {MAX_LINE} bytes were left out.")


def _store(run: Run, found: list[Event]) -> int:
    """Write the rows; what earlier attempts did past the point of resuming is superseded.

    An attempt that says nothing of resuming begins at its first metrics."""
    said = Q(kind="metrics") | Q(kind="state", data__state="resumed")
    begun = set(run.events.filter(said).values_list("attempt", flat=True))
    rows: list[RunEvent] = []
    for event in found:
        resumed = event.kind == "state" and event.data.get("state") == "resumed"
        if resumed or (event.kind == "metrics" and event.attempt not in begun):
            begun.add(event.attempt)
            _write(rows)  # what this batch holds of earlier attempts is superseded too
            rows = []
            _supersede(run, event.attempt, beyond=event.step - (0 if resumed else 1))
        rows.append(
            RunEvent(
                run=run,
                attempt=event.attempt,
                seq=event.seq,
                time=event.time,
                kind=event.kind,
                step=event.step,
                data=event.data,
            )
        )
    _write(rows)
    return len(found)


def _write(rows: list[RunEvent]) -> None:
    RunEvent.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)


def _supersede(run: Run, attempt: int, beyond: int) -> None:
    earlier = run.events.filter(attempt__lt=attempt, step__gt=beyond, superseded=False)
    earlier.filter(kind__in=("metrics", "progress", "sample")).update(superseded=True)


def keep_log(run: Run, engine: LocalEngine, size: int) -> int:
    """Keep the log's last bytes as a row where it has grown beyond `size`; returns its size."""
    now_size = engine.size(run, "log.txt")
    if now_size == size:
        return size
    start = max(0, now_size - LOG_TAIL)
    tail = engine.read(run, "log.txt", start, LOG_TAIL).decode("utf-8", "replace")
    if start:
        tail = tail.partition("\n")[2] or tail
    RunEvent.objects.update_or_create(
        run=run,
        attempt=run.attempt,
        seq=moves.LOG_SEQ,
        defaults={"kind": "log", "time": timezone.now(), "data": {"tail": clean(tail)}},
    )
    return now_size
