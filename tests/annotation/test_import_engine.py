"""One pass over the file: what is written on the way, who may write, and what is left of it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotation import batches, bulk, import_runs, importing, records
from annotation.import_hold import Cancelled, Hold, claim
from annotation.importing import Answer, Record, add_records
from annotation.models import Import, Prompt, Response
from annotation.removal import remove
from tests.annotation.factories import make_prompt

State = Import.State
GOOD = [{"instruction": f"Say {n}.", "response": f"It is {n}."} for n in range(6)]
BAD = {"instruction": "", "response": "x"}


@pytest.fixture
def file(cast, tmp_path: Path):
    def make(rows: list[dict[str, Any]], **rest: Any) -> Import:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return importing.create(project=cast.project, user=None, path=path, **rest)

    return make


def running(import_row: Import) -> Hold:
    importing.start(import_row)
    assert claim(import_row)
    return Hold(import_row)


def give_up(import_row: Import) -> None:
    """As the sweeper does with one that was silent for too long."""
    Import.objects.filter(pk=import_row.pk).update(heartbeat=timezone.now() - timedelta(hours=1))
    importing.sweep()
    import_row.refresh_from_db()
    assert import_row.state == State.FAILED


def test_the_file_is_read_once(file, monkeypatch) -> None:
    passes: list[int] = []
    parsed = importing.parsed
    monkeypatch.setattr(
        importing, "parsed", lambda *args, **rest: passes.append(1) or parsed(*args, **rest)
    )
    assert importing.run_now(file(GOOD))["imported"] == 6
    assert passes == [1]


def test_how_far_the_file_is_read(file) -> None:
    import_row = file(GOOD)
    importing.run_now(import_row)
    import_row.refresh_from_db()
    size = Path(import_row.path).stat().st_size
    assert (import_row.bytes_done, import_row.bytes_total) == (size, size)
    assert (import_row.rows_done, import_row.rows_total) == (6, 6)


def test_behind_a_refused_row_of_a_long_file_the_rest_is_only_read(file, monkeypatch) -> None:
    monkeypatch.setattr(import_runs, "COMPARED", 3)
    monkeypatch.setattr(import_runs, "ROWS_PER_WRITE", 1)
    written: list[int] = []
    write = import_runs.Batch.write
    monkeypatch.setattr(
        import_runs.Batch,
        "write",
        lambda self, rows: written.append(len(rows)) or write(self, rows),
    )
    report = importing.run_now(file([*GOOD[:4], BAD, *GOOD[4:], BAD]))
    assert sum(written) == 4
    assert (report["imported"], report["rows"]) == (6, 8)
    assert [entry["line"] for entry in report["refused"]] == [5, 8]
    assert "not compared" in report["notes"][0]["note"]
    assert not Prompt.objects.exists()


def test_rows_without_records_came_with_another_line(cast, monkeypatch, file) -> None:
    rows = [(1, [Record(messages=[{"role": "user", "content": "Sky?"}])]), (2, []), (3, [])]
    monkeypatch.setattr(importing, "parsed", lambda *_, **__: iter(rows))
    report = importing.run_now(file(GOOD))
    assert (report["rows"], report["imported"], report["prompts"]) == (3, 3, 1)


def test_a_worker_that_was_given_up_writes_nothing_more(file) -> None:
    import_row = file(GOOD)
    stale = running(import_row)
    give_up(import_row)
    with pytest.raises(Cancelled):
        stale.beat()
    again = running(import_row)
    with pytest.raises(Cancelled):
        stale.beat()
    assert not stale.end(State.FAILED)
    again.beat()
    import_row.refresh_from_db()
    assert import_row.state == State.RUNNING


def test_a_worker_that_wakes_leaves_its_restart_alone(file, monkeypatch) -> None:
    """It was silent in the middle of a chunk; meanwhile the import was started again and done."""
    import_row = file(GOOD)
    stale = running(import_row)

    def sleep(self, rows):
        monkeypatch.undo()
        again = Import.objects.get(pk=import_row.pk)
        give_up(again)
        importing.run(importing.start(again))
        return write(self, rows)

    write = import_runs.Batch.write
    monkeypatch.setattr(import_runs.Batch, "write", sleep)
    import_runs.carry_out(
        stale,
        lambda note: importing.parsed(import_row, note),
        import_runs.Report("rows", "instruction"),
    )
    import_row.refresh_from_db()
    assert (import_row.state, import_row.report["imported"]) == (State.DONE, 6)
    assert (Prompt.objects.live().count(), Response.objects.live().count()) == (6, 6)


def test_removing_stops_where_the_import_is_started_again(file) -> None:
    import_row = file(GOOD)
    hold = running(import_row)
    with import_runs.Batch(import_row, alive=hold.beat) as batch:
        batch.write([import_runs.Row(1, [Record(messages=[{"role": "user", "content": "Sky?"}])])])
    remove(import_row)
    assert Prompt.objects.count() == 1
    give_up(import_row)
    assert not Prompt.objects.exists()


def test_an_id_that_somebody_takes_meanwhile_is_told(cast, monkeypatch) -> None:
    """Between the look at what is there and the writing, somebody types a prompt with that id."""
    insert = import_runs.Batch._insert

    def type_one(self, work):
        make_prompt(cast.project, "typed", external_id="p")
        insert(self, work)

    monkeypatch.setattr(import_runs.Batch, "_insert", type_one)
    row = Record(messages=[{"role": "user", "content": "Sky?"}], external_id="p")
    with pytest.raises(importing.Refused, match="somebody added a prompt with an id of this file"):
        add_records(project=cast.project, records=[row], source="test")
    assert Prompt.objects.get().question == "typed"


def test_long_texts_make_smaller_transactions(cast, monkeypatch) -> None:
    sizes: list[int] = []
    write = import_runs.Batch.write
    monkeypatch.setattr(
        import_runs.Batch, "write", lambda self, rows: sizes.append(len(rows)) or write(self, rows)
    )
    texts = [f"{n} " + "long " * 40_000 for n in range(20)]
    rows = [Record(messages=[{"role": "user", "content": text}]) for text in texts]
    add_records(project=cast.project, records=rows, source="test")
    assert sizes[0] == 10 and sum(sizes) == 20


def test_rows_of_a_statement_and_one_more(cast) -> None:
    rows = [
        Record(messages=[{"role": "user", "content": f"Sky {n}?"}])
        for n in range(2 * bulk.ROWS_A_STATEMENT + 1)
    ]
    add_records(project=cast.project, records=rows, source="test")
    asked = Prompt.objects.order_by("pk").values_list("messages", flat=True)
    assert [turns[0]["content"] for turns in asked] == [f"Sky {n}?" for n in range(len(rows))]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("What is the sky?", True),
        ("Two\nlines", True),
        (" ends in blanks ", False),
        ("\u200b", False),
        ("café", False),
        ("a \x07 bell", False),
        ("a \0 NUL", False),
        ("", False),
    ],
)
def test_what_needs_no_close_look(text: str, plain: bool) -> None:
    record = Record(messages=[{"role": "user", "content": text}])
    assert records._is_plain(record) is plain


def test_an_import_leaves_the_connection_as_it_was(file) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("settings of SQLite's")

    def usual() -> list[Any]:
        with connection.cursor() as cursor:
            return [cursor.execute(f"PRAGMA {name}").fetchone() for name in bulk.ROOM]

    before = usual()
    importing.run_now(file(GOOD))
    assert usual() == before


KILLED = """
import django; django.setup()
from annotation import import_runs, importing
from annotation.models import Import
import os, signal
import_runs.ROWS_PER_WRITE = 2
write, done = import_runs.Batch.write, []
def die(self, rows):
    done.append(1)
    if len(done) == 3: os.kill(os.getpid(), signal.SIGKILL)
    return write(self, rows)
import_runs.Batch.write = die
from annotation.models import Project, Workspace
workspace = Workspace.objects.create(name="W", slug="w", salt="s")
project = Project.objects.create(workspace=workspace, name="P", slug="p")
importing.run_now(importing.create(project=project, user=None, path=%r))
"""
SWEPT = """
import django; django.setup()
from annotation import importing
from annotation.models import Import, Prompt, Response
print(Import.objects.get().state, Prompt.objects.exists(), Prompt.objects.live().exists())
Import.objects.update(heartbeat="2026-01-01T00:00:00Z")
importing.sweep()
print(Import.objects.get().state, Prompt.objects.exists(), Response.objects.exists())
print(importing.run(importing.start(Import.objects.get()))["imported"])
"""


def test_a_kill_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in GOOD))
    root = Path(__file__).resolve().parents[2]
    env = os.environ | {
        "ANNOTUNE_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}",
    }

    def python(*code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *code], cwd=root, env=env, capture_output=True, text=True
        )

    migrated = python("manage.py", "migrate", "--verbosity", "0", "--skip-checks")
    assert migrated.returncode == 0, migrated.stderr
    killed = python("-c", KILLED % str(path))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    swept = python("-c", SWEPT)
    said = swept.stdout.split("\n")
    assert said[:3] == ["running True False", "failed False False", "6"], swept.stderr


@pytest.mark.parametrize(
    "record",
    [
        Record(external_id="d", answers=[Answer("x" * 100_000)]),
        Record([{"role": "user", "content": "x" * 100_000}]),
        Record([{"role": "user", "content": "q"}], metadata={"raw": [{"page": "x" * 100_000}]}),
        Record([{"role": "user", "content": "q"}], system="x" * 100_000),
    ],
)
def test_long_texts_wherever_they_stand_make_chunks_short(cast, monkeypatch, record) -> None:
    """Memory is by characters: a thousand long documents do not wait for one transaction."""
    chunks: list[int] = []
    write = batches.Batch.write
    monkeypatch.setattr(
        batches.Batch, "write", lambda self, rows: chunks.append(len(rows)) or write(self, rows)
    )
    rows = [replace(record, external_id=f"r{n}") for n in range(100)]
    add_records(project=cast.project, records=rows, source="test")
    assert sum(chunks) == 100 and max(chunks) <= 85
