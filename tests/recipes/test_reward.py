"""The reward model on a tiny model: it starts at ln 2, separates what can be separated, resumes."""

import math
import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    preference_rows,
    result_of,
    user,
    write_snapshot,
)
from training.recipes import adapters, data, evaluation, loading, reward, sft
from training.recipes.artifacts import save_model, start_of
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


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


@pytest.fixture(scope="module")
def masked(bert, tmp_path_factory) -> Path:
    """A BERT that was trained on masked words, which takes no pooler."""
    folder = tmp_path_factory.mktemp("masked")
    BertForMaskedLM(BertConfig.from_pretrained(bert)).save_pretrained(folder)
    load_tokenizer(str(bert), chat=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_what_the_base_does_not_hold_is_left_too(
    adaptation, masked, preference_snapshot, make_run
) -> None:
    """The pooler is drawn at random for the run, and whoever loads what that left must read through
    the same one."""
    given = {"model": masked, "snapshot": preference_snapshot}
    told = {"template": {"name": "instruction"}, "adaptation": adaptation, "max_steps": 2}
    run = make_run("reward", given, **told)
    assert work(run) == 0, result_of(run)
    torch.manual_seed(7)  # the run's own seed is not there
    found = loading.load_reward(make_run("ppo", {**given, "reward": run.artifact}, "later"))
    rows = list(data.rows_of(preference_snapshot, "validation"))
    again = evaluation.reward_accuracy(found.model, rows, data.Encoder(found.tokenizer, 64))
    assert again["reward_mean"] == pytest.approx(found.mean, abs=1e-7)
    assert found.mean != 0

    if adaptation == "lora":  # as an earlier version left it
        model = loading.load_classifier(str(masked), found.tokenizer)
        peft = adapters.add_lora(model, parse("reward", {}), ["classifier"])
        save_model(peft, found.tokenizer, run.artifact)
        with pytest.raises(ValueError, match=r"it lacks bert\.pooler\.dense\. Train it again"):
            loading.load_reward(make_run("ppo", {**given, "reward": run.artifact}, "last"))


def test_what_the_base_does_not_hold_is_trained_in_fp32(masked, make_run, monkeypatch) -> None:
    """Over layers in bf16, where small updates would be rounded away."""
    monkeypatch.setattr(loading, "has_bf16", lambda: True)
    run, tokenizer = make_run("reward", {"model": masked}), load_tokenizer(str(masked), chat=False)
    model = loading.trainable_classifier(start_of(run), tokenizer, parse("reward", {}))
    kinds = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    assert set(kinds.values()) == {torch.float32} and any("pooler" in name for name in kinds)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    read = model(**tokenizer(["Good, yes."], return_tensors="pt")).logits
    assert read.dtype == torch.float32 and read.item() == 0


def test_a_layer_whose_name_ends_as_the_heads_is_trained_with_it(
    bert, preference_snapshot, make_run, tmp_path
) -> None:
    """DistilBERT's pre_classifier, of a base that holds both."""
    tokenizer = load_tokenizer(str(bert), chat=False)
    sizes = {"vocab_size": len(tokenizer), "dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2}
    DistilBertForSequenceClassification(DistilBertConfig(**sizes, num_labels=1)).save_pretrained(
        tmp_path / "judge"
    )
    tokenizer.save_pretrained(tmp_path / "judge")
    given = {"model": tmp_path / "judge", "snapshot": preference_snapshot}
    run = make_run("reward", given, template={"name": "instruction"}, max_steps=2)
    assert work(run) == 0, result_of(run)
    found = loading.load_reward(make_run("ppo", {**given, "reward": run.artifact}, "later"))
    kept = found.model.peft_config["default"].modules_to_save
    assert {"classifier", "pre_classifier"} <= set(kept)


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
    before, after = result_of(later)["metrics"]["before"], result_of(run)["metrics"]["after"]
    assert before and before.items() <= after.items()  # the words are fitted afterwards only


def test_stopped_and_resumed_is_as_if_it_had_not_been(inputs, stop_and_resume) -> None:
    stop_and_resume("reward", inputs, max_steps=6)


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


class TestWeights:
    def test_pairs_of_a_prompt_share_one(self) -> None:
        rows = [{"prompt": user(name)} for name in "AAAB"]
        # 1/3, 1/3, 1/3 and 1, whose mean is 1/2.
        assert reward.pair_weights(rows, "prompt") == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
        assert reward.pair_weights(rows, "pair") == [1, 1, 1, 1]

    def test_a_column_says_it(self) -> None:
        rows = [{"margin": value} for value in (1, 2.0, 0, 5)]
        assert reward.pair_weights(rows, "margin") == pytest.approx([0.5, 1, 0, 2.5])

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([{"margin": 1.0}], "no such column: it has margin"),
            ([{"trust": 1.0}, {"trust": "much"}], "Row 2: 'much' in the column 'trust'"),
            ([{"trust": None}], "Row 1: None in the column 'trust' is no number"),
            ([{"trust": True}], "Row 1: True"),
            ([{"trust": -1.0}], "Row 1: the weight -1.0"),
            ([{"trust": math.nan}], "Row 1: the weight nan"),
            ([{"trust": 0.0}, {"trust": 0}], "0 in every row"),
        ],
    )
    def test_a_column_that_says_none(self, rows, said) -> None:
        with pytest.raises(ValueError, match=said):
            reward.pair_weights(rows, "trust")

    def test_a_missing_column_is_refused_in_words(self, inputs, make_run) -> None:
        run = make_run("reward", inputs, weight="trust")
        assert work(run) == 1
        reason = result_of(run)["reason"]
        assert "no such column: it has chosen, prompt, rejected" in reason

    def test_the_loss_is_the_one_worked_out_by_hand(self) -> None:
        logits = torch.tensor([[2.0], [0.0], [0.0], [1.0]])  # chosen, chosen, rejected, rejected
        inputs = {
            "input_ids": None,
            "attention_mask": None,
            "margin": torch.tensor([1.0, 0.0]),
            "weight": torch.tensor([0.5, 1.5]),
        }
        trainer = SimpleNamespace(
            args=SimpleNamespace(center_rewards_coefficient=0.1),
            _metrics={"train": defaultdict(list)},
        )
        model = torch.nn.Module()
        model.forward = lambda **_: SimpleNamespace(logits=logits)
        loss = reward.WeightedRewardTrainer.compute_loss(trainer, model, inputs)
        # -log s(2-0-1) = 0.313262, + 0.1 (2+0)^2; -log s(0-1) = 1.313262, + 0.1 (0+1)^2.
        assert loss.item() == pytest.approx((0.5 * 0.713262 + 1.5 * 1.413262) / 2, abs=1e-6)
        assert trainer._metrics["train"] == {"accuracy": [0.5], "margin": [0.5]}

    @pytest.mark.parametrize(("weight", "accuracy"), [("prompt", 1.0), ("pair", 0.0)])
    def test_one_prompt_with_many_pairs_outvotes_nobody(
        self, weight, accuracy, llama, tmp_path, make_run
    ) -> None:
        # One prompt says six times that no is better, three others that yes is.
        many = [formats.preference(user("Question A?"), "Bad, no.", "Good, yes.")] * 6
        rows = [*many, *preference_rows(3)]
        snapshot = write_snapshot(tmp_path / "s", "preference", train=rows, test=preference_rows(9))
        run = make_run(
            "reward", {"model": llama, "snapshot": snapshot}, weight=weight, batch_size=9,
            epochs=9.0, max_steps=6, keep="last", **(FAST | {"learning_rate": 3e-3}),
        )  # fmt: skip
        assert work(run) == 0, result_of(run)
        assert result_of(run)["metrics"]["after"]["accuracy"] == accuracy

    def test_what_is_left_out_weighs_nothing(self, llama, tmp_path, make_run, monkeypatch) -> None:
        same = formats.preference(user("Question 0?"), "Good, yes.", "Good, yes.")
        rows = [same, *preference_rows(2), same]
        snapshot = write_snapshot(tmp_path / "s", "preference", train=rows)
        seen = []
        was = reward.pair_weights
        monkeypatch.setattr(reward, "pair_weights", lambda *a: seen.append(was(*a)) or seen[-1])
        run = make_run("reward", {"model": llama, "snapshot": snapshot}, max_steps=1)
        assert work(run) == 0, result_of(run)
        assert seen[0] == [1.0, 1.0]


class TestMargins:
    @pytest.mark.parametrize("model", ["llama", "bert"])
    def test_it_enters_the_first_loss(self, model, tmp_path, make_run, request) -> None:
        rows = [
            formats.preference(user(f"Question {i}?"), "Good, yes.", "Bad, no.", margin=1.0)
            for i in range(4)
        ]
        folder = tmp_path / "s"
        (folder / "data").mkdir(parents=True)
        table = pa.Table.from_pylist(rows, formats.schema("preference", margin=True))
        pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
        run = make_run(
            "reward", {"model": request.getfixturevalue(model), "snapshot": folder},
            template={"name": "instruction"}, max_steps=1, **FAST,
        )  # fmt: skip
        assert work(run) == 0, result_of(run)
        losses = [e["values"]["loss"] for e in events_of(run, "metrics") if "loss" in e["values"]]
        # Both rewards are 0 yet: -log s(0 - 0 - 1).
        assert losses == pytest.approx([1.313262], abs=1e-4)


def test_rewards_are_the_same_bit_by_bit_after_a_reload(inputs, make_run, monkeypatch) -> None:
    texts = [[5, 6, 7, 8], [9, 10, 11], [12]]
    told = []
    was = reward.save_artifact

    def saves(run, model, tokenizer, **more):
        told.append(evaluation.rewards(model, texts, tokenizer.pad_token_id))
        return was(run, model, tokenizer, **more)

    monkeypatch.setattr(reward, "save_artifact", saves)
    run = make_run("reward", inputs, max_steps=3, **FAST)
    assert work(run) == 0, result_of(run)
    found = loading.load_reward(make_run("ppo", {**inputs, "reward": run.artifact}, "later"))
    again = evaluation.rewards(found.model, texts, found.tokenizer.pad_token_id)
    assert again == told[0] and len(set(again)) == 3


def signal_rows(count: int, rng: random.Random, shuffled: bool) -> list:
    """Two pairs a prompt: the better answer has a "yes" somewhere among random words, the worse one
    a "no"; or it is drawn which is called the better one."""
    words = [word for sentence in SENTENCES[:5] for word in sentence.split()]
    rows = []
    for i in range(count):
        said = [" ".join([*rng.sample(words, 3), mark, *rng.sample(words, 2)]) for mark in "yn"]
        said = [text.replace(" y ", " yes ").replace(" n ", " no ") for text in said]
        if shuffled and rng.random() < 0.5:
            said.reverse()
        rows.append(formats.preference(user(f"Prompt {i // 2}, {rng.choice(words)}?"), *said))
    return rows


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_planted_signal_is_found_and_shuffled_labels_are_not(
    shuffled, llama, tmp_path, make_run
) -> None:
    rows = signal_rows(400, random.Random(1), shuffled)
    # The prompts of the test are none of the training's.
    snapshot = write_snapshot(tmp_path / "s", "preference", train=rows[:240], test=rows[240:])
    run = make_run(
        "reward", {"model": llama, "snapshot": snapshot}, batch_size=8, max_steps=60, epochs=2.0,
        eval_rows=160, **(FAST | {"learning_rate": 5e-3}),
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    accuracy = result_of(run)["metrics"]["after"]["accuracy"]
    if shuffled:
        assert abs(accuracy - 0.5) < 3 * math.sqrt(0.25 / 160)
    else:
        assert accuracy >= 0.95


def test_it_wants_pairs(llama, sft_snapshot, make_run) -> None:
    run = make_run("reward", {"model": llama, "snapshot": sft_snapshot})
    assert work(run) == 1
    assert "no preference snapshot" in result_of(run)["reason"]
