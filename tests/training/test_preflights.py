"""Preflight: asked once for the same, computed by a worker, followed; and a refusal blocks."""

import json
import os
import shutil
import sys
import threading
from datetime import timedelta
from functools import partial

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from annotation.errors import Refused
from exports.models import Snapshot
from tests.training.conftest import wait_for
from training import dispatch, hosts, preflight_job, preflights, runs
from training.engine import LOCAL
from training.inputs import Chosen
from training.models import Preflight
from training.planning import plan
from training.staging import staged

OK = {"ok": True, "refusals": [], "warnings": ["2 rows are cut."], "rows": {"train": 8}}
SCRIPT = """
import json, pathlib, sys
directory = pathlib.Path(sys.argv[-1])
assert json.loads((directory / "spec.json").read_text())["recipe"] == "sft"
assert any((directory / "inputs").iterdir())
with pathlib.Path(sys.argv[2]).open("a") as file:
    file.write("x")
(directory / "preflight.json").write_text(sys.argv[1])
"""


@pytest.fixture
def asked(cast, base, freeze, sent):
    snapshot = freeze("sft")
    return {
        "workspace": cast.acme,
        "recipe": "sft",
        "config": {},
        "inputs": {"model": "tiny", "snapshot": snapshot},
    }


@pytest.fixture
def messages(monkeypatch) -> list[int]:
    """What a worker was asked, by a broker that brings nothing."""
    got: list[int] = []
    monkeypatch.setattr(dispatch, "look", got.append)
    return got


@pytest.fixture
def says(tmp_path):
    """`says(found)`: a process that finds this; `says.times()`: how often one ran."""
    trace = tmp_path / "trace"

    def make(value):
        words = [sys.executable, "-c", SCRIPT, json.dumps(value), str(trace)]
        return lambda directory: [*words, str(directory)]

    make.times = lambda: len(trace.read_text()) if trace.exists() else 0
    return make


def look(asked, command, **more) -> Preflight:
    """Ask, and let a worker do it."""
    compute = partial(preflights.compute, command=command, **more.pop("commands", {}))
    row = preflights.ask(plan(**asked), **more)
    compute(row.pk)
    row.refresh_from_db()
    return row


def test_it_is_asked_once_for_the_same(asked, says, messages, home) -> None:
    for _ in range(2):
        row = look(asked, says(OK))
        assert (row.state, row.found) == ("passed", OK)
    assert says.times() == 1 and messages == [row.pk]
    other = look(asked | {"config": {"max_length": 64}}, says(OK))
    assert other.pk != row.pk and says.times() == 2
    assert not list((home / "runs" / "preflights").iterdir()), "no text of a row is left on disk"


def test_another_model_in_the_same_folder_is_looked_at(asked, base, says, messages) -> None:
    first = look(asked, says(OK))
    (base / "model.safetensors").write_bytes(b"larger")
    assert look(asked, says(OK)).pk != first.pk and says.times() == 2


def test_another_base_beneath_the_judge_is_looked_at(cast, base, freeze, make_run) -> None:
    """The judge is an adapter: what it stands on is no input of the run that it judges."""
    beneath = base.parent / "beneath"
    shutil.copytree(base, beneath)
    pairs = {"model": "beneath", "snapshot": freeze("preference")}
    judge = make_run("reward", inputs=pairs, state="succeeded")
    judge.artifact.mkdir(parents=True)
    asked = {
        "workspace": cast.acme,
        "recipe": "ppo",
        "config": {},
        "inputs": {"model": "tiny", "snapshot": freeze("prompts"), "reward": judge},
    }
    before = plan(**asked).key
    assert plan(**asked).key == before
    (beneath / "model.safetensors").write_bytes(b"another")
    between = plan(**asked).key
    (judge.artifact / "adapter_model.safetensors").write_bytes(b"another")
    assert len({before, between, plan(**asked).key}) == 3


def test_another_machine_is_looked_at(asked, says, messages, monkeypatch) -> None:
    """What passed with 64 GiB has not passed with 8; what another host has is not known here."""
    here = Preflight.objects.get(pk=look(asked, says(OK)).pk)
    run = runs.create_run(**asked, user=None)
    monkeypatch.setattr(hosts, "machine", lambda: "8 GiB")
    Preflight.objects.update(worker=f"{hosts.HOST}:999999999:1.00:gone")
    assert preflights.known(plan(**asked)) is None
    preflights.keep(run)
    assert not (run.directory / "preflight.json").exists(), "it is not what is expected here"
    again = look(asked, says(OK | {"warnings": []}))
    assert (again.pk, again.machine, again.found["warnings"]) == (here.pk, "8 GiB", [])
    assert says.times() == 2

    Preflight.objects.update(worker="elsewhere:7:1.00:x", machine="80 GiB, H100")
    assert preflights.known(plan(**asked)) == here


def test_a_worker_may_be_given_other_gpus_than_the_page(asked, says, messages, monkeypatch) -> None:
    """Started apart, each with an environment of its own: the page would ask for ever."""
    row = look(asked, says(OK))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert hosts.machine() != row.machine
    assert preflights.known(plan(**asked)) == row == preflights.ask(plan(**asked))
    assert says.times() == 1


def test_a_machine_is_its_memory_and_what_it_shows_of_its_gpus(tmp_path, monkeypatch) -> None:
    for variable in hosts.VISIBLE:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(hosts, "GPUS", tmp_path)
    monkeypatch.setattr(hosts, "CGROUP", tmp_path / "memory.max")
    plain = hosts.machine()
    assert plain == f"{round(psutil.virtual_memory().total / 2**30)} GiB"
    (tmp_path / "memory.max").write_text("max\n")
    assert hosts.machine() == plain
    (tmp_path / "memory.max").write_text(f"{3 * 2**30}\n")
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t NVIDIA H200\nIRQ: 7\n")
    assert hosts.machine() == "3 GiB, NVIDIA H200"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hosts.machine() == "3 GiB, NVIDIA H200, CUDA_VISIBLE_DEVICES="


def test_two_who_ask_at_once_ask_one_worker(asked, messages) -> None:
    first, second = preflights.ask(plan(**asked)), preflights.ask(plan(**asked))
    assert first.pk == second.pk and messages == [first.pk]


def test_of_two_workers_one_has_it(asked, says, messages) -> None:
    row = look(asked, says(OK))
    preflights.compute(row.pk, command=says({"ok": False}))
    row.refresh_from_db()
    assert row.state == "passed" and says.times() == 1


def test_it_looks_again_where_it_is_told_to(asked, says, messages) -> None:
    look(asked, says(OK))
    row = look(asked, says(OK | {"warnings": []}), again=True)
    assert row.found["warnings"] == [] and says.times() == 2


def test_a_refusal_blocks_and_is_looked_at_again(asked, says, messages) -> None:
    """The disk was full, and has been cleared since."""
    row = look(asked, says({"ok": False, "refusals": ["The disk is full."]}))
    assert row.state == "refused"
    with pytest.raises(Refused, match="refuses: The disk is full"):
        preflights.check(row)
    row = look(asked, says(OK))
    assert row.state == "passed"
    preflights.check(row)


@pytest.mark.parametrize(
    ("script", "words"),
    [("import sys; sys.exit('no module torch')", "no module torch"), ("pass", "it said nothing")],
)
def test_one_that_dies(asked, script: str, words: str, messages) -> None:
    row = look(asked, lambda _: [sys.executable, "-c", script])
    assert row.state == "failed" and words in row.reason
    with pytest.raises(Refused, match=words):
        preflights.check(row)


def test_one_that_takes_too_long(asked, settings, messages) -> None:
    settings.PREFLIGHT_SECONDS = 0.2
    row = look(asked, lambda _: [sys.executable, "-c", "import time; time.sleep(60)"])
    assert row.state == "failed" and "took longer" in row.reason


def test_an_input_that_is_gone(asked, base, messages, says) -> None:
    row = preflights.ask(plan(**asked))
    shutil.rmtree(base)
    preflights.compute(row.pk, command=says(OK))
    row.refresh_from_db()
    assert row.state == "failed" and "“model” is gone" in row.reason


@pytest.mark.parametrize("about", ["{", "[]", '{"base": "that one"}', "\udcff"])
def test_a_folder_that_does_not_say_what_lies_beneath_is_refused(about: str, tmp_path) -> None:
    """The page asks it for the key of what it shows: it was an error 500."""
    (tmp_path / "annotune.json").write_bytes(about.encode("utf-8", "surrogateescape"))
    judge = Chosen("reward", "model", path=str(tmp_path))
    with pytest.raises(Refused, match=r"annotune\.json does not say what lies beneath it"):
        staged([judge])


def test_there_is_nothing_to_look_at_while_an_input_still_works(asked) -> None:
    first = runs.create_run(**asked, user=None)
    assert plan(**asked | {"inputs": asked["inputs"] | {"model": first}}).waits


TALKS = """
import json, pathlib, sys, time
directory = pathlib.Path(sys.argv[-1])
line = {"phase": "counting tokens", "step": 200, "total": 500}
(directory / "events.jsonl").write_text(json.dumps(line) + "\\n")
while True:
    time.sleep(0.02)
"""


@pytest.mark.django_db(transaction=True)
def test_how_far_it_is_and_a_worker_that_is_given_up(asked, messages, monkeypatch) -> None:
    """Its row is asked anew: it ends its process, and writes nothing any more."""
    monkeypatch.setattr(preflight_job, "POLL", 0.02)
    monkeypatch.setattr(preflights, "BEAT", 0.0)
    row = preflights.ask(plan(**asked))
    pids: list[int] = []

    def command(directory):
        return [sys.executable, "-c", TALKS, str(directory)]

    def work() -> None:
        preflights.compute(row.pk, command=command)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    mine = Preflight.objects.filter(pk=row.pk)
    wait_for(mine.filter(phase="counting tokens", step=200, total=500).exists)
    pids = [child.pid for child in psutil.Process().children() if "-c" in child.cmdline()]
    mine.update(state="queued", worker="")
    thread.join(30)
    assert not thread.is_alive() and mine.get().state == "queued"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_lost_worker_is_told_and_asked_again(asked, says, messages) -> None:
    row = preflights.ask(plan(**asked))
    mine = Preflight.objects.filter(pk=row.pk)
    mine.update(state="running", worker=f"{hosts.HOST}:999999999:1.00:dead")
    row.refresh_from_db()
    assert preflights.is_lost(row), "its process is gone"
    assert look(asked, says(OK)).state == "passed" and messages == [row.pk, row.pk]

    elsewhere = timezone.now() - timedelta(seconds=5)
    mine.update(state="running", worker="elsewhere:7:1.00:x", heartbeat=elsewhere)
    row.refresh_from_db()
    assert not preflights.is_lost(row)
    mine.update(heartbeat=timezone.now() - timedelta(minutes=2))
    row.refresh_from_db()
    assert preflights.is_lost(row), "nothing was heard of it"
    mine.update(state="queued", worker="")
    row.refresh_from_db()
    assert preflights.is_lost(row), "nobody has taken it up"


def others(asked, number: int, **columns) -> list[Preflight]:
    """So many other preflights, asked before."""
    early = timezone.now() - timedelta(minutes=5)
    rows = []
    for seed in range(100, 100 + number):
        row = preflights.ask(plan(**asked | {"config": {"seed": seed}}))
        Preflight.objects.filter(pk=row.pk).update(**{"asked": early} | columns)
        rows.append(row)
    return rows


def test_one_that_waits_behind_another_is_not_lost(asked, messages) -> None:
    """No worker has taken it up for long, but one is there: it has another in hand."""
    row = preflights.ask(plan(**asked))
    since = timezone.now() - timedelta(minutes=2)
    Preflight.objects.filter(pk=row.pk).update(asked=since, heartbeat=since)
    working = f"{hosts.HOST}:{os.getpid()}:{psutil.Process().create_time():.2f}:x"
    others(asked, 1, state="running", worker=working)
    row.refresh_from_db()
    assert not preflights.is_lost(row) and preflights.ahead(row) == 1
    Preflight.objects.exclude(pk=row.pk).update(state="passed")
    assert preflights.is_lost(row) and preflights.ahead(row) == 0


def test_a_workspace_may_ask_for_four_at_once(asked, messages, says, monkeypatch) -> None:
    waiting = others(asked, 4)
    with pytest.raises(preflights.Busy, match="has 4 preflights under way"):
        preflights.ask(plan(**asked))
    assert len(messages) == 4 and Preflight.objects.count() == 4
    assert preflights.ask(plan(**asked | {"config": {"seed": 100}})).pk == waiting[0].pk
    compute = preflights.compute
    with monkeypatch.context() as patch:
        patch.setattr(preflights, "compute", lambda pk: compute(pk, command=says(OK)))
        assert preflights.now(plan(**asked)).state == "passed", "the shell asks no worker"
    assert preflights.ask(plan(**asked)).state == "passed", "what is known is not asked for"

    Preflight.objects.filter(state="queued").update(heartbeat=timezone.now() - timedelta(hours=1))
    other = asked | {"config": {"seed": 9}}
    assert preflights.ask(plan(**other)).state == "queued", "lost ones hold nobody up"


def test_a_worker_that_is_told_to_end_does_not_wait_for_it(asked, messages, monkeypatch) -> None:
    monkeypatch.setattr(preflight_job, "POLL", 0.02)
    closing = threading.Event()
    closing.set()
    row = preflights.ask(plan(**asked))
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    preflights.compute(row.pk, command=lambda _: command, closing=closing)
    row.refresh_from_db()
    assert row.state == "failed" and "Annotune was stopped" in row.reason


def test_the_shell_finds_out_by_itself(asked, says, monkeypatch) -> None:
    compute = preflights.compute
    monkeypatch.setattr(preflights, "compute", lambda pk: compute(pk, command=says(OK)))
    assert preflights.now(plan(**asked)).found == OK
    assert preflights.now(plan(**asked)).found == OK and says.times() == 1


def test_what_it_expected_goes_into_the_run_directory(asked, says, messages) -> None:
    look(asked, says(OK))
    run = runs.create_run(**asked, user=None)
    preflights.keep(run)
    assert json.loads((run.directory / "preflight.json").read_text()) == OK
    other = runs.create_run(**asked | {"config": {"seed": 9}}, user=None)
    preflights.keep(other)
    assert not (other.directory / "preflight.json").exists()


def test_what_shows_erased_texts_is_forgotten(asked, says, messages) -> None:
    look(asked, says(OK))
    runs.sweep()
    assert Preflight.objects.count() == 1
    Snapshot.objects.update(state="withdrawn")
    runs.sweep()
    assert not Preflight.objects.exists()


def test_a_copy_of_what_was_erased_is_forgotten_too(asked, says, messages, tmp_path) -> None:
    """The shell names a folder: no row of ours says that it is to go with the snapshot."""
    snapshot = asked["inputs"]["snapshot"]
    copy = shutil.copytree(snapshot.path, tmp_path / "copy")
    asked = asked | {"inputs": asked["inputs"] | {"snapshot": copy}, "operator": True}
    row = look(asked, says(OK))
    assert row.state == "passed" and row.snapshot is None
    run = runs.create_run(**asked, user=None)
    runs.sweep()
    assert Preflight.objects.count() == 1
    Snapshot.objects.update(state="withdrawn")
    with pytest.raises(Refused, match="copy of a snapshot that has been withdrawn"):
        LOCAL.submit(run)
    runs.sweep()
    assert not Preflight.objects.exists()


def test_old_folders_are_cleared_while_others_vanish(home, db) -> None:
    root = home / "runs" / "preflights"
    for name in ("old", "new"):
        (root / name).mkdir(parents=True)
    os.utime(root / "old", (0, 0))
    (root / "gone").symlink_to(root / "nowhere")
    preflights.tidy()
    assert sorted(path.name for path in root.iterdir()) == ["gone", "new"]


def test_what_a_killed_worker_left_is_gone_with_the_next_look(asked, says, messages, home) -> None:
    """It holds texts of rows. What others are at stays."""
    root = home / "runs" / "preflights"
    lives = f"{hosts.HOST}:{os.getpid()}:{psutil.Process().create_time():.2f}:x"
    names = [f"{hosts.HOST}:999999999:1.00:dead", lives, "elsewhere:999999999:1.00:y"]
    for name in names:
        (root / name).mkdir(parents=True)
    look(asked, says(OK))
    assert {path.name for path in root.iterdir()} == set(names[1:])


PROBE = """
import pathlib, sys
directory = pathlib.Path(sys.argv[-1])
assert (directory / "spec.json").exists() and any((directory / "inputs").iterdir())
if sys.argv[1]:
    (directory / "probe.json").write_text(sys.argv[1])
else:
    sys.exit("no room")
"""
TRIED = {"ok": True, "growth_mib": 700, "seconds": 12.5}


def tries(text: str):
    return lambda directory: [sys.executable, "-c", PROBE, text, str(directory)]


def test_two_steps_are_tried_once_and_then_remembered(asked, says, messages) -> None:
    commands = {"probe_command": tries(json.dumps(TRIED))}
    assert look(asked, says(OK), commands=commands).probe is None
    for _ in range(2):
        row = look(asked, says(OK), commands=commands, probe=True)
        assert (row.state, row.found, row.probe) == ("passed", OK, TRIED)
    assert look(asked, says(OK)).probe == TRIED
    assert says.times() == 1 and len(messages) == 2


def test_steps_that_fail_refuse_nothing(asked, says, messages) -> None:
    row = look(asked, says(OK), commands={"probe_command": tries("")}, probe=True)
    assert row.state == "passed" and row.probe == {"ok": False, "reason": "no room"}


def test_steps_that_take_too_long_end_with_all_that_they_started(
    asked, settings, tmp_path, says, messages
) -> None:
    born = tmp_path / "born"
    child = f"import os, pathlib, time; pathlib.Path({str(born)!r}).write_text(str(os.getpid())); "
    script = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-c', {child + 'time.sleep(60)'!r}])"
    )
    look(asked, says(OK))
    settings.PREFLIGHT_SECONDS = 2
    sleeps = {"probe_command": lambda _: [sys.executable, "-c", script]}
    row = look(asked, says(OK), commands=sleeps, probe=True)
    assert row.probe and "longer than 2 s" in row.probe["reason"]
    pid = int(born.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
