"""DPO on a tiny model: its losses by hand and against TRL's, its reference, that it learns."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.recipes.conftest import events_of, preference_rows, result_of, write_snapshot
from training.recipes import dpo, loading, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.logps import answer_logps, keep_adapter_dropout
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

FAST = {"learning_rate": 1e-2, "lora_rank": 4, "keep": "last"}


def work(run: RunDir) -> int:
    return perform("dpo", dpo.train, run)


def weights(run: RunDir, name: str = "adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run.artifact / name)


def series(run: RunDir, name: str) -> list[float]:
    return [e["values"][name] for e in events_of(run, "metrics") if name in e["values"]]


@pytest.fixture
def inputs(llama, preference_snapshot) -> dict[str, Path]:
    return {"model": llama, "snapshot": preference_snapshot}


@pytest.fixture
def sft_run(llama, sft_snapshot, make_run) -> RunDir:
    run = make_run(
        "sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=4, lora_rank=4,
        learning_rate=1e-2,
    )  # fmt: skip
    assert perform("sft", sft.train, run) == 0, result_of(run)
    return run


def test_a_dropout_that_is_no_layer_is_off_too(llama) -> None:
    """Llama's attention keeps its rate as a number: policy and reference would differ by its noise
    alone, where the loss is to start at ln 2."""
    model = AutoModelForCausalLM.from_pretrained(llama, attention_dropout=0.5).train()
    ids = torch.arange(12)[None]
    assert not torch.equal(model(ids).logits, model(ids).logits)
    keep_adapter_dropout(model)
    assert torch.equal(model(ids).logits, model(ids).logits)


class TestLosses:
    def test_ipo(self) -> None:
        # (0.5 - -0.25 - 1/(2 * 0.5))^2 = 0.25^2
        found = dpo.ipo_losses(torch.tensor([0.5]), torch.tensor([-0.25]), 0.5)
        assert found.tolist() == pytest.approx([0.0625])

    def test_orpo(self) -> None:
        # Odds 0.5/0.5 and 0.25/0.75: their ratio is 3, and ln sigmoid(ln 3) = ln 3/4.
        logps = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()
        found = dpo.orpo_losses(*logps, 0.1)
        assert found.tolist() == pytest.approx([math.log(2) - 0.1 * math.log(0.75)])

    def test_orpo_of_a_certain_answer_is_a_number(self) -> None:
        certain = torch.tensor([0.0, -1e-12], requires_grad=True)
        loss = dpo.orpo_losses(certain, certain.flip(0), 0.1).sum()
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(certain.grad).all()

    def test_what_is_said_of_a_policy(self) -> None:
        rows = preference_rows(2)
        config = parse("dpo", {"beta": 0.5})
        was, now = [(-4.0, -4.0), (-2.0, -2.0)], [(-3.0, -5.0), (-3.0, -2.0)]
        found = dpo.measure(now, was, rows, [(2, 1), (3, 4)], config)
        # Rewards 0.5 and -0.5; -0.5 and 0: margins 1 and -0.5.
        assert found["reward_chosen"] == 0.0 and found["reward_rejected"] == -0.25
        assert found["margin"] == 0.25 and found["accuracy"] == 0.5
        assert found["loss"] == pytest.approx((0.313262 + 0.974077) / 2, abs=1e-6)
        assert (found["logp_chosen"], found["logp_rejected"]) == (-3.0, -3.5)
        assert found["likelier"] == 0.5  # -1.5 a token over -5, and -1 under -0.5
        before = dpo.measure(was, was, rows, [(2, 1), (3, 4)], config)
        assert before["accuracy"] == 0.5 and before["loss"] == pytest.approx(math.log(2))

    @pytest.mark.parametrize("loss", ["sigmoid", "ipo", "orpo"])
    def test_ours_and_the_trainers_are_one(self, loss, inputs, make_run) -> None:
        # The validation rows are the test's: what the trainer says of them at the last step and
        # what is measured afterwards, by other code, must be the same.
        rows = preference_rows(20)
        folder = make_run("dpo", inputs).path
        snapshot = write_snapshot(
            folder / "s", "preference", train=rows[:16], validation=rows[16:], test=rows[16:]
        )
        run = make_run(
            "dpo", {**inputs, "snapshot": snapshot}, loss=loss, max_steps=4, eval_steps=4, **FAST
        )
        assert work(run) == 0, result_of(run)
        after = result_of(run)["metrics"]["after"]
        assert series(run, "eval_loss")[-1] == pytest.approx(after["loss"], rel=1e-4)


class TestReference:
    def first(self, run: RunDir) -> tuple[float, float, float]:
        return tuple(series(run, n)[0] for n in ("loss", "reward_chosen", "reward_rejected"))

    @pytest.mark.parametrize("adaptation", ["lora", "full"])
    def test_it_starts_as_its_own_reference(self, adaptation, inputs, make_run) -> None:
        run = make_run("dpo", inputs, max_steps=3, **(FAST | {"adaptation": adaptation}))
        assert work(run) == 0, result_of(run)
        assert self.first(run) == (pytest.approx(math.log(2), abs=1e-6), 0.0, 0.0)
        assert abs(series(run, "reward_chosen")[2]) > 0  # the reference has not moved with it
        before = result_of(run)["metrics"]["before"]
        assert before["accuracy"] == 0.5 and before["loss"] == pytest.approx(math.log(2))
        assert before["reward_chosen"] == before["reward_rejected"] == 0.0

    def test_with_an_adapter_that_is_the_reference(self, inputs, sft_run, make_run) -> None:
        run = make_run("dpo", {**inputs, "init": sft_run.artifact}, max_steps=3, **FAST)
        assert work(run) == 0, result_of(run)
        assert self.first(run) == (pytest.approx(math.log(2), abs=1e-6), 0.0, 0.0)
        # What it leaves is one adapter, of the shape of the one that it went on with.
        assert weights(run).keys() == weights(sft_run).keys()
        assert not (run.artifact / "ref").exists()

    def test_the_bare_base_would_be_another(self, inputs, sft_run, make_run, monkeypatch) -> None:
        was = dpo.keep_adapter_dropout

        def forgets(model):
            model.delete_adapter("ref")
            was(model)

        monkeypatch.setattr(dpo, "keep_adapter_dropout", forgets)
        run = make_run("dpo", {**inputs, "init": sft_run.artifact}, max_steps=1, **FAST)
        assert work(run) == 0, result_of(run)
        loss, chosen, rejected = self.first(run)
        assert abs(chosen) > 1e-3 and abs(rejected) > 1e-3 and abs(loss - math.log(2)) > 1e-3

    def test_whole_weights_given_are_the_reference(self, inputs, llama, sft_snapshot, make_run):
        first = make_run(
            "sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=2,
            adaptation="full", learning_rate=1e-3,
        )  # fmt: skip
        assert perform("sft", sft.train, first) == 0
        for adaptation in ("lora", "full"):
            run = make_run(
                "dpo", {**inputs, "init": first.artifact}, adaptation, max_steps=1,
                **(FAST | {"adaptation": adaptation}),
            )  # fmt: skip
            assert work(run) == 0, result_of(run)
            assert self.first(run) == (pytest.approx(math.log(2), abs=1e-6), 0.0, 0.0)

    def test_the_adapters_dropout_is_on_and_the_references_off(
        self, inputs, sft_run, make_run, monkeypatch
    ) -> None:
        seen = []
        was = dpo.PairTrainer.compute_loss

        def looks(self, model, *args, **more):
            rates = {
                name.rsplit(".", 1)[-1]: m.p
                for name, m in model.named_modules()
                if isinstance(m, torch.nn.Dropout) and "lora_dropout" in name
            }
            seen.append(rates)
            return was(self, model, *args, **more)

        monkeypatch.setattr(dpo.PairTrainer, "compute_loss", looks)
        left = []
        for rate in (0.0, 0.5):
            first = make_run(
                "sft", sft_inputs(sft_run), f"sft{rate}", max_steps=1, lora_dropout=rate
            )
            assert perform("sft", sft.train, first) == 0
            run = make_run(
                "dpo", {**inputs, "init": first.artifact}, f"rate{rate}", max_steps=2,
                lora_dropout=rate,
            )  # fmt: skip
            assert work(run) == 0, result_of(run)
            left.append(weights(run))
        assert seen[-1] == {"default": 0.5, "ref": 0.0}
        assert any(not torch.equal(left[0][name], left[1][name]) for name in left[0])


def sft_inputs(run: RunDir) -> dict[str, str]:
    return {name: run.input_path(name) for name in ("model", "snapshot")}


class TestItLearns:
    @pytest.mark.parametrize("loss", ["sigmoid", "ipo", "orpo"])
    def test_a_rule(self, loss, inputs, make_run) -> None:
        run = make_run("dpo", inputs, loss=loss, max_steps=16, epochs=4.0, **FAST)
        assert work(run) == 0, result_of(run)
        before, after = (result_of(run)["metrics"][when] for when in ("before", "after"))
        assert before["accuracy"] == 0.5 and after["accuracy"] == 1.0
        assert after["loss"] < before["loss"] and after["margin"] > 0
        assert after["likelier"] == 1.0 and after["pairs"] == 4
        assert {"loss", "accuracy", "margin", "logp_chosen", "logp_rejected"} <= {
            name for event in events_of(run, "metrics") for name in event["values"]
        }
        assert [set(s) for s in result_of(run)["samples"]] == [{"prompt", "before", "after"}] * 3
        assert result_of(run)["artifact"]["kind"] == "adapter"

    def test_all_weights(self, inputs, llama, make_run) -> None:
        config = FAST | {"adaptation": "full", "learning_rate": 1e-3}
        for loss in ("sigmoid", "orpo"):
            run = make_run("dpo", inputs, loss, loss=loss, max_steps=8, **config)
            assert work(run) == 0, result_of(run)
            moved, was = weights(run, "model.safetensors"), load_file(llama / "model.safetensors")
            assert moved.keys() == was.keys()
            assert not any(torch.equal(moved[name], was[name]) for name in was)
            assert result_of(run)["metrics"]["after"]["accuracy"] == 1.0


@pytest.mark.parametrize("with_adapter", [False, True])
def test_stopped_and_resumed_is_as_if_it_had_not_been(
    with_adapter, inputs, sft_run, stop_and_resume
) -> None:
    inputs |= {"init": sft_run.artifact} if with_adapter else {}
    stop_and_resume("dpo", inputs, max_steps=6)


def test_log_probabilities_of_answers(llama) -> None:
    tokenizer = load_tokenizer(str(llama))
    model = loading.load_causal(str(llama), tokenizer)
    texts = [([5, 6, 7], [8, 9]), ([5], [6]), ([], [7, 8])]
    found = answer_logps(model, texts, tokenizer.pad_token_id, batch_size=2)
    for (prompt, answer), value in zip(texts, found, strict=True):
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            logps = model(input_ids=ids).logits.float().log_softmax(-1)[0]
        places = range(max(len(prompt), 1), ids.shape[1])
        assert value == pytest.approx(sum(logps[i - 1, ids[0, i]].item() for i in places), abs=1e-5)


def test_it_wants_pairs(llama, sft_snapshot, make_run) -> None:
    run = make_run("dpo", {"model": llama, "snapshot": sft_snapshot})
    assert work(run) == 1
    assert "no preference snapshot" in result_of(run)["reason"]


def test_a_bert_has_no_answers_to_give(bert, preference_snapshot, make_run) -> None:
    run = make_run(
        "dpo", {"model": bert, "snapshot": preference_snapshot}, template={"name": "instruction"}
    )
    assert work(run) == 1
    assert "no language model" in result_of(run)["reason"]
