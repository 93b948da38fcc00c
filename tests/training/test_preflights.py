"""Preflight: asked once, shown, and a refusal blocks the start."""

import json
import sys

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
