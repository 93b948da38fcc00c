"""What a selection may say, and what it says back."""

import pytest

from exports.formats import KINDS
from exports.rules import FIELDS, Selection, SelectionError, parse, to_json


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_go_out_and_come_back(kind: str) -> None:
    assert parse(kind, {}) == Selection()
    stored = to_json(kind, Selection(projects=("a", "b")))
    assert set(stored) == set(FIELDS[kind])
    assert parse(kind, stored) == Selection(projects=("a", "b"))


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
        ("prompts", "min_length", 3, "no such rule for prompts"),
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


@pytest.mark.parametrize("kind", ["unpaired", "text", "labels", "x"])
def test_kinds_to_come_are_refused_by_name(kind: str) -> None:
    with pytest.raises(SelectionError, match=f"{kind}.* cannot be made yet"):
        parse(kind, {})
