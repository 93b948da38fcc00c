"""Preflight: what it refuses, what it warns of, and that what it says is what training does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    preference_rows,
    result_of,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import estimate, loading, preflight, reward, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.tokenizer import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(make_run):
    """`ask("sft", inputs, max_length=32)`: what preflight says."""

    def examine(recipe: str, inputs: dict, **more) -> dict:
        return preflight.examine(make_run(recipe, inputs, f"run{len(more)}", **more))

    return examine


def text(sample: list, trained: bool) -> str:
    return "".join(part for part, mark in sample if mark is trained)


def test_a_run_that_would_work(llama, sft_snapshot, ask) -> None:
    found = ask("sft", {"model": llama, "snapshot": sft_snapshot}, max_steps=3)
    assert found["ok"] and found["refusals"] == [] and found["warnings"] == []
    assert found["rows"] == {"train": 10, "validation": 3, "test": 3}
    assert found["steps"] == 3 and found["seconds_estimate"] > 0
    assert sum(found["lengths"]["counts"]) == 10
    assert len(found["lengths"]["edges"]) == len(found["lengths"]["counts"]) + 1
    assert 0 < found["memory"]["needed_mib"] < found["memory"]["available_mib"]
    assert 0 < found["disk"]["needed_mib"] < found["disk"]["available_mib"]
    sample = found["samples"][0]
    assert text(sample, True) == f"{SENTENCES[0]}<|im_end|>"
    assert text(sample, False).endswith("Question 0?<|im_end|>\n<|im_start|>assistant\n")


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


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_a_classifiers_share_is_exact_too(llama, adaptation: str) -> None:
    config = parse("reward", {"adaptation": adaptation, "lora_rank": 4})
    model = loading.load_classifier(str(llama), load_tokenizer(str(llama)))
    if adaptation == "lora":
        model = loading.add_lora(model, config, classifier=True)
    shape = estimate.shape_of(str(llama), config, classifier=True)
    # Both count the head twice: peft keeps the untrained one beside the trained one.
    assert shape.total == sum(p.numel() for p in model.parameters())
    assert shape.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


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


def test_pairs_show_the_better_answer_as_trained(llama, preference_snapshot, ask) -> None:
    found = ask("reward", {"model": llama, "snapshot": preference_snapshot})
    assert found["ok"] and found["rows"]["train"] == 16
    assert text(found["samples"][0], True) == "Good, yes.<|im_end|>"


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
        assert "choose one (chatml, instruction)" in found["refusals"][0]

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
        monkeypatch.setattr(estimate, "available_bytes", lambda: 100 * estimate.MIB)
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot})
        assert "100 are free" in found["refusals"][0]
        assert "smaller batch_size" in found["refusals"][0]

    def test_too_little_disk(self, llama, sft_snapshot, ask, monkeypatch) -> None:
        monkeypatch.setattr(estimate, "free_disk_bytes", lambda folder: estimate.MIB)
        found = ask("sft", {"model": llama, "snapshot": sft_snapshot})
        assert "MiB of disk" in found["refusals"][0]

    def test_an_adapter_on_another_base(self, llama, bare_llama, sft_snapshot, make_run) -> None:
        first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=1)
        assert perform("sft", sft.train, first) == 0
        inputs = {"model": bare_llama, "snapshot": sft_snapshot, "init": first.artifact}
        template = {"name": "chatml"}
        found = preflight.examine(make_run("sft", inputs, template=template))
        assert "trained on other weights" in found["refusals"][0]


def test_ppo_looks_at_prompts_and_at_the_reward_run(
    llama, sft_snapshot, preference_snapshot, tmp_path, make_run
) -> None:
    first = make_run("reward", {"model": llama, "snapshot": preference_snapshot}, "r", max_steps=1)
    assert perform("reward", reward.train, first) == 0
    inputs = {"model": llama, "snapshot": sft_snapshot, "reward": first.artifact}
    found = preflight.examine(make_run("ppo", inputs))
    assert found["ok"], found["refusals"]
    assert found["steps"] == 100 and text(found["samples"][0], True) == ""
    plain = preflight.examine(make_run("ppo", {**inputs, "reward": llama}, "plain"))
    assert "left by no reward run" in plain["refusals"][0]
    none = preflight.examine(make_run("ppo", {"model": llama, "snapshot": sft_snapshot}, "none"))
    assert "no reward to start from" in none["refusals"][0]


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
    assert "1 of 1 rows are longer than 64 tokens" in found["warnings"][0]


def test_histogram() -> None:
    assert preflight.histogram([0, 1, 1, 3]) == {"edges": [0, 1, 2, 3, 4], "counts": [1, 2, 0, 1]}
    found = preflight.histogram(list(range(1000)))
    assert sum(found["counts"]) == 1000 and found["edges"][-1] > 999
    assert len(found["counts"]) <= preflight.BARS


def test_memory_of_the_runs_that_were_measured() -> None:
    """SmolLM2-135M on a processor: MiB above the import of the libraries, of steps by hand and
    (the last) of a whole SFT run. It must not say much too little, nor far too much."""
    shape = estimate.Shape(
        total=134_515_008, trained=134_515_008, layers=30, hidden=576, keys=192, inner=1536,
        vocabulary=49_152,
    )  # fmt: skip
    measured = {("full", 512): 2882, ("lora", 512): 1981, ("lora", 1024): 4048}
    for (adaptation, tokens), mib in measured.items():
        config = parse("sft", {"adaptation": adaptation})
        trained = shape.total if adaptation == "full" else 4_884_480
        found = estimate.training_bytes(
            estimate.Shape(**(vars(shape) | {"trained": trained})), tokens, config, logits=True
        )
        ratio = (found - estimate.IMPORTED) / estimate.MIB / mib
        assert 0.9 < ratio < 1.25, (adaptation, tokens, ratio)


def test_from_a_shell(llama, sft_snapshot, make_run) -> None:
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot})
    command = [sys.executable, "-m", "training.recipes.preflight"]
    done = subprocess.run([*command, str(run.path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((run.path / "preflight.json").read_text())["ok"]
    shutil.rmtree(run.path)
    gone = subprocess.run([*command, str(run.path)], cwd=ROOT, capture_output=True, text=True)
    assert gone.returncode == 1 and "is it a run directory?" in gone.stderr
