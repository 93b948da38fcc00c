"""The side on which a conversation falls: stable, and the same everywhere."""

import random
from collections import Counter

import pytest

from annotation.text import root_key
from exports.splits import SPLITS, point, split

KEYS = [root_key([{"role": "user", "content": f"Question {n}"}]) for n in range(20_000)]


def test_points_are_known() -> None:
    """Another machine, another day, another version: the same number."""
    assert point("root", "salt") == pytest.approx(0.7730365, abs=1e-6)
    assert point("root", "salt") != point("root", "other")
    assert point("roots", "alt") != point("root", "salt")


def test_points_are_spread() -> None:
    tenths = Counter(int(point(key, "s") * 10) for key in KEYS)
    assert set(tenths) == set(range(10))
    assert all(abs(count - 2_000) < 200 for count in tenths.values())


def test_shares_are_about_what_was_asked() -> None:
    counts = Counter(split(key, "s", 0.05, 0.05) for key in KEYS)
    assert set(counts) == set(SPLITS)
    assert 850 < counts["test"] < 1_150 and 850 < counts["validation"] < 1_150


def test_more_prompts_change_no_side() -> None:
    before = {key: split(key, "s", 0.05, 0.05) for key in KEYS[:18_000]}
    after = {key: split(key, "s", 0.05, 0.05) for key in KEYS}
    assert [key for key in before if before[key] != after[key]] == []


def test_another_share_moves_a_border_only() -> None:
    order = {"test": 0, "validation": 1, "train": 2}
    drawn = random.Random(1)
    for _ in range(50):
        test, validation = drawn.uniform(0, 0.4), drawn.uniform(0, 0.4)
        larger = test + drawn.uniform(0, 0.1)
        for key in KEYS[:300]:
            before = order[split(key, "s", test, validation)]
            after = order[split(key, "s", larger, validation)]
            assert after <= before, "growing test takes from validation, and that from train"


def test_edges() -> None:
    assert {split(key, "s", 0, 0) for key in KEYS[:500]} == {"train"}
    assert {split(key, "s", 1, 0) for key in KEYS[:500]} == {"test"}
    assert all(0 <= point(key, "s") < 1 for key in KEYS)


def test_the_same_first_turn_is_the_same_side_whatever_follows() -> None:
    for number in range(200):
        first = {"role": "user", "content": f"How  is day {number}?"}
        later = [first, {"role": "assistant", "content": "Fine"}, {"role": "user", "content": "Oh"}]
        shouted = [{"role": "user", "content": f"how is DAY {number}? "}]
        keys = {root_key(turns) for turns in ([first], later, shouted)}
        assert len(keys) == 1
