"""What one prompt's page shows: its turns, its answers and who ranked them how. Reads only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.safestring import SafeString

from annotation import markdown
from annotation.models import Prompt, Ranking, Response


@dataclass(frozen=True)
class Turn:
    """`css`: user, model or system; `extra`: tool calls as JSON, where there are any."""

    speaker: str
    css: str
    html: SafeString
    extra: str


SHOWN = 20  # further turns
_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}


def conversation(prompt: Prompt) -> list[Turn]:
    turns = []
    for message in prompt.messages:
        role = str(message.get("role", ""))
        calls = message.get("tool_calls")
        turns.append(
            Turn(
                speaker=str(message.get("name") or _SPEAKERS.get(role, role)),
                css={"user": "user", "assistant": "model"}.get(role, "model"),
                html=markdown.render(str(message.get("content") or "")),
                extra=json.dumps(calls, ensure_ascii=False, indent=2) if calls else "",
            )
        )
    return turns


@dataclass(frozen=True)
class Answer:
    """`letter` names it on the page: A, B, ... Z, 27, 28 ..."""

    letter: str
    response: Response
    html: SafeString
    corrects: str


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def responses(prompt: Prompt) -> list[Answer]:
    """The answers in force, oldest first, each with the letter of the one that it corrects."""
    rows = Response.objects.live().filter(prompt=prompt, withdrawn=None)
    found = list(rows.select_related("author", "submission__stage").order_by("pk"))
    letters = {row.pk: _letter(index) for index, row in enumerate(found)}
    return [
        Answer(
            letter=letters[row.pk],
            response=row,
            html=markdown.render(row.text),
            corrects=letters.get(row.corrects_id or 0, ""),
        )
        for row in found
    ]


def rankings(prompt: Prompt, answers: list[Answer]) -> list[dict[str, Any]]:
    """Who ranked, where, and the order in letters: "B > A = C" (what is withdrawn as "?")."""
    letters = {answer.response.pk: answer.letter for answer in answers}
    rows = Ranking.objects.filter(
        submission__item__prompt=prompt, withdrawn=None, submission__state="submitted"
    ).select_related("submission__user", "submission__stage", "submission__batch")
    return [
        {
            "who": row.submission.user or row.submission.rater or "imported",
            "stage": row.submission.stage,
            "order": " > ".join(
                " = ".join(letters.get(pk, "?") for pk in group) for group in row.order
            ),
            "strength": row.strength,
        }
        for row in rows.order_by("pk")
    ]


def continuations(prompt: Prompt) -> list[Prompt]:
    """The next turns of the conversation, SHOWN of them at most."""
    answers = Response.objects.filter(prompt=prompt).values_list("pk", flat=True)
    return list(continuing(list(answers)))


def continuing(answers: Sequence[int]) -> "QuerySet[Prompt]":
    """The prompts that go on from these answers.

    By the answer that they continue first: ordered by id alone, or not at all, SQLite looks through
    all prompts where hardly one continues an answer."""
    rows = Prompt.objects.live().filter(parent__in=answers)
    return rows.order_by("parent_id", "pk")[:SHOWN]
