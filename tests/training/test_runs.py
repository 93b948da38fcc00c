"""Runs are made, wait for one another, are cancelled, resumed, and brought back by the sweep."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from annotation.errors import Refused
from training import dispatch, endings, hosts, moves, runs
from training.engine import stage
from training.models import Run
from training.recipes.configs import ConfigError, parse
from training.staging import staged, waited

GONE = f"{hosts.HOST}:999999999:1.00:dead"


@pytest.fixture
def create(cast, base):
    def make(recipe="sft", **inputs):
        return runs.create_run(
            workspace=cast.acme, recipe=recipe, config={}, inputs=inputs, user=cast.lee
        )

    return make


def done(run: Run, **result) -> Run:
    """The run has succeeded, and those that wait for it know."""
    Run.objects.filter(pk=run.pk).update(state="running", started=timezone.now())
    run.refresh_from_db()
    assert endings.succeed(run, result=result or {"artifact": {"kind": "adapter", "sha256": "ab"}})
    return run


def test_a_run_is_queued_named_and_sent(make_run, sent) -> None:
    run = make_run()
    assert (run.state, run.name) == ("queued", "SFT on Support sft v1")
    assert sent == [run.pk]
    assert run.config["lora_rank"] == 16, "every knob is written down"
    assert {row.name for row in run.inputs.all()} == {"model", "snapshot"}


def test_wrong_knobs_are_named_one_by_one(make_run) -> None:
    with pytest.raises(ConfigError) as caught:
        make_run(config={"lora_rank": 0, "colour": "red"})
    assert set(caught.value.errors) == {"lora_rank", "colour"}
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [("withdrawn", "withdrawn"), ("freezing", "not ready"), ("failed", "not ready")],
)
def test_only_a_ready_snapshot(create, freeze, state, words) -> None:
    snapshot = freeze("sft")
    snapshot.state = state
    snapshot.save()
    with pytest.raises(Refused, match=words):
        create(model="tiny", snapshot=snapshot)


def test_a_snapshot_of_another_kind_or_workspace(create, freeze, cast) -> None:
    with pytest.raises(Refused, match="kind sft; Support preference v1 is of preference"):
        create(model="tiny", snapshot=freeze("preference"))
    with pytest.raises(Refused, match="no such snapshot"):
        create(model="tiny", snapshot=freeze("sft", workspace=cast.other, name="Theirs"))


def test_a_snapshots_folder_is_for_the_shell_only(create, freeze, cast, base) -> None:
    path = freeze("sft").path
    with pytest.raises(Refused, match="shell only"):
        create(model="tiny", snapshot=path)


def test_a_folder_that_is_no_row_of_ours(cast, base, tmp_path: Path, sent, freeze) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "snapshot.json").write_text('{"kind": "sft", "sha256": "77"}')
    asked = {"workspace": cast.acme, "recipe": "sft", "config": {}, "user": None, "operator": True}
    run = runs.create_run(inputs={"model": "tiny", "snapshot": str(copy)}, **asked)
    row = run.inputs.get(name="snapshot")
    assert (row.path, row.sha256) == (str(copy), "77")
    gone = freeze("sft")
    gone.sha256, gone.state = "77", "withdrawn"
    gone.save()
    with pytest.raises(Refused, match="copy of a snapshot that has been withdrawn"):
        runs.create_run(inputs={"model": "tiny", "snapshot": str(copy)}, **asked)


@pytest.mark.parametrize("name", ["../secret", "/etc", "tiny/../../secret", "nobody/nothing"])
def test_a_models_path_cannot_leave_its_roots(create, freeze, base, name: str, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "config.json").write_text("{}")
    (base.parent / "sneaky").symlink_to(secret)
    with pytest.raises(Refused):
        create(model=name, snapshot=freeze("sft"))
    with pytest.raises(Refused, match="outside the folders"):
        create(model="sneaky", snapshot=freeze("sft"))


def test_the_hub_is_off_unless_allowed(create, freeze, settings) -> None:
    snapshot = freeze("sft")
    with pytest.raises(Refused, match="downloads from the Hub are off"):
        create(model="HuggingFaceTB/SmolLM2-135M", snapshot=snapshot)
    settings.ALLOW_HUB = True
    run = create(model="HuggingFaceTB/SmolLM2-135M", snapshot=snapshot)
    entry = staged(run.inputs.filter(name="model"))[0]
    assert (entry.path, entry.is_local) == ("HuggingFaceTB/SmolLM2-135M", False)


def test_a_folder_that_the_operator_allows(create, freeze, settings, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    settings.MODEL_PATHS = [elsewhere]
    assert create(model=str(elsewhere), snapshot=freeze("sft")).state == "queued"


def test_what_a_recipe_needs_and_takes(create, freeze) -> None:
    with pytest.raises(Refused, match="SFT needs snapshot"):
        create(model="tiny")
    with pytest.raises(Refused, match="takes no “reward”"):
        create(model="tiny", snapshot=freeze("sft"), reward="x")


def test_a_finished_runs_model_means_its_base_and_itself(create, make_run, freeze, base) -> None:
    first = done(make_run(config={"template": "chatml"}))
    second = create(model=first, snapshot=freeze("sft"))
    rows = {row.name: row for row in second.inputs.all()}
    assert rows["model"].path == str(base) and rows["init"].source == first
    assert rows["init"].sha256 == "ab"
    assert second.template["name"] == "chatml", "a model keeps its template"


def test_full_weights_are_a_base_of_their_own(create, make_run, freeze) -> None:
    whole = done(make_run(config={"adaptation": "full"}))
    second = create(init=whole, snapshot=freeze("sft"))
    assert [(r.name, r.source) for r in second.inputs.exclude(name="snapshot")] == [
        ("model", whole)
    ]


def test_another_base_than_the_adapters_is_refused(create, make_run, freeze, base) -> None:
    first = done(make_run())
    other = base.parent / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(Refused, match="was trained on tiny, not on other"):
        create(model="other", init=first, snapshot=freeze("sft"))


def test_a_run_of_another_workspace_or_kind(create, make_run, freeze, cast) -> None:
    reward = done(make_run("reward"))
    with pytest.raises(Refused, match="is Reward model"):
        create(model="tiny", init=reward, snapshot=freeze("sft"))
    theirs = make_run(workspace=cast.other)
    with pytest.raises(Refused, match="no run"):
        create(model=theirs, snapshot=freeze("sft"))


def test_ppo_is_judged_by_a_reward_model_or_a_rule(create, freeze, cast) -> None:
    prompts = freeze("prompts")
    with pytest.raises(Refused, match="a reward model, a rule"):
        create("ppo", model="tiny", snapshot=prompts)
    run = runs.create_run(
        workspace=cast.acme,
        recipe="ppo",
        config={"rule": "length", "rule_value": "5-20"},
        inputs={"model": "tiny", "snapshot": prompts},
        user=cast.lee,
    )
    assert run.config["rule_value"] == "5-20"


def rlhf(cast, freeze):
    kinds = {name: freeze(name) for name in ("sft", "preference", "prompts")}
    return runs.queue_rlhf(
        workspace=cast.acme, model="tiny", user=cast.lee, preset="quick", **kinds
    )


def test_rlhf_is_three_runs_in_order(cast, base, freeze, sent) -> None:
    sft, reward, ppo = rlhf(cast, freeze)
    assert sent == [sft.pk, reward.pk]
    assert [run.state for run in (sft, reward, ppo)] == ["queued", "queued", "waiting"]
    assert ppo.config["steps"] == 12
    done(sft)
    ppo.refresh_from_db()
    assert ppo.state == "waiting"
    done(reward)
    ppo.refresh_from_db()
    assert (ppo.state, sent[-1]) == ("queued", ppo.pk)
    entries = {entry.name: entry for entry in staged(ppo.inputs.order_by("pk"))}
    assert set(entries) == {"model", "init", "reward", "reward_base", "snapshot"}
    assert entries["reward_base"].path == str(base)
    assert entries["init"].path == str(sft.artifact)
    assert waited(ppo, ppo.inputs.all()), "nobody has looked at it yet"
    assert not waited(sft, sft.inputs.all())
    for made in (sft, reward):
        made.artifact.mkdir(parents=True)
    stage(ppo, ppo.directory, ppo.inputs.order_by("pk"))
    spec = json.loads((ppo.directory / "spec.json").read_text())
    assert (spec["waited"], spec["preflight_seconds"]) == (True, 120)


def test_a_presets_rate_is_not_for_all_weights(cast, base, freeze, sent) -> None:
    kinds = {name: freeze(name) for name in ("sft", "preference", "prompts")}
    all_weights = {name: {"adaptation": "full"} for name in ("sft", "reward", "ppo")}
    made = runs.queue_rlhf(
        workspace=cast.acme, model="tiny", user=None, preset="quick", configs=all_weights, **kinds
    )
    usual = [parse(run.recipe, {"adaptation": "full"}).learning_rate for run in made]
    assert [run.config["learning_rate"] for run in made] == usual


def test_all_three_or_none(cast, base, freeze, sent) -> None:
    with pytest.raises(Refused):
        runs.queue_rlhf(
            workspace=cast.acme, model="tiny", user=None, sft=freeze("sft"),
            preference=freeze("sft"), prompts=freeze("prompts"),
        )  # fmt: skip
    assert not Run.objects.exists()


def test_what_waits_for_a_failed_run_is_cancelled_with_the_reason(cast, base, freeze, sent) -> None:
    sft, reward, ppo = rlhf(cast, freeze)
    Run.objects.filter(pk=sft.pk).update(state="running")
    sft.refresh_from_db()
    endings.fail(sft, reason="The disk is full.")
    ppo.refresh_from_db()
    assert ppo.state == "cancelled"
    assert ppo.reason == f"It waited for run {sft.pk}, which failed: The disk is full."
    with pytest.raises(Refused, match="resume that one first"):
        runs.resume(ppo, by="Lee")


def test_cancelling_the_first_cancels_those_that_wait(cast, base, freeze, sent) -> None:
    sft, _, ppo = rlhf(cast, freeze)
    runs.cancel(sft, by="Lee")
    ppo.refresh_from_db()
    assert (sft.state, sft.reason, ppo.state) == ("cancelled", "Cancelled by Lee.", "cancelled")
    runs.resume(sft, by="Lee")
    runs.resume(ppo, by="Lee")
    assert (sft.state, ppo.state, ppo.attempt) == ("queued", "waiting", 1)


@pytest.mark.parametrize("state", ["preparing", "running"])
def test_a_working_run_is_asked_to_stop(make_run, state) -> None:
    run = runs.cancel(make_run(state=state), by="Lee")
    assert run.state == "stopping"
    assert runs.cancel(run, by="Lee").state == "stopping", "twice is once"


@pytest.mark.parametrize("state", Run.ENDED)
def test_what_has_ended_is_not_cancelled(make_run, state) -> None:
    with pytest.raises(Refused, match="has ended"):
        runs.cancel(make_run(state=state), by="Lee")


def test_resume_needs_a_checkpoint_and_an_end(make_run) -> None:
    with pytest.raises(Refused, match="only a failed or cancelled"):
        runs.resume(make_run(state="running"), by="Lee")
    run = make_run(state="failed", started=timezone.now())
    with pytest.raises(Refused, match="left nothing to resume from"):
        runs.resume(run, by="Lee")
    (run.directory / "checkpoints" / "step-10").mkdir(parents=True)
    assert runs.resume(run, by="Lee").attempt == 2


def test_deaths_before_a_resume_do_not_count(make_run, settings) -> None:
    settings.RUN_MAX_ATTEMPTS = 2
    run = make_run(state="running", started=timezone.now())
    (run.directory / "checkpoints" / "step-10").mkdir(parents=True)
    for expected in ("queued", "failed"):
        endings.interrupted(run, reason="The trainer died.", crashed=True)
        assert run.state == expected
        Run.objects.filter(pk=run.pk, state="queued").update(state="running")
        run.refresh_from_db()
    runs.resume(run, by="Lee")
    Run.objects.filter(pk=run.pk).update(state="running")
    run.refresh_from_db()
    endings.interrupted(run, reason="The trainer died.", crashed=True)
    assert run.state == "queued"


def test_the_base_model_is_made_once(cast, sent) -> None:
    first = runs.get_model(workspace=cast.acme)
    assert runs.get_model(workspace=cast.other) == first
    Run.objects.update(state="failed")
    second = runs.get_model(workspace=cast.acme)
    assert second != first
    done(second)
    assert runs.get_model(workspace=cast.acme) not in (first, second), "its artifact is gone"


def test_a_converted_model_serves_every_workspace(cast, freeze, sent) -> None:
    model = done(runs.get_model(workspace=cast.other))
    model.artifact.mkdir(parents=True)
    (model.artifact / "config.json").write_text("{}")
    inputs = {"model": model, "snapshot": freeze("sft")}
    common = {"workspace": cast.acme, "recipe": "sft", "config": {}, "user": None}
    assert runs.create_run(inputs=inputs, **common).state == "queued"
    by_path = inputs | {"model": str(model.artifact)}
    assert runs.create_run(inputs=by_path, **common).state == "queued"


def test_the_sweep_sends_again_what_was_lost(make_run, sent, settings) -> None:
    lost, fresh = make_run(heartbeat=None), make_run(heartbeat=timezone.now())
    sent.clear()
    assert runs.sweep()["sent"] == 1
    assert sent == [lost.pk]
    late = timezone.now() - timedelta(seconds=settings.RUN_STALE_SECONDS + 1)
    Run.objects.filter(pk=fresh.pk).update(heartbeat=late)
    Run.objects.filter(pk=lost.pk).update(heartbeat=timezone.now())
    runs.sweep()
    assert sent == [lost.pk, fresh.pk]


def test_behind_a_working_run_messages_are_not_piled_up(make_run, sent, settings) -> None:
    late = timezone.now() - timedelta(seconds=settings.RUN_STALE_SECONDS + 1)
    make_run(heartbeat=late)
    make_run(state="running", supervisor=hosts.new_supervisor(), heartbeat=timezone.now())
    sent.clear()
    assert runs.sweep() == {"adopted": 0, "sent": 0, "released": 0}


def test_the_sweep_finds_the_unwatched(make_run, sent, settings) -> None:
    now = timezone.now()
    late = now - timedelta(seconds=settings.RUN_STALE_SECONDS + 1)
    mine, elsewhere = hosts.new_supervisor(), "far:1:2.00:x"
    watched = make_run(state="running", supervisor=mine, heartbeat=now)
    orphan = make_run(state="running", supervisor=GONE, heartbeat=now)
    hung = make_run(state="stopping", supervisor=mine, heartbeat=late)
    far = make_run(state="running", supervisor=elsewhere, heartbeat=late)
    assert runs.unwatched_here() == [orphan, hung]
    Run.objects.filter(pk=far.pk).update(heartbeat=now - timedelta(hours=1))
    assert runs.unwatched_here() == [orphan, hung, far], "so long silent, its host is gone"
    sent.clear()
    assert runs.sweep()["adopted"] == 3
    assert sent == [orphan.pk, hung.pk, far.pk] and watched.pk not in sent


def test_the_sweep_releases_what_a_crash_left_waiting(cast, base, freeze, sent) -> None:
    sft, reward, ppo = rlhf(cast, freeze)
    Run.objects.filter(pk__in=[sft.pk, reward.pk]).update(state="succeeded")
    assert runs.sweep()["released"] == 1
    ppo.refresh_from_db()
    assert ppo.state == "queued"


def test_a_broker_that_is_away_loses_nothing(
    make_run, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    run = make_run()
    monkeypatch.undo()

    def away(*_, **__):
        raise ConnectionError("no broker")

    monkeypatch.setattr(dispatch.current_app, "send_task", away)
    with django_capture_on_commit_callbacks(execute=True):
        dispatch.send(run.pk)
    run.refresh_from_db()
    assert (run.state, run.heartbeat) == ("queued", None)
    monkeypatch.setattr(dispatch.current_app, "send_task", lambda *_, **__: None)
    with django_capture_on_commit_callbacks(execute=True):
        dispatch.send(run.pk)
    run.refresh_from_db()
    assert run.heartbeat is not None


def test_supervisors_names_are_read_back() -> None:
    name = hosts.new_supervisor()
    assert hosts.supervisor_lives(name) and hosts.host_of(name) == hosts.HOST
    assert not hosts.supervisor_lives(GONE)
    assert not hosts.supervisor_lives("")


def test_the_oldest_is_begun_whichever_the_message_names(make_run) -> None:
    first, second, third = make_run(), make_run(), make_run(state="running")
    assert runs.first_in_line(second.pk) == first.pk
    assert runs.first_in_line(third.pk) == third.pk
    Run.objects.filter(pk=first.pk).update(state="waiting")
    assert runs.first_in_line(second.pk) == second.pk


def test_moves_are_logged(make_run, caplog) -> None:
    run = make_run()
    caplog.clear()
    with caplog.at_level("INFO", "training.runs"):
        moves.claim(run, hosts.new_supervisor())
    record = next(r for r in caplog.records if r.message == "run moved")
    assert (record.run, record.to) == (run.pk, "preparing")
