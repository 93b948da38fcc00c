"""The reward model on a tiny model: it starts at ln 2, separates what can be separated, resumes."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    preference_rows,
    result_of,
    user,
    write_snapshot,
)
from training.recipes import data, evaluation, loading, reporting, reward, sft
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir


def work(run: RunDir) -> int:
    return perform("reward", reward.train, run)


def weights(run: RunDir, name: str = "adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run.artifact / name)


@pytest.fixture
def inputs(llama, preference_snapshot) -> dict[str, Path]:
    return {"model": llama, "snapshot": preference_snapshot}


FAST = {"learning_rate": 1e-2, "lora_rank": 4, "center_rewards": 0.0}


@pytest.fixture
def run(inputs, make_run) -> RunDir:
    run = make_run("reward", inputs, max_steps=8, eval_steps=4, **FAST)
    assert work(run) == 0, result_of(run)
    return run


def test_it_starts_at_ln_2_and_separates_a_rule(run: RunDir) -> None:
    losses = [e["values"]["loss"] for e in events_of(run, "metrics") if "loss" in e["values"]]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    metrics = result_of(run)["metrics"]
    assert metrics["before"]["accuracy"] == 0.5  # all draws
    assert metrics["after"]["accuracy"] == 1.0
    assert metrics["after"]["pairs"] == 4
    assert 0 < metrics["after"]["low"] < 1.0 == pytest.approx(metrics["after"]["high"])
    assert metrics["after"]["longer_wins"]["share"] == 1.0
    names = {name for event in events_of(run, "metrics") for name in event["values"]}
    assert {"loss", "accuracy", "margin", "eval_loss", "eval_accuracy"} <= names


def test_head_and_adapter_are_left_with_mean_and_spread(run: RunDir, make_run, inputs) -> None:
    trained = weights(run)
    assert any("score" in name for name in trained)
    assert all(value.abs().max() > 0 for value in trained.values())
    later = make_run("ppo", {**inputs, "reward": run.artifact}, "later")
    found = loading.load_reward(later)
    assert found.std > 0 and not any(p.requires_grad for p in found.model.parameters())
    encoder = data.Encoder(found.tokenizer, 64)
    pairs = [encoder.pair(r["prompt"], r["chosen"], r["rejected"]) for r in preference_rows(20)]
    texts = [ids for pair in pairs[16:] for ids in (pair.chosen_ids, pair.rejected_ids)]
    rewards = evaluation.rewards(found.model, texts, found.tokenizer.pad_token_id)
    assert all(a > b for a, b in zip(rewards[::2], rewards[1::2], strict=True))
    assert evaluation.spread(rewards) == pytest.approx((found.mean, found.std), abs=1e-4)


def test_full_training_moves_everything(inputs, make_run, llama) -> None:
    run = make_run("reward", inputs, adaptation="full", max_steps=3, learning_rate=1e-3)
    assert work(run) == 0, result_of(run)
    moved, was = weights(run, "model.safetensors"), load_file(llama / "model.safetensors")
    common = moved.keys() & was.keys()
    assert len(common) == len(was) and not any(torch.equal(moved[n], was[n]) for n in common)
    assert moved["score.weight"].abs().max() > 0
    assert result_of(run)["artifact"]["kind"] == "reward_model"
    assert loading.load_reward(make_run("ppo", {**inputs, "reward": run.artifact}, "later")).std > 0


def test_a_bert_can_judge_too(bert, preference_snapshot, make_run) -> None:
    run = make_run(
        "reward", {"model": bert, "snapshot": preference_snapshot},
        template={"name": "instruction"}, max_steps=16, **FAST,
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    assert result_of(run)["metrics"]["after"]["accuracy"] == 1.0


def test_it_starts_from_an_sft_runs_layers(inputs, sft_snapshot, llama, make_run) -> None:
    first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=2)
    assert perform("sft", sft.train, first) == 0
    run = make_run("reward", {**inputs, "init": first.artifact}, max_steps=1)
    assert work(run) == 0, result_of(run)
    assert weights(run).keys() >= weights(first).keys()
    losses = [e["values"]["loss"] for e in events_of(run, "metrics") if "loss" in e["values"]]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)


def test_a_reward_run_is_continued(run: RunDir, inputs, make_run) -> None:
    later = make_run("reward", {**inputs, "init": run.artifact}, "later", max_steps=1, **FAST)
    assert work(later) == 0, result_of(later)
    assert result_of(later)["metrics"]["before"] == result_of(run)["metrics"]["after"]


def test_stopped_and_resumed_is_as_if_it_had_not_been(inputs, make_run, monkeypatch) -> None:
    config = {"max_steps": 6, "save_steps": 100, "lora_dropout": 0.1, "lora_rank": 4}
    straight = make_run("reward", inputs, "straight", **config)
    assert work(straight) == 0
    run = make_run("reward", inputs, **config)

    def stops(self, args, state, control, **more):
        if state.global_step == 2:
            (run.path / "stop").touch()

    with monkeypatch.context() as patched:
        patched.setattr(reporting.Reporter, "on_step_begin", stops)
        assert work(run) == 0
    assert result_of(run)["state"] == "stopped"
    (run.path / "stop").unlink()
    assert work(make_run("reward", inputs, **config)) == 0
    mine, theirs = weights(run), weights(straight)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert result_of(run)["metrics"] == result_of(straight)["metrics"]


def test_dropout_that_is_asked_for_is_there(inputs, make_run) -> None:
    left = []
    for rate in (0.0, 0.5):
        run = make_run("reward", inputs, f"rate{rate}", max_steps=2, lora_dropout=rate)
        assert work(run) == 0
        left.append(weights(run))
    assert any(not torch.equal(left[0][name], left[1][name]) for name in left[0])


def test_pairs_that_are_too_long_are_cut_not_lost(llama, tmp_path, make_run) -> None:
    long = formats.preference(user(SENTENCES[0] * 9), "Good, yes.", "Bad, no.")
    snapshot = write_snapshot(tmp_path / "s", "preference", train=[long] * 4)
    run = make_run("reward", {"model": llama, "snapshot": snapshot}, max_length=32)
    assert work(run) == 0, result_of(run)
    assert result_of(run)["rows"] == {"train": 4, "left_out": 0, "cut": 4}
    notes = " ".join(event["text"] for event in events_of(run, "note"))
    assert "4 of 4 rows were cut to 32 tokens" in notes and "nothing is measured" in notes
    assert result_of(run)["metrics"]["before"] == {"pairs": 0}


def test_an_adapter_is_no_reward_run(inputs, sft_snapshot, llama, make_run) -> None:
    first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=1)
    assert perform("sft", sft.train, first) == 0
    with pytest.raises(ValueError, match="left by no reward run"):
        loading.load_reward(make_run("ppo", {**inputs, "reward": first.artifact}, "later"))
