"""Trees of messages: nested and flat give the same; what cannot come in is named. Pure."""

import copy
import json
import random
from typing import Any

import pytest

from annotation.layouts import messages_of_trees
from annotation.records import Record
from tests.annotation.converting import convert, gathered, model, refused, user


def message(name: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "message_id": name,
        "parent_id": parent,
        "message_tree_id": "q",
        "text": text,
        "role": role,
        "lang": "en",
        **more,
    }


# q has two answers; the better one is asked about again.
FLAT = [
    message("q", None, "prompter", "Sky?", user_id="u-1"),
    message("a", "q", "assistant", "Red.", rank=1),
    message("b", "q", "assistant", "Blue.", rank=0, synthetic=True, model_name="tiny"),
    message("r", "b", "prompter", "Why?"),
    message("c", "r", "assistant", "Light.", rank=None),
]


def nested(rows: list[dict[str, Any]], parent: str | None = None) -> list[dict[str, Any]]:
    return [
        {**row, "replies": nested(rows, row["message_id"])}
        for row in rows
        if row["parent_id"] == parent
    ]


def tree(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"message_tree_id": "q", "prompt": nested(rows)[0]}


def comparable(records: list[Record]) -> str:
    return json.dumps(
        [
            [
                r.messages,
                r.external_id,
                r.parent,
                [str(a) for a in r.answers],
                [x.order for x in r.rankings],
                r.metadata,
            ]
            for r in records
        ]
    )


def test_a_prompters_turn_is_a_prompt_and_its_replies_are_ranked() -> None:
    records, notes = convert(tree(FLAT))
    assert [r.messages for r in records] == [
        [user("Sky?")],
        [user("Sky?"), model("Blue."), user("Why?")],
    ]
    assert [r.external_id for r in records] == ["q", "r"]
    assert [(a.text, a.author_name, a.origin) for a in records[0].answers] == [
        ("Red.", "", ""),
        ("Blue.", "tiny", "model"),
    ]
    assert [(r.rater, r.order) for r in records[0].rankings] == [("imported", [[1], [0]])]
    assert records[1].parent == (0, 1) and records[1].rankings == []
    assert records[0].metadata == {"lang": "en"} and notes == []


def test_flat_and_nested_are_the_same_in_any_order_of_lines() -> None:
    wanted = comparable(convert(tree(FLAT))[0])
    draw = random.Random(4)
    for _ in range(20):
        rows = copy.deepcopy(FLAT)
        draw.shuffle(rows)
        given, notes = gathered(rows)
        [records] = [found for found in given.values() if found]
        assert given[rows.index(FLAT[0]) + 1] is records and len(given) == 5
        assert sorted(a.text for a in records[0].answers) == ["Blue.", "Red."]
        assert records[0].rankings[0].order in ([[1], [0]], [[0], [1]])
        best = records[0].rankings[0].order[0][0]
        assert records[0].answers[best].text == "Blue." and records[1].parent == (0, best)
        assert notes == []
    assert comparable(gathered(FLAT)[0][1]) == wanted


def test_trees_between_each_other() -> None:
    other = [
        {**row, "message_id": row["message_id"] + "2", "message_tree_id": "q2",
         "parent_id": row["parent_id"] and row["parent_id"] + "2"}
        for row in FLAT
    ]  # fmt: skip
    mixed = [row for pair in zip(FLAT, other, strict=True) for row in pair]
    given, notes = gathered(mixed)
    assert [line for line, records in given.items() if records] == [1, 2]
    assert [r.external_id for r in given[2]] == ["q2", "r2"] and notes == []


def test_labels_and_emojis_are_metadata_in_either_spelling() -> None:
    flat = {"name": ["quality", "spam"], "value": [0.5, 0.0], "count": [3, 3]}
    deep = {"quality": {"value": 0.5, "count": 3}, "spam": {"value": 0.0, "count": 3}}
    for labels, emojis in ((flat, {"name": ["+1"], "count": [2]}), (deep, {"+1": 2})):
        [record] = gathered([{**FLAT[0], "labels": labels, "emojis": emojis}])[0][1]
        assert record.metadata == {
            "lang": "en",
            "labels": {"quality": 0.5, "spam": 0.0},
            "emojis": {"+1": 2},
        }


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"deleted": True}, {3: "deleted in its source", 4: "continues the message “b”", 5: "“r”"}),
        ({"text": " "}, {3: "has no text", 4: "continues", 5: "continues"}),
        ({"text": "x\0"}, {3: "NUL", 4: "continues", 5: "continues"}),
        ({"role": "bing"}, {3: "has the role “bing”", 4: "continues", 5: "continues"}),
        (
            {"role": "prompter"},
            {3: "follows one of the prompter's", 4: "continues", 5: "continues"},
        ),
        ({"parent_id": "gone"}, {3: "“gone”, which is not in the file", 4: "“b”", 5: "“r”"}),
        ({"parent_id": "b"}, {3: "is its own parent", 4: "circle", 5: "circle"}),
        ({"parent_id": "c"}, {3: "circle of parents", 4: "circle", 5: "circle"}),
        ({"parent_id": 7}, {3: "no text", 4: "not in the file", 5: "“b” is not in the file"}),
        ({"message_id": "a"}, {3: "in the file already (line 2)", 4: "not in", 5: "does not come"}),
        ({"message_id": ""}, {3: "no message_id", 4: "not in the file", 5: "does not come"}),
    ],
)
def test_what_cannot_come_in_is_named_with_what_hangs_on_it(change: Any, reasons: Any) -> None:
    rows = [*FLAT[:2], {**FLAT[2], **change}, *FLAT[3:]]
    given, _ = gathered(rows)
    assert {line for line, found in given.items() if isinstance(found, str)} == set(reasons)
    for line, reason in reasons.items():
        assert reason in given[line], given[line]
    [record] = given[1]
    assert [a.text for a in record.answers] == ["Red."] and record.rankings == []


def test_a_tree_begins_with_a_prompt() -> None:
    given, _ = gathered(
        [message("q", None, "assistant", "Hi."), message("r", "q", "prompter", "?")]
    )
    assert "a prompt is expected there" in given[1] and "continues the message “q”" in given[2]
    assert "a prompt is expected" in refused({"prompt": {"role": "assistant", "text": "Hi."}})


def test_a_message_of_another_tree_goes_where_its_parent_is() -> None:
    rows = [FLAT[0], {**FLAT[1], "message_tree_id": "z"}, message("n", None, "prompter", "New?")]
    given, notes = gathered(rows)
    assert [a.text for a in given[1][0].answers] == ["Red."] and given[3][0].external_id == "n"
    assert notes == [
        (2, "“a” names the tree “z” and its parent stands in “q”: taken there"),
        (3, "“n” names the tree “q” and has no parent: it begins a tree of its own"),
    ]


def test_ties_gaps_and_equal_siblings() -> None:
    ranks = [("a", 2), ("b", 0), ("c", 2), ("d", None)]
    rows = [FLAT[0], *(message(n, "q", "assistant", n, rank=rank) for n, rank in ranks)]
    [record] = gathered(rows)[0][1]
    assert [r.order for r in record.rankings] == [[[1], [0, 2]]] and len(record.answers) == 4
    given, notes = gathered([*rows, message("e", "q", "assistant", " a ", rank=1)])
    assert len(given[1][0].answers) == 4 and given[6] == []
    assert notes == [(1, "the message “e” says the same as its sibling: one answer")]


def test_in_a_nested_tree_what_is_left_out_is_noted() -> None:
    rows = [*FLAT[:2], {**FLAT[2], "deleted": True}, *FLAT[3:]]
    [record], notes = convert(tree(rows))
    assert [a.text for a in record.answers] == ["Red."]
    assert notes == [
        "the message “b” is deleted in its source: it is left out",
        "the message “r” continues the message “b”, which does not come in: it is left out",
        "the message “c” continues the message “r”, which does not come in: it is left out",
    ]
    twice = tree(FLAT)
    twice["prompt"]["replies"] *= 2
    assert len(convert(twice)[0][0].answers) == 2 and "twice" in convert(twice)[1][0]


def test_a_preview_does_not_call_lost_what_may_come_later() -> None:
    rows = [FLAT[0], FLAT[4], FLAT[1]]
    assert "not in the file" in gathered(rows)[0][2]
    assert 2 not in gathered(rows, limit=3)[0]


def test_a_tree_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_of_trees, "MAX_TREE", 4)
    given, _ = gathered([*FLAT, message("o", None, "prompter", "Other?", message_tree_id="o")])
    assert all("more than 4 messages" in given[line] for line in range(1, 6))
    assert given[6][0].external_id == "o"


def test_a_conversation_deeper_than_the_limit_is_cut_there() -> None:
    chain = [message("m0", None, "prompter", "t0")] + [
        message(f"m{n}", f"m{n - 1}", ("prompter", "assistant")[n % 2], f"t{n}")
        for n in range(1, 1003)
    ]
    given, _ = gathered(chain)
    assert len(given[1]) == 500 and len(given[1][-1].messages) == 999
    assert "deeper than 1,000 turns" in given[1001] and "continues" in given[1003]
