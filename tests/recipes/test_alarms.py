"""Each alarm on streams that raise it, and on streams that come near and do not."""

import json
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.recipes.conftest import events_of
from training.recipes.alarms import RULES, Series, Watch
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir

Stream = Callable[[int], dict[str, float]]


def even(step: int) -> float:
    """-1 and 1 in turn."""
    return 1.0 if step % 2 else -1.0


# code, recipe, knobs, a stream that raises it, one that nearly does; values at steps 1 to 60.
STREAMS: list[tuple[str, str, dict[str, Any], Stream, Stream]] = [
    (
        "reward_accuracy",
        "reward",
        {},
        lambda step: {"accuracy": 0.52 + 0.4 * even(step)},
        lambda step: {"accuracy": 0.57 + 0.4 * even(step)},
    ),
    ("kl", "ppo", {"max_new_tokens": 40}, lambda _: {"kl": 20.5}, lambda _: {"kl": 19.5}),
    ("kl", "ppo", {"kl_target": 2.0}, lambda _: {"kl": 6.2}, lambda _: {"kl": 5.8}),
    # One step over the bound is no trend.
    (
        "kl",
        "ppo",
        {"max_new_tokens": 40},
        lambda step: {"kl": step},
        lambda step: {"kl": 60.0 if step == 30 else 5.0},
    ),
    (
        "eos_share",
        "ppo",
        {},
        lambda step: {"eos_share": 0.15 + 0.1 * even(step)},
        lambda step: {"eos_share": 0.25 + 0.1 * even(step)},
    ),
    (
        "length",
        "ppo",
        {},
        lambda step: {"length": 20 + step, "reward": 0.1 * step + even(step)},
        lambda step: {"length": 20 + step, "reward": even(step)},  # longer, not better
    ),
    (
        "length",
        "ppo",
        {},
        lambda step: {"length": 20 + step + even(step), "reward": 0.1 * step},
        lambda step: {"length": 20 + even(step), "reward": even(step)},  # together, not longer
    ),
    (
        "entropy",
        "ppo",
        {},
        lambda step: {"entropy": 2.0 / step},
        lambda step: {"entropy": max(2.0 / step, 0.2)},
    ),
    (
        "eval_worse",
        "sft",
        {},
        lambda step: {"eval_loss": 2.0 + (step - 1) * 0.001},
        lambda step: {"eval_loss": 2.0 + 0.03 * even(step + 1) * (step > 1)},
    ),
    (
        "objective",
        "ppo",
        {},
        lambda step: {"eval_objective": 0.5 - 0.01 * step, "eval_reward_mean": step},
        # A policy that was better still in between, and a reward that fell.
        lambda step: {"eval_objective": 0.48 + 0.02 * even(step), "eval_reward_mean": -step},
    ),
]


def watch_of(make_run, recipe: str, name: str, **knobs: Any) -> tuple[RunDir, Watch]:
    run = make_run(recipe, {}, name)
    return run, Watch(run, parse(recipe, knobs))


@pytest.mark.parametrize(("code", "recipe", "knobs", "raises", "near"), STREAMS)
def test_each_alarm_is_raised_once_and_not_before_its_time(
    code: str, recipe: str, knobs: dict[str, Any], raises: Stream, near: Stream, make_run
) -> None:
    run, watch = watch_of(make_run, recipe, "raises", **knobs)
    for step in range(1, 61):
        assert watch.look(step, raises(step)) == ""  # on_alarm: tell
    assert [event["code"] for event in events_of(run, "alarm")] == [code]
    text = events_of(run, "alarm")[0]["text"]
    assert text.endswith(".") and "nan" not in text and "\n" not in text

    run, watch = watch_of(make_run, recipe, "near", **knobs)
    for step in range(1, 61):
        watch.look(step, near(step))
    assert events_of(run, "alarm") == []

    run, watch = watch_of(make_run, recipe, "stops", on_alarm="stop", **knobs)
    said = [watch.look(step, raises(step)) for step in range(1, 61)]
    assert [sentence for sentence in said if sentence] == [text]


def test_every_rule_has_a_stream() -> None:
    assert {code for code, *_ in STREAMS} == RULES.keys()


def test_a_rule_means_the_metrics_of_its_recipe(make_run) -> None:
    """A classifier of ten labels may well be right in less than half of the rows."""
    run, watch = watch_of(make_run, "classify", "run")
    for step in range(1, 61):
        watch.look(step, {"accuracy": 0.3, "kl": 99.0, "entropy": 1 / step})
    assert events_of(run, "alarm") == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_always_ends_the_run(bad: float, make_run) -> None:
    run, watch = watch_of(make_run, "ppo", "run", on_alarm="tell")
    watch.look(1, {"kl": 0.1, "value_loss": 1.0})
    with pytest.raises(ValueError, match="value_loss is not a number any more at step 2"):
        watch.look(2, {"kl": 0.1, "value_loss": bad})
    assert [event["code"] for event in events_of(run, "alarm")] == ["not_finite"]
    for line in run.events_path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_after_a_resume_it_knows_what_was_before(make_run) -> None:
    run, watch = watch_of(make_run, "reward", "run", on_alarm="stop")
    for step in range(1, 41):
        assert not watch.look(step, {"accuracy": 0.4})
        run.metrics(step, accuracy=0.4)
    # Killed there, it goes on from step 30: what it had done of 31 to 40 does not count twice.
    again = Watch(run, parse("reward", {"on_alarm": "stop"}), 30)
    said = {step: again.look(step, {"accuracy": 0.4}) for step in range(31, 52)}
    assert [step for step, sentence in said.items() if sentence] == [50]
    for step in range(31, 51):
        run.metrics(step, accuracy=0.4)
    # Resumed after its alarm it has been told, and goes on.
    last = Watch(run, parse("reward", {"on_alarm": "stop"}), 50)
    assert not any(last.look(step, {"accuracy": 0.4}) for step in range(51, 120))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"loss": 2.0, "rows": 3}, {"loss": 2.2, "rows": 3}, "its loss went from 2.000 to 2.200"),
        ({"loss": 2.0}, {"loss": 1.9}, ""),
        ({"loss": 2.0}, {"loss": 2.005}, ""),
        ({"accuracy": 0.7}, {"accuracy": 0.6}, "its accuracy went from 0.700 to 0.600"),
        ({"accuracy": 0.5}, {"accuracy": 0.6}, ""),
        ({"objective": 0.5}, {"objective": 0.2}, "its objective went from 0.500 to 0.200"),
        # What it cost is part of the objective: a higher reward does not make up for it, nor does
        # a lower one make a policy worse that has ended more of its answers.
        (
            {"objective": 0.5, "reward_mean": 0.5},
            {"objective": 0.3, "reward_mean": 0.9},
            "its objective went from 0.500 to 0.300",
        ),
        ({"objective": 0.5, "reward_mean": 0.5}, {"objective": 0.6, "reward_mean": 0.2}, ""),
        # A reward model's mean reward has no zero.
        ({"accuracy": 0.5, "reward_mean": 0.5}, {"accuracy": 0.6, "reward_mean": -3.0}, ""),
        ({"rows": 0}, {"rows": 0}, ""),
        ({}, {"loss": 1.0}, ""),
    ],
)
def test_worse_than_before(before, after, said: str, make_run) -> None:
    run = make_run("sft", {})
    found = {"metrics": {"before": before, "after": after}}
    assert perform("sft", lambda run, config: found, run) == 0
    texts = [event["text"] for event in events_of(run, "alarm") if event["code"] == "worse"]
    assert [said in text for text in texts] == ([True] if said else [])


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "No answer ends by itself: all are"), (0.1, "Only 10 % of the answers end by themsel")],
)
def test_none_is_not_said_to_be_only_some(share: float, said: str) -> None:
    rule, _ = RULES["eos_share"]
    seen: defaultdict[str, Series] = defaultdict(Series)
    for _ in range(20):
        seen["eos_share"].add(share)
    assert rule(seen, parse("ppo", {})).startswith(said)
