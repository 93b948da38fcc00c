"""Freezing: the same data give the same bytes, the files are read by others, failures say why."""

import errno
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from annotation.errors import Refused
from annotation.models import Project, Response, Workspace
from exports import datasets, files, snapshots
from exports.models import Snapshot
from exports.splits import SPLITS
from tests.exports.conftest import Desk

pytestmark = pytest.mark.django_db


def load(directory: str, cache: Path):
    from datasets import load_dataset

    return load_dataset(directory, cache_dir=str(cache))


def frozen(dataset) -> Snapshot:
    return snapshots.freeze_now(dataset=dataset, user=None)


def test_a_snapshot_is_a_directory_with_its_facts(sft) -> None:
    snapshot = frozen(sft)
    assert (snapshot.state, snapshot.number, snapshot.progress) == ("ready", 1, 100)
    assert sum(snapshot.counts.values()) == 60 and snapshot.counts["train"] > 40
    home = Path(snapshot.path)
    found = {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}
    data = {files.data_path(split) for split in SPLITS}
    assert found == data | {
        "README.md",
        "manifest.sha256",
        "snapshot.json",
        "provenance.parquet",
        "dropped.parquet",
        "plots/lengths.png",
        "plots/splits.png",
    }
    facts = json.loads((home / "snapshot.json").read_text("utf-8"))
    assert facts["sha256"] == snapshot.sha256 and facts["counts"] == snapshot.counts
    assert not list(home.parent.glob(".*")), "temporary folders are gone"


def test_the_hash_is_the_one_that_a_shell_computes(sft) -> None:
    snapshot = frozen(sft)
    shell = "sha256sum data/*.parquet | LC_ALL=C sort | sha256sum"
    out = subprocess.run(
        ["sh", "-c", shell], cwd=snapshot.path, capture_output=True, text=True, check=True
    )
    assert out.stdout.split()[0] == snapshot.sha256


def test_two_freezes_give_the_same_bytes(sft) -> None:
    one, two = frozen(sft), frozen(sft)
    assert (one.number, two.number) == (1, 2)
    assert one.sha256 == two.sha256
    for split in SPLITS:
        first, second = (Path(s.path) / files.data_path(split) for s in (one, two))
        assert first.read_bytes() == second.read_bytes()


def test_another_order_of_arrival_gives_the_same_bytes(cast) -> None:
    """Two workspaces of one name in two databases: here the first is emptied in between."""

    def build(order: list[int]) -> str:
        Workspace.objects.filter(slug="again").delete()
        space = Workspace.objects.create(name="Again", slug="again", salt="annotune:again")
        project = Project.objects.create(workspace=space, name="P", slug="p")
        desk = Desk(project, cast)
        stage = desk.stage("rank")
        for number in order:
            prompt = desk.prompt(f"Same {number}?", system="Be kind." if number % 3 else "")
            texts = [f"{number} {name}" for name in "abcd"]
            answers = {text: desk.answer(prompt, text) for text in sorted(texts, key=hash)}
            ranked = [[answers[texts[0]]], [answers[texts[1]], answers[texts[2]]]]
            desk.rank(stage, prompt, [*ranked, [answers[texts[3]]]])
        dataset = datasets.create(
            workspace=space, name="D", kind="preference", values={"projects": "p"}, user=None
        )
        snapshot = frozen(dataset)
        assert sum(snapshot.counts.values()) == 5 * len(order)
        digest = snapshot.sha256
        shutil.rmtree(snapshot.path)
        Snapshot.objects.all().delete()
        # PROTECT holds a project's work together: take it apart from the leaves.
        for model in ("rankings", "submissions", "responses", "prompts"):
            clear(project, model)
        return digest

    def clear(project, name: str) -> None:
        from annotation.models import Prompt, Ranking, Response, Submission

        {
            "rankings": Ranking.objects.filter(submission__stage__project=project),
            "submissions": Submission.objects.filter(stage__project=project),
            "responses": Response.objects.filter(prompt__project=project),
            "prompts": Prompt.objects.filter(project=project),
        }[name].delete()

    order = list(range(40))
    first = build(order)
    random.Random(7).shuffle(order)
    assert build(order) == first


def test_load_dataset_reads_the_folder(sft, pairs, tmp_path) -> None:
    for dataset, columns in [
        (sft, ["prompt", "completion"]),
        (pairs, ["prompt", "chosen", "rejected"]),
    ]:
        snapshot = frozen(dataset)
        read = load(snapshot.path, tmp_path / "cache")
        filled = {split: count for split, count in snapshot.counts.items() if count}
        assert {split: rows.num_rows for split, rows in read.items()} == filled
        assert read["train"].column_names == columns
        assert read["train"][0]["prompt"][-1]["role"] == "user"


def test_load_dataset_takes_no_folder_for_another_of_its_name(sft, tmp_path) -> None:
    """Two folders v1 of as many rows: `datasets` caches by the name and the front matter."""
    first = snapshots.freeze_now(dataset=sft, user=None, out=tmp_path / "a" / "v1")
    Response.objects.update(text=Concat("text", Value(", changed")))
    second = snapshots.freeze_now(dataset=sft, user=None, out=tmp_path / "b" / "v1")
    assert first.counts == second.counts and first.sha256 != second.sha256
    read = [load(str(tmp_path / side / "v1"), tmp_path / "cache") for side in "ab"]
    ends = [rows["train"][0]["completion"][0]["content"].endswith(", changed") for rows in read]
    assert ends == [False, True]


def test_an_empty_split_has_a_file_and_no_place_in_the_card(sft, tmp_path) -> None:
    datasets.change(
        dataset=sft,
        name=sft.name,
        values={"projects": ["support-desk"], "validation": 0, "test": 0},
    )
    snapshot = frozen(sft)
    assert snapshot.counts == {"train": 60, "validation": 0, "test": 0}
    empty = pq.read_table(Path(snapshot.path) / files.data_path("test"))
    assert empty.num_rows == 0 and empty.column_names == ["prompt", "completion"]
    read = load(snapshot.path, tmp_path / "cache")
    assert {split: rows.num_rows for split, rows in read.items()} == {"train": 60}


def test_no_number_of_the_database_and_no_time_is_in_the_data(pairs) -> None:
    snapshot = frozen(pairs)
    schema = pq.read_schema(Path(snapshot.path) / files.data_path("train"))
    assert schema.names == ["prompt", "chosen", "rejected"]
    assert {field.name for field in schema.field("prompt").type.value_type} == {"role", "content"}


def test_provenance_leads_back_and_names_nobody(pairs, cast) -> None:
    snapshot = frozen(pairs)
    home = Path(snapshot.path)
    lines = pq.read_table(home / "provenance.parquet").to_pylist()
    assert len(lines) == sum(snapshot.counts.values())
    names = {name for line in lines for name in line["annotators"]}
    assert len(names) == 1 and next(iter(names)).startswith("annotator-")
    for split in SPLITS:
        rows = pq.read_table(home / files.data_path(split)).to_pylist()
        mine = [line for line in lines if line["split"] == split]
        assert [line["row"] for line in mine] == list(range(len(rows)))
        for line, row in zip(mine, rows, strict=True):
            assert line["external_id"] == row["prompt"][0]["content"]
            assert len(line["responses"]) == 2 and len(line["submissions"]) == 1
    blob = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"ana@example.org" not in blob and cast.acme.salt.encode() not in blob


def test_equal_rows_stand_once(desk, sft, cast) -> None:
    stage = desk.stage("write")
    prompt = desk.prompt("Question 3?", external_id="the same again")
    desk.write(stage, prompt, "Answer 3, and so on and so on and so on ", cast.bea)
    desk.write(stage, prompt, "Another answer to it", cast.ana)
    snapshot = frozen(sft)
    assert snapshot.dropped == {"exact duplicate of another row": 1}
    assert sum(snapshot.counts.values()) == 61, "the same prompt with another answer is data"


@pytest.mark.parametrize("turned", [False, True])
def test_of_equal_pairs_the_same_one_stays_whichever_came_first(desk, cast, turned) -> None:
    """One text by two origins, ranked twice above the same answer: equal but for the margin."""
    stage, prompt = desk.stage("rank"), desk.prompt("Which?")
    strengths = {"imported": 3, "model": 1}
    twins = {
        origin: desk.answer(prompt, "Better.", origin)
        for origin in sorted(strengths, reverse=turned)
    }
    worse = desk.answer(prompt, "Worse, by far.")
    for user, (origin, strength) in zip((cast.ana, cast.bea), strengths.items(), strict=True):
        desk.rank(stage, prompt, [[twins[origin]], [worse]], user, strength=strength)
    dataset = datasets.create(
        workspace=cast.acme,
        name="D",
        kind="preference",
        values={"projects": "support-desk", "margin": "strength", "test": 0, "validation": 0},
        user=None,
    )
    (row,) = files.read_rows(Path(frozen(dataset).path), ("train",))
    assert row["margin"] == 1.0


def test_nothing_to_train_on_is_refused_in_words(desk, sft, pairs) -> None:
    values = {"projects": ["support-desk"], "min_length": 500}
    datasets.change(dataset=sft, name=sft.name, values=values)
    with pytest.raises(Refused, match="no row at all.*shorter than 500 characters"):
        frozen(sft)
    snapshot = sft.snapshots.get()
    assert snapshot.state == "failed" and "no row" in snapshot.reason and not snapshot.path
    assert not list(Path(snapshots._home_of(snapshot)).parent.glob("*")), "nothing is left behind"


def test_a_train_split_without_rows_is_refused(desk, cast, monkeypatch) -> None:
    monkeypatch.setattr("exports.work.split", lambda *_: "test")
    prompt = desk.prompt("Alone?")
    desk.answer(prompt, "Yes.")
    dataset = datasets.create(
        workspace=cast.acme, name="D", kind="sft", values={"projects": "support-desk"}, user=None
    )
    with pytest.raises(Refused, match="No row fell into train"):
        frozen(dataset)


def test_out_names_the_folder_and_never_overwrites(sft, tmp_path) -> None:
    out = tmp_path / "here" / "v1"
    snapshot = snapshots.freeze_now(dataset=sft, user=None, out=out)
    assert snapshot.path == str(out) and (out / "README.md").exists()
    with pytest.raises(Refused, match="not an empty folder"):
        snapshots.freeze_now(dataset=sft, user=None, out=out)


def test_a_request_is_queued_and_a_worker_freezes_it_once(sft, cast) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    assert snapshot.state == "queued"
    snapshots.freeze_queued(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == "ready"
    before = snapshot.finished
    snapshots.freeze_queued(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.finished == before
    snapshots.freeze_queued(0)


def test_later_changes_do_not_reach_a_queued_snapshot(sft, cast) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    datasets.change(
        dataset=sft, name=sft.name, values={"projects": ["support-desk"], "min_length": 500}
    )
    snapshots.freeze_queued(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == "ready" and snapshot.selection["min_length"] == 0


def test_what_a_dead_worker_left_is_frozen_after_a_sweep(sft, cast) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    long_ago = timezone.now() - timedelta(hours=1)
    row = Snapshot.objects.filter(pk=snapshot.pk)
    row.update(state="freezing", heartbeat=long_ago, stats={"attempts": 1})
    left = snapshots._home_of(snapshot)
    (left / "data").mkdir(parents=True)
    (left / "snapshot.json").write_text("{}")
    half = left.parent / f".{left.name}-half"
    other = left.parent / f".{left.name}0-at-work"
    for folder in (half, other):
        folder.mkdir()
        (folder / "rows.marks").write_text("texts")
    assert snapshots.sweep() == 1
    assert not half.exists() and other.exists()
    snapshots.freeze_queued(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == "ready" and len(snapshot.sha256) == 64
    assert snapshots.sweep() == 0


def test_a_worker_that_wakes_up_late_writes_nothing_over_its_successor(
    sft, cast, monkeypatch
) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    row = Snapshot.objects.filter(pk=snapshot.pk)
    render = snapshots.card.render

    def be_given_up(facts, drawn):
        row.update(state="freezing", stats={"attempts": 2})  # swept, and claimed by another
        return render(facts, drawn)

    monkeypatch.setattr(snapshots.card, "render", be_given_up)
    snapshots.freeze_queued(snapshot.pk)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.reason) == ("freezing", "")
    assert not snapshots._home_of(snapshot).exists(), "the folder is the other's to make"


def test_a_freeze_that_kills_its_worker_is_given_up(sft, cast) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    row = Snapshot.objects.filter(pk=snapshot.pk)
    row.update(state="freezing", heartbeat=None, stats={"attempts": snapshots.ATTEMPTS})
    assert snapshots.sweep() == 1
    snapshot.refresh_from_db()
    assert snapshot.state == "failed" and "3 times" in snapshot.reason


def test_a_name_is_given_to_what_the_disk_holds(sft, monkeypatch) -> None:
    """Files and folders first, then the name, then the folder that holds the name."""
    told: list[int | str] = []
    fsync, move = os.fsync, Path.rename

    def seen(file: int) -> None:
        told.append(os.fstat(file).st_ino)
        fsync(file)

    def renamed(self: Path, target: Path) -> Path:
        told.append(str(target))
        return move(self, target)

    monkeypatch.setattr("os.fsync", seen)
    monkeypatch.setattr(Path, "rename", renamed)
    target = Path(frozen(sft).path)
    at = told.index(str(target))
    assert set(told[:at]) == {path.stat().st_ino for path in (target, *target.rglob("*"))}
    assert told[at + 1 :] == [target.parent.stat().st_ino]


def test_a_disk_that_cannot_flush_folders_holds_snapshots_too(sft, monkeypatch) -> None:
    """Linux says EINVAL then. A file that cannot be flushed is another matter."""
    refused = stat.S_ISDIR

    def flush(file: int) -> None:
        if refused(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", flush)
    assert frozen(sft).state == "ready"
    refused = stat.S_ISREG
    with pytest.raises(Refused, match="The files could not be written: .*Invalid argument"):
        frozen(sft)


def test_a_disk_that_refuses_is_a_reason(sft, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(Refused, match="could not be written.*No space left"):
        frozen(sft)
    home = snapshots._home_of(sft.snapshots.get())
    assert list(home.parent.iterdir()) == [], "nothing half lies there"


def test_hash_data_depends_on_names_and_bytes(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.parquet").write_bytes(b"one")
    digest, found = files.hash_data(tmp_path)
    line = f"{hashlib.sha256(b'one').hexdigest()}  data/a.parquet\n"
    assert digest == hashlib.sha256(line.encode()).hexdigest()
    assert list(found) == ["data/a.parquet"]


def test_counts_are_told_in_our_order_whatever_the_databases() -> None:
    snapshot = Snapshot(
        counts={"test": 1, "train": 8, "validation": 2}, dropped={"b": 2, "a": 2, "c, often": 9}
    )
    assert snapshot.splits == [("train", 8), ("validation", 2), ("test", 1)]
    assert snapshot.left_out == [("c, often", 9), ("a", 2), ("b", 2)]
