"""The probe: two real steps on the longest rows, in a process of its own."""

import pytest

from exports import formats
from tests.recipes.conftest import SENTENCES, sft_rows, user, write_snapshot
from training.recipes import probe
from training.recipes.configs import parse


@pytest.fixture
def uneven(tmp_path):
    """Rows of which two are longer than the others."""
    rows = sft_rows(8)
    for i in (2, 5):
        rows[i] = formats.sft(user("Why?"), SENTENCES[0] * i)
    return write_snapshot(tmp_path / "uneven", "sft", train=rows, test=rows[:1])


def test_two_steps_are_done_and_leave_nothing(llama, uneven, make_run) -> None:
    run = make_run("sft", {"model": llama, "snapshot": uneven}, max_length=128, epochs=3.0)
    found = probe.probe(run)
    assert found["ok"], found
    assert 0 < found["growth_mib"] < 1000 and found["seconds"] > 0
    assert found["rows"] == 2 and found["tokens"] > 128
    assert not (run.path / "probe").exists()
    assert {path.name for path in run.path.iterdir()} == {"spec.json", "events.jsonl"}


def test_it_takes_the_longest_rows(llama, uneven, make_run) -> None:
    run = make_run("sft", {"model": llama, "snapshot": uneven}, max_length=512)
    rows, tokens = probe._longest(run, "sft", parse("sft", run.config), 2)
    said = [row["completion"][0]["content"] for row in rows]
    assert said == [SENTENCES[0] * 5, SENTENCES[0] * 2] and tokens > 80


def test_both_sides_are_there(llama, tmp_path, make_run) -> None:
    """A label that only short rows bear is tried, too: without it there is nothing to learn."""
    rows = [{"text": text * 3, "label": "long"} for text in SENTENCES]
    rows.append({"text": "Yes.", "label": "short"})
    snapshot = write_snapshot(tmp_path / "s", "labels", train=rows, test=rows[:1])
    run = make_run("classify", {"model": llama, "snapshot": snapshot})
    found, _ = probe._longest(run, "classify", parse("classify", run.config), 2)
    assert [row["label"] for row in found] == ["long", "long", "short"]


def test_what_kills_it_is_said(llama, uneven, make_run, monkeypatch) -> None:
    run = make_run("sft", {"model": llama, "snapshot": uneven})
    monkeypatch.setattr(probe, "_train", lambda recipe, folder: -9)
    found = probe.probe(run)
    assert not found["ok"] and "ran out of memory" in found["reason"]


def test_what_trains_nothing_is_not_tried(llama, make_run) -> None:
    with pytest.raises(ValueError, match="the recipe answer does not train"):
        probe.probe(make_run("answer", {"model": llama}))
