"""Argilla's files: the curated Dolly, records.to_json, the table of to_datasets. Pure."""

from typing import Any

import pytest

from annotation.records import Record
from tests.annotation.converting import convert, refused, user


def given(users: list[Any], values: list[Any], states: list[Any], as_lists: bool) -> Any:
    if as_lists:
        return {"user_id": users, "value": values, "status": states}
    return [
        {"user_id": u, "value": v, "status": s}
        for u, v, s in zip(users, values, states, strict=True)
    ]


def curated(as_lists: bool = True, **change: Any) -> dict[str, Any]:
    row = {
        "category": "open_qa",
        "original-instruction": "Sky",
        "original-context": "",
        "original-response": "Red.",
        "new-instruction": given(["u"], ["Sky?"], ["submitted"], as_lists),
        "new-context": given(["u"], ["Look up."], ["submitted"], as_lists),
        "new-response": given(["u"], ["Blue."], ["submitted"], as_lists),
        "external_id": "7",
    }
    return row | change


def answers(record: Record) -> list[tuple[str, str, int | None]]:
    return [(a.text, a.author_name, a.corrects) for a in record.answers]


@pytest.mark.parametrize("as_lists", [True, False])
def test_the_new_response_corrects_the_original(as_lists: bool) -> None:
    [record], notes = convert(curated(as_lists))
    assert (record.messages, record.context) == ([user("Sky?")], "Look up.")
    assert answers(record) == [("Red.", "", None), ("Blue.", "u", 0)]
    assert record.external_id == "7" and notes == []
    assert record.metadata == {
        "category": "open_qa",
        "original-instruction": "Sky",
        "original-context": "",
    }


@pytest.mark.parametrize("as_lists", [True, False])
def test_drafts_and_discarded_are_left_out(as_lists: bool) -> None:
    said = given(
        ["u", "v", "w"], ["Blue.", "Hm", "No"], ["submitted", "draft", "discarded"], as_lists
    )
    [record], notes = convert(curated(as_lists, **{"new-response": said}))
    assert answers(record) == [("Red.", "", None), ("Blue.", "u", 0)]
    assert notes == [
        "new-response: a response that is draft is left out",
        "new-response: a response that is discarded is left out",
    ]
    nothing = given(["u"], ["Sky?"], ["discarded"], as_lists)
    change = {f"new-{part}": nothing for part in ("instruction", "context", "response")}
    [record], notes = convert(curated(as_lists, **change))
    assert record.messages == [user("Sky")] and answers(record) == [("Red.", "", None)]
    assert notes[-1] == "no submitted response: the original comes in"


def test_an_unchanged_response_is_one_answer() -> None:
    same = given(["u"], [" Red."], ["submitted"], True)
    [record], _ = convert(curated(**{"new-response": same}))
    assert answers(record) == [("Red.", "", None)]


def test_annotators_who_changed_the_prompt_differently_make_two_prompts() -> None:
    asked = given(["u", "v"], ["Sky?", "Is the sky blue?"], ["submitted"] * 2, True)
    told = given(["u", "v"], ["Blue.", "Yes."], ["submitted"] * 2, True)
    records, _ = convert(curated(**{"new-instruction": asked, "new-response": told}))
    assert [(r.external_id, r.messages[0]["content"]) for r in records] == [
        ("7", "Sky?"),
        ("7#2", "Is the sky blue?"),
    ]
    assert answers(records[1]) == [("Red.", "", None), ("Yes.", "v", 0)]


def test_responses_that_are_none() -> None:
    assert "new-response is no list of responses" in refused(curated(**{"new-response": "Blue."}))
    broken = {"user_id": ["u"], "value": ["a", "b"], "status": ["submitted"]}
    assert "lists of different lengths" in refused(curated(**{"new-response": broken}))


EXPORTED = {
    "id": "r1",
    "fields": {"prompt": "Sky?", "response-1": "Blue.", "response-2": "Red.", "source": "web"},
    "metadata": {"topic": "weather"},
    "suggestions": {"better": {"value": "response-1", "score": 0.9, "agent": "judge"}},
    "responses": {},
}
COLUMNS = {
    "id": "r1",
    "status": "completed",
    "_server_id": "s",
    "prompt": "Sky?",
    "response-1": "Blue.",
    "response-2": "Red.",
    "topic": "weather",
}


def exported(name: str, *values: Any) -> dict[str, Any]:
    said = [{"value": value, "user_id": f"u{n}"} for n, value in enumerate(values, 1)]
    return {**EXPORTED, "suggestions": {}, "responses": {name: said}}


def table(name: str, *values: Any, states: Any = None) -> dict[str, Any]:
    return {
        **COLUMNS,
        f"{name}.responses": list(values),
        f"{name}.responses.users": [f"u{n}" for n, _ in enumerate(values, 1)],
        f"{name}.responses.status": states or ["submitted"] * len(values),
    }


@pytest.mark.parametrize("make", [exported, table])
@pytest.mark.parametrize(
    ("value", "order"),
    [
        (["response-2", "response-1"], [[1], [0]]),
        ([{"value": "response-1", "rank": 2}, {"value": "response-2", "rank": 1}], [[1], [0]]),
        ([{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 1}], [[0, 1]]),
        ("response-2", [[1], [0]]),
        ("2", [[1], [0]]),
    ],
)
def test_what_orders_answers_is_a_ranking(make: Any, value: Any, order: Any) -> None:
    [record], notes = convert(make("better", value, value))
    assert [a.text for a in record.answers] == ["Blue.", "Red."]
    assert [(r.rater, r.order) for r in record.rankings] == [("u1", order), ("u2", order)]
    assert record.metadata["topic"] == "weather" and record.external_id == "r1" and notes == []


def test_ratings_of_each_answer_order_them() -> None:
    row = exported("response-1 quality", 3)
    row["responses"]["response-2 quality"] = [{"value": 5, "user_id": "u1"}]
    [record], _ = convert(row)
    assert [(r.rater, r.order) for r in record.rankings] == [("u1", [[1], [0]])]
    assert record.metadata["response-1 quality"] == 3


@pytest.mark.parametrize("make", [exported, table])
def test_other_questions_are_metadata(make: Any) -> None:
    for values in ((4,), ("polite",), (["polite", "short"],)):
        [record], _ = convert(make("tone", *values))
        assert record.metadata["tone"] == values[0] and record.rankings == []
    [record], _ = convert(make("tone", 4, 2))
    assert record.metadata["tone"] == [4, 2] and len(record.answers) == 2


def test_texts_are_answers_by_their_annotators() -> None:
    row = {"id": "r", "fields": {"instruction": "Sky?", "response": "Red."}, "responses": {}}
    said = [{"value": "Blue.", "user_id": "u"}, {"value": "Azure.", "user_id": "v"}]
    [record], _ = convert({**row, "responses": {"corrected": said}})
    assert answers(record) == [("Red.", "", None), ("Blue.", "u", 0), ("Azure.", "v", 0)]
    [record], _ = convert({**row, "responses": {"note": [{"value": "x" * 41, "user_id": "u"}]}})
    assert record.answers[1].text == "x" * 41
    [record], _ = convert({**row, "responses": {"final-instruction": said[:1]}})
    assert record.messages == [user("Blue.")] and record.metadata["original prompt"] == "Sky?"


def test_the_status_is_in_the_table_and_is_honoured() -> None:
    row = table("better", "response-1", "response-2", "response-2")
    row["better.responses.status"] = ["submitted", "draft", "discarded"]
    [record], notes = convert(row)
    assert [(r.rater, r.order) for r in record.rankings] == [("u1", [[0], [1]])]
    assert notes == [
        "better: 1 of status discarded left out",
        "better: 1 of status draft left out",
    ]
    row["better.responses.users"] = ["u1"]
    assert "no lists of one length" in refused(row)


def test_suggestions_are_drafts_of_a_model() -> None:
    [record], _ = convert(EXPORTED)
    assert record.metadata == {
        "topic": "weather",
        "source": "web",
        "better.suggestion": "response-1",
    }
    row = {
        "instruction": "Sky?",
        "answer.suggestion": "Blue.",
        "answer.suggestion.score": 0.5,
        "answer.suggestion.agent": "tiny",
    }
    [record], _ = convert(row)
    [draft] = record.answers
    assert (draft.text, draft.origin, draft.author_name) == ("Blue.", "model", "tiny")
    assert draft.metadata == {"score": 0.5}


def test_a_chat_field_is_the_conversation() -> None:
    chat = [user("Sky?"), {"role": "assistant", "content": "Blue."}, user("Sure?")]
    [record], _ = convert({"fields": {"chat": chat}, "responses": {}})
    assert record.messages == chat


@pytest.mark.parametrize("as_lists", [True, False])
def test_a_dataset_on_the_hub_before_version_2(as_lists: bool) -> None:
    row = {
        "external_id": "7",
        "instruction": "Sky",
        "context": "",
        "response": "Red.",
        "new-instruction": given(["u"], ["Sky?"], ["submitted"], as_lists),
        "new-input": given(["u"], ["Look up."], ["submitted"], as_lists),
        "new-response": given(["u", "v"], ["Blue.", "Hm."], ["submitted", "draft"], as_lists),
        "new-response-suggestion": "Azure.",
        "new-response-suggestion-metadata": {"type": None, "score": 0.5, "agent": "tiny"},
        "tone": given(["u"], ["kind"], ["submitted"], as_lists),
        "metadata": {"topic": "weather"},
    }
    [record], notes = convert(row)
    assert (record.messages, record.context, record.external_id) == (
        [user("Sky?")],
        "Look up.",
        "7",
    )
    assert answers(record) == [
        ("Red.", "", None),
        ("Blue.", "u", 0),
        ("Azure.", "tiny", None),
    ]
    assert record.answers[2].origin == "model"
    assert record.metadata == {
        "topic": "weather",
        "tone": "kind",
        "original prompt": "Sky",
        "original context": "",
    }
    assert notes == ["new-response: 1 of status draft left out"]
