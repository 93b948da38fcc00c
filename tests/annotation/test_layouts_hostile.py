"""Rows as large as a row may be, made so that what takes its time per pair of things never ends."""

import json
from typing import Any

import pytest

from annotation.errors import Refused
from annotation.layouts import trees
from annotation.layouts.instructions import BEFORE
from annotation.readers import Limits
from annotation.readers.json_files import Foreign, parse
from tests.annotation.converting import convert, gathered, refused

pytestmark = pytest.mark.timeout(60)
MANY = 60_000
LIMITS = Limits(bytes=2**31, ratio=200, rows=1000, row_bytes=4 * 1024**2, depth=50)


def test_many_keys() -> None:
    row = {"instruction": "a", **{f"key-{n}": n for n in range(MANY)}}
    line = json.dumps(row).encode()
    assert parse(line, LIMITS, Foreign(), 1) == row
    twice = line[:-1] + b', "key-7": 0}'
    assert parse(twice, LIMITS, Foreign(), 1) == "has the key “key-7” twice"
    assert len(convert(row)[0][0].metadata) == MANY


@pytest.mark.parametrize("layout", ["ranked", "scored", "oasst_trees", "oasst_messages"])
def test_many_answers(layout: str) -> None:
    texts = [f"answer {n}" for n in range(MANY // 4)]
    if layout == "oasst_messages":
        common = {"message_tree_id": "q", "deleted": False}
        rows = [{"message_id": "q", "parent_id": None, "text": "?", "role": "prompter", **common}]
        for n, text in enumerate(texts):
            more = {"text": text, "role": "assistant", "rank": n}
            rows.append({"message_id": str(n), "parent_id": "q", **more, **common})
        [record] = gathered(rows)[0][1]
    else:
        made: dict[str, Any] = {
            "ranked": {
                "prompt": "?",
                "candidates": [{"text": t, "rank": n} for n, t in enumerate(texts)],
            },
            "scored": {
                "user_input": "?",
                "responses_and_scores": [{"response": t, "score": -n} for n, t in enumerate(texts)],
            },
            "oasst_trees": {
                "prompt": {
                    "role": "prompter",
                    "text": "?",
                    "replies": [
                        {"role": "assistant", "text": t, "rank": n} for n, t in enumerate(texts)
                    ],
                }
            },
        }
        [record] = convert(made[layout], layout)[0]
    assert len(record.answers) == len(texts)
    assert record.rankings[0].order == [[n] for n in range(len(texts))]


def test_many_responses_and_questions() -> None:
    fields = {"prompt": "?", "response-1": "a", "response-2": "b"}
    said = [{"value": "response-1", "user_id": "u"}] * MANY
    [record] = convert({"fields": fields, "responses": {"better": said}})[0]
    assert len(record.rankings) == MANY and record.rankings[-1].rater == f"u ({MANY})"
    asked = {f"tone {n}": [{"value": "kind", "user_id": "u"}] for n in range(MANY)}
    [record] = convert({"fields": fields, "responses": asked})[0]
    assert len(record.metadata) == MANY


def test_a_template_that_begins_again_and_again() -> None:
    head = BEFORE + ".\n\n### Instruction:\nAdd."
    again = head + "\n\n### Input:\nx" * MANY
    assert convert({"prompt": again, "response": "b"})[0][0].messages[0]["content"] == again
    [record] = convert({"prompt": again + "\n\n### Response:", "response": "b"})[0]
    assert record.context.count("### Input") == MANY - 1


def test_a_tree_that_unfolds_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "UNFOLDED", 50)
    below: list[dict[str, Any]] = []
    for n in range(20):
        below = [{"role": ("assistant", "prompter")[n % 2], "text": f"t{n}", "replies": below}]
    row = {"prompt": {"role": "prompter", "text": "?", "replies": below[0]["replies"]}}
    with pytest.raises(Refused):
        convert({"prompt": {"role": "assistant", "text": "?", "replies": below}}, "oasst_trees")
    assert "unfolds to more than 50 turns" in refused(row, "oasst_trees")
