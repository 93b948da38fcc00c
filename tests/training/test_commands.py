"""The same from a shell: what is printed, and exit code 1 with the reason on stderr."""

import json
import sys

import pytest
from django.core.management import CommandError, call_command

from annotation import importing
from annotation.records import Record
from tests.training.conftest import wait_for
from training import dispatch, preflights, supervisor
from training.management.commands import serve
from training.models import Run


@pytest.fixture
def shell(monkeypatch, engine, sent, capsys):
    """Commands with the fake trainer and a preflight that has nothing against it."""
    usual = supervisor.supervise.__kwdefaults__
    quick = usual | {"engine": engine("quick"), "poll": 0.02}
    monkeypatch.setattr(supervisor.supervise, "__kwdefaults__", quick)
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": True})

    def run(*words: str) -> str:
        call_command(*words)
        return capsys.readouterr().out

    return run


def test_train_prints_number_and_directory(shell, base, freeze) -> None:
    snapshot = freeze("sft")
    out = shell("train", "sft", "--snapshot", snapshot.path, "--model", "tiny", "--set",
                "learning_rate=1e-3", "--preset", "quick")  # fmt: skip
    run = Run.objects.get()
    assert out.split("\n")[:2] == [str(run.pk), str(run.directory)]
    assert run.config["learning_rate"] == 1e-3 and run.config["max_steps"] == 30
    assert run.inputs.get(name="snapshot").snapshot == snapshot
    assert run.workspace == snapshot.workspace and run.state == "queued"


def test_train_waits_and_needs_no_worker(shell, base, freeze) -> None:
    shell("train", "sft", "--snapshot", str(freeze("sft").pk), "--model", str(base), "--wait")
    assert Run.objects.get().state == "succeeded"


def test_the_directory_that_get_model_prints_is_a_model(shell, make_run, freeze) -> None:
    """As one is an `init`: the run, and not a folder that lies nowhere for models."""
    model = make_run(recipe="convert", inputs={})
    model.directory.mkdir(parents=True, exist_ok=True)
    (model.directory / "spec.json").write_text("{}")
    shell("train", "sft", "--snapshot", freeze("sft").path, "--model", str(model.directory))
    assert Run.objects.get(recipe="sft").inputs.get(name="model").source == model


def test_the_whole_chain(shell, base, freeze) -> None:
    shell("train", "sft", "--snapshot", freeze("sft").path, "--model", "tiny")
    shell("train", "reward", "--snapshot", freeze("preference").path, "--model", "tiny")
    sft, reward = Run.objects.order_by("pk")
    shell("train", "ppo", "--snapshot", freeze("prompts").path, "--init", str(sft.directory),
          "--reward", str(reward.pk), "--wait")  # fmt: skip
    assert {run.state for run in Run.objects.all()} == {"succeeded"}
    ppo = Run.objects.get(recipe="ppo")
    spec = json.loads((ppo.directory / "spec.json").read_text())
    assert {row["name"] for row in spec["inputs"]} == {
        "model", "init", "reward", "reward_base", "snapshot",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--snapshot", "/nowhere", "--model", "tiny"], "is no snapshot"),
        (["--snapshot", "77", "--model", "tiny"], "no snapshot 77"),
        (["--snapshot", "SNAPSHOT"], "needs model"),
        (["--snapshot", "SNAPSHOT", "--model", "/etc"], "outside the folders"),
        (["--snapshot", "SNAPSHOT", "--model", "tiny", "--set", "lora_rank=0"], "lora_rank"),
        (["--snapshot", "SNAPSHOT", "--model", "tiny", "--set", "lora_rank"], "KEY=VALUE"),
        (["--snapshot", "SNAPSHOT", "--model", "tiny", "--init", "99"], "no run 99"),
        (["--snapshot", "SNAPSHOT", "--model", "tiny", "--workspace", "other"], "belongs to"),
    ],
)
def test_what_train_refuses(shell, base, freeze, words, reason) -> None:
    path = freeze("sft").path
    with pytest.raises(CommandError, match=reason):
        shell("train", "sft", *(path if word == "SNAPSHOT" else word for word in words))
    assert not Run.objects.exists()


def test_a_preflights_refusal_is_the_commands(shell, base, freeze, monkeypatch) -> None:
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": False, "refusals": ["Too big."]})
    with pytest.raises(CommandError, match="Too big"):
        shell("train", "sft", "--snapshot", freeze("sft").path, "--model", "tiny")


def test_waiting_for_a_failure_is_a_failure(shell, base, freeze, monkeypatch, engine) -> None:
    usual = supervisor.supervise.__kwdefaults__
    failing = usual | {"engine": engine("fail")}
    monkeypatch.setattr(supervisor.supervise, "__kwdefaults__", failing)
    with pytest.raises(CommandError, match="was failed: The loss became NaN"):
        shell("train", "sft", "--snapshot", freeze("sft").path, "--model", "tiny", "--wait")


def test_cancel_and_resume(shell, make_run) -> None:
    run = make_run()
    assert "is cancelled" in shell("cancel", str(run.pk))
    with pytest.raises(CommandError, match="has ended"):
        shell("cancel", str(run.directory))
    assert "is queued" in shell("resume", str(run.pk))
    with pytest.raises(CommandError, match="only a failed or cancelled"):
        shell("resume", str(run.pk))
    with pytest.raises(CommandError, match="no run /etc"):
        shell("cancel", "/etc")


def test_answer_and_wait(shell, make_run, cast, base) -> None:
    importing.add_records(
        project=cast.project,
        records=[Record(external_id="a", messages=[{"role": "user", "content": "Why?"}])],
        source="test",
    )
    model = make_run(state="succeeded")
    model.artifact.mkdir(parents=True)
    out = shell("answer", str(model.pk), "support-desk", "--wait")
    assert "1 answers are in support-desk." in out
    with pytest.raises(CommandError, match="has answered every prompt"):
        shell("answer", str(model.pk), str(cast.project.pk))
    with pytest.raises(CommandError, match="no project nowhere"):
        shell("answer", str(model.pk), "nowhere")


def test_get_model_is_idempotent(shell, cast) -> None:
    with pytest.raises(CommandError, match="several workspaces"):
        shell("get_model")
    first = shell("get_model", "--workspace", "acme")
    assert shell("get_model", "--workspace", "acme") == first
    assert Run.objects.count() == 1


def test_sweep_says_what_it_found(shell, make_run) -> None:
    make_run(heartbeat=None)
    assert shell("sweep") == "adopted 0, sent 1, released 0\n"


def test_serve_refuses_a_taken_port() -> None:
    with serve.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CommandError, match="cannot be had"):
            serve.refuse_taken_port("127.0.0.1", taken.getsockname()[1])


def test_a_child_that_dies_is_started_again_later_each_time(monkeypatch) -> None:
    child = serve.Child("web", [sys.executable, "-c", "raise SystemExit(3)"])
    now = 1000.0
    monkeypatch.setattr(serve.time, "monotonic", lambda: now)
    child.look()
    child.process.wait()
    assert child.look() == "The web process died (code 3); started again."
    child.look()
    child.process.wait()
    assert child.look() == "The web process died (code 3); again in 3 s."
    child.look()
    assert child.process is None, "not yet"
    now += 4
    child.look()
    child.process.wait()
    assert "again in 7 s" in child.look()


def test_serve_runs_four_processes_and_none_of_them_logs_requests() -> None:
    family = serve.children("127.0.0.1", 8000, 2, 4)
    assert [child.name for child in family] == ["web", "worker", "preflight worker", "gpu worker"]
    assert "--access-logfile" not in family[0].command


def test_a_preflight_waits_for_no_import_and_every_queue_has_its_worker(settings) -> None:
    family = serve.children("127.0.0.1", 8000, 2, 4)
    queues = [c.command[c.command.index("--queues") + 1] for c in family if "--queues" in c.command]
    routes = settings.CELERY_TASK_ROUTES
    sent = {route["queue"] for route in routes.values()} | {settings.CELERY_TASK_DEFAULT_QUEUE}
    assert sorted(queues) == sorted(sent) and len(set(queues)) == 3
    assert routes[dispatch.LOOK] == {"queue": "preflight"}


def test_the_end_kills_what_does_not_end(monkeypatch, tmp_path) -> None:
    script = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
    )
    ready = tmp_path / "ready"
    deaf = serve.Child("deaf", [sys.executable, "-c", script, str(ready)])
    deaf.start()
    wait_for(ready.exists)
    monkeypatch.setattr(serve, "STOP_SECONDS", 0.3)
    serve.end([deaf], lambda: False)
    assert deaf.process.wait(timeout=10) == -9
