"""Comparisons in tables and lists, thumbs, tools, tasks and documents. Pure."""

import json
from typing import Any

import pytest

from annotation.text import text_fingerprint
from tests.annotation.converting import convert, model, refused, user

JUDGED = {"input": "Sky?", "output_1": "Red.", "output_2": "Blue.", "label": 2}


@pytest.mark.parametrize(
    ("label", "order"),
    [(1, [[0], [1]]), (2, [[1], [0]]), ("2", [[1], [0]]), (2.0, [[1], [0]]), (0, [[0, 1]])],
)
def test_two_outputs_and_a_label(label: Any, order: list[list[int]]) -> None:
    [record], notes = convert({**JUDGED, "label": label})
    assert record.messages == [user("Sky?")] and [a.text for a in record.answers] == [
        "Red.",
        "Blue.",
    ]
    assert [r.order for r in record.rankings] == [order] and notes == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": 3}, "the label is 3"),
        ({"label": True}, "the label is True"),
        ({"label": None}, "the label is None"),
        ({"output_2": " Red."}, "the same answer"),
        ({"output_1": ""}, "output_1 is empty"),
    ],
)
def test_judged_pairs_that_are_none(change: dict[str, Any], reason: str) -> None:
    assert reason in refused({**JUDGED, **change}, "llmbar")


def test_gpt_4_llm_pairs_and_scores() -> None:
    [record], _ = convert({"user_input": "Sky?", "completion_a": "Blue.", "completion_b": "Red."})
    assert [a.text for a in record.answers] == ["Blue.", "Red."]
    assert record.rankings[0].order == [[0], [1]]
    scored = [
        {"response": "Red.", "source": "opt", "score": 3.0},
        {"response": "Blue.", "source": "gpt4", "score": 9},
        {"response": "Azure.", "source": "text-davinci", "score": 9},
        {"response": "Hm.", "source": "x", "score": None},
    ]
    [record], notes = convert({"user_input": "Sky?", "responses_and_scores": scored})
    assert record.rankings[0].order == [[1, 2], [0]]
    assert [a.author_name for a in record.answers] == ["opt", "gpt4", "text-davinci", "x"]
    assert record.answers[0].metadata == {"score": 3.0}
    assert notes == ["response 4 has no score: it comes unranked"]
    twice = [scored[0], {**scored[0], "score": 8}]
    assert "another score" in refused({"user_input": "Sky?", "responses_and_scores": twice})
    assert "completion_a and completion_b are the same answer" in refused(
        {"user_input": "Sky?", "completion_a": "x", "completion_b": "x"}
    )


TABLE = {
    "prompt": "Sky?",
    "original_response": "Grey.",
    "response-1": "Blue.",
    "response-2": "Red.",
    "topic": "weather",
}


def test_a_table_of_answers_without_ranks() -> None:
    [record], notes = convert(TABLE)
    assert [(a.text, a.metadata["column"]) for a in record.answers] == [
        ("Grey.", "original_response"),
        ("Blue.", "response-1"),
        ("Red.", "response-2"),
    ]
    assert (record.rankings, record.metadata, notes) == ([], {"topic": "weather"}, [])
    [record], notes = convert({**TABLE, "response-2": "", "response-1": "Grey."})
    assert len(record.answers) == 1 and len(notes) == 2


@pytest.mark.parametrize(
    ("more", "order"),
    [
        ({"chosen": "response-1"}, [[1], [0, 2]]),
        ({"best": "2"}, [[2], [0, 1]]),
        ({"winner": 1}, [[1], [0, 2]]),
        ({"preferred": "Blue."}, [[1], [0, 2]]),
        ({"winner": "tie"}, [[0, 1, 2]]),
        ({"rank-1": "1", "rank-2": "2", "original_response_rank": "3"}, [[1], [2], [0]]),
        ({"response-1-rank": 2, "response-2-rank": 2, "original_response-rank": 1}, [[0], [1, 2]]),
        ({"rank_response-1": 2, "rank_response-2": 1}, [[2], [1]]),
        ({"label": 2}, [[2], [0, 1]]),
    ],
)
def test_a_table_of_answers_with_ranks_or_the_best(more: dict[str, Any], order: Any) -> None:
    [record], _ = convert({**TABLE, **more})
    assert [r.order for r in record.rankings] == [order]
    assert record.metadata == {"topic": "weather"}


def test_a_table_of_answers_whose_choice_names_none() -> None:
    assert "names none of the answers" in refused({**TABLE, "chosen": "response-7"})
    [record], _ = convert({**TABLE, "label": "weather"})
    assert record.rankings == [] and record.metadata["label"] == "weather"
    same = {**TABLE, "response-2": "Blue.", "rank-1": 1, "rank-2": 2}
    assert "another rank" in refused(same)


@pytest.mark.parametrize(
    ("label", "thumb"), [(True, True), (False, False), ("true", True), ("False", False), (0, False)]
)
def test_thumbs_stand_at_the_answer(label: Any, thumb: bool) -> None:
    turns = [{"role": "system", "content": "Short."}, user("a"), model("b"), user("c"), model("d")]
    [record], notes = convert({"messages": turns, "label": label})
    assert (record.system, record.messages) == ("Short.", [user("a"), model("b"), user("c")])
    assert [(a.text, a.metadata) for a in record.answers] == [("d", {"label": thumb})]
    [record], _ = convert({"prompt": [user("a")], "completion": [model("b")], "label": label})
    assert (record.messages, record.answers[0].text) == ([user("a")], "b")
    assert record.answers[0].metadata == {"label": thumb} and record.metadata == {} and notes == []


def test_thumbs_that_are_none() -> None:
    turns = [user("a"), model("b")]
    assert "true or false is expected" in refused({"messages": turns, "label": "maybe"}, "thumbs")
    assert "does not end with an answer" in refused({"messages": turns[:1], "label": True})
    assert "is empty" in refused({"prompt": "a", "completion": "", "label": True})
    assert "the prompt is empty" in refused({"messages": turns[1:], "label": True})


CALL = {"name": "weather", "arguments": {"city": "Bern"}}


def test_calls_of_tools_in_sharegpt() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Rain?"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": '{"rain": false}'},
            {"from": "gpt", "value": "No."},
        ],
        "tools": json.dumps([{"name": "weather"}]),
    }
    [record], notes = convert(row)
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": CALL}],
    }
    told = {"role": "tool", "content": '{"rain": false}'}
    assert record.messages == [user("Rain?"), called, told]
    assert (record.answers[0].text, record.tools, notes) == ("No.", [{"name": "weather"}], [])
    assert convert({**row, "tools": "[]"})[0][0].tools is None
    [record], notes = convert({**row, "tools": "none"})
    assert record.metadata == {"tools": "none"} and "no list of tools" in notes[0]


def test_conversations_that_end_with_a_tool() -> None:
    turns = [user("a"), model("b"), user("Rain?")]
    called = {"from": "function_call", "value": json.dumps(CALL)}
    records, notes = convert({"conversations": [*turns, called]})
    assert len(records) == 1 and "the call of a tool" in notes[0]
    records, notes = convert({"conversations": [*turns, called, {"from": "tool", "value": "dry"}]})
    assert records[1].answers == [] and "what a tool gave back" in notes[0]
    broken = {"from": "function_call", "value": "weather(Bern)"}
    [record], _ = convert({"conversations": [user("a"), broken]})
    assert record.answers[0].text == "weather(Bern)"


def test_openai_content_in_parts() -> None:
    parts = [{"type": "text", "text": "Sky"}, {"type": "text", "text": "today?"}]
    [record], _ = convert({"messages": [{"role": "user", "content": parts}, model("Blue.")]})
    assert record.messages == [user("Sky\ntoday?")]
    picture = [{"type": "image_url", "image_url": {"url": "x"}}]
    turns = [{"role": "user", "content": picture}, model("Blue.")]
    assert "turn 1 holds what is no text (image_url)" in refused({"messages": turns})


def test_every_instance_of_a_task_is_a_prompt() -> None:
    row = {
        "id": "t",
        "instruction": "Add.",
        "instances": [{"input": "1, 2", "output": "3"}, {"input": "", "output": "0"}],
        "is_classification": False,
    }
    records, notes = convert(row)
    assert [(r.external_id, r.context, r.answers[0].text) for r in records] == [
        ("t", "1, 2", "3"),
        ("t#2", "", "0"),
    ]
    assert {str(r.metadata) for r in records} == {"{'is_classification': False}"} and notes == []
    [record], notes = convert({**row, "instances": []})
    assert record.answers == [] and notes == ["no instances: a prompt without an answer"]
    assert "instance 1 is no object" in refused({**row, "instances": ["x"]})


@pytest.mark.parametrize("hub", [False, True])
def test_pubmedqa_as_published_and_as_on_the_hub(hub: bool) -> None:
    parts, terms = ["One.", "Two."], ["Human"]
    row: dict[str, Any] = {"id": "9", "QUESTION": "Does it?", "CONTEXTS": parts, "MESHES": terms}
    row |= {"LONG_ANSWER": "It does.", "final_decision": "yes"}
    if hub:
        row = {"pubid": 9, "question": "Does it?", "context": {"contexts": parts, "meshes": terms}}
        row |= {"long_answer": "It does.", "final_decision": "yes"}
    [record], notes = convert(row)
    assert (record.external_id, record.context) == ("9", "One.\n\nTwo.")
    assert record.messages == [user("Does it?")] and record.answers[0].text == "It does."
    assert record.metadata == {"meshes": terms, "final_decision": "yes"} and notes == []


def test_a_document_is_a_prompt_without_messages() -> None:
    [record], notes = convert({"text": "Long ago.", "meta": {"source": "books"}})
    assert (record.messages, record.external_id) == ([], text_fingerprint("Long ago."))
    assert [a.text for a in record.answers] == ["Long ago."]
    assert record.metadata == {"meta": {"source": "books"}} and notes == []
    assert convert({"content": "a", "id": 7})[0][0].external_id == "7"
    assert "text is empty" in refused({"text": " "})
