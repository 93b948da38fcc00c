"""What a selection may say, and what it says back."""

import pytest

from exports.formats import KINDS
from exports.rules import FIELDS, Selection, SelectionError, parse, to_json


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_go_out_and_come_back(kind: str) -> None:
    needed = {"question": "metadata.topic"} if kind == "labels" else {}
    assert parse(kind, needed) == Selection(**needed)
    stored = to_json(kind, Selection(projects=("a", "b"), **needed))
    assert set(stored) == set(FIELDS[kind])
    assert parse(kind, stored) == Selection(projects=("a", "b"), **needed)


def test_typed_text_is_read() -> None:
    values = {
        "projects": "a, b,a",
        "stages": "3, 1",
        "min_length": " 20 ",
        "test": "2.5",
        "answers": "corrected,written",
        "best_ranked": "yes",
    }
    found = parse("sft", values)
    assert found.projects == ("a", "b") and found.stages == (1, 3)
    assert (found.min_length, found.test, found.best_ranked) == (20, 2.5, True)
    assert found.answers == ("written", "corrected")
    assert parse("sft", {"stages": "all"}).stages is None
    assert parse("sft", {"stages": []}).stages is None


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("sft", "pairs", "all", "no such rule for sft"),
        ("prompts", "best_ranked", True, "no such rule for prompts"),
        ("sft", "weights", ["support"], "name=number"),
        ("sft", "weights", ["support=0"], "outside 0.001"),
        ("sft", "since", "21.11.2026", "is no date"),
        ("sft", "metadata", "topic", "topic"),
        ("sft", "ratings", ["helpful>=4"], "helpful"),
        ("sft", "personal_kinds", ["name"], "none of email"),
        ("sft", "personal", "shred", "none of keep, mask, drop"),
        ("sft", "near", 101, "outside 0 to 100"),
        ("sft", "near", float("inf"), "not a whole number"),
        ("sft", "stages", [float("inf")], "numbers of stages"),
        ("preference", "margin_table", ["1"], "name=number"),
        ("preference", "margin_table", ["5=2"], "is no strength"),
        ("labels", "question", "", "which label"),
        ("sft", "colour", 3, "no such rule"),
        ("sft", "projects", 3, "list of names"),
        ("sft", "stages", "one", "numbers of stages"),
        ("sft", "min_length", "2.5", "not a whole number"),
        ("sft", "min_length", -1, "outside 0"),
        ("sft", "min_length", True, "outside"),
        ("sft", "test", "nan", "outside"),
        ("sft", "test", 91, "outside"),
        ("sft", "answers", [], "at least one"),
        ("sft", "answers", "spoken", "none of written"),
        ("sft", "best_ranked", "maybe", "neither true nor false"),
        ("sft", "prompt_template", "{context}", "missing"),
        ("sft", "prompt_template", 3, "a text"),
        ("preference", "pairs", "some", "none of all, adjacent, best"),
        ("preference", "margin", "much", "none of none, strength, places"),
    ],
)
def test_each_field_says_what_is_wrong(kind: str, field: str, value, words: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse(kind, {field: value})
    assert list(caught.value.errors) == [field]
    assert words in caught.value.errors[field]


def test_all_errors_at_once() -> None:
    with pytest.raises(SelectionError) as caught:
        parse("sft", {"test": "x", "min_length": "y", "pairs": "all"})
    assert set(caught.value.errors) == {"test", "min_length", "pairs"}


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(SelectionError, match="less than 10 %"):
        parse("sft", {"test": 50, "validation": 45})


@pytest.mark.parametrize("kind", ["x", ""])
def test_what_is_no_kind_is_refused_by_name(kind: str) -> None:
    with pytest.raises(SelectionError, match=f"{kind}.* is no kind"):
        parse(kind, {})


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(SelectionError, match="shorter than the shortest"):
        parse("sft", {"min_length": 20, "max_length": 10})
    with pytest.raises(SelectionError, match="before the first day"):
        parse("sft", {"since": "2026-02-01", "until": "2026-01-01"})


def test_lists_may_be_typed_a_line_each() -> None:
    found = parse("sft", {"metadata": "topic=a, b\nscore>=3", "languages": "en, pt", "near": "85"})
    assert found.metadata == ("topic=a, b", "score>=3")
    assert found.languages == ("en", "pt") and found.near == 85
