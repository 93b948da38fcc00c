"""The pages of runs and the panels on other pages: they work, show errors, and act."""

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import importing
from annotation.records import Record
from training import events, moves, preflights, results, run_charts
from training.forms import ConfigForm
from training.models import Preflight, Run, RunEvent
from training.recipes.configs import parse

FOUND = {
    "ok": True,
    "refusals": [],
    "warnings": ["3 % of the rows are cut."],
    "rows": {"train": 8, "validation": 1, "test": 4},
    "lengths": {"edges": [0, 32, 64], "counts": [5, 3]},
    "truncated_share": 0.03,
    "untrainable_rows": 0,
    "samples": [
        {
            "which": "longest",
            "row": 3,
            "texts": [{"parts": [["<|user|>Why?", ""], ["Because <b>.", "trained"]], "tokens": 9}],
        }
    ],
    "memory": {"needed_mib": 2048, "available_mib": 16000},
    "steps": 30,
    "seconds_estimate": 200,
    "trainable_share": 0.018,
}


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def asked(monkeypatch):
    """What the preflight finds, and how often it was asked."""
    found = {"says": FOUND, "times": 0}

    def ask(*_):
        found["times"] += 1
        return found["says"]

    monkeypatch.setattr(preflights, "_ask", ask)
    return found


def event(run, seq: int, kind: str, step: int = 0, **data) -> None:
    RunEvent.objects.create(
        run=run, attempt=run.attempt, seq=seq, time=timezone.now(), kind=kind, step=step, data=data
    )


def text(response) -> str:
    return html.unescape(response.content.decode())


@pytest.fixture
def working(make_run):
    run = make_run(state="running", started=timezone.now(), heartbeat=timezone.now(),
                   step=12, total=30, phase="training", seconds_left=130)  # fmt: skip
    for step in range(1, 13):
        event(run, step, "metrics", step, values={"loss": 4 / step, "odd_name": step})
    event(run, 90, "log", tail="line one\n<script>alert(1)</script>")
    moves.note(run, "The worker died at 12:03:00 UTC; the run went on.", code="adopted")
    event(run, 91, "sample", 10, prompt="Why <i>?", text="Because <b>.")
    return run


@pytest.fixture
def finished(make_run):
    return make_run(
        state="succeeded",
        result={
            "metrics": {
                "before": {"loss": 2.5, "token_accuracy": 0.4, "rows": 12},
                "after": {"loss": 1.25, "token_accuracy": 0.6, "rows": 12},
                "split": "test",
            },
            "samples": [{"prompt": "Why <i>?", "before": "No <b>.", "after": "Yes."}],
            "artifact": {"kind": "adapter", "sha256": "ab" * 32},
            "trainable_share": 0.018,
        },
    )


def page(client, run):
    return client.get(reverse("training:run", args=[run.pk]))


def test_a_working_run(lee, working) -> None:
    shown = text(page(lee, working))
    for words in ("running", "12 of 30", "2 min left", "every 2s", "The worker died at 12:03:00"):
        assert words in shown
    assert '<svg class="chart"' in shown and "Odd name" in shown
    raw = page(lee, working).content.decode()
    assert "<script>alert" not in raw and "&lt;script&gt;alert" in raw
    assert "<b>." not in raw and "Because &lt;b&gt;." in raw


def test_it_polls_until_it_has_ended_and_then_loads_anew(lee, working) -> None:
    url = reverse("training:run_live", args=[working.pk])
    first = lee.get(url)
    assert "HX-Refresh" not in first and f'hx-get="{url}"' in text(first)
    Run.objects.update(state="failed", reason="The disk is full.", finished=timezone.now())
    last = lee.get(url)
    assert last["HX-Refresh"] == "true" and "hx-get" not in text(last)
    assert "The disk is full." in text(last)


def test_a_finished_run(lee, finished) -> None:
    shown = text(page(lee, finished))
    for words in ("2.5", "1.25", "better", "12 rows of the test split", str(finished.artifact),
                  "LoRA (1.8 % of parameters)", "Let it answer"):  # fmt: skip
        assert words in shown
    assert "every 2s" not in shown and "Cancel" not in shown


def test_an_accuracy_within_the_interval_gets_no_verdict(make_run) -> None:
    def verdict(low: float) -> str:
        after = {"accuracy": 0.7, "low": low, "high": 0.8, "pairs": 20}
        result = {"metrics": {"before": {"accuracy": 0.5}, "after": after}}
        return results.table(make_run("reward", state="succeeded", result=result))[0]["better"]

    assert verdict(low=0.6) == "better"
    assert verdict(low=0.4) == ""


def test_ppo_is_judged_by_its_objective(make_run, freeze) -> None:
    inputs = {"model": "tiny", "snapshot": freeze("prompts")}
    rule = {"rule": "length", "rule_value": "5-30"}
    metrics = {
        "before": {"objective": 0.25, "reward_mean": 0.5, "rows": 16},
        "after": {"objective": 0.125, "reward_mean": 0.75, "rows": 16},
    }
    columns = {"state": "succeeded", "result": {"metrics": metrics}}
    run = make_run("ppo", inputs=inputs, config=rule, **columns)
    found = {row["label"]: row["better"] for row in results.table(run)}
    assert found == {"Objective: reward less penalty and price of KL": "worse", "Mean reward": ""}
    assert results.headline(run) == "objective 0.25 → 0.125"


def test_accuracy_stands_beside_longer_wins(lee, make_run) -> None:
    wins = {"share": 0.66, "low": 0.6, "high": 0.72}
    after = {"accuracy": 0.71, "low": 0.65, "high": 0.77, "pairs": 40, "longer_wins": wins}
    before = after | {"accuracy": 0.5, "low": 0.43, "high": 0.57}
    run = make_run("reward", state="succeeded",
                   result={"metrics": {"before": before, "after": after}})  # fmt: skip
    shown = text(page(lee, run))
    assert "0.71 (0.65 to 0.77)" in shown and "0.50 (0.43 to 0.57)" in shown
    assert "the longer answer wins" in shown and "0.66 (0.60 to 0.72)" in shown
    assert "40 pairs of the test split" in shown


@pytest.mark.parametrize(
    "result",
    [
        {"metrics": {"before": None, "after": {"loss": "high"}}, "samples": "none"},
        {"metrics": {"after": {"accuracy": None, "longer_wins": 3}}, "samples": [None, {}]},
        {"artifact": {"kind": None}, "trainable_share": "x", "delivered": {}},
    ],
)
def test_a_strange_result_is_shown_all_the_same(lee, make_run, result) -> None:
    run = make_run(state="succeeded", result=events.clean(result))
    assert page(lee, run).status_code == 200
    assert lee.get(reverse("training:runs", args=["acme"])).status_code == 200


def test_a_waiting_run_says_for_whom(lee, make_run, freeze) -> None:
    first = make_run()
    second = make_run(inputs={"init": first, "snapshot": freeze("sft")})
    shown = text(page(lee, second))
    assert f"run {first.pk}" in shown and "begins by itself" in shown


def test_a_queued_run_says_how_many_come_before_it(lee, make_run) -> None:
    make_run(state="running")
    make_run()
    last = make_run()
    assert "2 runs are before it" in text(page(lee, last))
    assert "2 before it" in text(lee.get(reverse("training:runs", args=["acme"])))


def test_lists_ask_the_database_no_more_for_more_rows(lee, make_run, finished) -> None:
    url = reverse("training:runs", args=["acme"])
    panel = reverse(
        "training:dataset_panel", args=[finished.inputs.get(name="snapshot").snapshot.dataset_id]
    )

    def queries(page: str) -> int:
        with CaptureQueriesContext(connection) as found:
            assert lee.get(page).status_code == 200
        return len(found)

    def more() -> None:
        inputs = {"model": finished, "snapshot": finished.inputs.get(name="snapshot").snapshot}
        make_run("evaluate", inputs=inputs, state="succeeded")
        make_run()

    more()
    few = queries(url), queries(panel)
    for _ in range(4):
        more()
    assert (queries(url), queries(panel)) == few


def test_what_a_runs_own_preflight_remarked(lee, working) -> None:
    """It waited for others: nobody saw its preflight before it began."""
    event(working, 92, "note", text="3 of 8 rows <b>will be cut.", code="preflight")
    event(working, 93, "note", text="It was sent SIGTERM.", code="term")
    shown = page(lee, working).content.decode()
    assert "What its preflight remarked" in shown
    assert shown.count("3 of 8 rows &lt;b&gt;will be cut.") == 1, "and not once more in its story"
    assert "It was sent SIGTERM." in shown


def test_what_it_is_at_before_it_says_how_far_it_is(lee, make_run) -> None:
    run = make_run(state="running", heartbeat=timezone.now())
    for phase, words in (("", "loading the libraries"), ("loading", "loading the model and the r"),
                         ("preflight", "looking at the rows first")):  # fmt: skip
        Run.objects.update(phase=phase)
        for url in (reverse("training:run", args=[run.pk]), reverse("training:runs", args=["acme"]),
                    reverse("training:home_panel", args=["acme"])):  # fmt: skip
            assert words in text(lee.get(url))


def test_a_head_of_zeros_is_sure_of_nothing_and_not_better_calibrated(make_run) -> None:
    metrics = {"before": {"ece": 0.0, "log_loss": 0.69}, "after": {"ece": 0.08, "log_loss": 0.6}}
    run = make_run("reward", state="succeeded", result={"metrics": metrics})
    found = {row["label"]: row["better"] for row in results.table(run)}
    assert found == {"Log loss of the pairs": "better", "Calibration error": ""}


def test_every_state_has_a_page(lee, make_run) -> None:
    for state in Run.State:
        run = make_run(state=state, reason="Because." if state in Run.ENDED else "")
        assert state in text(page(lee, run))


def test_a_range_of_one_number_is_none(make_run) -> None:
    """10.81 and 10.84 are both written 10.8: “10.8 to 10.8” says nothing."""
    run = make_run(state="running")
    for step, loss in enumerate((10.81, 10.84), 1):
        event(run, step, "metrics", step, values={"loss": loss, "odd": step})
    found = {each["title"]: each["legend"][0]["range"] for each in run_charts.drawn(run)}
    assert found["Loss"] == "" and found["Odd"] == "1 to 2"


def test_superseded_points_are_not_drawn(lee, working) -> None:
    working.events.filter(step__gt=6, kind="metrics").update(superseded=True)
    shown = text(page(lee, working))
    assert "at step 6" in shown and "at step 7" not in shown


def test_a_long_history_is_thinned(lee, make_run, django_assert_max_num_queries) -> None:
    run = make_run(state="running", started=timezone.now(), heartbeat=timezone.now())
    RunEvent.objects.bulk_create(
        RunEvent(run=run, attempt=1, seq=n, time=timezone.now(), kind="metrics", step=n,
                 data={"values": {"loss": 1.0}})
        for n in range(1, 9000)
    )  # fmt: skip
    with django_assert_max_num_queries(30):
        response = page(lee, run)
    assert len(response.content) < 100_000


def test_the_list(lee, working, finished, client) -> None:
    url = reverse("training:runs", args=["acme"])
    shown = text(lee.get(url))
    assert "loss 2.5 → 1.25" in shown and "2 min left" in shown and "every 3s" in shown
    fragment = text(lee.get(url, headers={"HX-Request": "true"}))
    assert "<html" not in fragment and "loss 2.5" in fragment


def test_an_empty_list_says_what_to_do(lee) -> None:
    assert "open a dataset, freeze it" in text(lee.get(reverse("training:runs", args=["acme"])))


def test_cancel_and_resume(lee, working) -> None:
    lee.post(reverse("training:run_cancel", args=[working.pk]))
    working.refresh_from_db()
    assert working.state == "stopping"
    shown = text(page(lee, working))
    assert "as soon as the step that it is at is done" in shown and "min left" not in shown
    Run.objects.update(state="cancelled", finished=timezone.now())
    refused = lee.post(reverse("training:run_resume", args=[working.pk]), follow=True)
    assert "left nothing to resume from" in text(refused)
    (working.directory / "checkpoints" / "step-10").mkdir(parents=True)
    assert "Resume" in text(page(lee, working))
    lee.post(reverse("training:run_resume", args=[working.pk]))
    working.refresh_from_db()
    assert (working.state, working.attempt) == ("queued", 2)


def test_the_home_panel(lee, working) -> None:
    url = reverse("training:home_panel", args=["acme"])
    assert working.name in text(lee.get(url)) and "every 3s" in text(lee.get(url))
    Run.objects.update(state="succeeded")
    assert "every 3s" not in text(lee.get(url))


@pytest.fixture
def panel(lee, freeze, base, sent):
    """The Train panel of an SFT dataset: (url name) -> response, with fields as given."""
    snapshot = freeze("sft")

    def post(name: str, **fields):
        data = {"sft-snapshot": snapshot.pk, "sft-model": f"path-{base}", "sft-preset": "quick"}
        known = {"known": "1"} if fields.pop("known", "") else {}
        data |= known | {f"sft-{key}": value for key, value in fields.items()}
        url = reverse(f"training:{name}", args=[snapshot.dataset.pk])
        return lee.post(url, data, headers={"HX-Request": "true"})

    post.dataset = snapshot.dataset
    return post


def test_the_panel_offers_what_there_is(lee, panel, finished) -> None:
    shown = text(lee.get(reverse("training:dataset_panel", args=[panel.dataset.pk])))
    for words in ("Support sft v1", "tiny", finished.name, "learning rate", "Peak learning rate",
                  "RLHF", "missing in this workspace: preference, prompts"):  # fmt: skip
        assert words in shown
    assert 'placeholder="30"' in shown, "the quick preset's steps"
    assert 'placeholder="0.0002; all weights 2e-05"' in shown


def test_an_address_leads_to_its_recipe(lee, freeze, base) -> None:
    """What a tab writes into the address, a reload, the back button and another tab go by."""
    dataset = freeze("preference").dataset
    url = reverse("exports:dataset", args=[dataset.pk])
    panel = reverse("training:dataset_panel", args=[dataset.pk])
    assert f'hx-replace-url="{url}?recipe=dpo"' in text(lee.get(panel))
    assert f'hx-get="{panel}?recipe=dpo"' in text(lee.get(url, {"recipe": "dpo"}))
    assert f'hx-get="{panel}"' in text(lee.get(url))


def test_an_evaluations_preflight_speaks_of_no_learning(lee, freeze, base, sent, asked) -> None:
    snapshot = freeze("sft")
    data = {"recipe": "evaluate", "evaluate-snapshot": snapshot.pk, "evaluate-preset": "quick"}
    data["evaluate-model"] = f"path-{base}"
    url = reverse("training:preflight", args=[snapshot.dataset.pk])
    shown = text(lee.post(url, data))
    assert "<mark>measured</mark>" in shown and "learned" not in shown


def test_a_folder_without_weights_is_not_offered(lee, panel, base) -> None:
    url = reverse("training:dataset_panel", args=[panel.dataset.pk])
    assert "path-" in text(lee.get(url))
    (base / "model.safetensors").unlink()
    assert "path-" not in text(lee.get(url)) and "Get the small model" in text(lee.get(url))


def test_a_resumed_run_says_from_which_step_it_goes_on(lee, working) -> None:
    Run.objects.update(attempt=2, phase="evaluating before")
    assert "it goes on from step 12" in text(page(lee, working))
    Run.objects.update(phase="training")
    assert "goes on from step" not in text(page(lee, working)).partition("What happened")[0]


def test_a_dataset_that_is_not_frozen(lee, panel) -> None:
    panel.dataset.snapshots.update(state="failed")
    shown = text(lee.get(reverse("training:dataset_panel", args=[panel.dataset.pk])))
    assert "Freeze this dataset" in shown and "Start" not in re.findall(r"<button.*?>(.*?)<", shown)


def test_no_base_model_yet(lee, panel, base, cast) -> None:
    (base / "config.json").unlink()
    url = reverse("training:dataset_panel", args=[panel.dataset.pk])
    assert "Get the small model" in text(lee.get(url))
    lee.post(reverse("training:get_model", args=["acme"]))
    run = Run.objects.get(recipe="convert")
    assert f"run {run.pk}" in text(lee.get(url))


def test_preflight_shows_what_it_found(panel, asked) -> None:
    shown = text(panel("preflight"))
    for words in ("It can start.", "3 % of the rows are cut.", "8 / 1 / 4", "30", "2.0 GB of",
                  "<mark>Because <b>.</mark>", '<svg class="chart"'):  # fmt: skip
        assert words in shown
    assert not Run.objects.exists()


def test_start_goes_to_the_runs_page(panel, asked, cast) -> None:
    response = panel("start", learning_rate="1e-3")
    run = Run.objects.get()
    assert response["HX-Redirect"] == reverse("training:run", args=[run.pk])
    assert (run.config["learning_rate"], run.config["max_steps"]) == (1e-3, 30)
    assert run.created_by == cast.lee and asked["times"] == 1


@pytest.mark.parametrize(("more", "rate"), [({}, 1e-5), ({"learning_rate": "3e-5"}, 3e-5)])
def test_all_weights_learn_at_a_rate_of_their_own(more, rate) -> None:
    given = {"preset": "quick", "adaptation": "full"} | more
    form = ConfigForm({f"ppo-{name}": value for name, value in given.items()}, recipe="ppo")
    assert form.is_valid()
    assert parse("ppo", form.cleaned_data["config"]).learning_rate == rate


def test_a_refusal_of_the_preflight_blocks_the_start(panel, asked) -> None:
    asked["says"] = FOUND | {"ok": False, "refusals": ["No row has a trainable token."]}
    response = panel("start")
    assert response.status_code == 422 and "No row has a trainable token." in text(response)
    assert not Run.objects.exists()


def test_the_page_says_how_many_come_before_it(panel, asked, worker) -> None:
    worker.clear()
    panel("preflight", max_length="64")
    shown = text(panel("preflight"))
    assert "waiting for a worker, 1 preflight before it" in shown
    Preflight.objects.update(heartbeat=timezone.now() - timedelta(minutes=2))
    shown = text(panel("preflight", known="1"))
    assert "No worker has taken it up" in shown and "that takes preflights" in shown


def test_a_preflight_is_followed_and_start_comes_after_it(panel, asked, worker) -> None:
    """A page that answers at once; what a worker says; and what another setting has to do with."""
    worker.clear()  # no worker
    shown = text(panel("preflight"))
    assert "waiting for a worker" in shown and "every 1s" in shown
    assert ">Start<" not in shown and asked["times"] == 0
    mine = Preflight.objects.all()
    mine.update(state="running", phase="counting tokens", step=200, total=500,
                worker="elsewhere:1:1.00:x", heartbeat=timezone.now())  # fmt: skip
    shown = text(panel("preflight", known="1"))
    assert "counting tokens …" in shown and 'value="200"' in shown and "<form" not in shown
    assert panel("start").status_code == 200 and not Run.objects.exists(), "not before it is done"

    other = text(panel("preflight", known="1", max_length="64"))
    assert "counting tokens" not in other and "every 1s" not in other, "of other settings"
    assert mine.count() == 1, "a look at what is known asks for nothing"

    mine.update(heartbeat=timezone.now() - timedelta(minutes=2))
    lost = text(panel("preflight", known="1"))
    assert "The worker that looked is gone." in lost and "Ask again" in lost
    assert "every 1s" not in lost
    mine.update(state="passed", found=FOUND, computed=timezone.now())
    done = text(panel("preflight", known="1"))
    assert ">Start<" in done and "It can start." in done and "every 1s" not in done
    assert "input from:closest form" in done, "another setting asks what is known of it"
    assert panel("start")["HX-Redirect"] and Run.objects.count() == 1


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        ("length", "", "needs words from and to, such as 20-80"),
        ("keyword", " ", "needs words as its rule_value"),
        ("regex", "(", "cannot be read"),
        ("exact", "", "needs the one right answer"),
    ],
)
def test_a_rule_that_cannot_judge_is_told_at_its_field(
    lee, freeze, base, rule, value, words
) -> None:
    snapshot = freeze("prompts")
    data = {
        "recipe": "ppo", "ppo-snapshot": snapshot.pk, "ppo-model": f"path-{base}",
        "ppo-preset": "quick", "ppo-rule": rule, "ppo-rule_value": value,
    }  # fmt: skip
    for act in ("preflight", "start"):
        response = lee.post(reverse(f"training:{act}", args=[snapshot.dataset_id]), data)
        shown = text(response)
        field = shown[shown.index("<label", shown.index('for="id_ppo-rule_value"') - 8) :]
        assert response.status_code == 422 and words in field[: field.index("</div>")]
    assert "<details open><summary>All settings" in shown
    assert not Preflight.objects.exists()


def test_settings_that_were_turned_stay_in_sight(panel, asked, worker) -> None:
    worker.clear()  # no report, which has parts of its own to open
    assert "<details open>" not in text(panel("preflight"))
    assert "<details open>" in text(panel("preflight", max_length="64"))


def test_a_wrong_setting_is_not_told_before_anybody_asks(panel, asked) -> None:
    shown = text(panel("preflight", known="1", learning_rate="fast"))
    assert "Preflight" in shown and "errorlist" not in shown and asked["times"] == 0


def test_a_wrong_knob_is_told_beside_it(panel, asked) -> None:
    response = panel("start", learning_rate="fast", lora_rank="0")
    assert response.status_code == 422
    shown = text(response)
    assert "'fast' is not a number" in shown and "0 is outside 1 to 512" in shown
    assert "1e+09 is outside 1e-08 to 1" in text(panel("start", learning_rate="1e9"))
    assert 'value="fast"' in shown and "<details open>" in shown, "what was typed is kept"
    assert asked["times"] == 0 and not Run.objects.exists()


def test_ppo_without_a_judge_is_told_beside_the_field(lee, base, freeze, sent, asked) -> None:
    dataset = freeze("prompts").dataset
    data = {"ppo-snapshot": dataset.snapshots.get().pk, "ppo-model": f"path-{base}",
            "ppo-preset": "quick"}  # fmt: skip
    url = reverse("training:start", args=[dataset.pk])
    refused = text(lee.post(url, data))
    assert re.search(r'name="ppo-reward".*?<ul class="errorlist".*?needs a judge', refused, re.S)
    assert asked["times"] == 0 and not Run.objects.exists()
    lee.post(url, data | {"ppo-rule": "length", "ppo-rule_value": "5-30"})
    assert Run.objects.get().config["rule"] == "length"


def test_what_begins_with_an_sft_run_begins_with_the_newest(
    lee, finished, make_run, freeze
) -> None:
    newest = make_run(state="succeeded")
    prompts = {"model": newest, "snapshot": freeze("prompts")}
    make_run("ppo", inputs=prompts, config={"rule": "length", "rule_value": "5-30"})
    url = reverse("training:dataset_panel", args=[freeze("preference").dataset.pk])
    shown = text(lee.get(url, {"recipe": "dpo"}))
    assert f'<option value="run-{newest.pk}" selected>' in shown


@pytest.mark.parametrize("model", ["path-/etc", "run-999", "", "path-../../x"])
def test_a_model_that_was_not_offered(panel, asked, model) -> None:
    assert panel("start", model=model).status_code == 422
    assert not Run.objects.exists()


def test_a_snapshot_of_another_workspace_is_not_offered(panel, asked, freeze, cast) -> None:
    theirs = freeze("sft", workspace=cast.other, name="Theirs")
    assert panel("start", snapshot=theirs.pk).status_code == 422


def test_the_rlhf_button(lee, base, freeze, sent, cast, asked) -> None:
    made = {kind: freeze(kind) for kind in ("sft", "preference", "prompts")}
    data = {f"rlhf-{kind}": snapshot.pk for kind, snapshot in made.items()}
    data |= {"rlhf-model": f"path-{base}", "rlhf-preset": "quick"}
    url = reverse("training:rlhf", args=[made["sft"].dataset.pk])
    response = lee.post(url, data, headers={"HX-Request": "true"})
    assert [run.recipe for run in Run.objects.order_by("pk")] == ["sft", "reward", "ppo"]
    last = Run.objects.get(recipe="ppo")
    assert response["HX-Redirect"] == reverse("training:run", args=[last.pk])
    wrong = lee.post(url, data | {"rlhf-sft": made["prompts"].pk})
    assert wrong.status_code == 422 and Run.objects.count() == 3
    assert asked["times"] == 2, "SFT's and the reward run's"


def test_the_rlhf_button_is_refused_before_anything_is_queued(lee, base, freeze, asked) -> None:
    made = {kind: freeze(kind) for kind in ("sft", "preference", "prompts")}
    data = {f"rlhf-{kind}": snapshot.pk for kind, snapshot in made.items()}
    asked["says"] = FOUND | {"ok": False, "refusals": ["It holds no weights."]}
    url = reverse("training:rlhf", args=[made["sft"].dataset.pk])
    refused = lee.post(url, data | {"rlhf-model": f"path-{base}", "rlhf-preset": "quick"})
    assert refused.status_code == 422 and not Run.objects.exists()
    assert "SFT: the preflight refuses" in text(refused)
    assert "It holds no weights." in text(refused)


def test_a_project_is_answered_from_both_sides(lee, finished, cast, sent) -> None:
    form = reverse("training:run_answer", args=[finished.pk])
    refused = lee.post(form, {"project": cast.project.pk})
    assert refused.status_code == 400 and "has answered every prompt" in text(refused)
    rows = [Record(external_id="a", messages=[{"role": "user", "content": "Why?"}])]
    importing.add_records(project=cast.project, records=rows, source="test")
    lee.post(form, {"project": cast.project.pk, "limit": "1"})
    assert Run.objects.filter(recipe="answer").count() == 1
    panel = reverse("training:project_panel", args=[cast.project.pk])
    assert finished.name in text(lee.get(panel))
    start = reverse("training:project_answer", args=[cast.project.pk])
    assert lee.post(start, {"model": "run-999"}).status_code == 422
    lee.post(start, {"model": f"run-{finished.pk}"})
    assert Run.objects.filter(recipe="answer").count() == 2


@pytest.mark.parametrize("name", ["run", "run_live", "run_log"])
def test_who_may_look(check_roles, make_run, name) -> None:
    check_roles(reverse(f"training:{name}", args=[make_run().pk]), at_least="lead")


@pytest.mark.parametrize(
    "name", ["run_cancel", "run_resume", "run_answer", "run_evaluate", "run_preflight"]
)
def test_who_may_act(check_roles, make_run, name) -> None:
    check_roles(reverse(f"training:{name}", args=[make_run().pk]), at_least="lead", method="post")


@pytest.mark.parametrize("name", ["preflight", "start", "rlhf", "rlhf_preflight"])
def test_who_may_train(check_roles, freeze, name) -> None:
    url = reverse(f"training:{name}", args=[freeze("sft").dataset.pk])
    check_roles(url, at_least="lead", method="post")


def test_what_the_recipe_is_not_known_for_is_folded_once_it_has_ended(lee, working) -> None:
    shown = text(page(lee, working))
    assert "More charts" not in shown and "Odd name" in shown, "nothing that folds is polled"
    Run.objects.update(state="succeeded", result={"artifact": {"kind": "adapter"}})
    before, _, folded = text(page(lee, working)).partition("More charts: Odd name")
    assert "Odd name" in folded and "Odd name" not in before
    assert "Next: DPO from it" in before
