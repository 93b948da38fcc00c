"""The recipe that measures a model on a snapshot."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    open_run,
    preference_rows,
    result_of,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import classify, data, evaluate, evaluation, loading, measuring, reward, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


def work(run: RunDir) -> dict:
    code = perform("evaluate", evaluate.evaluate, run)
    result = result_of(run)
    assert (code == 0) == (result["state"] != "failed"), result
    return result


def told_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text("utf-8"))["metrics"]


SHORT = {"max_new_tokens": 6, "bootstrap": 200}


@pytest.fixture(scope="module")
def trained(llama, sft_snapshot, preference_snapshot, tmp_path_factory):
    """An SFT adapter and a reward adapter over the same base."""
    folder = tmp_path_factory.mktemp("trained")
    made = {}
    for name, work, snapshot in (
        ("sft", sft.train, sft_snapshot),
        ("reward", reward.train, preference_snapshot),
    ):
        torch.set_num_threads(1)
        run = open_run(
            folder / name,
            name,
            {"model": llama, "snapshot": snapshot},
            max_steps=6,
            save_steps=2,
            learning_rate=1e-2,
            lora_rank=4,
        )
        run.catch_sigterm = lambda: None
        assert perform(name, work, run) == 0, result_of(run)
        run.close()
        made[name] = run.path
    return made


def test_it_says_what_training_said(trained, llama, sft_snapshot, make_run) -> None:
    """The same code as before and after; batches of another size move the last digits."""
    told = told_of(trained["sft"])
    inputs = {"model": llama, "snapshot": sft_snapshot}
    base = work(make_run("evaluate", inputs, "base", **SHORT))["metrics"]
    assert base["after"]["loss"] == pytest.approx(told["before"]["loss"], abs=1e-5)
    assert base["after"]["perplexity"] == pytest.approx(math.exp(told["before"]["loss"]), rel=1e-5)
    inputs["init"] = trained["sft"] / "artifact"
    after = work(make_run("evaluate", inputs, "after", **SHORT))["metrics"]
    assert after["after"]["loss"] == pytest.approx(told["after"]["loss"], abs=1e-5)
    assert told["after"]["loss"] < told["before"]["loss"] - 0.1
    assert (after["split"], after["kind"], after["task"]) == ("test", "sft", "language")
    assert after["after"]["rows"] == 3 and 0 <= after["after"]["bleu"] <= 1


def test_a_checkpoint_is_between(trained, llama, sft_snapshot, make_run) -> None:
    inputs = {"model": llama, "snapshot": sft_snapshot}
    inputs["init"] = min((trained["sft"] / "checkpoints").glob("step-*"))
    found = work(make_run("evaluate", inputs, **SHORT))["metrics"]["after"]
    told = told_of(trained["sft"])
    assert told["after"]["loss"] < found["loss"] < told["before"]["loss"]


def test_a_reward_models_checkpoint_is_known_for_one(
    trained, llama, preference_snapshot, make_run
) -> None:
    inputs = {"model": llama, "snapshot": preference_snapshot}
    inputs["init"] = max((trained["reward"] / "checkpoints").glob("step-*"))
    found = work(make_run("evaluate", inputs, "checkpoint", **SHORT))["metrics"]
    assert found["task"] == "reward" and found["after"]["pairs"] == 4
    inputs["init"] = trained["reward"] / "artifact"
    whole = work(make_run("evaluate", inputs, "artifact", **SHORT))["metrics"]
    assert whole["after"]["word_model"]["share"] == 1.0, "yes and no are told apart by words"
    assert whole["after"]["bins"] and "ece" in whole["after"]


def test_a_model_in_a_folder_named_checkpoints_is_measured(
    llama, sft_snapshot, make_run, tmp_path
) -> None:
    """Nothing says that a run of ours left it there."""
    model = shutil.copytree(llama, tmp_path / "checkpoints" / "small")
    given = {"model": model, "snapshot": sft_snapshot}
    assert work(make_run("evaluate", given, **SHORT))["metrics"]["after"]["loss"] > 0


@pytest.mark.parametrize("adaptation", ["lora", "full"])
@pytest.mark.parametrize("recipe", ["reward", "classify"])
def test_a_checkpoint_of_a_run_that_left_nothing_is_known_for_what_it_is(
    recipe, adaptation, llama, preference_snapshot, make_run, tmp_path
) -> None:
    """Cancelled, it has no artifact that says so. Taken for a language model it would be measured
    as one, on layers that were trained for a head."""
    texts = [{"text": t, "label": t[:4]} for t in ("Good, yes.", "Bad! no.")] * 8
    labels = write_snapshot(tmp_path / "labels", "labels", train=texts, test=texts[:4])
    snapshot = labels if recipe == "classify" else preference_snapshot
    given = {"model": llama, "snapshot": snapshot}
    config = {"max_steps": 4, "save_steps": 4, "learning_rate": 1e-3, "adaptation": adaptation}
    train = classify.train if recipe == "classify" else reward.train
    run = make_run(recipe, given, "cancelled", keep="last", **config)
    assert perform(recipe, train, run) == 0, result_of(run)
    told = result_of(run)["metrics"]["after"]
    shutil.rmtree(run.artifact)
    given["init"] = run.checkpoints / "step-4"
    found = work(make_run("evaluate", given, **SHORT))["metrics"]
    if recipe == "classify":
        assert found["after"]["confusion"] == told["confusion"]
    else:
        assert found["after"]["log_loss"] == pytest.approx(told["log_loss"], abs=1e-6)


def test_against_another_by_a_judge(trained, llama, sft_snapshot, make_run) -> None:
    inputs = {
        "model": llama,
        "init": trained["sft"] / "artifact",
        "snapshot": sft_snapshot,
        "reward": trained["reward"] / "artifact",
        "reward_base": llama,
        "against": llama,
    }
    run = make_run("evaluate", inputs, **SHORT)
    result = work(run)
    metrics = result["metrics"]
    lines = [
        json.loads(line) for line in (run.artifact / "answers.jsonl").read_text("utf-8").split("\n")
        if line
    ]  # fmt: skip
    assert len(lines) == 3 and lines == result["samples"]
    assert lines[0]["prompt"] == "Question 13?" and lines[0]["reference"] == SENTENCES[1]
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, b in ((line["reward"], line["reward_before"]) for line in lines)
    ]
    assert metrics["win_rate"]["share"] == pytest.approx(sum(wins) / 3)
    mean = sum(line["reward"] for line in lines) / 3
    assert metrics["after"]["reward_mean"] == pytest.approx(mean, abs=1e-3)
    assert metrics["before"]["loss"] > metrics["after"]["loss"]
    # The other way round it is another model, and nothing that a run made worse.
    turned = inputs | {"against": trained["sft"] / "artifact"}
    turned.pop("init")
    other = make_run("evaluate", turned, "turned", **SHORT)
    found = work(other)["metrics"]
    assert found["before"]["loss"] < found["after"]["loss"] and not events_of(other, "alarm")
    phases = {event["phase"] for event in events_of(run, "progress")}
    assert {"answering, it", "answering, the other one", "judging"} <= phases


def test_against_itself_is_a_draw(trained, llama, sft_snapshot, make_run) -> None:
    inputs = {"model": llama, "snapshot": sft_snapshot, "against": llama,
              "reward": trained["reward"] / "artifact", "reward_base": llama}  # fmt: skip
    metrics = work(make_run("evaluate", inputs, **SHORT))["metrics"]
    assert metrics["win_rate"]["share"] == 0.5
    assert metrics["before"] == metrics["after"]


def test_the_judges_numbers_are_the_reward_runs(trained, llama, sft_snapshot, make_run) -> None:
    """Scored by hand: raw rewards in the judge's own template, less mean, over spread."""
    inputs = {"model": llama, "snapshot": sft_snapshot,
              "reward": trained["reward"] / "artifact", "reward_base": llama}  # fmt: skip
    run = make_run("evaluate", inputs, **SHORT)
    result = work(run)
    judge = loading.load_reward(run)
    encoder = data.Encoder(judge.tokenizer, judge.max_length)
    for line in result["samples"]:
        ids = encoder.dialogue(
            [*user(line["prompt"]), {"role": "assistant", "content": line["after"]}]
        )
        raw = evaluation.rewards(judge.model, [ids], judge.tokenizer.pad_token_id)[0]
        assert line["reward"] == pytest.approx((raw - judge.mean) / judge.std, abs=1e-3)


def snapshot_of(tmp_path, kind: str, rows: list):
    return write_snapshot(tmp_path / kind, kind, train=rows, test=rows)


def test_every_kind_that_a_language_model_can_be_measured_on(llama, make_run, tmp_path) -> None:
    rows = sft_rows(4)
    thumbs = [{**row, "label": i < 2} for i, row in enumerate(rows)]
    given = {
        "prompts": [{"prompt": row["prompt"]} for row in rows],
        "text": [{"text": text} for text in SENTENCES],
        "preference": preference_rows(4),
        "unpaired": thumbs,
    }
    found = {}
    for kind, of_kind in given.items():
        snapshot = snapshot_of(tmp_path, kind, of_kind)
        assert data.kind_of(snapshot) == kind
        run = make_run("evaluate", {"model": llama, "snapshot": snapshot}, f"run-{kind}", **SHORT)
        found[kind] = work(run)["metrics"]["after"]
    assert "loss" not in found["prompts"] and "bleu" not in found["prompts"]
    assert found["prompts"]["length"] > 0 and "eos_share" in found["prompts"]
    assert found["text"]["perplexity"] > 1 and "length" not in found["text"]
    assert {"loss", "rejected_loss", "rouge_l"} <= found["preference"].keys()
    assert found["unpaired"]["rows"] == 2, "a thumb down is no reference"


def test_a_reward_model_on_thumbs(trained, llama, make_run, tmp_path) -> None:
    rows = [
        {
            "prompt": user(f"Question {i}?"),
            "completion": [{"role": "assistant", "content": text}],
            "label": text == "Good, yes.",
        }
        for i, text in enumerate(["Good, yes.", "Bad, no."] * 3)
    ]
    inputs = {"model": llama, "init": trained["reward"] / "artifact",
              "snapshot": snapshot_of(tmp_path, "unpaired", rows)}  # fmt: skip
    assert work(make_run("evaluate", inputs, **SHORT))["metrics"]["after"]["separation"] == 1.0


def test_a_classifier_and_its_checkpoint(llama, make_run, tmp_path) -> None:
    rows = [{"text": t, "label": w} for w, t in (("good", "Good, yes."), ("bad", "Bad, no."))] * 8
    odd = {"text": "Odd.", "label": "neither"}
    snapshot = write_snapshot(tmp_path / "labels", "labels", train=rows, test=[*rows[:4], odd])
    given = {"model": llama, "snapshot": snapshot}
    fitted = make_run("classify", given, "fit", max_steps=8, save_steps=4, learning_rate=1e-2)
    assert perform("classify", classify.train, fitted) == 0, result_of(fitted)
    told = result_of(fitted)["metrics"]["after"]
    for name in ("artifact", "checkpoints/step-8"):
        run = make_run("evaluate", given | {"init": fitted.path / name}, f"run-{name[:5]}", **SHORT)
        metrics = work(run)["metrics"]
        assert metrics["task"] == "classifier"
        assert metrics["after"]["confusion"] == told["confusion"]
        assert "1 of 5 rows" in events_of(run, "note")[0]["text"]
    strange = snapshot_of(tmp_path / "other", "labels", [odd])
    inputs = {"model": llama, "init": fitted.path / "artifact", "snapshot": strange}
    assert "it knows bad, good" in work(make_run("evaluate", inputs, "no", **SHORT))["reason"]
    inputs["snapshot"] = snapshot_of(tmp_path, "text", [{"text": "a"}])
    assert "not of kind text" in work(make_run("evaluate", inputs, "no2", **SHORT))["reason"]


def test_what_cannot_be_measured_is_told(trained, llama, sft_snapshot, make_run, tmp_path) -> None:
    def reason(name: str, inputs: dict, **config) -> str:
        result = work(make_run("evaluate", inputs, name, **SHORT, **config))
        assert result["state"] == "failed"
        return result["reason"]

    labels = snapshot_of(tmp_path, "labels", [{"text": "a", "label": "b"}])
    texts = snapshot_of(tmp_path, "text", [{"text": "a"}])
    judge = {"init": trained["reward"] / "artifact", "model": llama}
    assert "gives no labels" in reason("a", {"model": llama, "snapshot": labels})
    assert "not of kind text" in reason("b", judge | {"snapshot": texts})
    assert "only a language model" in reason(
        "c", judge | {"snapshot": sft_snapshot, "against": llama}
    ).lower()  # fmt: skip
    assert "try test" in reason("d", {"model": llama, "snapshot": texts}, split="validation")
    odd = {"reward": trained["reward"] / "artifact", "reward_base": llama}
    assert "no answers" in reason("e", {"model": llama, "snapshot": texts, **odd})


def test_sampling_repeats_with_its_seed_and_batches_do_not_matter(llama, make_run) -> None:
    tokenizer = load_tokenizer(str(llama))
    rows = [formats.sft(user(f"{SENTENCES[i][: 20 + i]}?"), "Yes.") for i in range(5)]
    asked = [row["prompt"] for row in rows]

    def texts(name: str, **config) -> list[str]:
        run = make_run("evaluate", {"model": llama, "snapshot": llama}, name, **SHORT, **config)
        model = loading.load_causal(str(llama), tokenizer)
        found = measuring.answer_all(
            run, parse("evaluate", run.config), model, data.Encoder(tokenizer, 64), asked,
            lambda: None, "it",
        )  # fmt: skip
        return [one.text for one in found]

    assert texts("a", temperature=1.0) == texts("b", temperature=1.0)
    assert texts("c", temperature=1.0, seed=1) != texts("d", temperature=1.0, seed=2)
    assert texts("e", batch_size=1) == texts("f", batch_size=5)


def test_it_is_stopped_where_it_is_asked_to(llama, sft_snapshot, make_run) -> None:
    run = make_run("evaluate", {"model": llama, "snapshot": sft_snapshot}, **SHORT)
    (run.path / "stop").touch()
    assert work(run)["state"] == "stopped"
