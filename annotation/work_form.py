"""What the form of the work page hands back, in the shape of a draft: it may be half done."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from annotation.content import checked_prompt
from annotation.errors import Refused
from annotation.models import Response, Stage, Submission
from annotation.rubric import OTHER_FIELDS, Question, in_force

LETTERS = "ABCDEFGHI"
STRENGTHS = ("4", "3", "2", "1", "-1", "-2", "-3", "-4")
TIED, BOTH_BAD = "tie", "bad"


def content_from(data: QueryDict, submission: Submission) -> dict[str, Any]:
    """The content of a submission, as submissions.submit and save_draft take it."""
    stage, shown = submission.stage, submission.shown
    content: dict[str, Any] = {}
    if stage.kind == Stage.Kind.RANK:
        content = _ranking_from(data, stage, shown)
    elif stage.kind != Stage.Kind.RATE:
        content["text"] = _lines(data.get("text", ""))
    if stage.kind == Stage.Kind.CORRECT:
        if data.get("unchanged"):
            content["unchanged"] = True
        if stage.edit_prompt:
            content |= _prompt_from(data, submission)
    if stage.rubric:
        content["ratings"] = ratings_from(data, stage, shown)
    if stage.tags and shown:
        content["tags"] = _tags_from(data, shown)
    return content


def ratings_from(data: QueryDict, stage: Stage, shown: list[int]) -> dict[str, Any]:
    """The rubric's answers: q_KEY about the prompt, q_KEY_LETTER about an answer."""
    ratings: dict[str, Any] = {}
    for question in in_force(stage.rubric):
        name = f"q_{question['key']}"
        if question["about"] == "prompt":
            value = _value(data, name, question)
        else:
            each = {
                str(pk): given
                for letter, pk in zip(LETTERS, shown, strict=False)
                if (given := _value(data, f"{name}_{letter}", question)) is not None
            }
            value = each or None
        if value is not None:
            ratings[question["key"]] = value
    return ratings


def field_of(where: str, shown: list[int]) -> str:
    """The form's name for the field that a refusal names: "tone:17" is q_tone_B."""
    key, colon, pk = where.rpartition(":")
    if colon and pk.isdecimal() and int(pk) in shown:
        return f"q_{key}_{LETTERS[shown.index(int(pk))]}"
    if where in OTHER_FIELDS or re.fullmatch(r"message_\d+", where):
        return where
    return f"q_{where}"


def check_touched(submission: Submission, content: Mapping[str, Any]) -> None:
    """One Ctrl-Enter too many must not vouch for an answer that nobody read: a correction with
    nothing changed is refused unless "No change needed" was said."""
    stage = submission.stage
    if stage.kind != Stage.Kind.CORRECT or content.get("unchanged"):
        return
    original = Response.objects.get(pk=submission.shown[0]).text
    if content["text"] != _lines(original):
        return
    prompt = submission.item.prompt
    if not checked_prompt(content, prompt.messages, prompt.system, prompt.context):
        raise Refused(
            "Nothing is changed. Correct the answer, or say “No change needed”.", field="text"
        )


def _value(data: QueryDict, name: str, question: Question) -> Any:
    if question["type"] == "labels":
        return data.getlist(name) or None
    given = data.get(name)
    if not given:
        return None
    if question["type"] == "rating":
        return int(given) if given.isdecimal() and len(given) < 4 else given
    return _lines(given) if question["type"] == "text" else given


def _ranking_from(data: QueryDict, stage: Stage, shown: list[int]) -> dict[str, Any]:
    content = _strength_from(data, shown) if len(shown) == 2 else _order_from(data, shown)
    if data.get("all_bad"):
        content["all_bad"] = True
    for name in ("reason", "better") if stage.better_answer else ("reason",):
        if given := _lines(data.get(name, "")):
            content[name] = given
    return content


def _strength_from(data: QueryDict, shown: list[int]) -> dict[str, Any]:
    given = data.get("strength", "")
    if given in (TIED, BOTH_BAD):
        tied: dict[str, Any] = {"order": [sorted(shown)], "strength": 0}
        return tied | {"all_bad": True} if given == BOTH_BAD else tied
    if given not in STRENGTHS:
        return {"order": []}
    strength = int(given)
    first, second = shown if strength > 0 else reversed(shown)
    return {"order": [[first], [second]], "strength": strength}


def _order_from(data: QueryDict, shown: list[int]) -> dict[str, Any]:
    groups: dict[int, list[int]] = {}
    for letter, pk in zip(LETTERS, shown, strict=False):
        place = data.get(f"rank_{letter}", "")
        if place.isdecimal() and len(place) < 4:
            groups.setdefault(int(place), []).append(pk)
    return {"order": [sorted(groups[place]) for place in sorted(groups)]}


def _tags_from(data: QueryDict, shown: list[int]) -> dict[str, list[str]]:
    ticked = {
        str(pk): data.getlist(f"tag_{letter}") for letter, pk in zip(LETTERS, shown, strict=False)
    }
    return {pk: tags for pk, tags in ticked.items() if tags}


def _prompt_from(data: QueryDict, submission: Submission) -> dict[str, Any]:
    """The parts of the prompt that were changed."""
    prompt = submission.item.prompt
    edited: dict[str, Any] = {}
    messages = [
        {**m, "content": given} if (given := _part(data, f"message_{n}")) is not None else dict(m)
        for n, m in enumerate(prompt.messages)
    ]
    if any(
        (m.get("content") or "") != (b.get("content") or "")
        for m, b in zip(messages, prompt.messages, strict=True)
    ):
        edited["messages"] = messages
    for part in ("system", "context"):
        given = _part(data, part)
        if given is not None and given != _lines(getattr(prompt, part)):
            edited[part] = given
    return edited


def _part(data: QueryDict, name: str) -> str | None:
    given = data.get(name)
    return None if given is None else _lines(given)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
