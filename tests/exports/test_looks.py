"""A look: its columns say of every row what the pages ask; old ones go, and so does what an
erasure touched."""

import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.models import Erasure, Item
from exports import datasets, looks, previews, withdrawal
from exports.models import Preview

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(desk, cast):
    stage = desk.stage("rank")
    for number, user in enumerate((cast.ana, cast.ana, cast.bea, cast.bea)):
        prompt = desk.prompt(f"Question {number}?", metadata={"topic": "ab"[number % 2], "n": [1]})
        good, bad = desk.answer(prompt, "x" * 30), desk.answer(prompt, "bad" * number or "none")
        order = [[good], [bad]] if number else [[good, bad]]
        desk.rank(stage, prompt, order, user)
        Item.objects.filter(prompt=prompt).update(disagreement=10 * number or None)
    values = {"projects": ["support-desk"], "test": 0, "validation": 0, "min_length": 4}
    return datasets.create(
        workspace=cast.acme, name="D", kind="preference", values=values, user=cast.lee
    )


def looked(dataset) -> tuple[Preview, dict[str, list]]:
    preview = previews.refresh(dataset=dataset, force=True)
    previews.compute(dataset.pk)
    preview.refresh_from_db()
    assert preview.state == "done", preview.reason
    with pa.memory_map(str(Path(preview.look) / "facets.arrow")) as file:
        return preview, pa.ipc.open_file(file).read_all().to_pydict()


def test_a_line_a_row_kept_or_not(dataset, cast) -> None:
    preview, columns = looked(dataset)
    assert columns["reason"] == ["tie", "shorter than 4 characters", "", ""]
    assert columns["split"] == [None, None, "train", "train"]
    ana, bea = f"user {cast.ana.pk}", f"user {cast.bea.pk}"
    assert columns["annotator"] == [ana, ana, bea, bea]
    assert columns["metadata.topic"] == ["a", "b", "a", "b"]
    assert "metadata.n" not in columns, "a list is no facet"
    assert columns["agreement"] == [None, 90, 80, 70]
    assert columns["length"] == [30] * 4 and columns["other"] == [4, 3, 6, 9]
    assert columns["prompt_length"] == [11] * 4
    assert set(columns["stage"]) == {"Support desk / Rank"}
    facts = json.loads((Path(preview.look) / "look.json").read_text("utf-8"))
    assert facts["rows"] == 4
    names = {facet["name"] for facet in facts["facets"]}
    assert names == set(columns) - {"group"}
    assert preview.result["counts"]["train"] == 2 and preview.progress == 100


def test_a_row_counts_under_each_who_judged_it(desk, cast) -> None:
    rank, again = desk.stage("rank"), desk.stage("rank", position=2)
    for number in range(2):
        prompt = desk.prompt(f"Question {number}?")
        good, bad = desk.answer(prompt, "x" * 30), desk.answer(prompt, "bad")
        desk.rank(rank, prompt, [[good], [bad]], cast.ana)
        if number:
            desk.rank(rank, prompt, [[good], [bad]], cast.bea)
            desk.rank(again, prompt, [[good], [bad]], cast.bea)
    again.name = "Again"
    again.save()
    values = {"projects": ["support-desk"], "test": 0, "validation": 0}
    dataset = datasets.create(
        workspace=cast.acme, name="E", kind="preference", values=values, user=cast.lee
    )
    _, columns = looked(dataset)
    ana, bea = f"user {cast.ana.pk}", f"user {cast.bea.pk}"
    assert list(map(set, columns["annotator"])) == [{ana}, {ana, bea}]
    assert [len(row) for row in columns["annotator"]] == [1, 2]
    both = {"Support desk / Rank", "Support desk / Again"}
    assert list(map(set, columns["stage"])) == [{"Support desk / Rank"}, both]


def test_what_hardly_ever_comes_up_again_is_no_facet(desk, cast) -> None:
    for number in range(30):
        metadata = {"day": f"2026-01-{number:02}", "half": number // 2, "topic": number % 3}
        desk.answer(desk.prompt(f"Question {number}?", metadata=metadata), "Answer")
    every = datasets.create(
        workspace=cast.acme, name="S", kind="sft", values={"projects": ["support-desk"]}, user=None
    )
    _, columns = looked(every)
    assert {"metadata.half", "metadata.topic"} <= set(columns) and "metadata.day" not in columns


def test_near_duplicates_name_the_row_that_stays(dataset, desk) -> None:
    long = "The mill stands where the river leaves the hills and turns to the south for good"
    for number in range(3):
        prompt = desk.prompt(f"{long} {'again' if number else 'once'}", external_id=f"n{number}",
                             fingerprint=f"n{number}")  # fmt: skip
        desk.answer(prompt, f"{long} {'indeed' * (number == 2)}")
    near = datasets.create(
        workspace=dataset.workspace, name="N", kind="sft", user=None,
        values={"projects": ["support-desk"], "near": 70, "test": 0, "validation": 0},
    )  # fmt: skip
    _, columns = looked(near)
    groups = {group for group in columns["group"] if group is not None}
    (stays,) = groups
    members = [at + 1 for at, group in enumerate(columns["group"]) if group == stays]
    assert stays in members and columns["reason"][stays - 1] == ""
    others = [pk for pk in members if pk != stays]
    assert others and all("near-duplicate" in columns["reason"][pk - 1] for pk in others)


def test_only_the_look_that_is_shown_is_kept(dataset, desk) -> None:
    first, _ = looked(dataset)
    again, _ = looked(dataset)
    assert again.look != first.look and not Path(first.look).exists()
    assert [path.name for path in looks.folder(dataset).iterdir()] == [Path(again.look).name]


def test_data_that_have_not_changed_are_not_read_again(dataset) -> None:
    first, _ = looked(dataset)
    previews.refresh(dataset=dataset)
    Preview.objects.update(state="queued")
    previews.compute(dataset.pk)
    assert Preview.objects.get().look == first.look


def test_a_look_whose_files_are_gone_is_made_anew(dataset, monkeypatch, as_user, cast) -> None:
    """The files can be deleted at any time: data that have not changed are read again, too."""
    monkeypatch.setattr(previews, "send", lambda what, pk: previews.compute(pk))
    previews.refresh(dataset=dataset)
    shutil.rmtree(Path(Preview.objects.get().look))
    Preview.objects.update(computed=timezone.now() - timedelta(minutes=1))
    assert as_user(cast.lee).get(reverse("exports:explore", args=[dataset.pk])).status_code == 200
    again = Preview.objects.get()
    assert again.state == "done" and previews.is_there(again)


def test_a_look_of_an_older_version_is_made_anew(dataset) -> None:
    """It kept its texts in the table, where pages no longer look."""
    previews.refresh(dataset=dataset)
    previews.compute(dataset.pk)
    preview = Preview.objects.get()
    assert previews.is_there(preview)
    (Path(preview.look) / "rows.texts").unlink()
    assert not previews.is_there(preview)


def test_an_erasure_destroys_looks(dataset, cast) -> None:
    first, _ = looked(dataset)
    Erasure.objects.create(workspace=cast.acme, kind="prompt", subject=1, author=cast.olga)
    withdrawal.sweep()
    assert not Path(first.look).exists() and not Preview.objects.exists()


def test_what_was_erased_while_we_looked_is_not_shown(dataset, cast, monkeypatch) -> None:
    gather = previews.gather

    def slow(*args):
        found = gather(*args)
        Erasure.objects.create(workspace=cast.acme, kind="prompt", subject=1, author=cast.olga)
        return found

    monkeypatch.setattr(previews, "gather", slow)
    monkeypatch.setattr(previews, "send", lambda *args: None)
    previews.refresh(dataset=dataset, force=True)
    previews.compute(dataset.pk)
    row = Preview.objects.get()
    assert row.state == "queued" and not row.look and not row.result
    assert not list(looks.folder(dataset).iterdir())
    assert row.started <= timezone.now()


def test_a_look_that_breaks_leaves_nothing(dataset, monkeypatch) -> None:
    def broken(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(looks.Facets, "finish", broken)
    previews.refresh(dataset=dataset, force=True)
    previews.compute(dataset.pk)
    row = Preview.objects.get()
    assert row.state == "failed" and "the disk is full" in row.reason
    assert not list(looks.folder(dataset).iterdir())


def test_what_a_killed_worker_left_goes_and_what_is_being_written_stays(dataset) -> None:
    dead, working = (looks.folder(dataset) / name for name in (".dead", ".working"))
    for work in (dead, working):
        work.mkdir(parents=True)
        (work / "rows.marks").write_text("texts")
    long_ago = time.time() - 2 * looks.DEAD
    for path in (dead / "rows.marks", dead):
        os.utime(path, (long_ago, long_ago))
    preview, _ = looked(dataset)
    assert not dead.exists() and working.exists() and Path(preview.look).exists()


def test_a_full_disk_is_said_and_leaves_nothing(dataset, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(looks.Facets, "put", full)
    previews.refresh(dataset=dataset, force=True)
    previews.compute(dataset.pk)
    preview = Preview.objects.get(dataset=dataset)
    assert preview.state == "failed"
    assert preview.reason == "The files could not be written: [Errno 28] No space left on device."
    assert list(looks.folder(dataset).iterdir()) == []
