"""Rows in every spelling become records, or are refused by name. Pure: no database."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from annotation.errors import Refused
from annotation.layouts import LAYOUTS, converter, recognise
from annotation.records import Record
from tests.annotation.converting import convert, model, refused, user

DIALOGUE = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sky?\n\nAssistant: "
HH = {"chosen": DIALOGUE + "Blue. ", "rejected": DIALOGUE + "Red."}
RANKED = {
    "prompt_id": "p",
    "turns": [{"role": "prompter", "text": "Sky?"}],
    "candidates": [
        {"message_id": "m1", "text": "red", "rank": 2},
        {"message_id": "m2", "text": "blue", "rank": 0},
        {"message_id": "m3", "text": "azure", "rank": 0},
        {"message_id": "m4", "text": "??", "rank": None},
    ],
}
PANDALM = {
    "idx": 4,
    "motivation_app": "Search",
    "cmp_key": "opt-7b_pythia-6.9b",
    "instruction": "Ask.",
    "input": "coding",
    "response1": "one",
    "response2": "two",
    "annotator1": 1,
    "annotator2": 2,
    "annotator3": 0,
}
SHAREGPT = {
    "id": "c",
    "conversations": [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
        {"from": "human", "value": "c"},
        {"from": "gpt", "value": "d"},
    ],
}


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (HH, "hh"),
        (RANKED, "ranked"),
        ({"prompt": "x", "candidates": []}, "ranked"),
        (PANDALM, "pandalm"),
        (SHAREGPT, "sharegpt"),
        ({"messages": [user("a")]}, "messages"),
        ({"instruction": "a", "context": "", "response": "b"}, "dolly"),
        ({"instruction": "a", "input": "", "output": "b"}, "instruction"),
        ({"prompt": "a", "completion": "b"}, "instruction"),
        ({"prompt": "a"}, "instruction"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "pairs"),
        ({"prompt": [user("a")], "chosen": [model("b")], "rejected": [model("c")]}, "pairs"),
        ({"chosen": [user("a"), model("b")], "rejected": [user("a"), model("c")]}, "pairs"),
        ({"instruction": "a", "instances": [{"input": "", "output": "b"}]}, "self_instruct"),
        ({"messages": [user("a"), model("b")], "label": False}, "thumbs"),
        ({"prompt": "a", "completion": "b", "label": True}, "thumbs"),
        ({"prompt": "a", "completion": "b", "label": "spam"}, "instruction"),
        ({"input": "a", "output_1": "b", "output_2": "c", "label": 1}, "llmbar"),
        ({"message_id": "a", "parent_id": None, "text": "b", "role": "prompter"}, "oasst_messages"),
        ({"message_tree_id": "a", "prompt": {"role": "prompter", "text": "b"}}, "oasst_trees"),
        ({"fields": {"prompt": "a"}, "responses": {}}, "argilla"),
        (
            {"prompt": "a", "answer.responses": ["b"], "answer.responses.users": ["u"]},
            "argilla_table",
        ),
        ({"original-instruction": "a", "new-response": []}, "curated_dolly"),
        ({"user_input": "a", "completion_a": "b", "completion_b": "c"}, "scored"),
        ({"user_input": "a", "responses_and_scores": []}, "scored"),
        ({"prompt": "a", "original_response": "b", "response-1": "c"}, "answer_columns"),
        ({"question": "a", "answer": "b"}, "instruction"),
        ({"QUESTION": "a", "CONTEXTS": [], "LONG_ANSWER": "b"}, "pubmedqa"),
        ({"text": "a", "meta": {"source": "web"}}, "text"),
        ({"text": "a", "label": True}, "text"),
        ({"instruction": "a", "input": "", "output": "b", "text": "c"}, "instruction"),
        ({"prompt": "a", "response": "b", "source": "c"}, "instruction"),
        ({}, ""),
    ],
)
def test_recognised_on_sight(row: dict[str, Any], layout: str) -> None:
    assert recognise([row]) == layout


def test_the_layout_of_most_rows_wins_and_needs_half() -> None:
    odd = {"something": "else"}
    assert recognise([HH, HH, odd]) == "hh"
    assert recognise([HH, odd, odd]) == ""
    assert recognise([]) == ""


def test_hh_is_one_prompt_two_answers_one_ranking() -> None:
    [record], notes = convert(HH)
    assert record.messages == [user("Hi"), model("Hello"), user("Sky?")]
    assert [answer.text for answer in record.answers] == ["Blue. ", "Red."]
    assert [(r.rater, r.order) for r in record.rankings] == [("imported", [[0], [1]])]
    assert record.external_id == "" and notes == []


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: z\n\nAssistant: c", "different prompts"),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: b \n", "the same answer"),
        ("\n\nHuman: a\n\nAssistant:", "\n\nHuman: a\n\nAssistant: b", "chosen is empty"),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: \u200b", "rejected is empty"),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "x", "ends with a Human turn"),
        ("no marks", "\n\nHuman: a\n\nAssistant: b", "chosen has no role marks"),
        ("\nHuman: a\nAssistant: b", "\n\nHuman: a\n\nAssistant: b", "chosen has no role marks"),
        ("\n\nAssistant: b", "\n\nAssistant: c", "an answer and no prompt"),
        ("\n\nHuman: \n\nAssistant: b", "\n\nHuman: \n\nAssistant: c", "the prompt is empty"),
    ],
)
def test_hh_pairs_that_are_none(chosen: str, rejected: str, reason: str) -> None:
    assert reason in refused({"chosen": chosen, "rejected": rejected})


def test_hh_without_the_first_blank_line_and_with_two_human_turns() -> None:
    start = "Human: a\n\nHuman: b\n\nAssistant: "
    [record], notes = convert({"chosen": start + "x", "rejected": start + "y"})
    assert record.messages == [user("a"), user("b")]
    assert notes == ["two user turns in a row; both are kept"]
    twice = "Human: a\n\nAssistant: b\n\nAssistant: c\n\nHuman: d\n\nAssistant: "
    [record], notes = convert({"chosen": twice + "x", "rejected": twice + "y"})
    assert record.messages == [user("a"), model("b"), model("c"), user("d")]
    assert notes == ["two assistant turns in a row; both are kept"]
    assert "rejected is missing" in refused({"chosen": start + "x"}, "hh")


def test_a_role_mark_inside_a_turn_is_text_and_noted() -> None:
    marked = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\nHuman: c",
        "rejected": "\n\nHuman: a\n\nAssistant: d",
    }
    [record], notes = convert(marked)
    assert [a.text for a in record.answers] == ["b\nHuman: c", "d"]
    assert notes == ["the role mark “Human:” stands inside turn 2; taken as text"]
    _, notes = convert({"chosen": marked["rejected"], "rejected": marked["chosen"]})
    assert notes == ["the role mark “Human:” stands inside the rejected answer; taken as text"]


def test_the_alpaca_template_is_taken_off() -> None:
    head = "Below is an instruction that describes a task, paired with an input. Write it.\n\n"
    asked = head + "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:"
    [record], notes = convert({"prompt": asked, "answer": "3"})
    assert (record.messages, record.context) == ([user("Add.")], "1, 2")
    assert notes == ["the prompt stands in the Alpaca template, which was taken off"]
    row = {"instruction": "Add.", "input": "1, 2", "output": "3", "text": asked + "3"}
    assert convert(row)[0][0].metadata == {}


def test_instruction_rows() -> None:
    row = {"instruction": "Add.", "input": "1, 2", "output": "3", "topic": "sums", "id": 7}
    [record], notes = convert(row)
    assert record.messages == [user("Add.")]
    assert record.context == "1, 2"
    assert [answer.text for answer in record.answers] == ["3"]
    assert record.metadata == {"topic": "sums"}
    assert record.external_id == "7"
    assert notes == []


def test_dolly_context_is_context() -> None:
    row = {"instruction": "a", "context": "c", "response": "b###eos_token###"}
    [record], notes = convert(row)
    assert (record.context, record.answers[0].text) == ("c", "b###eos_token###")
    assert notes == ["an answer holds a model's end mark as text; taken as it is"]


@pytest.mark.parametrize("nothing", ["", "  ", "\n\n", "\u200b", "\u00a0", "\ufeff"])
def test_an_empty_answer_leaves_the_prompt_without_one(nothing: str) -> None:
    [record], notes = convert({"instruction": "a", "response": nothing})
    assert record.answers == []
    assert notes == ["response is empty: the prompt comes without it"]


def test_answers_that_are_no_text() -> None:
    [record], notes = convert({"instruction": "a", "response": 42})
    assert record.answers[0].text == "42" and "is 42 and no text" in notes[0]
    [record], notes = convert({"instruction": "a", "response": None})
    assert record.answers == [] and notes == []
    assert "a list" in refused({"instruction": "a", "response": ["b"]})
    assert "an object" in refused({"instruction": {"a": 1}, "response": "b"}, "instruction")


def test_every_assistant_turn_is_an_answer_to_the_conversation_so_far() -> None:
    records, notes = convert(SHAREGPT)
    assert [r.messages for r in records] == [[user("a")], [user("a"), model("b"), user("c")]]
    assert [r.answers[0].text for r in records] == ["b", "d"]
    assert [r.external_id for r in records] == ["c", "c#2"]
    assert [r.parent for r in records] == [None, (0, 0)]
    assert {r.system for r in records} == {"Be kind."}
    assert notes == []


@pytest.mark.parametrize(("asks", "tells"), [("human", "gpt"), ("user", "assistant")])
def test_role_words(asks: str, tells: str) -> None:
    row = {"conversations": [{"from": asks, "value": "a"}, {"from": tells, "value": "b"}]}
    [record], _ = convert(row)
    assert record.messages == [user("a")] and record.answers[0].text == "b"


def test_conversations_that_end_or_begin_oddly() -> None:
    records, notes = convert({"messages": [user("a"), model("b"), user("c")]})
    assert [len(r.answers) for r in records] == [1, 0]
    assert notes == ["ends with the user's turn: a prompt without an answer"]
    records, notes = convert({"messages": [model("I start"), user("a"), model("b")]})
    assert [r.messages for r in records] == [[model("I start"), user("a")]]
    assert notes == ["the conversation begins with the assistant"]
    records, notes = convert({"messages": [user("a"), model("")]})
    assert records[0].answers == [] and "is empty" in notes[0]


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        ([], "is empty"),
        ("text", "no list of turns"),
        ([{"from": "bing", "value": "a"}], "turn 1 has the role “bing”"),
        ([{"from": "human"}], "turn 1 has no text"),
        (["a"], "turn 1 is no object"),
        ([{"from": "human", "value": ["a"]}], "turn 1 has no text"),
        ([user("a"), model(""), user("b")], "turn 2 is empty"),
        ([user("a"), model("b"), model("c")], "turn 3 follows an assistant turn"),
        ([model("alone")], "no turn to answer"),
        ([user("a"), model("b")] * 501, "1000 is the limit"),
        ([user("x" * 700_000), model("b")] * 100, "MB is the limit"),
    ],
)
def test_conversations_that_are_none(conversation: Any, reason: str) -> None:
    assert reason in refused({"conversations": conversation}, "sharegpt")


def test_openai_tool_calls_stay_in_the_conversation() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "content": "4", "tool_call_id": "1"}
    [record], _ = convert({"messages": [user("2+2?"), asked, told, model("4.")]})
    assert record.messages == [user("2+2?"), asked, told]
    assert record.answers[0].text == "4."


def test_ranks_best_first_with_ties_and_the_unranked_apart() -> None:
    [record], notes = convert(RANKED)
    assert [a.text for a in record.answers] == ["red", "blue", "azure", "??"]
    assert record.answers[0].metadata == {"message_id": "m1"}
    assert [r.order for r in record.rankings] == [[[1, 2], [0]]]
    assert record.external_id == "p"
    assert notes[0] == "candidate 4 has no rank: it comes unranked"


def ranks(*given: Any) -> dict[str, Any]:
    candidates = [{"text": f"t{n}", "rank": rank} for n, rank in enumerate(given)]
    return {"prompt": "x", "candidates": candidates}


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ((1, 2, 3), [[0], [1], [2]]),
        ((1, 3, 7), [[0], [1], [2]]),
        ((5, 4, 3), [[2], [1], [0]]),
        ((0, 0), [[0, 1]]),
        ((-1, 0, 1), [[0], [1], [2]]),
        ((1.5, 2.5, 0.5), [[2], [0], [1]]),
        (("1", "2"), [[0], [1]]),
        ((2, 1, 2, 1), [[1, 3], [0, 2]]),
        ((None, 1, 2), [[1], [2]]),
    ],
)
def test_orders(given: tuple[Any, ...], order: list) -> None:
    [record], _ = convert(ranks(*given))
    assert [r.order for r in record.rankings] == [order]


@pytest.mark.parametrize("given", [(), (1,), (None, None), (None, 1)])
def test_fewer_than_two_ranks_make_no_ranking(given: tuple[Any, ...]) -> None:
    [record], notes = convert(ranks(*given))
    assert record.rankings == [] and len(record.answers) == len(given)
    assert notes


def test_candidates_that_cannot_be_ranked() -> None:
    twice = [{"text": "a", "rank": 1}, {"text": " a", "rank": 2}]
    assert "same answer with different ranks" in refused({"prompt": "x", "candidates": twice})
    same = [{"text": "a", "rank": 1}, {"text": "a", "rank": 1}, {"text": "b", "rank": 2}]
    [record], notes = convert({"prompt": "x", "candidates": same})
    assert record.rankings[0].order == [[0], [1]] and "one is kept" in notes[0]
    assert "candidate 1 is empty" in refused(
        {"prompt": "x", "candidates": [{"text": "", "rank": 1}]}
    )
    assert "not a number" in refused(ranks("best", 2))
    assert "not a number" in refused(ranks(True, 2))


def test_pandalm_three_raters() -> None:
    [record], notes = convert(PANDALM)
    assert record.messages == [user("Ask.")] and record.context == "coding"
    assert [(a.text, a.author_name) for a in record.answers] == [
        ("one", "opt-7b"),
        ("two", "pythia-6.9b"),
    ]
    assert [(r.rater, r.order) for r in record.rankings] == [
        ("annotator1", [[0], [1]]),
        ("annotator2", [[1], [0]]),
        ("annotator3", [[0, 1]]),
    ]
    assert record.external_id == "" and record.comparison == "4"
    assert record.metadata == {"motivation_app": "Search"} and notes == []


def test_pandalm_oddities() -> None:
    [record], notes = convert({**PANDALM, "response1": True, "annotator2": None})
    assert record.answers[0].text == "true" and len(record.rankings) == 2
    assert len(notes) == 2
    assert "annotator1's label is 3" in refused({**PANDALM, "annotator1": 3})
    assert "response2 is empty" in refused({**PANDALM, "response2": " "})
    assert "the same answer" in refused({**PANDALM, "response2": "one"})


def test_pairs_beside_their_prompt() -> None:
    turn = {"from": "gpt", "value": "good"}
    row = {"conversations": SHAREGPT["conversations"][:2], "chosen": turn, "rejected": "bad"}
    [record], _ = convert(row)
    assert (record.system, record.messages) == ("Be kind.", [user("a")])
    assert [a.text for a in record.answers] == ["good", "bad"]
    assert record.rankings[0].order == [[0], [1]]
    assert "no assistant" in refused({"prompt": "a", "chosen": [user("b")], "rejected": "c"})


def test_pairs_of_whole_conversations() -> None:
    before = [{"role": "system", "content": "Short."}, user("a")]
    row = {"prompt": "a", "chosen": [*before, model("b")], "rejected": [*before, model("c")]}
    [record], notes = convert(row, "pairs")
    assert (record.system, record.messages, record.metadata) == ("Short.", [user("a")], {})
    assert [a.text for a in record.answers] == ["b", "c"] and notes == []
    other = {**row, "rejected": [user("z"), model("c")]}
    assert "different prompts" in refused(other, "pairs")


def test_mapping_of_every_field() -> None:
    row = {"Q": "Sky?", "A": "Blue.", "doc": "Look up.", "sys": "Short.", "n": 3, "lang": "en"}
    mapping = {
        "prompt": "Q",
        "response": "A",
        "context": "doc",
        "system": "sys",
        "external_id": "n",
        "metadata.language": "lang",
    }
    [record], notes = convert(row, mapping=mapping)
    assert record == Record(
        messages=[user("Sky?")],
        external_id="3",
        system="Short.",
        context="Look up.",
        metadata={"language": "en"},
        answers=record.answers,
    )
    assert record.answers[0].text == "Blue." and notes == []


def test_mapping_of_pairs_with_and_without_a_prompt() -> None:
    pair = {"prompt": "p", "chosen": "c", "rejected": "r"}
    [record], _ = convert({"p": "a", "c": "good", "r": "bad"}, mapping=pair)
    assert [a.text for a in record.answers] == ["good", "bad"]
    dialogues = {"chosen": "good", "rejected": "bad"}
    row = {"good": HH["chosen"], "bad": HH["rejected"]}
    [record], _ = convert(row, mapping=dialogues)
    assert record.messages[-1] == user("Sky?")


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"answer": "a"}, "“answer” is no field"),
        ({"metadata.": "a"}, "is no field"),
        ({"response": "a"}, "Map the prompt"),
        ({"prompt": "p", "chosen": "c"}, "chosen and rejected together"),
        ({"prompt": " "}, "mapped to no column"),
        ({"prompt": "nowhere"}, "has no column “nowhere”"),
    ],
)
def test_mappings_that_are_none(mapping: dict[str, str], reason: str) -> None:
    assert reason in refused({"p": "a", "c": "b"}, mapping=mapping)


def test_an_unknown_layout_names_the_known_ones() -> None:
    with pytest.raises(Refused, match="is no layout: use oasst_trees"):
        converter("csv", {})
    assert all(layout.title for layout in LAYOUTS.values())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "a\0b"}, "NUL"),
        ({"instruction": "a", "response": "x\0"}, "NUL"),
        ({"instruction": "a", "more": {"deep": ["x\0"]}}, "NUL"),
        ({"instruction": ""}, "the prompt is empty"),
        ({"instruction": " \u200b "}, "the prompt is empty"),
        ({"instruction": "a", "id": "x" * 201}, "200 is the limit"),
        ({"instruction": "a", "id": "x\ny"}, "control characters"),
    ],
)
def test_what_no_row_may_hold(row: dict[str, Any], reason: str) -> None:
    assert reason in refused(row, "instruction")


def test_control_characters_and_twice_encoded_text_are_noted() -> None:
    _, notes = convert({"instruction": "bell\x07", "response": "cafÃ©"})
    assert "U+0007" in notes[1] and "encoded twice" in notes[0]


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "imports.md"
EXAMPLES = re.findall(r"^\| `(\w+)` \| `({.*?})`[ ;|]", DOCUMENT.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("layout", "example"), EXAMPLES)
def test_the_documented_example_is_what_it_says(layout: str, example: str) -> None:
    row = json.loads(example)
    assert recognise([row]) == layout
    records, notes = convert(row)
    said = [record.messages[-1]["content"] if record.messages else "Sky?" for record in records]
    assert said[-1] == "Sky?" and notes == []
    # A message of a tree that is alone has no answer beside it.
    told = [answer.text for answer in records[-1].answers]
    assert told[:1] == ([] if layout == "oasst_messages" else ["Blue."])


def test_every_layout_is_documented() -> None:
    assert {layout for layout, _ in EXAMPLES} == set(LAYOUTS)
