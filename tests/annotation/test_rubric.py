"""The rules of a rubric, on plain values."""

from itertools import product

import pytest

from annotation import rubric
from annotation.errors import Refused
from annotation.rubric import checked_ratings, checked_rubric, in_force, missing, options


def rating(title="Tone", **fields):
    return {"title": title, "type": "rating", "about": "prompt", "low": 1, "high": 5, **fields}


def label(title="Topic", *labels, **fields):
    given = [{"label": each} for each in labels or ("Science", "Sport")]
    return {"title": title, "type": "label", "about": "prompt", "options": given, **fields}


def text(title="Note", **fields):
    return {"title": title, "type": "text", "about": "prompt", **fields}


def refusal(act, *args):
    with pytest.raises(Refused) as refused:
        act(*args)
    return refused.value.field, str(refused.value)


# An edit of the rubric ----------------------------------------------------------------------------


def test_a_new_question_gets_a_key_made_of_its_title():
    [first] = checked_rubric([rating("  How good is the tone?  ", help=" 5 is best. ")], [])
    assert first == {
        "key": "how-good-is-the-tone",
        "title": "How good is the tone?",
        "help": "5 is best.",
        "type": "rating",
        "about": "prompt",
        "required": True,
        "low": 1,
        "high": 5,
    }


@pytest.mark.parametrize("title", ["Tone", "声調", "…", "\N{SPEAKING HEAD IN SILHOUETTE}"])
def test_titles_alike_get_keys_of_their_own(title):
    keys = [question["key"] for question in checked_rubric([rating(title)] * 3, [])]
    assert len(set(keys)) == 3
    # A key is part of a form field's name, q_KEY_LETTER: it has no underscore.
    assert all(key and "_" not in key and key.isascii() for key in keys)


def test_a_key_is_never_given_twice_not_even_after_a_removal():
    before = checked_rubric([rating()], [])
    without = checked_rubric([], before)
    assert [question["removed"] for question in without] == [True]
    after = checked_rubric([rating()], without)
    assert [(q["key"], q.get("removed", False)) for q in after] == [
        ("tone-2", False),
        ("tone", True),
    ]
    again = checked_rubric([rating()], checked_rubric([], after))
    assert [q["key"] for q in in_force(again)] == ["tone-3"]
    assert {q["key"] for q in again} == {"tone", "tone-2", "tone-3"}


def test_a_removed_question_comes_back_by_its_key():
    before = checked_rubric([rating()], [])
    gone = checked_rubric([], before)
    assert checked_rubric([rating(key="tone")], gone) == before


def test_the_order_is_the_order_given_and_titles_may_change():
    before = checked_rubric([rating(), text()], [])
    after = checked_rubric([text("Remark", key="note"), rating(key="tone")], before)
    assert [(q["key"], q["title"]) for q in after] == [("note", "Remark"), ("tone", "Tone")]


@pytest.mark.parametrize("was, given", list(product(rubric.TYPES, rubric.TYPES)))
def test_the_type_is_fixed(was, given):
    new = {"rating": rating, "label": label, "labels": label, "text": text}[was]
    before = checked_rubric([new("Q", type=was)], [])
    change = {**before[0], "type": given}
    if was == given:
        assert checked_rubric([change], before) == before
    else:
        field, words = refusal(checked_rubric, [change], before)
        assert field == "0-type" and "hang on it" in words


def test_what_it_is_about_is_fixed_and_may_be_left_unsaid():
    before = checked_rubric([rating(about="answer")], [])
    field, _ = refusal(checked_rubric, [rating(key="tone", about="prompt")], before)
    assert field == "0-about"
    unsaid = {"key": "tone", "title": "Tone", "low": 1, "high": 5}
    assert checked_rubric([unsaid], before) == before


@pytest.mark.parametrize(
    "question, field",
    [
        (rating(""), "1-title"),
        (rating("  "), "1-title"),
        (rating("x" * 201), "1-title"),
        (rating("a\x00b"), "1-title"),
        (rating("a\ud800b"), "1-title"),
        (rating(7), "1-title"),
        (rating(help="x" * 1001), "1-help"),
        (rating(help="\x00"), "1-help"),
        (rating(type="stars"), "1-type"),
        (rating(type=None), "1-type"),
        (rating(type=["rating"]), "1-type"),
        (rating(about="author"), "1-about"),
        (rating(low=5, high=5), "1-high"),
        (rating(low=5, high=1), "1-high"),
        (rating(low=-1), "1-high"),
        (rating(high=11), "1-high"),
        (rating(low="1"), "1-high"),
        (rating(low=True), "1-high"),
        (rating(low=None), "1-high"),
        (label("Topic", "Only"), "1-options"),
        (label("Topic", "Same", " Same "), "1-options"),
        (label("Topic", "", " "), "1-options"),
        (label("Topic", "x" * 201, "y"), "1-options"),
        (label("Topic", "a\x00", "y"), "1-options"),
        (label("Topic", *map(str, range(51))), "1-options"),
        (label("Topic", type="labels", options=[]), "1-options"),
        (text(key="never"), "1-key"),
    ],
)
def test_a_wrong_question_is_refused_by_its_place_and_part(question, field):
    assert refusal(checked_rubric, [rating(), question], [])[0] == field


def test_the_whole_is_refused_if_one_is_in_it_twice_or_there_are_too_many():
    before = checked_rubric([rating()], [])
    assert "twice" in refusal(checked_rubric, [rating(key="tone")] * 2, before)[1]
    assert len(checked_rubric([rating()] * 30, [])) == 30
    assert "at most 30" in refusal(checked_rubric, [rating()] * 31, [])[1]


def test_removed_questions_do_not_count_as_too_many():
    many = checked_rubric([rating()] * 30, [])
    assert len(checked_rubric([text()], many)) == 31


# Options ------------------------------------------------------------------------------------------


def test_an_option_keeps_its_value_under_another_label():
    before = checked_rubric([label()], [])
    assert before[0]["options"] == [
        {"value": "science", "label": "Science"},
        {"value": "sport", "label": "Sport"},
    ]
    given = [{"value": "sport", "label": "Sports"}, {"value": "science", "label": "Science"}]
    [after] = checked_rubric([label(key="topic", options=given)], before)
    assert after["options"] == given


def test_a_removed_option_is_kept_and_comes_back_by_its_label():
    before = checked_rubric([label("Topic", "Science", "Sport", "Arts")], [])
    [fewer] = checked_rubric([label("Topic", "Arts", "Science", key="topic")], before)
    assert fewer["options"][-1] == {"value": "sport", "label": "Sport", "removed": True}
    assert [option["value"] for option in options(fewer)] == ["arts", "science"]
    [again] = checked_rubric([label("Topic", "Arts", "Sport", key="topic")], [fewer])
    assert [option["value"] for option in options(again)] == ["arts", "sport"]
    assert {option["value"] for option in again["options"]} == {"arts", "sport", "science"}


def test_a_new_option_never_takes_the_value_of_one_that_is_there():
    before = checked_rubric([label()], [])
    given = [{"value": "science", "label": "Physics"}, {"value": "sport", "label": "Sport"}]
    [renamed] = checked_rubric([label(key="topic", options=given)], before)
    new = [*given, {"label": "Science"}]
    [after] = checked_rubric([label(key="topic", options=new)], [renamed])
    assert [option["value"] for option in after["options"]] == ["science", "sport", "science-2"]


def test_a_label_that_moves_to_another_option_takes_no_value_along():
    """Science is renamed to Sport while Sport goes: what was said stays with the old values."""
    before = checked_rubric([label()], [])
    given = [{"value": "science", "label": "Sport"}, {"value": "", "label": "Science"}]
    [after] = checked_rubric([label(key="topic", options=given)], before)
    assert [(o["value"], o["label"]) for o in options(after)] == [
        ("science", "Sport"),
        ("science-2", "Science"),
    ]
    assert after["options"][-1] == {"value": "sport", "label": "Sport", "removed": True}


def test_a_made_up_value_is_not_taken_over():
    [question] = checked_rubric(
        [label(options=[{"value": "x_y", "label": "A"}, {"label": "B"}])], []
    )
    assert [option["value"] for option in question["options"]] == ["a", "b"]


def test_a_rating_offers_its_numbers():
    [question] = checked_rubric([rating(low=0, high=3)], [])
    assert options(question) == [{"value": str(n), "label": str(n)} for n in range(4)]
    assert options(checked_rubric([text()], [])[0]) == []


def test_the_version_changes_with_every_edit_and_with_nothing_else():
    before = checked_rubric([rating(), label()], [])
    same = [dict(reversed(question.items())) for question in before]
    assert rubric.version(before) == rubric.version(same) != rubric.version([])
    moved = checked_rubric(before[::-1], before)
    assert rubric.version(moved) != rubric.version(before)


# Answers ------------------------------------------------------------------------------------------

ALL = checked_rubric(
    [rating(), label(), label("Flags", "Rude", "Wrong", "Long", type="labels"), text()], []
)
GOOD = {"tone": 5, "topic": "sport", "flags": ["wrong", "rude"], "note": "Fine."}


def test_complete_answers_are_taken_and_only_those_that_are_asked_for():
    assert checked_ratings({**GOOD, "else": 1}, ALL, []) == {**GOOD, "flags": ["rude", "wrong"]}
    assert checked_ratings({}, [], [7]) == {}


@pytest.mark.parametrize(
    "key, wrong",
    [
        *(("tone", value) for value in (0, 6, "5", 5.0, True, [5], {"1": 5})),
        *(("topic", value) for value in ("Sport", "arts", 1, True, ["sport"], {})),
        *(("flags", value) for value in ("rude", ["Rude"], [["rude"]], [1], {"rude": 1}, 3)),
        *(("note", value) for value in (1, ["x"], "a\x00b", "a\ud800", "x" * 20_001)),
    ],
)
def test_an_answer_that_is_not_offered_is_refused_by_its_key(key, wrong):
    assert refusal(checked_ratings, {**GOOD, key: wrong}, ALL, [])[0] == key


@pytest.mark.parametrize("key, empty", list(product(GOOD, [None, "", "  \n", [], ...])))
def test_a_required_question_must_be_answered_and_another_may_be_left_out(key, empty):
    given = {k: v for k, v in {**GOOD, key: empty}.items() if v is not ...}
    field, words = refusal(checked_ratings, given, ALL, [])
    assert field == key and "not answered yet" in words
    optional = [{**question, "required": question["key"] != key} for question in ALL]
    assert key not in checked_ratings(given, optional, [])


def test_a_text_is_kept_as_it_was_typed():
    noted = checked_ratings({"note": "  two\r\nlines "}, checked_rubric([text()], []), [])
    assert noted == {"note": "  two\nlines "}


def test_a_removed_question_and_a_removed_option_are_not_asked():
    gone = checked_rubric([], ALL)
    assert checked_ratings(GOOD, gone, []) == {}
    fewer = checked_rubric([label("Topic", "Science", "Arts", key="topic")], [ALL[1]])
    assert refusal(checked_ratings, {"topic": "sport"}, fewer, [])[0] == "topic"


EACH = checked_rubric([rating(about="answer"), text("Why", about="answer", required=False)], [])


def test_about_each_answer_every_one_that_was_shown_is_asked():
    given = {"tone": {"7": 1, "9": 5, "11": 2}, "why": {"9": "Clear."}}
    expected = {"tone": {"7": 1, "9": 5}, "why": {"9": "Clear."}}
    assert checked_ratings(given, EACH, [9, 7]) == expected
    assert checked_ratings({"tone": {"7": 1}, "why": {"7": ""}}, EACH, [7]) == {"tone": {"7": 1}}


@pytest.mark.parametrize(
    "given, field",
    [
        ({}, "tone:7"),
        ({"tone": 3}, "tone:7"),
        ({"tone": {"7": 3}}, "tone:9"),
        ({"tone": {7: 3, 9: 3}}, "tone:7"),
        ({"tone": {"7": 3, "9": 6}}, "tone:9"),
        ({"tone": {"7": 3, "9": 4}, "why": {"9": 1}}, "why:9"),
    ],
)
def test_what_is_wrong_about_an_answer_is_refused_by_key_and_answer(given, field):
    assert refusal(checked_ratings, given, EACH, [7, 9])[0] == field


# What a submission lacks --------------------------------------------------------------------------


def test_only_a_question_added_later_is_missing_and_a_removed_one_is_not():
    ratings = checked_ratings(GOOD, ALL, [])
    assert missing(ALL, ratings, []) == []
    more = checked_rubric([*ALL, rating("Depth"), text("Aside", required=False)], ALL)
    assert missing(more, ratings, []) == ["depth"]
    assert missing(checked_rubric(more[1:], more), ratings, []) == ["depth"]
    assert missing(checked_rubric([], more), ratings, []) == []
    assert missing(more, {}, []) == ["tone", "topic", "flags", "note", "depth"]


def test_an_answer_without_its_rating_is_missing_and_no_answers_miss_nothing():
    assert missing(EACH, {"tone": {"7": 1, "9": 2}}, [7, 9]) == []
    assert missing(EACH, {"tone": {"7": 1}}, [7, 9]) == ["tone"]
    assert missing(EACH, {"tone": 3}, [7]) == ["tone"]
    assert missing(EACH, {}, []) == []


def test_an_option_removed_later_makes_nothing_incomplete():
    fewer = checked_rubric([label("Topic", "Science", "Arts", key="topic")], [ALL[1]])
    assert missing(fewer, {"topic": "sport"}, []) == []


def test_a_key_is_no_field_of_the_work() -> None:
    given = {"title": "Text", "type": "text", "about": "prompt"}
    assert checked_rubric([given], [])[0]["key"] == "text-2"
