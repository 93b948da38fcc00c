"""Rewards by rule, against numbers counted by hand; and a pattern that would never end."""

import pytest

from training.recipes import heuristics
from training.recipes.configs import parse


def rule(name, value):
    return heuristics.rule_of(parse("ppo", {"rule": name, "rule_value": value}))


def test_no_rule_is_no_rule():
    assert heuristics.rule_of(parse("ppo", {})) is None


@pytest.mark.parametrize(
    ("name", "value", "text", "worth"),
    [
        ("length", "2-4", "one two three", 1.0),
        ("length", "2 - 4", "one two", 1.0),
        ("length", "2-4", "one", 0.5),  # half of what it should have
        ("length", "2-4", "1 2 3 4 5 6 7 8", 0.5),  # twice as long as it may be
        ("length", "2-4", "", 0.0),
        ("keyword", "refund, sorry", "We are SORRY.", 0.5),
        ("keyword", "refund, sorry", "Sorry: a refund is on its way.", 1.0),
        ("keyword", "refund", "refunded", 0.0),  # another word
        ("keyword", "c++", "I like C++!", 1.0),
        ("regex", r"\d{4}", "in 1999", 1.0),
        ("regex", r"^\d{4}$", "in 1999", 0.0),
        ("exact", "Yes", " yes \n", 1.0),
        ("exact", "Yes", "yes, sir", 0.0),
    ],
)
def test_what_a_rule_says(name, value, text, worth):
    assert rule(name, value)([text, text]) == [worth, worth]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("length", "", "needs words from and to"),
        ("length", "80-20", "needs words from and to"),
        ("length", "0-5", "needs words from and to"),
        ("keyword", " , ", "needs words as its rule_value"),
        ("regex", "(", "cannot be read: missing"),
        ("regex", "a" * 501, "1 to 500 characters"),
        ("exact", "  ", "the one right answer"),
    ],
)
def test_a_value_that_is_none_for_its_rule_is_refused(name, value, said):
    with pytest.raises(ValueError, match=said):
        rule(name, value)


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$"])
def test_a_pattern_that_would_search_for_years_ends_with_a_sentence(pattern):
    with pytest.raises(ValueError, match="repetitions within repetitions"):
        rule("regex", pattern)(["aaa", "a" * 60 + "!"])
