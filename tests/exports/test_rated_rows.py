"""What unpaired, labels and text make of the work on one prompt; one fate for each row."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.conditions import parse_rating
from exports.judging import Known, best_rated, in_force, rated_value, said, unmet_rating
from exports.preferences import DISAGREE, TIE
from exports.rated_rows import (
    ABOUT_ANSWERS,
    MIDDLE,
    NO_GOOD,
    UNRANKED,
    documents,
    labels,
    unpaired,
)
from exports.rules import Selection
from exports.unification import NOBODY, Fitted
from exports.work import (
    OTHER_CHOSEN,
    Answer,
    Ranked,
    Rated,
    Work,
    leaves_work_out,
    outside,
)

ASKED = [{"role": "user", "content": "Why?"}]


def work(*answers: Answer, **fields: Any) -> Work:
    values = {"messages": ASKED, "root_key": "r" * 32} | fields
    return Work("desk", UUID(int=1), 1, "p1", **values, answers=[*answers])


def answer(pk: int, text: str = "", **fields: Any) -> Answer:
    return Answer(pk, text or f"answer {pk}", fields.pop("origin", "imported"), **fields)


def rated(who: str, ratings: dict[str, Any], item: int = 1, **fields: Any) -> Rated:
    turn = fields.pop("submission", sum(map(ord, who)))
    return Rated(7, item, turn, f"name {who}", ratings, **fields)


def ranked(who: str, order: list[list[int]], **fields: Any) -> Ranked:
    return Ranked(order, sum(map(ord, who)), f"name {who}", **fields)


def fates(found: Any) -> dict[int, Any]:
    """{answer: its row's label, or why it was dropped}."""
    return {
        one.answers[0].id if one.answers else 0: one.reason or one.row.get("label", one.row)
        for one in found
    }


def thumbs(of: Work, known: Known | None = None, **rules: Any) -> dict[int, Any]:
    selection = Selection(**rules)
    found = [*unpaired(of, selection, "salt", *([known] if known else []))]
    assert all((one.row is None) == bool(one.reason) for one in found)
    return fates(found)


def test_imported_thumbs() -> None:
    made = work(
        answer(1, metadata={"label": True}),
        answer(2, metadata={"label": False}),
        answer(3),
        answer(4, metadata={"label": "maybe"}),
        answer(5, metadata={"label": True}, out="its annotator is left out"),
        answer(6, metadata={"label": True}, in_scope=False),
        answer(7, " ", metadata={"label": True}),
        answer(8, metadata={"label": True}, passed_over=True),
    )
    assert thumbs(made) == {
        1: True,
        2: False,
        3: NOBODY,
        4: NOBODY,
        5: "its annotator is left out",
        7: "the answer is empty",
        8: OTHER_CHOSEN,
    }
    first = next(unpaired(made, Selection(), "salt"))
    assert first.row == {
        "prompt": ASKED,
        "completion": [{"role": "assistant", "content": "answer 1"}],
        "label": True,
    }
    assert first.label == "good" and first.split and first.length == 8


def test_what_makes_no_prompt_makes_no_thumb() -> None:
    assert thumbs(work(answer(1, metadata={"label": True}), retired=True)) == {
        1: "the prompt is retired"
    }


def test_thumbs_from_rankings() -> None:
    made = work(*map(answer, (1, 2, 3, 4, 5)))
    made.rankings = [ranked("ana", [[1], [2, 3], [4]]), ranked("bea", [[1], [3], [4]])]
    assert thumbs(made, question="rankings") == {
        1: True,
        2: MIDDLE,
        3: MIDDLE,
        4: False,
        5: UNRANKED,
    }
    found = [*unpaired(made, Selection(question="rankings"), "salt")]
    assert [len(one.rankings) for one in found] == [2, 1, 2, 2, 0]
    made.rankings = [ranked("ana", [[1, 2, 3, 4, 5]])]
    assert set(thumbs(made, question="rankings").values()) == {TIE}
    made.rankings = [ranked("ana", [[1], [2]]), ranked("bea", [[2], [1]])]
    assert thumbs(made, question="rankings") == {1: DISAGREE, 2: DISAGREE} | dict.fromkeys(
        (3, 4, 5), UNRANKED
    )
    known = Known({"name ana": 0.9, "name bea": 0.4})
    for how in ("weighted", "best_annotator"):
        told = thumbs(made, known, question="rankings", label_by=how)
        assert (told[1], told[2]) == (True, False)


def test_the_best_that_is_judged_bad_gets_no_thumb_up() -> None:
    made = work(answer(1), answer(2))
    made.rankings = [ranked("ana", [[1], [2]], all_bad=True)]
    assert thumbs(made, question="rankings") == {1: False, 2: False}


def test_rankings_that_do_not_count_are_the_reason() -> None:
    made = work(answer(1), answer(2))
    made.rankings = [ranked("ana", [[1], [2]], out="waits for a review")]
    assert set(thumbs(made, question="rankings").values()) == {"waits for a review"}
    made.rankings = [ranked("ana", [[1], [2]])]
    few = thumbs(made, question="rankings", min_raters=2)
    assert set(few.values()) == {"fewer than 2 annotators"}


def test_thumbs_from_scores() -> None:
    made = work(*map(answer, (1, 2, 3)))
    made.rated = [
        rated("ana", {"helpful": {"1": 5, "2": 2}}),
        rated("bea", {"helpful": {"1": 4, "2": 5}}),
    ]
    rules: dict[str, Any] = {"question": "7.helpful"}
    assert thumbs(made, good=("4",), **rules) == {1: True, 2: False, 3: NOBODY}
    assert thumbs(made, good=("3.5", "4"), **rules) == {1: True, 2: True, 3: NOBODY}
    assert thumbs(made, good=("4",), rating_by="min", **rules)[2] is False
    assert thumbs(made, good=("4",), rating_by="majority", **rules)[2] == DISAGREE
    assert thumbs(made, good=("5",), rating_by="max", **rules)[1] is True
    assert thumbs(made, **rules)[1] == NO_GOOD
    assert thumbs(made, good=("fine",), **rules)[1] == NO_GOOD
    known = Known({"name ana": 0.9, "name bea": 0.4})
    best = thumbs(made, known, good=("4",), rating_by="best_annotator", **rules)
    assert best == {1: True, 2: False, 3: NOBODY}
    assert thumbs(made, good=("4",), **{"question": "8.helpful"})[1] == NOBODY


def test_thumbs_from_labels() -> None:
    made = work(answer(1), answer(2), answer(3, in_scope=False))
    made.rated = [
        rated("ana", {"tone": {"1": "kind", "2": ["kind", "long"], "3": "rude"}}),
        rated("bea", {"tone": {"1": "fine"}}),
        rated("cleo", {"tone": {"1": "fine"}}),
    ]
    assert thumbs(made, question="7.tone", good=("fine", "kind")) == {1: True, 2: True, 3: False}
    assert thumbs(made, question="7.tone", good=("kind",))[1] is False
    del made.rated[2]
    assert thumbs(made, question="7.tone", good=("kind",))[1] == DISAGREE


def test_what_is_said_of_the_prompt_judges_no_answer_of_another_stage() -> None:
    made = work(answer(1), answer(2, in_scope=False))
    made.rated = [rated("ana", {"fine": "yes"})]
    assert thumbs(made, question="7.fine") == {1: True}
    made.rated.append(rated("bea", {"fine": {"2": "yes"}}))
    assert thumbs(made, question="7.fine") == {1: True, 2: True}


def test_thumbs_from_metadata() -> None:
    made = work(
        answer(1, metadata={"vote": {"up": 3}}),
        answer(2, metadata={"vote": {"up": 0}}),
        answer(3, metadata={"safe": True}),
        metadata={"safe": False},
    )
    assert thumbs(made, question="metadata.vote.up", good=("1",)) == {1: True, 2: False, 3: NOBODY}
    assert thumbs(made, question="metadata.safe") == {1: False, 2: False, 3: True}


def test_what_is_good_where_nobody_says_it() -> None:
    votes = enumerate(("up", "Down", "Yes", 1), 1)
    made = work(*(answer(pk, metadata={"vote": vote}) for pk, vote in votes))
    assert thumbs(made, question="metadata.vote") == {1: True, 2: False, 3: True, 4: NO_GOOD}
    made.rated = [rated("ana", {"fine": {"1": "no", "2": "yes"}})]
    assert thumbs(made, question="7.fine") == {1: False, 2: True, 3: NOBODY, 4: NOBODY}


def labelled(of: Work, known: Known | None = None, **rules: Any) -> list[tuple[str, str]]:
    """(text, label) of rows, ("", reason) of what was dropped."""
    selection = Selection(**{"question": "7.topic"} | rules)
    return [
        ("", one.reason) if one.reason else (one.row["text"], one.row["label"])
        for one in labels(of, selection, "salt", *([known] if known else []))
    ]


def test_a_label_of_the_prompt() -> None:
    made = work(answer(1), answer(2))
    assert labelled(made, label_text="prompt") == [("", NOBODY)]
    made.rated = [rated("ana", {"topic": "bug"}), rated("bea", {"topic": "bug"})]
    assert labelled(made, label_text="prompt") == [("Why?", "bug")]
    assert labelled(made, label_text="answer") == [("answer 1", "bug"), ("answer 2", "bug")]
    assert labelled(made)[0] == ("Why?\n\nanswer 1", "bug")
    made.rated += [rated("cleo", {"topic": "wish"}), rated("dan", {"topic": "wish"})]
    assert labelled(made, label_text="prompt") == [("", DISAGREE)]
    weights = {"name ana": 0.9, "name bea": 0.9, "name cleo": 0.5, "name dan": 0.5}
    weighted = {"label_text": "prompt", "label_by": "weighted"}
    assert labelled(made, Known(weights), **weighted) == [("Why?", "bug")]


def test_labels_by_dawid_skene() -> None:
    made = work(answer(1))
    made.rated = [rated("ana", {"topic": "a"}), rated("bea", {"topic": "b"})]
    right, wrong = [[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.4, 0.6]]
    fitted = Fitted("ab", {"a": 0.5, "b": 0.5}, {"name ana": right, "name bea": wrong})
    rules = {"label_text": "prompt", "label_by": "dawid_skene"}
    assert labelled(made, Known(fitted=fitted), **rules) == [("Why?", "a")]


def test_a_score_is_a_label() -> None:
    made = work(answer(1))
    made.rated = [rated(who, {"topic": score}) for who, score in (("a", 4), ("b", 4), ("c", 5))]
    prompt = {"label_text": "prompt"}
    assert labelled(made, **prompt) == [("Why?", "4.3333")]
    assert labelled(made, rating_by="majority", **prompt) == [("Why?", "4")]
    del made.rated[2]
    assert labelled(made, **prompt) == [("Why?", "4")]
    made.rated[0] = rated("a", {"topic": 5})
    assert labelled(made, rating_by="majority", **prompt) == [("", DISAGREE)]
    fitted = Fitted([4, 5], {4: 0.9, 5: 0.1}, {"name b": [[0.9, 0.1], [0.1, 0.9]]})
    known = Known(fitted=fitted)
    assert labelled(made, known, label_by="dawid_skene", **prompt) == [("Why?", "4")]


def test_a_label_of_each_answer() -> None:
    made = work(answer(1), answer(2), answer(3), answer(4, in_scope=False))
    made.rated = [rated("ana", {"topic": {"1": "bug", "2": ["wish", "rant"]}})]
    assert labelled(made, label_text="answer") == [
        ("answer 1", "bug"),
        ("answer 2", "rant|wish"),
        ("", NOBODY),
    ]
    assert labelled(made, label_text="prompt") == [("", ABOUT_ANSWERS)]
    assert labelled(work(), label_text="answer") == [("", "it has no answer")]


def test_a_label_from_metadata() -> None:
    made = work(
        answer(1, metadata={"topic": "own"}),
        answer(2),
        metadata={"topic": 3, "deep": {"flag": True}},
    )
    assert labelled(made, question="metadata.topic", label_text="answer") == [
        ("answer 1", "own"),
        ("answer 2", "3"),
    ]
    told = labelled(made, question="metadata.deep.flag", label_text="prompt")
    assert told == [("Why?", "true")]
    told = labelled(made, question="metadata.deep", label_text="prompt")
    assert told == [("", "metadata.deep is no label")]
    told = labelled(made, question="metadata.nothing", label_text="prompt")
    assert told == [("", "no metadata.nothing")]


def test_the_text_of_a_conversation_names_its_roles() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
    ]
    made = work(answer(1), messages=turns, system="Be kind.")
    made.rated = [rated("ana", {"topic": "bug"})]
    start = "system: Be kind.\n\nuser: Hi\n\nassistant: Hello\n\nuser: Why?"
    assert labelled(made, label_text="prompt") == [(start, "bug")]
    assert labelled(made) == [(f"{start}\n\nassistant: answer 1", "bug")]
    assert labelled(made, label_text="answer") == [("answer 1", "bug")]


def test_a_document_can_have_a_label() -> None:
    made = work(answer(1, "A long text."), messages=[])
    made.rated = [rated("ana", {"topic": "bug"})]
    assert labelled(made) == [("A long text.", "bug")]
    assert labelled(made, label_text="prompt") == [("", "a document, not a prompt")]
    made.retired = True
    assert labelled(made) == [("", "the prompt is retired")]


@pytest.mark.parametrize(
    ("made", "fate"),
    [
        (work(answer(1, "Text."), messages=[]), {1: {"text": "Text."}}),
        (work(answer(1, "Text.")), {0: "a prompt, not a document"}),
        (work(messages=[]), {0: "it has no text"}),
        (work(answer(1, " "), messages=[]), {1: "the answer is empty"}),
        (work(answer(1), messages=[], retired=True), {1: "the prompt is retired"}),
        (
            work(
                answer(1),
                answer(2, "Better.", origin="human", corrects=1),
                answer(3, corrects=2, passed_over=True),
                answer(4, corrects=2, out="waits for a review"),
                answer(5, in_scope=False),
                messages=[],
            ),
            {
                1: "superseded by its correction",
                2: {"text": "Better."},
                3: OTHER_CHOSEN,
                4: "waits for a review",
            },
        ),
    ],
)
def test_documents(made: Work, fate: dict[int, Any]) -> None:
    assert fates(documents(made, Selection(), "salt")) == fate


def test_a_lead_has_the_last_word() -> None:
    made = work(answer(1))
    made.rated = [
        rated("bea", {"helpful": 2}, decided=True),
        rated("cleo", {"helpful": 5}, item=2),
    ]
    assert [one.annotator for one in in_force(made.rated)] == ["name bea"]
    assert rated_value(made, "7.helpful", "mean") == 2
    made.rated.append(rated("lee", {"helpful": 4}, item=2, submission=None, decided=True))
    assert {one.annotator for one in in_force(made.rated)} == {"name bea", "name lee"}
    made.rated = made.rated[1:]
    rules: dict[str, Any] = {"question": "7.helpful", "good": ("4",)}
    assert thumbs(made, min_raters=3, min_agreement=90, **rules) == {1: True}, "and that is enough"
    made.rankings = [ranked("ana", [[1], [2]], decided=True, agreement=0)]
    ranks = thumbs(made, question="rankings", min_raters=3, min_agreement=90)
    assert ranks == {1: True}


def test_thresholds_on_ratings() -> None:
    made = work(answer(1), answer(2), answer(3))
    made.rated = [
        rated("ana", {"helpful": {"1": 5, "2": 3}, "topic": "bug"}, agreement=80),
        rated("bea", {"helpful": {"1": 4, "2": 5}}, agreement=80),
        rated("cleo", {"helpful": {"3": 5}}, out="waits for a review"),
    ]
    at_least = (parse_rating("7.helpful>=4.5"), parse_rating("7.topic=bug"))
    assert unmet_rating(made, at_least, "mean", about=1) == ""
    assert unmet_rating(made, at_least, "min", about=1) == (
        "its rating does not fulfil “7.helpful>=4.5”"
    )
    assert unmet_rating(made, at_least, "majority", about=2) == ("annotators disagree on 7.helpful")
    assert unmet_rating(made, at_least, "mean", about=3) == "waits for a review"
    assert unmet_rating(made, at_least, "mean", about=4) == "nobody answered 7.helpful"
    assert rated_value(made, "7.topic", "mean", about=2) == "bug", "of the prompt, so of each"
    assert rated_value(made, "7.helpful", "mean") is None, "of the answers, so not of the prompt"
    assert best_rated(made, made.answers, "7.helpful", "mean") == {1}
    assert best_rated(made, made.answers, "7.helpful", "max") == {1, 2}
    assert best_rated(made, made.answers, "7.topic", "mean") == set()
    assert best_rated(work(answer(1)), [answer(1)], "7.helpful", "mean") == set()
    rules: dict[str, Any] = {"question": "7.helpful", "good": ("4",)}
    assert thumbs(made, min_agreement=81, **rules)[1] == "annotators agree by less than 81 %"
    assert thumbs(made, min_agreement=80, **rules)[1] is True
    with pytest.raises(ValueError, match="'helpful' names no question"):
        said(made, "helpful")


@given(
    st.builds(
        Selection,
        annotators=st.sampled_from([(), ("user 1",)]),
        without_annotators=st.sampled_from([(), ("user 1",)]),
        since=st.sampled_from(["", "2026-02-01"]),
        until=st.sampled_from(["", "2026-02-01"]),
        review=st.sampled_from(["any", "passed", "accepted"]),
    ),
    st.sampled_from(["", "user 1", "user 2"]),
    st.sampled_from(["", "2026-01-01", "2026-03-01"]),
    st.sampled_from(["", "waiting", "accepted"]),
)
def test_where_nothing_is_left_out_nothing_needs_to_be_asked(
    selection: Selection, annotator: str, day: str, review: str
) -> None:
    assert leaves_work_out(selection) == (selection != Selection())
    if outside(selection, annotator, day, review):
        assert leaves_work_out(selection)
