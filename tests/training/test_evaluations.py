"""Evaluations: what may be measured, how they are asked for, and what pages and API say of them."""

import json
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.errors import Refused
from tests.training.test_pages import event, page, text
from training import events, preflights, results
from training.engine import stage
from training.inputs import Checkpoint
from training.models import Run
from training.staging import staged


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def tuned(make_run):
    """An SFT run that has succeeded, with two checkpoints of which one can be loaded."""
    run = make_run(state="succeeded", result={"artifact": {"kind": "adapter", "sha256": "a" * 64}})
    run.artifact.mkdir(parents=True)
    (run.artifact / "annotune.json").write_text("{}")
    for step in (10, 20):
        folder = run.directory / "checkpoints" / f"step-{step}"
        folder.mkdir(parents=True)
        if step == 20:
            (folder / "adapter_config.json").write_text("{}")
    return run


@pytest.fixture
def judge(make_run):
    run = make_run("reward", state="succeeded", result={"artifact": {"kind": "reward_adapter"}})
    run.artifact.mkdir(parents=True)
    (run.artifact / "annotune.json").write_text("{}")
    return run


def snapshot_of(run):
    return run.inputs.get(name="snapshot").snapshot


def evaluation(make_run, run, snapshot=None, **columns):
    inputs = {"model": run, "snapshot": snapshot or snapshot_of(run)}
    return make_run("evaluate", inputs=inputs, **columns)


# What may stand where


def test_a_checkpoint_is_staged_in_the_adapters_place(make_run, tuned) -> None:
    inputs = {"model": Checkpoint(tuned, 20), "snapshot": snapshot_of(tuned)}
    run = make_run("evaluate", inputs=inputs)
    rows = {entry.name: entry for entry in staged(run.inputs.order_by("pk"))}
    assert rows["init"].path == str(tuned.directory / "checkpoints" / "step-20")
    assert rows["init"].sha256 == "", "the artifact's hash is not the checkpoint's"
    assert rows["model"].path.endswith("/tiny") and rows["init"].is_local
    assert run.inputs.get(name="init").source == tuned, "the lineage is kept"
    assert run.name == f"Evaluation of run {tuned.pk}, step 20, on Support sft v1"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_checkpoint_of_a_run_that_came_to_nothing(lee, tuned, asked, state) -> None:
    Run.objects.filter(pk=tuned.pk).update(state=state, result={})
    shown = text(page(lee, tuned))
    assert "its checkpoint of step 20" in shown and "what it left" not in shown
    snapshot = snapshot_of(tuned).pk
    ask(lee, tuned, snapshot=snapshot, weights="20")
    run = Run.objects.get(recipe="evaluate")
    assert run.state == "queued"
    stage(run, run.directory, run.inputs.order_by("pk"))
    assert (run.directory / "inputs" / "init" / "adapter_config.json").is_file()
    refused = ask(lee, tuned, snapshot=snapshot)
    assert refused.status_code == 422 and "nothing to start from" in text(refused)


@pytest.mark.parametrize("step", [10, 30])
def test_a_checkpoint_that_is_none(make_run, tuned, step) -> None:
    inputs = {"model": Checkpoint(tuned, step), "snapshot": snapshot_of(tuned)}
    with pytest.raises(Refused, match=f"keeps no checkpoint of step {step}"):
        make_run("evaluate", inputs=inputs)


def test_nothing_is_built_on_a_checkpoint(make_run, tuned) -> None:
    with pytest.raises(Refused, match="measured, not built on"):
        make_run("sft", inputs={"init": Checkpoint(tuned, 20), "snapshot": snapshot_of(tuned)})


def test_a_reward_model_is_measured_but_not_built_on(make_run, judge, freeze) -> None:
    assert evaluation(make_run, judge).state == "queued"
    with pytest.raises(Refused, match="run .* is Reward model"):
        make_run("sft", inputs={"model": judge, "snapshot": freeze("sft")})


def test_any_kind_of_snapshot_is_measured_on(make_run, tuned, freeze) -> None:
    for kind in ("preference", "text", "prompts", "labels", "unpaired"):
        assert evaluation(make_run, tuned, freeze(kind)).state == "queued"


def test_the_other_one_comes_with_its_base(make_run, tuned, judge) -> None:
    inputs = {"model": "tiny", "against": tuned, "reward": judge, "snapshot": snapshot_of(tuned)}
    run = make_run("evaluate", inputs=inputs)
    rows = {entry.name: entry for entry in staged(run.inputs.order_by("pk"))}
    assert rows["against"].path == str(tuned.artifact)
    assert rows["against_base"].path.endswith("/tiny")
    assert rows["reward_base"].path.endswith("/tiny")
    inputs = {"model": tuned, "against": "tiny", "snapshot": snapshot_of(tuned)}
    rows = {e.name for e in staged(make_run("evaluate", inputs=inputs).inputs.order_by("pk"))}
    assert "against" in rows and "against_base" not in rows
    with pytest.raises(Refused, match="“against” takes"):
        make_run("evaluate", inputs={"model": tuned, "against": judge,
                                     "snapshot": snapshot_of(tuned)})  # fmt: skip


def test_half_of_the_blocks_leaves_a_whole_model(make_run, freeze) -> None:
    half = make_run(config={"adaptation": "half"}, state="succeeded")
    run = make_run("evaluate", inputs={"model": half, "snapshot": freeze("sft")})
    assert [row.name for row in run.inputs.exclude(name="snapshot")] == ["model"]


# From a run's page


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """What the preflight finds."""
    found: dict[str, Any] = {"ok": True}
    monkeypatch.setattr(preflights, "_ask", lambda *_: found)
    return found


def test_what_the_preflight_refuses_is_not_measured(lee, tuned, freeze, asked) -> None:
    asked |= {"ok": False, "refusals": ["There are no test rows."]}
    answer = ask(lee, tuned, snapshot=snapshot_of(tuned).pk)
    assert answer.status_code == 422 and "There are no test rows." in text(answer)
    snapshot = freeze("preference", name="Pairs")
    data = {"recipe": "evaluate", "evaluate-snapshot": snapshot.pk, "evaluate-preset": "quick",
            "evaluate-model": f"run-{tuned.pk}"}  # fmt: skip
    answer = lee.post(reverse("training:start", args=[snapshot.dataset.pk]), data)
    assert answer.status_code == 422 and "There are no test rows." in text(answer)
    assert not Run.objects.filter(recipe="evaluate").exists()


def ask(client, run, **fields):
    data = {"evaluate-preset": "quick"} | {f"evaluate-{k}": v for k, v in fields.items()}
    return client.post(reverse("training:run_evaluate", args=[run.pk]), data)


def test_a_model_is_measured_from_its_page(lee, tuned, judge, base) -> None:
    shown = text(page(lee, tuned))
    for words in ("Evaluate this model", "its checkpoint of step 20", "Support sft v1"):
        assert words in shown
    assert "checkpoint of step 10" not in shown, "it cannot be loaded"
    assert 'hx-target="closest .verdict" hx-select="unset"' in shown
    assert f'<option value="path-{base}" selected>' in shown, "what it started from"
    answer = ask(lee, tuned, snapshot=snapshot_of(tuned).pk, weights="20",
                 against=f"path-{base}", reward=f"run-{judge.pk}", eval_rows="7")  # fmt: skip
    run = Run.objects.get(recipe="evaluate")
    assert answer.url == reverse("training:run", args=[run.pk])
    assert run.config["eval_rows"] == 7
    assert set(run.inputs.values_list("name", flat=True)) == {
        "model", "init", "snapshot", "reward", "against"
    }  # fmt: skip
    again = text(page(lee, tuned))
    assert f"/runs/{run.pk}/" in again and "step 20" in again


def test_what_is_wrong_is_told_beside_it(lee, tuned, freeze, cast) -> None:
    theirs = freeze("sft", workspace=cast.other, name="Theirs")
    labels = freeze("labels")
    for fields in ({"snapshot": theirs.pk}, {"snapshot": labels.pk},
                   {"snapshot": snapshot_of(tuned).pk, "weights": "10"},
                   {"snapshot": snapshot_of(tuned).pk, "eval_rows": "none"}):  # fmt: skip
        answer = ask(lee, tuned, **fields)
        assert answer.status_code == 422 and "errorlist" in text(answer)
        assert '<div class="train"><details open>' in text(answer)
    assert not Run.objects.filter(recipe="evaluate").exists()


def test_a_reward_model_is_offered_what_it_can_judge(lee, judge, freeze) -> None:
    freeze("sft", name="Answers")
    freeze("labels", name="Kinds")
    shown = text(page(lee, judge))
    assert "Answers v1" in shown and "Kinds v1" not in shown
    assert "evaluate-against" not in shown and "evaluate-reward" not in shown


def test_a_run_without_a_model_is_not_measured(lee, make_run) -> None:
    failed = make_run(state="failed")
    assert "Evaluate this model" not in text(page(lee, failed))
    assert ask(lee, failed, snapshot=snapshot_of(failed).pk).status_code == 302
    assert not Run.objects.filter(recipe="evaluate").exists()


# What is shown


WON = {
    "metrics": {
        "before": {"loss": 2.5, "bleu": 0.1, "length": 9.0},
        "after": {"loss": 1.5, "bleu": 0.25, "length": 12.0, "rows": 20},
        "win_rate": {"share": 0.7, "low": 0.55, "high": 0.82},
        "split": "validation",
    },
    "samples": [{"prompt": "Why?", "before": "No.", "after": "Yes.", "reference": "Since.",
                 "reward": 0.5, "reward_before": -0.25}],
    "artifact": {"kind": "evaluation", "sha256": ""},
}  # fmt: skip


def test_an_evaluations_page(lee, make_run, tuned) -> None:
    run = evaluation(make_run, tuned, state="succeeded", result=WON)
    shown = text(page(lee, run))
    for words in ("the other one", "70 %", "55 to 82 %", "It wins more often", "0.25", "BLEU",
                  "20 rows of the validation split", "Since.", "reward -0.25",
                  "answers.jsonl", "measures", "measured on"):  # fmt: skip
        assert words in shown, words
    assert "The model</h2>" not in shown and "Evaluate this model" not in shown
    assert "wins 70 %" in text(lee.get(reverse("training:runs", args=["acme"])))


def test_a_judge_that_trained_the_policy_is_told(lee, make_run, tuned, judge, freeze) -> None:
    policy = make_run("ppo", inputs={"init": tuned, "reward": judge, "snapshot": freeze("prompts")},
                      state="succeeded", result={})  # fmt: skip
    common = {"snapshot": snapshot_of(tuned), "against": tuned}
    own = make_run("evaluate", inputs={"model": policy, "reward": judge, **common},
                   state="succeeded", result=WON)  # fmt: skip
    assert "The judge is the reward model that trained this model" in text(page(lee, own))
    other = make_run("evaluate", inputs={"model": tuned, "reward": judge, **common},
                     state="succeeded", result=WON)  # fmt: skip
    assert "The judge is the reward model" not in text(page(lee, other))


def test_numbers_stand_side_by_side_on_run_dataset_and_snapshot(lee, make_run, tuned) -> None:
    snapshot = snapshot_of(tuned)
    made = [
        evaluation(make_run, tuned, state="succeeded",
                   result={"metrics": {"after": {"loss": loss, "rouge_l": 0.321}}})
        for loss in (1.11, 2.22)
    ]  # fmt: skip
    for address in (
        reverse("training:run", args=[tuned.pk]),
        reverse("training:snapshot_panel", args=[snapshot.pk]),
        reverse("training:dataset_panel", args=[snapshot.dataset.pk]),
    ):
        shown = text(lee.get(address))
        for words in ("1.11", "2.22", "ROUGE-L", f"/runs/{made[0].pk}/"):
            assert words in shown, (address, words)


def test_alarms_stand_at_the_top_each_once(lee, make_run) -> None:
    run = make_run(state="running", started=timezone.now(), heartbeat=timezone.now())
    for seq, code in enumerate(["coin", "coin", "eos", "crash"]):
        event(run, seq, "alarm", 10 + seq, code=code, text=f"Alarm <b> {code} {seq}.")
    shown = text(page(lee, run))
    top = shown.partition("What happened")[0]
    assert "Step 10.</b> Alarm <b> coin 0." in top and "eos 2." in top
    assert "coin 1." not in top and "crash" not in top
    event(run, 9, "alarm", 0, code="worse", text="It is worse than before.")
    assert "It is worse than before." in text(page(lee, run)), "said at the end, of no step"
    assert "Step 0" not in text(page(lee, run))
    assert "Alarm &lt;b&gt; coin 0." in page(lee, run).content.decode()


def test_which_weights_were_kept_and_why_it_ended(lee, make_run) -> None:
    kept = {"step": 40, "metric": "eval_loss", "value": 1.2345}
    run = make_run(state="succeeded",
                   result={"kept": kept, "reason": "No better one at 3 looks."})  # fmt: skip
    event(run, 1, "note", 40, text="Kept are the weights of step 40.", code="kept")
    event(run, 2, "note", 40, text="A note without a code.")
    shown = text(page(lee, run))
    assert shown.count("Kept are the weights") == 1 and "A note without a code." in shown
    assert "Kept are the weights of step 40" in shown and "(loss 1.23)" in shown
    assert "It ended early. No better one at 3 looks." in shown
    Run.objects.filter(pk=run.pk).update(state="failed", result={"state": "failed"})
    assert text(page(lee, run)).count("Kept are the weights") == 1, "else nothing says it"


AHEAD = {"share": 0.6, "low": 0.5, "high": 0.7}


@pytest.mark.parametrize(
    ("ahead", "prompts", "said"),
    [
        ((0.031, -0.01, 0.07), 50, "ahead by 3.1 points [−1, 7]: not shown"),
        ((0.031, 0.01, 0.07), 50, "better by 3.1 points [1, 7]"),
        ((-0.2, -0.3, -0.1), 50, "worse by 20.0 points [−30, −10]"),
        ((0.5, 0.4, 0.6), 4, "ahead by 50.0 points [40, 60]: too few prompts to say"),
    ],
)
def test_a_lead_in_words(lee, make_run, ahead, prompts, said) -> None:
    named = dict(zip(("mean", "low", "high"), ahead, strict=True))
    after = {"accuracy": 0.63, "prompts": prompts, "longer_wins": AHEAD | {"ahead": named}}
    run = make_run("reward", state="succeeded", result={"metrics": {"after": after}})
    shown = text(page(lee, run))
    assert f">{said}<" in shown and "the longer answer wins" in shown


def test_a_classifiers_page(lee, make_run) -> None:
    classes = [
        {"name": "<i>no", "rows": 3, "precision": 0.5, "recall": 0.75, "f1": 0.6},
        {"name": "yes", "rows": 2, "precision": 0.4, "recall": 0.25, "f1": 0.31},
    ]
    after = {"accuracy": 0.6, "low": 0.4, "high": 0.8, "rows": 5, "macro_f1": 0.455,
             "most_common": 0.6, "classes": classes, "confusion": [[2, 1], [1, 1]]}  # fmt: skip
    run = make_run(state="succeeded", result={"metrics": {"after": after}})
    raw = page(lee, run).content.decode()
    assert "&lt;i&gt;no" in raw and "<i>no" not in raw
    shown = text(page(lee, run))
    for words in ("Label by label", "0.31", "always the most common label", "not shown",
                  '<td class="n right">2</td><td class="n wrong">1</td>'):  # fmt: skip
        assert words in shown, words


def test_calibration_is_drawn_and_said(make_run) -> None:
    def said(sure: float, right: float) -> str:
        bins = [{"low": 0.8, "high": 0.9, "sure": sure, "right": right, "pairs": 10}]
        run = make_run("reward", state="succeeded", result={"metrics": {"after": {"bins": bins}}})
        found = results.calibration(run)
        assert f"{sure:.0%} sure, {right:.0%} right" in found["svg"]
        return found["said"]

    assert "too sure: by 20 points" in said(0.85, 0.65)
    assert "as sure as it is right" in said(0.85, 0.84)
    assert "more often than it is sure: by 10 points" in said(0.85, 0.95)


@pytest.mark.parametrize(
    "after",
    [
        {"bins": [{"sure": "x"}, 3], "classes": [1], "confusion": [[1]], "longer_wins": 3},
        {"classes": [{"name": None}], "confusion": [["a", None]], "most_common": "x"},
        {"longer_wins": {"share": 0.5, "ahead": {"mean": None}}, "prompts": "many"},
    ],
)
def test_strange_numbers_are_shown_all_the_same(lee, make_run, tuned, after) -> None:
    result = events.clean({"metrics": {"after": after, "win_rate": [1]}, "kept": "best"})
    run = evaluation(make_run, tuned, state="succeeded", result=result)
    assert page(lee, run).status_code == 200
    assert page(lee, tuned).status_code == 200


# The dataset's panel


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        ("sft", ["SFT", "Evaluation"]),
        ("preference", ["Reward model", "DPO", "Evaluation"]),
        ("unpaired", ["KTO", "Evaluation"]),
        ("text", ["Pre-training", "Evaluation"]),
        ("labels", ["Classifier", "Evaluation"]),
        ("prompts", ["PPO", "Evaluation"]),
    ],
)
def test_a_kind_offers_its_recipes(lee, freeze, judge, base, kind, titles) -> None:
    url = reverse("training:dataset_panel", args=[freeze(kind, name="Mine").dataset.pk])
    shown = text(lee.get(url))
    tabs = shown.partition('<nav class="row tabs"')[2].partition("</nav>")[0]
    assert [title for title in titles if f">{title}</a>" in tabs] == titles
    assert tabs.count("<a ") == len(titles)


def test_a_recipe_is_chosen_and_its_own_knobs_come_first(lee, freeze, tuned, base) -> None:
    url = reverse("training:dataset_panel", args=[freeze("preference").dataset.pk])
    shown = text(lee.get(url, {"recipe": "dpo"}))
    assert 'name="recipe" value="dpo"' in shown and "without a reward model" in shown
    assert shown.index('name="dpo-beta"') < shown.index('name="dpo-lora_rank"')
    own, _, shared = shown.partition('<details class="bare">')
    assert 'name="dpo-beta"' in own and 'name="dpo-learning_rate"' in shared
    assert f'value="run-{tuned.pk}"' in own, "an SFT run to start from"
    assert 'name="recipe" value="reward"' in text(lee.get(url, {"recipe": "sft"}))


def test_an_evaluation_is_started_from_the_panel(lee, freeze, tuned, judge, sent, cast) -> None:
    snapshot = freeze("preference", name="Pairs")
    data = {"recipe": "evaluate", "evaluate-snapshot": snapshot.pk, "evaluate-preset": "quick",
            "evaluate-model": f"run-{judge.pk}"}  # fmt: skip
    url = reverse("training:start", args=[snapshot.dataset.pk])
    answer = lee.post(url, data, headers={"HX-Request": "true"})
    run = Run.objects.get(recipe="evaluate")
    assert answer["HX-Redirect"] == reverse("training:run", args=[run.pk])
    assert run.config["eval_rows"] == 12 and run.created_by == cast.lee


# The API


def test_evaluations_for_programs(client, lee, cast, tuned, judge) -> None:
    snapshot = snapshot_of(tuned)
    body = {"recipe": "evaluate", "preset": "quick", "config": {"eval_rows": 3},
            "inputs": {"init": f"{tuned.pk}@20", "snapshot": str(snapshot.pk),
                       "reward": str(judge.pk), "against": "tiny"}}  # fmt: skip
    url = reverse("api-runs", args=["acme"])
    made = lee.post(url, json.dumps(body), content_type="application/json")
    assert made.status_code == 202, made.content
    rows = {row["name"]: row for row in made.json()["inputs"]}
    assert rows["init"]["source"] == tuned.pk and rows["init"]["path"].endswith("step-20")
    for address, pk in (("api-run-evaluations", tuned.pk), ("api-snapshot-evaluations",
                                                            snapshot.pk)):  # fmt: skip
        found = lee.get(reverse(address, args=[pk])).json()["results"]
        assert [row["id"] for row in found] == [made.json()["id"]]
    body["inputs"]["init"] = f"{tuned.pk}@10"
    wrong = lee.post(url, json.dumps(body), content_type="application/json")
    assert wrong.status_code in (400, 409, 422) and "keeps no checkpoint" in wrong.content.decode()


def test_who_may_measure(check_roles, tuned) -> None:
    url = reverse("training:run_evaluate", args=[tuned.pk])
    check_roles(url, at_least="lead", method="post")
