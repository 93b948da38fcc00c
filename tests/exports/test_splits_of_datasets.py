"""Splits of whole datasets over random data: no conversation in two splits in any dataset of a
workspace, and none that changes side when more arrive."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.text import root_key
from exports.rows import candidates
from exports.rules import parse
from exports.splits import SPLITS, split
from exports.work import Answer, Ranked, Work

KINDS: dict[str, dict[str, Any]] = {
    "sft": {},
    "preference": {"corrections_as_pairs": True},
    "prompts": {},
    "unpaired": {"question": "metadata.good", "good": ["yes"]},
}
# Few words, so that conversations begin alike; case and white space, which do not count.
QUESTIONS = st.sampled_from(
    [f"{word} {number}?" for word in ("Why", "why", " WHY ", "How") for number in range(12)]
)
ANSWERS = st.sampled_from([f"Answer {n}, and more." for n in range(6)])
EDITS = st.none() | QUESTIONS
SHARES = st.sampled_from([(5.0, 5.0), (20.0, 10.0), (0.0, 50.0), (40.0, 0.0)])


@dataclass
class Conversation:
    """A first question, later turns, answers, and what a corrector made of the first question."""

    first: str
    turns: int
    answers: list[str] = field(default_factory=list)
    edit: str | None = None


CONVERSATIONS = st.lists(
    st.builds(
        Conversation, QUESTIONS, st.integers(1, 3), st.lists(ANSWERS, min_size=2, max_size=3), EDITS
    ),
    min_size=1,
    max_size=25,
)


def works(conversations: list[Conversation], start: int = 0) -> list[Work]:
    """Each turn is a prompt of its own, as an import makes it."""
    found = []
    for place, told in enumerate(conversations, start):
        messages: list[dict[str, Any]] = [{"role": "user", "content": told.first}]
        root = root_key(messages)
        for turn in range(told.turns):
            pk = 10 * place + turn
            said = [
                Answer(100 * pk + n, text, "human", submission=100 * pk + n, annotator="user 1")
                for n, text in enumerate(told.answers)
            ]
            own = None if told.edit is None else [{"role": "user", "content": told.edit}]
            said.append(
                Answer(100 * pk + 50, f"Mended {pk}.", "human", corrects=said[0].id, messages=own)
            )
            order = [[said[0].id], [said[1].id]]
            found.append(
                Work(
                    project="p",
                    project_uuid=UUID(int=1),
                    id=pk,
                    external_id=str(pk),
                    messages=list(messages),
                    root_key=root,
                    metadata={"good": "yes"},
                    answers=said,
                    rankings=[Ranked(order, 100 * pk, "user 1")],
                )
            )
            messages += [
                {"role": "assistant", "content": told.answers[0]},
                {"role": "user", "content": f"And then, {place}?"},
            ]
    return found


def sides(kind: str, work: list[Work], shares: tuple[float, float]) -> dict[tuple[str, str], str]:
    """{(prompt, what the row says): its split}."""
    rules = {"projects": ["p"], "test": shares[0], "validation": shares[1], **KINDS[kind]}
    selection = parse(kind, rules)
    return {
        (found.work.external_id, json.dumps(found.row)): found.split
        for one in work
        for found in candidates(kind, one, selection, "salt")
        if not found.reason
    }


def roots(work: list[Work]) -> dict[str, str]:
    return {one.external_id: one.root_key for one in work}


@settings(max_examples=60, derandomize=True, deadline=None)
@given(CONVERSATIONS, SHARES)
def test_no_conversation_is_in_two_splits_of_any_dataset(
    conversations: list[Conversation], shares: tuple[float, float]
) -> None:
    """Over all kinds together: what one dataset trains on, no other tests on. Also by what the
    rows themselves say, where a correction changed the question."""
    work = works(conversations)
    root_of, seen, said = roots(work), defaultdict(set), defaultdict(set)
    rows = 0
    for kind in KINDS:
        for (prompt, row), side in sides(kind, work, shares).items():
            assert side in SPLITS
            rows += 1
            seen[root_of[prompt]].add(side)
            first = next(turn for turn in json.loads(row)["prompt"] if turn["role"] == "user")
            said[root_key([first])].add(side)
    assert rows
    assert {root: where for root, where in seen.items() if len(where) > 1} == {}
    assert {root: where for root, where in said.items() if len(where) > 1} == {}


@settings(max_examples=60, derandomize=True, deadline=None)
@given(CONVERSATIONS, CONVERSATIONS, SHARES)
def test_more_prompts_change_no_side(
    before: list[Conversation], more: list[Conversation], shares: tuple[float, float]
) -> None:
    for kind in KINDS:
        old = sides(kind, works(before), shares)
        new = sides(kind, works(before) + works(more, len(before)), shares)
        assert {row: side for row, side in old.items() if new[row] != side} == {}


def test_ten_per_cent_more_prompts_change_no_side() -> None:
    """The same, of 5,000 conversations, all kinds; and the borders are where the shares say."""
    first = [Conversation(f"Question {n}?", 1, ["Yes, so it is.", "No."]) for n in range(5_500)]
    for kind in KINDS:
        old = sides(kind, works(first[:5_000]), (5.0, 5.0))
        new = sides(kind, works(first), (5.0, 5.0))
        assert old and len(new) == 11 * len(old) // 10
        assert sum(new[row] != side for row, side in old.items()) == 0
    share = sum(split(root_key([], str(n)), "salt", 0.05, 0.05) != "train" for n in range(5_000))
    assert 350 < share < 650


@pytest.mark.parametrize(
    ("kind", "rules"),
    [("text", {}), ("labels", {"question": "metadata.topic", "label_text": "answer"})],
)
def test_documents_are_divided_by_their_ids(kind: str, rules: dict[str, Any]) -> None:
    """They have no question, so one root would put all of them on one side; a corrected one stays
    where it was."""
    chosen = parse(kind, {"projects": ["p"], "test": 30.0, "validation": 0.0, **rules})

    def document(number: int, *answers: Answer) -> Work:
        topic = {"topic": "sky"}
        return Work(
            "p", UUID(int=1), number, f"d{number}", [], root_key([]), metadata=topic,
            answers=list(answers),
        )  # fmt: skip

    sides = Counter()
    for number in range(300):
        imported = Answer(1, f"Text {number}.", "imported")
        mended = Answer(2, f"Text {number}, mended.", "human", corrects=1, messages=[])
        before = list(candidates(kind, document(number, imported), chosen, "salt"))
        after = list(candidates(kind, document(number, imported, mended), chosen, "salt"))
        assert len({found.split for found in [*before, *after] if found.row}) == 1
        sides[before[0].split] += 1
    assert set(sides) == {"train", "test"}
    assert 60 < sides["test"] < 120
