"""Preflight: asked once, shown, and a refusal blocks the start."""

import json
import sys

import psutil
import pytest

from annotation.errors import Refused
from training import preflights, runs

OK = {"ok": True, "refusals": [], "warnings": ["2 rows are cut."], "rows": {"train": 8}}
SCRIPT = """
import json, pathlib, sys
directory = pathlib.Path(sys.argv[-1])
assert json.loads((directory / "spec.json").read_text())["recipe"] == "sft"
(directory / "asked").open("a").write("x")
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


def says(value):
    return lambda directory: [sys.executable, "-c", SCRIPT, json.dumps(value), str(directory)]


def test_it_is_asked_once_for_the_same(asked, home) -> None:
    for _ in range(2):
        assert preflights.preflight(**asked, command=says(OK)) == OK
    traces = list((home / "runs" / "preflights").glob("*/asked"))
    assert [path.read_text() for path in traces] == ["x"]
    preflights.preflight(**asked | {"config": {"max_length": 64}}, command=says(OK))
    assert len(list((home / "runs" / "preflights").glob("*/asked"))) == 2


def test_a_refusal_blocks(asked) -> None:
    found = preflights.preflight(
        **asked, command=says({"ok": False, "refusals": ["No row has a trainable token."]})
    )
    with pytest.raises(Refused, match="No row has a trainable token"):
        preflights.refuse_if_refused(found)
    preflights.refuse_if_refused(OK)
    preflights.refuse_if_refused(None)


def test_what_was_refused_is_looked_at_again(asked) -> None:
    """The disk was full, and has been cleared since."""
    full = {"ok": False, "refusals": ["The disk is full."]}
    assert preflights.preflight(**asked, command=says(full)) == full
    assert preflights.preflight(**asked, command=says(OK)) == OK


@pytest.mark.parametrize(
    ("script", "words"),
    [("import sys; sys.exit('no module torch')", "no module torch"), ("pass", "it said nothing")],
)
def test_one_that_dies(asked, script: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        preflights.preflight(**asked, command=lambda _: [sys.executable, "-c", script])


def test_one_that_takes_too_long(asked, settings) -> None:
    settings.PREFLIGHT_SECONDS = 0.2
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(Refused, match="took longer"):
        preflights.preflight(**asked, command=lambda _: sleep)


def test_nothing_to_look_at_while_an_input_still_works(asked, make_run) -> None:
    first = runs.create_run(**asked, user=None)
    inputs = asked["inputs"] | {"model": first}
    assert preflights.preflight(**asked | {"inputs": inputs}, command=says(OK)) is None


PROBE = """
import pathlib, sys
directory = pathlib.Path(sys.argv[-1])
assert (directory / "spec.json").exists() and any((directory / "inputs").iterdir())
(directory / "probe").mkdir()
(directory / "tried").open("a").write("x")
if sys.argv[1]:
    (directory / "probe.json").write_text(sys.argv[1])
else:
    sys.exit("no room")
"""
TRIED = {"ok": True, "growth_mib": 700, "seconds": 12.5}


def tries(text: str):
    return lambda directory: [sys.executable, "-c", PROBE, text, str(directory)]


def test_two_steps_are_tried_once_and_then_remembered(asked, home) -> None:
    commands = {"command": says(OK), "probe_command": tries(json.dumps(TRIED))}
    assert preflights.preflight(**asked, **commands) == OK
    for _ in range(2):
        assert preflights.preflight(**asked, probe=True, **commands) == OK | {"probe": TRIED}
    assert preflights.preflight(**asked, **commands) == OK | {"probe": TRIED}
    folder = next((home / "runs" / "preflights").iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "asked", "tried", "spec.json", "preflight.json", "probe.json"
    }  # fmt: skip
    assert (folder / "asked").read_text() == (folder / "tried").read_text() == "x"


def test_steps_that_fail_refuse_nothing(asked) -> None:
    found = preflights.preflight(**asked, probe=True, command=says(OK), probe_command=tries(""))
    assert found and found["ok"] and found["probe"] == {"ok": False, "reason": "no room"}


def test_steps_that_take_too_long_end_with_all_that_they_started(asked, settings, tmp_path) -> None:
    born = tmp_path / "born"
    child = f"import os, pathlib, time; pathlib.Path({str(born)!r}).write_text(str(os.getpid())); "
    script = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-c', {child + 'time.sleep(60)'!r}])"
    )
    preflights.preflight(**asked, command=says(OK))
    settings.PREFLIGHT_SECONDS = 2
    found = preflights.preflight(
        **asked,
        probe=True,
        command=says(OK),
        probe_command=lambda _: [sys.executable, "-c", script],
    )
    assert found and "longer than 2 s" in found["probe"]["reason"]
    pid = int(born.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
