"""Conditions: what they say, what they find, and that they are written as they were read."""

from typing import Any

import pytest

from exports.conditions import (
    Condition,
    looked_up,
    parse_metadata,
    parse_rating,
    question,
    unmet,
)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("topic=billing", Condition("topic", "=", "billing")),
        ("topic != x", Condition("topic", "!=", "x")),
        ("score>=3", Condition("score", ">=", "3")),
        ("score <= 3.5", Condition("score", "<=", "3.5")),
        ("score>3", Condition("score", ">", "3")),
        ("score<-1e3", Condition("score", "<", "-1e3")),
        ("topic=", Condition("topic", "=")),
        ("formula=a=b", Condition("formula", "=", "a=b")),
        ("source.year>2020", Condition("source.year", ">", "2020")),
        ("has topic", Condition("topic", "has")),
        (" no  topic of mine ", Condition("topic of mine", "no")),
        ("has it=yes", Condition("has it", "=", "yes")),
    ],
)
def test_what_is_written_is_what_was_read(text: str, condition: Condition) -> None:
    assert parse_metadata(text) == condition
    assert parse_metadata(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topic", "'topic' is no condition; write NAME=VALUE"),
        ("=3", "'=3' names nothing"),
        ("has ", "'has ' is no condition"),
        ("", "'' is no condition"),
        ("score>", "'score>' says nothing to compare with"),
        ("score==3", "write = for =="),
        ("score=>3", "write >= for =>"),
        ("score=<3", "write <= for =<"),
        ("score<>3", "write != for <>"),
    ],
)
def test_what_is_no_condition_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse_metadata(text)


METADATA = {
    "topic": "billing",
    "score": 3,
    "share": 0.25,
    "year": "2021",
    "day": "2024-05-17",
    "code": "01",
    "checked": True,
    "tags": ["a", "b"],
    "empty": "",
    "nothing": None,
    "big": 12345678901234567890,
    "source": {"name": "OASST", "depth": {"n": 4}},
    "a.b": {"c": 1},
}


@pytest.mark.parametrize(
    "text",
    [
        "topic=billing", "topic!=x", "score=3", "score=3.0", "score>=3", "score<4", "score!=4",
        "share>0.2", "share<=0.25", "year>=2020", "year<2021.5", "day>=2024", "day<2024-06",
        "day>2024-05-16", "code=01", "code>0", "code!=1", "checked=true", "checked=True",
        "tags=a", "tags=b", "tags!=c", "has topic", "has checked", "no empty", "no nothing",
        "no missing", "no missing.deep", "missing!=x", "empty=", "big=12345678901234567890",
        "big>12345678901234567889", "source.name=OASST", "source.depth.n>=4", "a.b.c=1",
        "has source",
    ],
)  # fmt: skip
def test_what_holds(text: str) -> None:
    condition = parse_metadata(text)
    assert unmet(METADATA, (condition,)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "topic=Billing", "topic!=billing", "topic>3", "topic>=0", "score=4", "score>3", "score<3",
        "score>=high", "score!=3.0", "day<2024", "day>=3000", "code=1", "checked=false",
        "checked=1", "checked>0", "tags=c", "tags!=a", "has empty", "has nothing", "has missing",
        "no topic", "missing=x", "missing>0", "missing=", "big=12345678901234567891",
        "source=OASST", "source.depth=4", "source.name.first=O", "nothing=None",
    ],
)  # fmt: skip
def test_what_does_not_hold_is_named(text: str) -> None:
    condition = parse_metadata(text)
    assert unmet(METADATA, (condition,)) == f"its metadata do not fulfil “{text}”"


def test_all_must_hold_and_the_first_that_does_not_is_the_reason() -> None:
    conditions = tuple(map(parse_metadata, ("score>=3", "topic=x", "has missing")))
    assert unmet(METADATA, conditions) == "its metadata do not fulfil “topic=x”"
    assert unmet(METADATA, ()) == ""


def test_a_name_with_dots_stands_for_itself_first() -> None:
    assert looked_up({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert looked_up({"a": {"b.c": 3}}, "a.b.c") == 3
    assert looked_up({"a": [1]}, "a.0") is None
    assert looked_up({"a.b": None, "a": {"b": 2}}, "a.b") is None
    assert looked_up({"a.b": {"d": 1}, "a": {"b": {"c": 2}}}, "a.b.c") == 2
    assert looked_up({"a.b": {"c": 1}, "a": {"b": {"c": 2}}}, "a.b.c") == 1


def test_a_name_of_forty_dots_is_looked_up_at_once() -> None:
    nested: dict[str, Any] = {}
    for _ in range(40):  # each has two names for the next one: 2^40 ways in
        nested = {"a": nested, "a.a": nested}
    assert looked_up(nested, "a." * 40 + "b") is None  # way by way it would not end


def test_a_number_of_any_length_is_compared() -> None:
    assert parse_metadata(f"score<{'9' * 5000}").test(3)
    assert not parse_metadata(f"score={'9' * 5000}").test(3)


def test_conditions_on_ratings() -> None:
    assert parse_rating("7.helpful >= 4") == Condition("7.helpful", ">=", "4")
    assert parse_rating(str(parse_rating("7.topic=a.b"))) == Condition("7.topic", "=", "a.b")
    assert parse_rating("7.helpful>=4").test(4.5) and not parse_rating("7.helpful>=4").test(3)
    assert parse_rating("7.tags=rude").test(("long", "rude"))
    for wrong in ("helpful>=4", "7.helpful", "7.helpful>=", "7.helpful>=good", "x.y=1", "7.=1"):
        with pytest.raises(ValueError, match=f"'{wrong}'.*7.helpful>=4"):
            parse_rating(wrong)


def test_a_question_is_named_by_stage_and_key() -> None:
    assert question("7.helpful") == (7, "helpful") and question("12.a-b.c") == (12, "a-b.c")
    for other in ("", "rankings", "metadata.topic", "7", "7.", ".x", "٣.x"):
        assert question(other) is None
