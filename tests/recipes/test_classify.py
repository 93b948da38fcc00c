"""The classifier on tiny models: it finds a rule, tells unseen labels, weighs rare ones."""

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification

from exports import formats
from tests.recipes.conftest import SENTENCES, events_of, result_of, write_snapshot
from training.recipes import adapters, classify, loading, reward, sft
from training.recipes.artifacts import read_artifact
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

FAST = {"learning_rate": 5e-3, "lora_rank": 4, "batch_size": 8}
MARKS = {"grün": "yes", "rot": "no", "weiß": "good"}


def work(run: RunDir) -> int:
    return perform("classify", classify.train, run)


def weights(run: RunDir, name: str = "adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run.artifact / name)


def series(run: RunDir, name: str) -> list[float]:
    return [e["values"][name] for e in events_of(run, "metrics") if name in e["values"]]


def texts(count: int, seed: int = 0) -> list:
    """Two words of ours, the second of which says the label."""
    rng = random.Random(seed)
    words = [word for sentence in SENTENCES[:5] for word in sentence.split()]
    rows = []
    for i in range(count):
        name = list(MARKS)[i % 3]
        rows.append(formats.labels(f"{rng.choice(words)} {MARKS[name]}.", name))
    return rows


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> Path:
    rows = texts(330)
    return write_snapshot(
        tmp_path_factory.mktemp("labels"), "labels",
        train=rows[:240], validation=rows[240:270], test=rows[270:],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "names"), [("bare_llama", list(MARKS)), ("bert", ["grün", "rot"])]
)
def test_it_finds_a_rule(backbone, names, tmp_path, make_run, request) -> None:
    # Neither has a chat template, and none is needed.
    rows = [row for row in texts(330) if row["label"] in names]
    snapshot = write_snapshot(
        tmp_path / "s", "labels", train=rows[:-90], validation=rows[-90:-60], test=rows[-60:]
    )
    inputs = {"model": request.getfixturevalue(backbone), "snapshot": snapshot}
    run = make_run("classify", inputs, max_steps=60, epochs=4.0, eval_steps=20, **FAST)
    assert work(run) == 0, result_of(run)
    losses = series(run, "loss")
    assert losses[0] == pytest.approx(math.log(len(names)), abs=1e-5)  # the head is zero yet
    before, after = (result_of(run)["metrics"][when] for when in ("before", "after"))
    chance = pytest.approx(1 / len(names))
    assert before["accuracy"] == chance
    assert before["baseline"] == {"label": "grün", "accuracy": chance}
    assert after["accuracy"] >= 0.95 and after["macro_f1"] >= 0.95 and after["rows"] == 60
    assert [row["name"] for row in after["classes"]] == names
    assert sum(map(sum, after["confusion"])) == 60
    assert len(series(run, "accuracy")) == 60 and len(series(run, "eval_accuracy")) == 3
    assert result_of(run)["artifact"]["kind"] == "classifier_adapter"
    assert read_artifact(str(run.artifact)).labels == names


def test_all_weights_leave_a_model_that_says_its_labels(llama, snapshot, make_run) -> None:
    run = make_run(
        "classify", {"model": llama, "snapshot": snapshot}, max_steps=2, adaptation="full"
    )
    assert work(run) == 0, result_of(run)
    config = json.loads((run.artifact / "config.json").read_text("utf-8"))
    assert config["id2label"] == {"0": "grün", "1": "rot", "2": "weiß"}
    assert result_of(run)["artifact"]["kind"] == "classifier_model"
    moved, was = weights(run, "model.safetensors"), load_file(llama / "model.safetensors")
    common = moved.keys() & was.keys()
    assert len(common) == len(was) and not any(torch.equal(moved[n], was[n]) for n in common)


@pytest.mark.parametrize("adaptation", ["lora", "qlora"])
def test_others_load_an_adapter_with_the_names_of_its_labels(
    adaptation, llama, snapshot, make_run
) -> None:
    inputs = {"model": llama, "snapshot": snapshot}
    run = make_run("classify", inputs, max_steps=2, adaptation=adaptation)
    assert work(run) == 0, result_of(run)
    config = AutoConfig.from_pretrained(run.artifact / "classifier")
    base = AutoModelForSequenceClassification.from_pretrained(llama, config=config)
    head = next(weight for name, weight in weights(run).items() if "score" in name)
    for model in (
        PeftModel.from_pretrained(base, run.artifact),
        AutoModelForSequenceClassification.from_pretrained(run.artifact, config=config),
    ):
        assert model.config.id2label == {0: "grün", 1: "rot", 2: "weiß"}
        assert any(torch.equal(weight, head) for weight in model.state_dict().values())


def test_what_was_learned_is_there_after_a_reload(llama, snapshot, make_run, monkeypatch) -> None:
    told = []
    was = classify.predict

    def predicts(model, ids, pad, **more):
        told.append((ids, was(model, ids, pad, **more)))
        return told[-1][1]

    monkeypatch.setattr(classify, "predict", predicts)
    run = make_run("classify", {"model": llama, "snapshot": snapshot}, max_steps=20, **FAST)
    assert work(run) == 0, result_of(run)
    tokenizer = load_tokenizer(str(run.artifact), chat=False)
    model = loading.load_classifier(str(llama), tokenizer, labels=3)
    model = adapters.attach(
        model, SimpleNamespace(init=read_artifact(str(run.artifact)), sha256="")
    )
    ids, said = told[-1]
    assert was(model, ids, tokenizer.pad_token_id, check=lambda: None) == said
    assert len(set(said)) > 1


class TestBalance:
    def test_the_weights_are_those_worked_out_by_hand(self) -> None:
        # 6 rows, 2 labels: 6 / (2 * 4) and 6 / (2 * 2); over the rows their mean is 1.
        assert classify.label_weights([0, 0, 0, 0, 1, 1], 2, "on").tolist() == [0.75, 1.5]
        assert classify.label_weights([0, 0, 1], 2, "off").tolist() == [1, 1]

    def test_they_enter_the_loss(self) -> None:
        logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        trainer = SimpleNamespace(weights=torch.tensor([0.5, 2.0]), right=[])
        model = torch.nn.Module()
        model.forward = lambda **_: SimpleNamespace(logits=logits)
        inputs = {"input_ids": None, "attention_mask": None, "label": torch.tensor([0, 1])}
        loss = classify.LabelTrainer.compute_loss(trainer, model, inputs)
        # -ln s(1) = 0.313262 and -ln s(-1) = 1.313262.
        assert loss.item() == pytest.approx((0.5 * 0.313262 + 2 * 1.313262) / 2, abs=1e-6)
        assert trainer.right == [0.5]

    @pytest.mark.parametrize(("balance", "recall"), [("on", 1.0), ("off", 0.0)])
    def test_a_rare_label_is_heard(self, balance, recall, llama, tmp_path, make_run) -> None:
        # Three of four texts that look alike are red: without weights nobody is green.
        rows = [formats.labels("The moon.", "red")] * 12
        rows += [formats.labels("The moon.", "green")] * 3 + [formats.labels("Water.", "red")]
        test = [formats.labels("The moon.", "green")]
        snapshot = write_snapshot(tmp_path / "s", "labels", train=rows, test=test)
        run = make_run(
            "classify", {"model": llama, "snapshot": snapshot}, balance=balance, max_steps=20,
            epochs=20.0, **(FAST | {"batch_size": 16}),
        )  # fmt: skip
        assert work(run) == 0, result_of(run)
        after = result_of(run)["metrics"]["after"]
        assert after["classes"][0]["recall"] == recall


def test_labels_that_are_not_learned_are_told(llama, tmp_path, make_run) -> None:
    rows = texts(12)
    test = [*texts(3, seed=1), formats.labels("The moon.", "blau"), formats.labels("No.", "blau")]
    snapshot = write_snapshot(tmp_path / "s", "labels", train=rows, test=test)
    run = make_run("classify", {"model": llama, "snapshot": snapshot}, max_steps=1)
    assert work(run) == 0, result_of(run)
    after = result_of(run)["metrics"]["after"]
    assert after["unseen"] == {"blau": 2} and after["rows"] == 3
    notes = " ".join(event["text"] for event in events_of(run, "note"))
    assert "2 of 5 test rows bear a label that no training row has (blau)" in notes


def test_stopped_and_resumed_is_as_if_it_had_not_been(llama, snapshot, stop_and_resume) -> None:
    stop_and_resume("classify", {"model": llama, "snapshot": snapshot}, max_steps=6)


class TestStarts:
    def test_from_an_sft_runs_layers_and_then_goes_on(
        self, llama, snapshot, sft_snapshot, make_run
    ) -> None:
        first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=2)
        assert perform("sft", sft.train, first) == 0
        inputs = {"model": llama, "snapshot": snapshot, "init": first.artifact}
        run = make_run("classify", inputs, max_steps=2)
        assert work(run) == 0, result_of(run)
        assert weights(run).keys() > weights(first).keys()
        later = make_run("classify", inputs | {"init": run.artifact}, "later", max_steps=1)
        assert work(later) == 0, result_of(later)
        assert result_of(later)["metrics"]["before"] == result_of(run)["metrics"]["after"]

    def test_not_from_other_labels_or_a_reward_model(
        self, llama, snapshot, preference_snapshot, tmp_path, make_run
    ) -> None:
        run = make_run("classify", {"model": llama, "snapshot": snapshot}, "first", max_steps=1)
        assert work(run) == 0, result_of(run)
        other = write_snapshot(tmp_path / "s", "labels", train=texts(3)[:2])
        inputs = {"model": llama, "snapshot": other, "init": run.artifact}
        assert "they must be the same" in self.reason(make_run("classify", inputs, "other"))
        judge = make_run("reward", {"model": llama, "snapshot": preference_snapshot}, "judge",
                         max_steps=1)  # fmt: skip
        assert perform("reward", reward.train, judge) == 0
        inputs = {"model": llama, "snapshot": snapshot, "init": judge.artifact}
        assert "from a reward model" in self.reason(make_run("classify", inputs, "later"))

    def reason(self, run: RunDir) -> str:
        assert work(run) == 1
        return result_of(run)["reason"]

    def test_not_with_one_label(self, llama, tmp_path, make_run) -> None:
        snapshot = write_snapshot(tmp_path / "s", "labels", train=texts(1) * 3)
        run = make_run("classify", {"model": llama, "snapshot": snapshot})
        assert "one label only (grün)" in self.reason(run)

    def test_not_with_another_snapshot(self, llama, sft_snapshot, make_run) -> None:
        run = make_run("classify", {"model": llama, "snapshot": sft_snapshot})
        assert "no labels snapshot" in self.reason(run)
