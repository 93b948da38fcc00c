"""Ingesting: batches from an offset, torn and hostile lines, and what a resume supersedes."""

import json
from datetime import UTC, datetime

import pytest

from training import events, moves
from training.engine import LocalEngine
from training.models import Run, RunEvent

ME = "here:1:0:x"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def line(seq: int, kind: str = "metrics", step: int = 1, attempt: int = 1, **data) -> bytes:
    if kind == "metrics" and not data:
        data = {"values": {"loss": 1.0}}
    row = {
        "seq": seq,
        "attempt": attempt,
        "time": 1_790_000_000,
        "kind": kind,
        "step": step,
        **data,
    }
    return json.dumps(row).encode() + b"\n"


@pytest.fixture
def run(make_run):
    run = make_run(state="running", supervisor=ME)
    run.directory.mkdir(parents=True)
    return run


@pytest.fixture
def write(run):
    def append(*chunks: bytes) -> None:
        with (run.directory / "events.jsonl").open("ab") as file:
            file.writelines(chunks)

    return append


def ingest(run):
    return events.ingest(run, ME, LocalEngine())


def test_rows_come_once_and_in_order(run, write) -> None:
    write(line(1), line(2, step=2))
    assert ingest(run) == 2
    assert ingest(run) == 0
    write(line(3, step=3))
    assert ingest(run) == 1
    assert list(run.events.order_by("seq").values_list("seq", "step")) == [(1, 1), (2, 2), (3, 3)]


def test_a_torn_last_line_waits_for_its_end(run, write) -> None:
    whole = line(2, step=2)
    write(line(1), whole[:20])
    assert ingest(run) == 1
    write(whole[20:])
    assert ingest(run) == 1
    assert run.event_offset == (run.directory / "events.jsonl").stat().st_size


def test_a_line_torn_for_good_is_left_out(run, write) -> None:
    write(line(1), line(2)[:20] + b"\n", line(1, step=2, attempt=2))
    assert ingest(run) == 2
    assert run.events.count() == 2


def test_progress_sets_the_runs_columns(run, write) -> None:
    write(line(1, "progress", 7, total=30, phase="training", seconds_left=61.7))
    ingest(run)
    assert (run.step, run.total, run.phase, run.seconds_left) == (7, 30, "training", 61)


def test_what_lies_past_the_checkpoint_is_superseded_by_a_resume(run, write) -> None:
    write(*(line(n, step=n) for n in range(1, 9)))
    write(line(1, "state", 5, attempt=2, state="resumed"), line(2, step=6, attempt=2))
    ingest(run)
    gone = run.events.filter(superseded=True).values_list("step", flat=True)
    assert sorted(gone) == [6, 7, 8]
    assert run.events.filter(kind="metrics", superseded=False).count() == 6


def test_a_start_from_nothing_supersedes_all(run, write) -> None:
    write(*(line(n, step=n) for n in range(1, 4)))
    ingest(run)
    run.attempt = 2
    type(run).objects.filter(pk=run.pk).update(attempt=2)
    write(line(1, step=1, attempt=2))
    ingest(run)
    assert run.events.filter(superseded=True).count() == 3


def test_only_the_supervisor_ingests(run, write) -> None:
    write(line(1))
    assert events.ingest(run, "other:2:0:y", LocalEngine()) is None
    assert RunEvent.objects.filter(kind="metrics").count() == 0


def test_a_resumed_run_counts_from_where_it_goes_on(run, write) -> None:
    Run.objects.update(attempt=2, step=43, total=120)
    run.refresh_from_db()
    (run.directory / "checkpoints" / "step-40").mkdir(parents=True)
    for number, (step, total, phase) in enumerate(
        [(0, 0, "loading"), (0, 120, "evaluating before"), (41, 120, "training")], 1
    ):
        write(line(number, "progress", step, attempt=2, total=total, phase=phase))
        ingest(run)
        assert (run.step, run.total, run.phase) == (max(step, 40), 120, phase)


def test_the_same_lines_twice_are_one_row_each(run, write) -> None:
    write(line(1), line(1), line(2))
    ingest(run)
    assert run.events.count() == 2


def test_a_huge_line_is_left_out_and_said(run, write, monkeypatch) -> None:
    monkeypatch.setattr(events, "CHUNK", 8192)
    monkeypatch.setattr(events, "MAX_LINE", 1000)
    write(line(1), line(2, "note", text="x" * 30_000), line(3))
    ingest(run)
    kept = run.events.filter(seq__lt=moves.LOG_SEQ).order_by("seq").values_list("seq", flat=True)
    assert list(kept) == [1, 3]
    assert "left out" in run.events.filter(seq__gte=moves.NOTE_SEQ)[0].data["text"]


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"kind": "metrics"}',
        b'{"seq": -1, "attempt": 1, "kind": "note"}',
        b'{"seq": 1, "attempt": true, "kind": "note"}',
        b'{"seq": 99999999999999999999, "attempt": 1, "kind": "note"}',
        b'{"seq": 1, "attempt": 1, "kind": "drop table"}',
        b'{"seq": 1, "attempt": 1, "kind": "note", "step": 1e400}',
        b'{"seq": 1, "attempt": 1, "kind": "metrics", "values": [1]}',
        b'{"seq": ' + b"9" * 5000 + b', "attempt": 1, "kind": "note"}',
        b"\xff\xfe\x00",
    ],
)
def test_a_line_that_is_no_event(raw: bytes) -> None:
    assert events.parse_line(raw, NOW) is None


def test_values_are_bounded(run, write) -> None:
    write(
        line(1, values={"loss": float("nan"), "big": 10**400, "ok": 2, "text": "x", "yes": True}),
        line(2, "note", text="a\0b\ud800" + "y" * 50_000, deep=[[[[[[[[1]]]]]]]]),
        line(3, "progress", 3, total=-5, phase="p" * 900, seconds_left=float("inf")),
        line(4, "note", text="late", time=1e30),
    )
    ingest(run)
    by_seq = {event.seq: event for event in run.events.all()}
    assert by_seq[1].data["values"] == {"ok": 2}
    text = by_seq[2].data["text"]
    assert "\0" not in text and len(text) <= events.MAX_TEXT
    text.encode()
    assert (run.total, len(run.phase), run.seconds_left) == (0, 100, None)
    assert by_seq[4].time.year < 2100


def test_the_logs_tail_is_a_row(run) -> None:
    log = run.directory / "log.txt"
    log.write_text("first\n" + "x" * 20_000 + "\nlast <script>\n")
    size = events.keep_log(run, LocalEngine(), -1)
    assert events.keep_log(run, LocalEngine(), size) == size
    row = run.events.get(kind="log")
    assert row.data["tail"].endswith("last <script>\n") and len(row.data["tail"]) <= events.LOG_TAIL
