"""Votes and scores of one unit; Dawid and Skene against a plain implementation and crowd-kit."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.aggregation import (
    dawid_skene,
    highest,
    lowest,
    majority,
    mean,
    weighted_majority,
)


def test_majority() -> None:
    found = majority({"ana": "x", "rui": "y", "lee": "x", "olga": None})
    assert found == {"value": "x", "tied": [], "votes": {"x": 2, "y": 1}, "share": 2 / 3}


def test_a_tie_is_said_to_be_one() -> None:
    found = majority({"ana": "x", "rui": "y", "lee": "z", "olga": "y", "otto": "x"})
    assert (found["value"], found["tied"], found["share"]) == (None, ["x", "y"], 0.4)


def test_nobody_voted() -> None:
    nothing = {"value": None, "tied": [], "votes": {}, "share": None}
    assert majority({}) == majority({"ana": None, "rui": float("nan")}) == nothing


def test_weighted_majority() -> None:
    values = {"ana": "x", "rui": "y", "lee": "y"}
    assert weighted_majority(values, {"ana": 2.5})["value"] == "x"
    assert weighted_majority(values, {"ana": 2})["tied"] == ["x", "y"]
    assert weighted_majority({"a": 1, "b": 2}, {"a": 0.1 + 0.2, "b": 0.3})["tied"] == [1, 2]
    silent = weighted_majority(values, {"ana": 0, "rui": 0, "lee": 0})
    assert (silent["value"], silent["tied"], silent["share"]) == (None, [], None)
    with pytest.raises(ValueError, match="'rui' has the weight -1"):
        weighted_majority(values, {"rui": -1})


def test_scores() -> None:
    values = {"ana": 4, "rui": 1, "lee": 3, "olga": None}
    assert mean(values) == {"value": pytest.approx(8 / 3), "ratings": 3}
    assert highest(values) == {"value": 4, "ratings": 3}
    assert lowest(values) == {"value": 1, "ratings": 3}
    for unify in (mean, highest, lowest):
        assert unify({"ana": None}) == {"value": None, "ratings": 0}


# Dawid and Skene


def crowd(seed: int, units: int, labels: str = "abc") -> tuple[list[dict[str, str]], list[str]]:
    dice = random.Random(seed)
    truth = [dice.choice(labels) for _ in range(units)]
    skill = {"ana": 0.9, "rui": 0.7, "lee": 0.55, "otto": 0.35}
    made = [
        {
            rater: true if dice.random() < share else dice.choice(labels)
            for rater, share in skill.items()
            if dice.random() < 0.9
        }
        for true in truth
    ]
    return made, truth


def plainly(units: list[dict], labels: str, rounds: int) -> tuple[list[dict], dict, dict, float]:
    """The paper's equations 2.3 to 2.5, written down one by one. All units have ratings."""
    chances = [
        {k: sum(v == k for v in unit.values()) / len(unit) for k in labels} for unit in units
    ]
    raters = {rater for unit in units for rater in unit}
    for _ in range(rounds):
        prior = {k: sum(each[k] for each in chances) / len(units) for k in labels}
        confusion = {}
        for rater in raters:
            for k in labels:
                seen = [
                    (each[k], unit[rater])
                    for each, unit in zip(chances, units, strict=True)
                    if rater in unit
                ]
                whole = sum(chance for chance, _ in seen)
                for said in labels:
                    part = sum(chance for chance, value in seen if value == said)
                    confusion[rater, k, said] = part / whole if whole else 1 / len(labels)
        likely, height = [], 0.0
        for unit in units:
            joint = {
                k: prior[k] * math.prod(confusion[rater, k, v] for rater, v in unit.items())
                for k in labels
            }
            total = sum(joint.values())
            height += math.log(total)
            likely.append({k: joint[k] / total for k in labels})
        chances = likely
    return chances, prior, confusion, height


@pytest.mark.parametrize("rounds", [1, 2, 7, 30])
def test_dawid_skene_is_the_papers(rounds: int) -> None:
    units, _ = crowd(rounds, 50)
    found = dawid_skene(units, labels="abc", rounds=rounds)
    chances, prior, confusion, height = plainly(units, "abc", found["rounds"])
    for ours, theirs in zip(found["probabilities"], chances, strict=True):
        assert ours == pytest.approx(theirs, rel=0, abs=1e-9)
    assert found["prior"] == pytest.approx(prior, rel=0, abs=1e-9)
    assert found["log_likelihood"] == pytest.approx(height, rel=1e-12)
    for rater, rows in found["confusion"].items():
        for k, row in zip("abc", rows, strict=True):
            theirs = [confusion[rater, k, said] for said in "abc"]
            assert row == pytest.approx(theirs, rel=0, abs=1e-9)


def test_dawid_skene_settles_where_crowd_kit_does() -> None:
    """Figures of crowd-kit 1.4.2 (300 rounds), which cuts chances off at 1e-10."""
    found = dawid_skene(crowd(7, 60)[0])
    theirs = {"a": 0.4519574866325093, "b": 0.21324719355843427, "c": 0.3347953198090565}
    assert found["settled"]
    assert found["prior"] == pytest.approx(theirs, rel=0, abs=1e-8)


def test_it_tells_good_from_bad_and_beats_the_majority() -> None:
    units, truth = crowd(11, 800)
    found = dawid_skene(units)
    right = sum(a == b for a, b in zip(found["values"], truth, strict=True))
    by_vote = sum(majority(u)["value"] == t for u, t in zip(units, truth, strict=True))
    assert right > by_vote
    accuracy = found["accuracy"]
    assert sorted(accuracy, key=accuracy.__getitem__, reverse=True) == ["ana", "rui", "lee", "otto"]
    for rater, share in accuracy.items():
        pairs = [(u[rater], t) for u, t in zip(units, truth, strict=True) if rater in u]
        assert share == pytest.approx(sum(v == t for v, t in pairs) / len(pairs), abs=0.05)


def test_edges_of_dawid_skene() -> None:
    nothing = dawid_skene([{}, {"ana": None}])
    assert (nothing["values"], nothing["tied"]) == ([None, None], [[], []])
    assert (nothing["probabilities"], nothing["accuracy"]) == ([None, None], {})
    assert dawid_skene([])["values"] == []
    alone = dawid_skene([{"ana": "x"}, {"ana": "y"}, {}])
    assert alone["values"] == ["x", "y", None]
    same = dawid_skene([{"ana": "x", "rui": "x"}] * 3)
    assert (same["values"], same["accuracy"]) == (["x"] * 3, {"ana": 1.0, "rui": 1.0})
    tied = dawid_skene([{"ana": "x", "rui": "y"}])
    assert (tied["values"], tied["tied"]) == ([None], [["x", "y"]])
    some = dawid_skene([{"ana": "x", "rui": "z"}, {"ana": "z"}], labels=["x", "y"])
    assert (some["values"], some["labels"]) == (["x", None], ["x", "y"])


@given(
    st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 2), max_size=4), max_size=10),
    st.integers(1, 25),
)
@settings(max_examples=80, deadline=None)
def test_laws_of_dawid_skene(units: list[dict], rounds: int) -> None:
    found, later = dawid_skene(units, rounds=rounds), dawid_skene(units, rounds=rounds + 5)
    assert later["log_likelihood"] >= found["log_likelihood"] - 1e-9
    for unit, chances, value, tied in zip(
        units, found["probabilities"], found["values"], found["tied"], strict=True
    ):
        assert (chances is None) == (not unit)
        assert chances is None or sum(chances.values()) == pytest.approx(1)
        assert (value is None) == (not unit or len(tied) > 1)
    for rows in found["confusion"].values():
        for row in rows:
            assert sum(row) == pytest.approx(1)
