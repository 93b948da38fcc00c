"""Preflight: what it refuses, what it warns of, and that what it says is what training does."""

import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from exports import chat, formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    preference_rows,
    result_of,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import estimate, loading, memory, preflight, reward, sft
from training.recipes.artifacts import read_artifact
from training.recipes.entry import perform

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(make_run):
    """`ask("sft", inputs, max_length=32)`: what preflight says."""

    def examine(recipe: str, inputs: dict, **more) -> dict:
        return preflight.examine(make_run(recipe, inputs, f"run{len(more)}", **more))

    return examine


def text(sample: dict, mark: str, which: int = 0) -> str:
    """The parts of a sample that bear a mark ("" is read, and not learned)."""
    return "".join(part for part, said in sample["texts"][which]["parts"] if said == mark)


def test_a_run_that_would_work(llama, sft_snapshot, ask) -> None:
    found = ask("sft", {"model": llama, "snapshot": sft_snapshot}, max_steps=3)
    assert found["ok"] and found["refusals"] == [] and found["warnings"] == []
    assert found["rows"] == {"train": 10, "validation": 3, "test": 3}
    assert found["steps"] == 3 and found["seconds_estimate"] > 0
    assert sum(found["lengths"]["counts"]) == 10
    assert len(found["lengths"]["edges"]) == len(found["lengths"]["counts"]) + 1
    assert 0 < found["memory"]["needed_mib"] < found["memory"]["available_mib"]
    assert 0 < found["disk"]["needed_mib"] < found["disk"]["available_mib"]
    assert [sample["which"] for sample in found["samples"][:3]] == ["longest"] * 3
    assert 3 <= len(found["samples"]) <= 6
    for sample in found["samples"]:
        row = sample["row"] - 1
        assert text(sample, "trained") == f"{SENTENCES[row % len(SENTENCES)]}<|im_end|>"
        asked = f"Question {row}?<|im_end|>\n<|im_start|>assistant\n"
        assert text(sample, "").endswith(asked)
        assert text(sample, "cut") == ""


def test_what_it_says_is_what_training_does(llama, sft_snapshot, make_run) -> None:
    run = make_run(
        "sft", {"model": llama, "snapshot": sft_snapshot}, lora_rank=4, epochs=1.5, accumulation=2
    )
    found = preflight.examine(run)
    assert perform("sft", sft.train, run) == 0
    result = result_of(run)
    assert found["steps"] == result["steps"] == 5  # 10 rows, 2 by 2 twice, one and a half times
    assert found["trainable_share"] == pytest.approx(result["trainable_share"], rel=1e-9)
    assert found["truncated_share"] == result["rows"]["cut"] / 10


def test_rows_with_nothing_to_train(llama, tmp_path, ask) -> None:
    rows = sft_rows(4)
    for row in rows[:2]:
        row["prompt"] = user(SENTENCES[0] * 5)
    some = write_snapshot(tmp_path / "some", "sft", train=rows, test=rows)
    found = ask("sft", {"model": llama, "snapshot": some})
    assert found["ok"] and found["untrainable_rows"] == 2
    assert "2 of 4 rows have nothing to train on" in found["warnings"][0]
    assert found["truncated_share"] == 0.5
    none = write_snapshot(tmp_path / "none", "sft", train=rows[:2], test=rows)
    found = ask("sft", {"model": llama, "snapshot": none}, epochs=1.0)
    assert not found["ok"]
    assert "None of the 2 training rows" in found["refusals"][0]
    assert found["untrainable_rows"] == 2 and found["lengths"]["counts"]


def test_pairs_show_both_answers_as_trained(llama, preference_snapshot, ask) -> None:
    found = ask("reward", {"model": llama, "snapshot": preference_snapshot})
    assert found["ok"] and found["rows"]["train"] == 16
    sample = found["samples"][0]
    assert [each["name"] for each in sample["texts"]] == ["chosen", "rejected"]
    assert text(sample, "trained") == "Good, yes.<|im_end|>"
    assert text(sample, "trained", 1) == "Bad, no.<|im_end|>"


class TestRefusals:
    def test_the_wrong_kind(self, llama, preference_snapshot, ask) -> None:
        found = ask("sft", {"model": llama, "snapshot": preference_snapshot})
        assert not found["ok"] and "no sft snapshot" in found["refusals"][0]

    def test_no_rows(self, llama, tmp_path, ask) -> None:
        snapshot = write_snapshot(tmp_path / "s", "sft", test=sft_rows(2))
        found = ask("sft", {"model": llama, "snapshot": snapshot})
        assert "There are no training rows" in found["refusals"][0]

    def test_no_template(self, bare_llama, sft_snapshot, ask) -> None:
        found = ask("sft", {"model": bare_llama, "snapshot": sft_snapshot})
        assert "knob “template” (chatml, instruction)" in found["refusals"][0]

    def test_a_template_that_is_none(self, llama, sft_snapshot, ask) -> None:
        broken = {"name": "mine", "text": "{{ messages["}
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot}, template=broken)
        assert not found["ok"] and "template" in found["refusals"][0]

    def test_a_knob(self, llama, sft_snapshot, ask) -> None:
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot}, learning_rate="much")
        assert "learning_rate: 'much' is not a number" in found["refusals"][0]

    def test_a_missing_input(self, llama, ask) -> None:
        assert "no snapshot to start from" in ask("sft", {"model": llama})["refusals"][0]

    def test_no_model(self, sft_snapshot, tmp_path, ask) -> None:
        found = ask("sft", {"model": tmp_path / "nowhere", "snapshot": sft_snapshot})
        assert "There is no model folder" in found["refusals"][0]

    def test_too_little_memory(self, llama, sft_snapshot, ask, monkeypatch) -> None:
        monkeypatch.setattr(estimate, "available_bytes", lambda: 100 * memory.MIB)
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot})
        assert "100 are free" in found["refusals"][0]
        assert "use a smaller model" in found["refusals"][0]
        assert {change["config"].get("checkpointing") for change in found["fits"]} >= {"on"}

    def test_too_little_disk(self, llama, sft_snapshot, ask, monkeypatch) -> None:
        monkeypatch.setattr(estimate, "free_disk_bytes", lambda folder: memory.MIB)
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot})
        assert "MiB of disk" in found["refusals"][0]

    def test_the_days_date_in_a_template_is_held_or_told(self, llama, sft_snapshot, ask) -> None:
        inputs = {"model": llama, "snapshot": sft_snapshot}
        text = "{{ 'Today: ' + strftime_now('%d %b %Y') }}" + chat.CHATML
        found = ask("sft", inputs, template={"name": "model", "text": text})
        assert found["ok"] and preflight.DATED not in found["warnings"]
        assert found["day"] == date.today().isoformat()
        assert f"Today: {date.today():%d %b %Y}" in str(found["samples"])
        text = text.replace("strftime_now('%d %b %Y')", "strftime_now('%d ' + '%b')")
        found = ask("sft", inputs, template={"name": "model", "text": text})
        assert found["ok"] and preflight.DATED in found["warnings"]

    def test_knobs_of_an_adapter_that_goes_on_are_told(self, llama, sft_snapshot, make_run) -> None:
        """By the preflight and by the run, where they were turned; a default was not asked for."""
        inputs = {"model": llama, "snapshot": sft_snapshot}
        first = make_run("sft", inputs, "first", max_steps=1, lora_rank=4, lora_dropout=0.1)
        assert perform("sft", sft.train, first) == 0
        inputs["init"] = first.artifact
        run = make_run("sft", inputs, "second", max_steps=1, lora_rank=8, lora_dropout=0.0)
        said = "goes on as it was made. Not read: lora_rank 8 (it has 4)."
        found = preflight.examine(run)
        assert [text for text in found["warnings"] if said in text]
        assert found["adaptation"].startswith("LoRA of rank 4, which goes on as it was made: ")
        assert perform("sft", sft.train, run) == 0
        assert [e for e in events_of(run, "note") if said in e["text"]]
        left = read_artifact(str(run.artifact)).config
        assert (left["lora_rank"], left["lora_dropout"]) == (4, 0.1)

    def test_an_adapter_on_another_base(self, llama, bare_llama, sft_snapshot, make_run) -> None:
        first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=1)
        assert perform("sft", sft.train, first) == 0
        inputs = {"model": bare_llama, "snapshot": sft_snapshot, "init": first.artifact}
        template = {"name": "chatml"}
        found = preflight.examine(make_run("sft", inputs, template=template))
        assert "trained on other weights" in found["refusals"][0]

    @pytest.mark.parametrize(
        ("recipe", "kind", "said"),
        [
            ("sft", "reward_model", "A language model cannot start from a reward model"),
            ("sft", "classifier_model", "A language model cannot start from a classifier"),
            ("reward", "classifier_model", "A reward model cannot start from a classifier"),
            ("classify", "reward_model", "A classifier cannot start from a reward model"),
        ],
    )
    def test_a_start_that_is_none(self, recipe, kind, said, llama, tmp_path, ask) -> None:
        left = tmp_path / "left"
        shutil.copytree(llama, left)
        (left / "annotune.json").write_text(json.dumps({"kind": kind}))
        found = ask(recipe, {"model": llama, "init": left, "snapshot": tmp_path})
        assert said in found["refusals"][0]

    def test_what_the_device_cannot_do(self, llama, sft_snapshot, ask, monkeypatch) -> None:
        inputs = {"model": llama, "snapshot": sft_snapshot}
        monkeypatch.setattr(loading, "has_bf16", lambda: False)
        assert "does not compute in bf16" in ask("sft", inputs, precision="bf16")["refusals"][0]
        monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
        found = ask("sft", inputs, adaptation="qlora", max_steps=1)
        assert "QLoRA needs bitsandbytes" in found["refusals"][0]

    def test_a_weight_that_is_no_column(self, llama, preference_snapshot, ask) -> None:
        found = ask("reward", {"model": llama, "snapshot": preference_snapshot}, weight="trust")
        assert "no such column: it has chosen, prompt, rejected" in found["refusals"][0]

    def test_thumbs_that_kto_cannot_learn_from(self, llama, tmp_path, ask) -> None:
        def thumbs(name: str, *rows: tuple[str, bool]) -> dict:
            some = [formats.unpaired(user(asked), "Good.", good) for asked, good in rows]
            folder = write_snapshot(tmp_path / name, "unpaired", train=some)
            return {"model": llama, "snapshot": folder}

        both = thumbs("both", ("A?", True), ("B?", False))
        assert ask("kto", both)["ok"]
        assert "at least 2" in ask("kto", both, batch_size=1)["refusals"][0]
        one = ask("kto", thumbs("one", ("A?", True), ("A?", False)))
        assert "answer the same prompt" in one["refusals"][0]
        up = ask("kto", thumbs("up", ("A?", True), ("B?", True)))
        assert "All 2 training rows have a thumb up" in up["refusals"][0]


def test_ppo_looks_at_prompts_and_at_the_reward_run(
    llama, sft_snapshot, preference_snapshot, tmp_path, make_run
) -> None:
    first = make_run("reward", {"model": llama, "snapshot": preference_snapshot}, "r", max_steps=1)
    assert perform("reward", reward.train, first) == 0
    inputs = {"model": llama, "snapshot": sft_snapshot, "reward": first.artifact}
    found = preflight.examine(make_run("ppo", inputs))
    assert found["ok"], found["refusals"]
    assert found["steps"] == 100 and text(found["samples"][0], "trained") == ""
    plain = preflight.examine(make_run("ppo", {**inputs, "reward": llama}, "plain"))
    assert "left by no reward run" in plain["refusals"][0]
    none = preflight.examine(make_run("ppo", {"model": llama, "snapshot": sft_snapshot}, "none"))
    assert "Nothing would judge the answers" in none["refusals"][0]


def test_it_is_stopped_while_it_is_looked_at(llama, sft_snapshot, make_run) -> None:
    """Rows that were counted are no steps that were trained."""
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot})
    run.spec["waited"] = True
    (run.path / "stop").touch()
    perform("sft", lambda *_: pytest.fail("it went on"), run)
    assert result_of(run)["state"] == "stopped" and not (run.path / "preflight.json").exists()
    said = events_of(run, "progress")
    assert said[-2]["phase"] == "counting tokens"
    assert (said[-1]["step"], said[-1]["total"], said[-1]["phase"]) == (0, 0, "loading")


def test_a_run_does_not_look_for_ever(llama, sft_snapshot, make_run, monkeypatch) -> None:
    """Nobody sits before it who could try again: it trains, and says that it was not looked at."""

    def endless(*_):
        while True:
            try:
                time.sleep(60)
            except Exception:
                continue

    monkeypatch.setattr(preflight, "_examine", endless)
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot})
    run.spec |= {"waited": True, "preflight_seconds": 0.1}
    perform("sft", lambda *_: {}, run)
    assert result_of(run)["state"] == "succeeded" and not (run.path / "preflight.json").exists()
    assert "longer than 0.1 s" in events_of(run, "note")[0]["text"]
    assert events_of(run, "progress")[-1]["phase"] == "loading"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_run_that_waited_is_looked_at_before_it_trains(llama, make_run, tmp_path) -> None:
    """Made before its inputs were there, as PPO behind the button RLHF: nobody could look then."""
    done = []

    def work(run, config):
        done.append(run)
        return {}

    def result(name: str, snapshot: Path, waited: bool = True) -> dict:
        run = make_run("sft", {"model": llama, "snapshot": snapshot}, name)
        run.spec["waited"] = waited
        perform("sft", work, run)
        return result_of(run)

    empty = write_snapshot(tmp_path / "empty", "sft", test=sft_rows(2))
    assert result("empty", empty)["reason"] == (
        "The preflight refuses: There are no training rows."
    )
    assert not done
    assert result("looked at", empty, waited=False)["state"] == "succeeded"
    untested = write_snapshot(tmp_path / "untested", "sft", train=sft_rows(8))
    found = result("good", untested)
    assert found["state"] == "succeeded" and found["predicted_mib"] > 0
    warnings = json.loads((done[-1].path / "preflight.json").read_text())["warnings"]
    notes = [event["text"] for event in events_of(done[-1], "note") if event.get("code")]
    assert notes == warnings and notes, "nobody saw them before"
    # What was looked at is not looked at again when it goes on.
    assert result("good", empty)["state"] == "succeeded" and len(done) == 3


def test_answers(llama, tmp_path, ask) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        "".join(json.dumps({"key": i, "messages": user(f"{i}?")}) + "\n" for i in range(5))
    )
    found = ask("answer", {"model": llama, "prompts": file}, batch_size=2)
    assert found["ok"] and found["rows"] == {"prompts": 5} and found["steps"] == 3


def test_a_sample_stands_for_very_many(llama, tmp_path, ask, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "EXACT", 20)
    rows = preference_rows(60)
    snapshot = write_snapshot(tmp_path / "s", "preference", train=rows, test=rows[:1])
    found = ask("reward", {"model": llama, "snapshot": snapshot})
    assert found["rows"]["train"] == 60 and sum(found["lengths"]["counts"]) == 20
    assert "Counted on 20 of 60 rows" in found["warnings"][0]
    assert found["steps"] == 30


def test_most_rows_cut_is_a_warning(llama, tmp_path, ask) -> None:
    rows = [formats.preference(user(SENTENCES[0] * 5), "Yes.", "No.")]
    snapshot = write_snapshot(tmp_path / "s", "preference", train=rows, test=rows)
    found = ask("reward", {"model": llama, "snapshot": snapshot})
    assert "1 of 1 rows is longer than 64 tokens" in found["warnings"][0]
    assert "raise max_length" in found["warnings"][0], "and what to do"


def test_from_a_shell(llama, sft_snapshot, make_run) -> None:
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot})
    command = [sys.executable, "-m", "training.recipes.preflight"]
    done = subprocess.run([*command, str(run.path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((run.path / "preflight.json").read_text())["ok"]
    shutil.rmtree(run.path)
    gone = subprocess.run([*command, str(run.path)], cwd=ROOT, capture_output=True, text=True)
    assert gone.returncode == 1 and "is it a run directory?" in gone.stderr
