"""The shared knobs do what they say: schedule, clipping, precision, activation checkpointing;
the best weights are kept, patience ends a run, an alarm tells or stops."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers.modeling_layers import GradientCheckpointingLayer

from exports import formats
from tests.recipes.conftest import events_of, preference_rows, result_of, sft_rows, write_snapshot
from training.recipes import loading, reward, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.keeping import Best, Keeper
from training.recipes.reporting import newest_checkpoint, step_of
from training.recipes.run_dir import RunDir


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return load_file(next(run.artifact.glob("*.safetensors")))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def values(run: RunDir, name: str) -> list[float]:
    return [e["values"][name] for e in events_of(run, "metrics") if name in e["values"]]


@pytest.fixture
def trained(llama, sft_snapshot, make_run):
    """`trained("name", knob=value)`: an SFT run that has succeeded."""

    def train(name: str, **config) -> RunDir:
        inputs = {"model": llama, "snapshot": config.pop("snapshot", sft_snapshot)}
        run = make_run("sft", inputs, name, **({"max_steps": 4, "lora_rank": 4} | config))
        assert perform("sft", sft.train, run) == 0, result_of(run)
        return run

    return train


class TestKnobs:
    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [
            ("linear", [0.0, 1.0, 0.75, 0.5, 0.25]),
            ("cosine", [0.0, 1.0, 0.8536, 0.5, 0.1464]),
            ("constant", [0.0, 1.0, 1.0, 1.0, 1.0]),
        ],
    )
    def test_schedule_after_a_warm_up(self, trained, schedule: str, expected: list[float]) -> None:
        run = trained("run", schedule=schedule, warmup=0.2, max_steps=5, learning_rate=1e-3)
        assert values(run, "learning_rate") == pytest.approx([1e-3 * x for x in expected], rel=1e-3)

    def test_weight_decay_is_there(self, trained) -> None:
        plain, decayed = trained("a"), trained("b", weight_decay=0.5)
        assert not same(weights(plain), weights(decayed))

    def test_a_gradient_is_told_before_it_is_clipped_and_may_stay_whole(self, trained) -> None:
        whole, clipped = trained("a", max_grad_norm=0.0), trained("b", max_grad_norm=1e-3)
        assert values(whole, "grad_norm")[0] == pytest.approx(values(clipped, "grad_norm")[0])
        assert not same(weights(whole), weights(clipped))

    def test_accumulated_batches_are_one_batch(self, trained) -> None:
        one = trained("a", batch_size=4, max_steps=2)
        two = trained("b", batch_size=2, accumulation=2, max_steps=2)
        assert not same(weights(one), weights(trained("c", batch_size=2, max_steps=2)))
        mine, theirs = weights(one), weights(two)
        assert all(torch.allclose(mine[n], theirs[n], atol=1e-5) for n in mine)

    def test_another_seed_is_another_run(self, trained, llama, sft_snapshot, make_run) -> None:
        assert same(weights(trained("a")), weights(trained("b")))
        other = make_run(
            "sft", {"model": llama, "snapshot": sft_snapshot}, "c", max_steps=4, lora_rank=4
        )
        other.spec["seed"] = 1
        assert perform("sft", sft.train, other) == 0
        assert not same(weights(trained("d")), weights(other))

    @pytest.mark.parametrize("adaptation", ["lora", "full"])
    def test_activations_that_are_computed_again_change_nothing(
        self, trained, adaptation: str, monkeypatch
    ) -> None:
        on = []
        was = GradientCheckpointingLayer.__call__

        def called(self, *args, **kwargs):
            on.append(self.gradient_checkpointing and self.training)
            return was(self, *args, **kwargs)

        monkeypatch.setattr(GradientCheckpointingLayer, "__call__", called)
        config = {"adaptation": adaptation, "lora_dropout": 0.1, "learning_rate": 1e-3}
        plain = trained("a", **config)
        assert on and not any(on)
        again = trained("b", checkpointing="on", **config)
        assert any(on)
        mine, theirs = weights(plain), weights(again)
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[n], theirs[n], rtol=0, atol=1e-5) for n in mine)

    def test_bf16_where_there_is_none(self, llama, sft_snapshot, make_run, monkeypatch) -> None:
        monkeypatch.setattr(loading, "has_bf16", lambda: False)
        run = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, precision="bf16")
        assert perform("sft", sft.train, run) == 1
        assert "does not compute in bf16: choose precision auto or fp32" in result_of(run)["reason"]

    @pytest.mark.parametrize(
        ("has", "config", "computes", "holds"),
        [
            (True, {}, True, torch.bfloat16),
            (True, {"precision": "fp32"}, False, torch.float32),
            (True, {"adaptation": "full"}, True, torch.float32),
            (True, {"adaptation": "half", "precision": "bf16"}, True, torch.float32),
            (False, {}, False, torch.float32),
        ],
    )
    def test_precision(self, has: bool, config, computes: bool, holds, monkeypatch) -> None:
        monkeypatch.setattr(loading, "has_bf16", lambda: has)
        knobs = parse("sft", config)
        assert loading.in_bf16(knobs) == computes
        assert loading.dtype(knobs) == holds


@pytest.fixture(scope="module")
def contrary(tmp_path_factory) -> Path:
    """Validation answers that read backwards what is trained: learning soon makes them worse."""
    rows = sft_rows(10)
    turned = [
        formats.sft(row["prompt"], row["completion"][0]["content"][::-1]) for row in sft_rows(4)
    ]
    folder = tmp_path_factory.mktemp("contrary")
    return write_snapshot(folder, "sft", train=rows, validation=turned)


# The rate does not depend on how long the run is, so that a shorter run ends where a longer passes.
STEADY = {
    **{"adaptation": "full", "schedule": "constant", "learning_rate": 1e-2},
    **{"epochs": 10, "max_steps": 8, "eval_steps": 1},
}


class TestKeep:
    def test_the_best_weights_are_left_and_it_says_which(self, trained, contrary: Path) -> None:
        run = trained("best", snapshot=contrary, **STEADY)
        looks = values(run, "eval_loss")
        kept = result_of(run)["kept"]
        step = looks.index(min(looks)) + 1
        assert 1 <= step < 8 == result_of(run)["steps"]
        assert kept == {"step": step, "metric": "eval_loss", "value": pytest.approx(min(looks))}
        assert any(f"weights of step {step}" in e["text"] for e in events_of(run, "note"))
        last = trained("last", snapshot=contrary, keep="last", **STEADY)
        assert result_of(last)["kept"] == {"step": 8, "metric": "", "value": None}
        shorter = trained("shorter", snapshot=contrary, keep="last", **STEADY | {"max_steps": step})
        assert same(weights(run), weights(shorter))
        assert not same(weights(run), weights(last))
        # What is measured after is measured of what is left.
        assert result_of(run)["metrics"]["after"] == result_of(shorter)["metrics"]["after"]
        # The best outlives its checkpoint.
        assert step_of(newest_checkpoint(run)) == 8
        assert not (run.checkpoints / f"step-{step}").exists()

    def test_the_last_step_is_looked_at_too(self, trained) -> None:
        run = trained("run", eval_steps=3, max_steps=4, learning_rate=1e-2)
        assert [e["step"] for e in events_of(run, "metrics") if "eval_loss" in e["values"]] == [
            3,
            4,
        ]
        assert result_of(run)["kept"]["step"] == 4

    def test_without_validation_rows_the_last_are_kept_and_it_is_said_once(
        self, trained, tmp_path
    ) -> None:
        run = trained("run", snapshot=write_snapshot(tmp_path / "s", "sft", train=sft_rows(6)))
        assert result_of(run)["kept"] == {"step": 4, "metric": "", "value": None}
        said = [e["text"] for e in events_of(run, "note") if "are kept" in e["text"]]
        assert said == ["There are no validation rows: the last weights are kept."]

    def test_a_reward_model_is_judged_by_accuracy_and_then_by_loss(
        self, llama, tmp_path, make_run
    ) -> None:
        rows = preference_rows(16)
        snapshot = write_snapshot(
            tmp_path / "s", "preference", train=rows[:12], validation=rows[12:]
        )
        run = make_run(
            "reward", {"model": llama, "snapshot": snapshot}, max_steps=8, eval_steps=2,
            learning_rate=1e-2, center_rewards=0.0,
        )  # fmt: skip
        assert perform("reward", reward.train, run) == 0, result_of(run)
        kept, losses = result_of(run)["kept"], values(run, "eval_loss")
        assert values(run, "eval_accuracy")[-2:] == [1.0, 1.0]
        assert (kept["metric"], kept["value"]) == ("eval_accuracy", 1.0)
        assert kept["step"] == 2 * (losses.index(min(losses)) + 1)

    def test_an_equal_one_that_comes_later_is_not_better(self, make_run, llama) -> None:
        best = Best(make_run("sft", {"model": llama}))
        assert best.facts() is None
        layer = torch.nn.Linear(2, 2)
        was = layer.weight.detach().clone()
        facts = {"step": 2, "metric": "eval_accuracy", "value": 0.5}
        assert best.offer(dict(layer.named_parameters()), [0.5, -1.0], **facts)
        torch.nn.init.zeros_(layer.weight)
        assert not best.offer(dict(layer.named_parameters()), [0.5, -1.0], step=4)
        assert best.facts()["step"] == 2
        assert best.leave(dict(layer.named_parameters()), 4) == facts
        assert torch.equal(layer.weight, was)
        assert best.offer(dict(layer.named_parameters()), [0.5, -0.9], step=6)


class TestPatience:
    def test_it_ends_early_and_has_not_failed(self, trained, contrary: Path) -> None:
        run = trained("run", snapshot=contrary, patience=2, **STEADY | {"max_steps": 30})
        result = result_of(run)
        looks = values(run, "eval_loss")
        best = looks.index(min(looks)) + 1
        assert result["state"] == "succeeded"
        assert result["steps"] == len(looks) == best + 2 < 30
        assert result["kept"]["step"] == best
        assert result["reason"] == (
            f"Ended early at step {best + 2}: none of the last 2 looks at the validation rows was "
            f"better than that at step {best}."
        )
        assert result["reason"] in [e["text"] for e in events_of(run, "note")]

    @pytest.mark.parametrize(
        ("losses", "patience", "over"),
        [
            ([3, 2, 1], 1, False),
            ([3, 2, 2], 1, True),
            ([3, 1, 2], 2, False),
            ([3, 1, 2, 2], 2, True),
            ([3, 1, 2, 0.5], 2, False),
            ([1, 2, 3, 4], 0, False),
            ([], 1, False),
        ],
    )
    def test_looks_without_a_better_one(self, losses, patience, over, make_run, llama) -> None:
        run = make_run("sft", {"model": llama})
        log = [{"eval_loss": loss, "step": step} for step, loss in enumerate(losses, 1)]
        assert Keeper(run, parse("sft", {"patience": patience})).is_over(log) == over


class TestAlarm:
    CONFIG = STEADY | {"max_steps": 12, "keep": "last"}

    def test_it_tells_and_goes_on(self, trained, contrary: Path) -> None:
        run = trained("run", snapshot=contrary, **self.CONFIG)
        codes = [event["code"] for event in events_of(run, "alarm")]
        assert "eval_worse" in codes and codes.count("eval_worse") == 1
        assert result_of(run)["steps"] == 12

    def test_it_stops_where_it_shall_and_a_resume_goes_on(
        self, llama, contrary: Path, make_run
    ) -> None:
        inputs = {"model": llama, "snapshot": contrary}
        config = self.CONFIG | {"on_alarm": "stop", "lora_rank": 4}
        run = make_run("sft", inputs, **config)
        assert perform("sft", sft.train, run) == 1
        alarm = events_of(run, "alarm")[0]
        assert alarm["code"] == "eval_worse"
        assert result_of(run)["state"] == "failed"
        assert result_of(run)["reason"] == alarm["text"]
        assert step_of(newest_checkpoint(run)) == alarm["step"] < 12
        assert not run.artifact.exists()
        run = make_run("sft", inputs, **config)
        assert perform("sft", sft.train, run) == 0, result_of(run)
        assert result_of(run)["steps"] == 12

    def test_a_gradient_that_is_no_number_leaves_no_checkpoint_of_it(
        self, llama, sft_snapshot, make_run, monkeypatch
    ) -> None:
        run = make_run(
            "sft", {"model": llama, "snapshot": sft_snapshot}, max_steps=4, save_steps=1,
            max_grad_norm=0.0,
        )  # fmt: skip
        was = torch.nn.functional.scaled_dot_product_attention
        calls = []

        def breaks(*args, **kwargs):
            calls.append(torch.is_grad_enabled())
            found = was(*args, **kwargs)
            if sum(calls) > 4 and found.requires_grad:  # two layers: from the third step on
                found.register_hook(lambda gradient: gradient * float("nan"))
            return found

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", breaks)
        assert perform("sft", sft.train, run) == 1
        assert "grad_norm is not a number any more at step 3" in result_of(run)["reason"]
        assert events_of(run, "alarm")[0]["code"] == "not_finite"
        assert step_of(newest_checkpoint(run)) == 2
