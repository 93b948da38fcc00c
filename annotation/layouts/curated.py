"""Argilla's curated Dolly: what was there, and what annotators made of it. Pure.

Published as one list of {user_id, value, status} a question, or as one object of three lists."""

from typing import Any

from annotation.errors import Refused
from annotation.layouts.answers import Answers
from annotation.layouts.fields import Row, identity, rest, text
from annotation.records import Answer, Note, Record, is_blank

PARTS = ("instruction", "context", "response")
OLD, NEW = "original-", "new-"
SUBMITTED = "submitted"
Turn = tuple[str, Any, str]  # who, what, in which status


def fits_curated(row: Row) -> bool:
    return f"{OLD}instruction" in row and f"{NEW}response" in row


def convert_curated(row: Row, note: Note) -> list[Record]:
    """A prompt for each new instruction and context; the original response is an imported answer,
    and a new one that differs corrects it. Drafts and discarded ones are left out."""
    old = {part: text(row.get(OLD + part), OLD + part, note) for part in PARTS}
    said: dict[str, dict[str, str]] = {}  # by user: what they made of each part
    for part in PARTS:
        for user, value, status in responses(row.get(NEW + part), NEW + part):
            if status not in ("", SUBMITTED):
                note(f"{NEW}{part}: a response that is {status} is left out")
            elif value is not None:
                said.setdefault(user, {})[part] = text(value, NEW + part, note)
    prompts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for user, parts in said.items():
        prompt = (
            parts.get("instruction") or old["instruction"],
            parts.get("context", old["context"]),
        )
        prompts.setdefault(prompt, []).append((user, parts.get("response", "")))
    if not prompts:
        note("no submitted response: the original comes in")
        prompts = {(old["instruction"], old["context"]): []}
    used = {start + part for start in (OLD, NEW) for part in PARTS}
    metadata, name = rest(row, used), identity(row)
    return [
        Record(
            messages=[{"role": "user", "content": asked}],
            context=context,
            external_id=f"{name}#{number}" if name and number > 1 else name,
            metadata=metadata | _changed(old, asked, context),
            answers=_answers(old["response"], new, note),
        )
        for number, ((asked, context), new) in enumerate(prompts.items(), 1)
    ]


def _answers(original: str, new: list[tuple[str, str]], note: Note) -> list[Answer]:
    answers = Answers()
    if not is_blank(original):
        answers.add(Answer(original))
    for user, spoken in new:
        if is_blank(spoken):
            note("a new response is empty: it is left out")
            continue
        corrects = None if is_blank(original) else 0
        answers.add(Answer(spoken, author_name=user, corrects=corrects))
    return answers.all


def _changed(old: dict[str, str], asked: str, context: str) -> dict[str, Any]:
    """The prompt as it was before, where it was changed."""
    pairs = (("instruction", asked), ("context", context))
    return {OLD + part: old[part] for part, new in pairs if old[part].strip() != new.strip()}


def responses(value: Any, name: str) -> list[Turn]:
    """A question's responses in either spelling. Raises Refused for what is neither."""
    if value is None:
        return []
    if isinstance(value, dict):
        lists = [value.get(key) for key in ("user_id", "value", "status")]
        values = lists[1]
        if not isinstance(values, list):
            raise Refused(f"{name} is no list of responses")
        users, states = (
            found if isinstance(found, list) else [None] * len(values)
            for found in (lists[0], lists[2])
        )
        if not len(users) == len(values) == len(states):
            raise Refused(f"{name} has lists of different lengths")
        value = [
            {"user_id": user, "value": one, "status": state}
            for user, one, state in zip(users, values, states, strict=True)
        ]
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refused(f"{name} is no list of responses")
    return [
        (str(one.get("user_id") or ""), one.get("value"), str(one.get("status") or ""))
        for one in value
    ]
