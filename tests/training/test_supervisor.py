"""A supervised process, end to end, with a trainer without torch: deaths, cancels, adoption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from exports.models import Snapshot
from tests.training.conftest import alive, wait_for
from training import hosts, runs, supervisor
from training.engine import environment
from training.management.commands import serve
from training.models import Run, RunEvent


def supervise(run, engine, closing=None) -> Run:
    supervisor.supervise(run.pk, engine=engine, poll=0.02, closing=closing or threading.Event())
    return Run.objects.get(pk=run.pk)


def said(run) -> str:
    rows = run.events.filter(kind__in=("note", "alarm")).order_by("pk")
    return " ".join(event.data["text"] for event in rows)


def checkpoint(run):
    return lambda: list((run.directory / "checkpoints").glob("step-*"))


def trainer(run) -> int:
    return Run.objects.get(pk=run.pk).process["pid"]


def test_a_run_succeeds_and_its_rows_say_so(make_run, engine) -> None:
    run = supervise(make_run(), engine("quick"))
    assert run.state == "succeeded" and run.finished and run.process == {}
    assert (run.step, run.total) == (3, 3)
    assert run.result["metrics"]["after"]["loss"] == 1.5
    assert run.events.filter(kind="metrics").count() == 3
    assert "the log begins" in run.events.get(kind="log").data["tail"]


def test_a_log_begins_with_what_concerns_the_run() -> None:
    """Libraries tell whoever calls them what they will change one day; a lead calls none."""
    script = "import warnings; warnings.warn('in v6', FutureWarning); warnings.warn('short rows')"
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert "in v6" not in said.stderr and "short rows" in said.stderr


def test_a_second_message_starts_nothing(make_run, engine) -> None:
    run = supervise(make_run(), engine("quick"))
    again = engine("crash")
    assert supervise(run, again).state == "succeeded"
    assert again._children == {}


def test_what_a_recipe_says_of_its_failure_is_the_reason(make_run, engine) -> None:
    run = supervise(make_run(), engine("fail"))
    assert (run.state, run.reason) == ("failed", "The loss became NaN at step 2.")


def test_a_killed_trainer_goes_on_from_its_checkpoint(make_run, engine, sent) -> None:
    run, slow = make_run(), engine("slow")
    slow.once(checkpoint(run), lambda: os.kill(trainer(run), signal.SIGKILL))
    run = supervise(run, slow)
    assert (run.state, run.attempt) == ("queued", 2)
    assert sent[-1] == run.pk
    assert "killed by SIGKILL" in said(run) and "goes on from its checkpoint" in said(run)
    before = run.events.filter(kind="metrics").count()
    run = supervise(run, engine("quick"))
    assert run.state == "succeeded"
    assert before >= 5 and run.events.filter(kind="state", attempt=2).count() == 1


def test_it_has_failed_after_so_many_deaths(make_run, engine, settings) -> None:
    settings.RUN_MAX_ATTEMPTS = 2
    run = make_run()
    assert supervise(run, engine("crash")).state == "queued"
    run = supervise(run, engine("crash"))
    assert run.state == "failed"
    assert "ended with code 3" in run.reason and "tried 2 times" in run.reason


def test_a_cancel_stops_it_at_a_checkpoint_and_it_can_be_resumed(make_run, engine, sent) -> None:
    run, slow = make_run(), engine("slow")
    slow.once(checkpoint(run), lambda: runs.cancel(Run.objects.get(pk=run.pk), by="Lee"))
    run = supervise(run, slow)
    assert run.state == "cancelled"
    assert run.reason.startswith("Cancelled by Lee. It stopped at step ")
    assert "can be resumed" in run.reason
    saved = max(int(path.name[5:]) for path in checkpoint(run)())
    assert run.step == saved and f"at step {saved}, " in run.reason
    runs.resume(run, by="Lee")
    assert (run.state, run.attempt) == ("queued", 2)
    assert supervise(run, engine("quick")).state == "succeeded"


def test_a_trainer_that_still_loads_is_ended_at_once(make_run, engine) -> None:
    """It has nothing to save, and would hear of the stop when it has loaded."""
    run, loading = make_run(), engine("loading")
    loading.once(
        lambda: Run.objects.get(pk=run.pk).phase == "loading",
        lambda: runs.cancel(Run.objects.get(pk=run.pk), by="Lee"),
    )
    run = supervise(run, loading)
    assert run.state == "cancelled" and run.reason == "Cancelled by Lee. It had not trained a step."
    assert "SIGKILL" not in said(run)


def test_a_trainer_is_asked_to_stop_by_the_click_itself(make_run, engine) -> None:
    run, slow = make_run(), engine("slow")
    process = slow.submit(run)
    Run.objects.update(state="running", process=process)
    runs.cancel(run, by="Lee")
    wait_for(lambda: slow.status(process).code == 0)  # with no supervisor there
    assert json.loads((run.directory / "result.json").read_text())["state"] == "stopped"


def test_its_end_is_seen_when_it_comes(make_run, engine) -> None:
    """Not at the next look: the wait for that would be an hour here."""
    run = make_run()
    supervisor.supervise(run.pk, engine=engine("quick"), poll=3600, closing=threading.Event())
    assert Run.objects.get(pk=run.pk).state == "succeeded"


def test_a_trainer_that_has_said_its_last_word_is_not_waited_for(make_run, engine) -> None:
    run = supervise(make_run(), engine("lingers"))
    assert run.state == "succeeded" and run.result["metrics"]["after"]["loss"] == 1.5
    assert run.events.filter(kind="metrics").count() == 3 and run.step == 3


def test_a_deaf_trainer_is_sent_signals_and_then_killed(make_run, engine, settings) -> None:
    settings.RUN_STOP_SECONDS, settings.RUN_TERM_SECONDS = 0.1, 0.1
    run, deaf = make_run(), engine("deaf")
    deaf.once(checkpoint(run), lambda: runs.cancel(Run.objects.get(pk=run.pk), by="Lee"))
    run = supervise(run, deaf)
    assert run.state == "cancelled"
    assert "SIGTERM" in said(run) and "SIGKILL" in said(run)


def test_when_annotune_stops_the_run_waits_for_its_return(make_run, engine) -> None:
    run, slow, closing = make_run(), engine("slow"), threading.Event()
    slow.once(checkpoint(run), closing.set)
    run = supervise(run, slow, closing)
    assert (run.state, run.attempt) == ("queued", 2)
    assert "Annotune was stopped" in run.reason
    assert runs.unwatched_here() == []
    assert not run.events.filter(data__code="crash").exists()


@pytest.fixture
def orphan(make_run, engine):
    """A run whose trainer works and whose supervisor died."""
    run, slow = make_run(), engine("slow")
    process = slow.submit(run)
    gone = f"{hosts.HOST}:999999999:1.00:dead"
    Run.objects.filter(pk=run.pk).update(state="running", supervisor=gone, process=process)
    run.refresh_from_db()
    return run


def test_an_orphan_is_adopted_and_not_started_again(orphan, engine) -> None:
    other = engine("crash")  # would be seen, were it started
    pid = orphan.process["pid"]
    other.once(checkpoint(orphan), lambda: (orphan.directory / "stop").touch())
    run = supervise(orphan, other)
    assert other._children == {}
    assert "The worker died" in said(run) and "the run went on" in said(run)
    assert run.events.filter(kind="metrics").count() >= 5
    assert (run.state, run.attempt) == ("queued", 2), "it was stopped, and nobody asked Annotune to"
    wait_for(lambda: not alive(pid))


def test_orphans_come_before_new_work(orphan, make_run, engine) -> None:
    (orphan.directory / "stop").touch()
    fresh = make_run()
    assert supervise(fresh, engine("quick")).state == "queued", "its turn comes later"
    resumed = Run.objects.get(pk=orphan.pk)
    assert (resumed.state, resumed.attempt) == ("succeeded", 2)
    assert supervise(fresh, engine("quick")).state == "succeeded"


def test_an_orphan_whose_trainer_died_too_is_queued_again(orphan, engine) -> None:
    os.kill(orphan.process["pid"], signal.SIGKILL)
    wait_for(lambda: not alive(orphan.process["pid"]))
    run = supervise(orphan, engine("crash"))
    assert (run.state, run.attempt) == ("queued", 2)
    assert "The worker died" in said(run) and "The trainer died" in said(run)


def test_a_trainer_that_nobody_wrote_down_is_found(orphan, engine) -> None:
    Run.objects.update(state="preparing", process={})
    orphan.refresh_from_db()
    other = engine("crash")
    (orphan.directory / "stop").touch()
    supervise(orphan, other)
    assert other._children == {}


def test_submit_finds_the_one_that_runs(orphan, engine) -> None:
    other = engine("crash")
    assert other.submit(orphan)["pid"] == orphan.process["pid"]
    assert other._children == {}


def test_a_watched_run_is_left_alone(orphan, engine) -> None:
    mine = hosts.new_supervisor()
    assert Run.objects.filter(pk=orphan.pk).update(supervisor=mine, heartbeat=runs.timezone.now())
    supervise(orphan, engine("crash"))
    assert Run.objects.get(pk=orphan.pk).supervisor == mine


def test_what_is_staged(make_run, base, engine) -> None:
    run = make_run(config={"seed": 7, "template": "chatml"})
    supervise(run, engine("quick"))
    spec = json.loads((run.directory / "spec.json").read_text())
    assert spec["seed"] == 7 and spec["template"]["name"] == "chatml"
    assert "im_start" in spec["template"]["text"]
    assert {row["name"]: row["path"] for row in spec["inputs"]} == {
        "model": "inputs/model",
        "snapshot": "inputs/snapshot",
    }
    assert (run.directory / "inputs" / "model").resolve() == base.resolve()


def test_the_trainer_knows_no_secret(monkeypatch, settings) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "HF_TOKEN", "CELERY_BROKER_URL", "AWS_SECRET"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in environment().values()
    assert environment()["HF_HUB_OFFLINE"] == "1"
    settings.ALLOW_HUB = True
    assert environment()["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, "0"), ("2,3", "2"), ("GPU-ab,GPU-cd", "GPU-ab"), ("", "")]
)
def test_a_trainer_sees_one_gpu(visible, seen, monkeypatch):
    """Of several TRL's trainers would refuse to start. None stays none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment()["CUDA_VISIBLE_DEVICES"] == seen


def test_an_input_that_is_gone_fails_the_run(make_run, base, engine) -> None:
    run = make_run()
    shutil.rmtree(base)
    run = supervise(run, engine("quick"))
    assert run.state == "failed" and "“model” is gone" in run.reason


def test_a_snapshot_withdrawn_in_the_queue_is_not_trained_on(make_run, engine) -> None:
    run = make_run()
    Snapshot.objects.update(state="withdrawn")
    run = supervise(run, engine("quick"))
    assert run.state == "failed" and "is withdrawn now" in run.reason


@pytest.mark.django_db(transaction=True)  # it closes old connections, which ends a transaction
def test_serve_does_not_leave_an_orphan_behind(orphan) -> None:
    wait_for(checkpoint(orphan))
    serve.end_trainers(lambda: False)
    assert hosts.find(orphan.process) is None
    result = json.loads((orphan.directory / "result.json").read_text())
    assert result["state"] == "stopped", "it was asked, and saved itself"


@pytest.mark.django_db(transaction=True)
def test_a_deaf_orphan_is_killed(make_run, engine) -> None:
    run = make_run(state="running")
    process = engine("deaf").submit(run)
    Run.objects.update(process=process)
    wait_for(checkpoint(run))
    serve.end_trainers(lambda: True)
    wait_for(lambda: not alive(process["pid"]))


def test_a_result_of_an_earlier_attempt_is_not_taken(make_run, engine) -> None:
    run = make_run()
    run.directory.mkdir(parents=True)
    old = {"state": "succeeded", "attempt": 1}
    crash = engine("crash")
    Run.objects.update(attempt=2)
    crash.once(
        lambda: run.directory.exists(),
        lambda: (run.directory / "result.json").write_text(json.dumps(old)),
    )
    assert supervise(run, crash).state == "queued"
    assert RunEvent.objects.filter(data__code="crash").count() == 1
