"""What the work page shows of a submission, and what its form hands back."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from annotation import markdown, progress
from annotation.content import checked_prompt
from annotation.errors import Refused
from annotation.models import GuidelineVersion, Item, Prompt, Response, Stage, Submission, User
from annotation.prompt_page import conversation

LETTERS = "ABCDEFGHI"
ROLES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
# A comparison of two: the keys 1 to 9 from left to right, and the strength that is stored.
SCALE = [
    (1, 4, "A is far better"),
    (2, 3, "A is better"),
    (3, 2, "A is slightly better"),
    (4, 1, "A is barely better"),
    (5, 0, "Equally good"),
    (6, -1, "B is barely better"),
    (7, -2, "B is slightly better"),
    (8, -3, "B is better"),
    (9, -4, "B is far better"),
]


def context(
    stage: Stage,
    user: User,
    submission: Submission | None,
    *,
    typed: Mapping[str, Any] | None = None,
    **notices: Any,
) -> dict[str, Any]:
    """The page's context. `typed` stands in for the stored draft after a refusal; `notices`:
    problem (why it was refused), conflict (the stored draft beside what was typed), late, undone,
    unused (a text that came too late)."""
    done = progress.finished_by(stage, user)
    left = progress.left_about(stage, user, done)
    shown: dict[str, Any] = {
        "stage": stage,
        "project": stage.project,
        "submission": submission,
        "done": done,
        "left": left,
        "total": max(done + left, 1),
        **notices,
    }
    if submission is None:
        return shown
    item = Item.objects.select_related("prompt").get(pk=submission.item_id)
    prompt = item.prompt
    content = submission.draft if typed is None else typed
    shown |= {
        "item": item,
        "prompt": prompt,
        "turns": conversation(prompt),
        "context_html": markdown.render(prompt.context) if prompt.context else "",
        "instructions_html": markdown.render(stage.instructions) if stage.instructions else "",
        "system_html": markdown.render(prompt.system) if prompt.system else "",
        "tools": json.dumps(prompt.tools, indent=2, ensure_ascii=False) if prompt.tools else "",
        "content": content,
        "reasons": Submission.SkipReason.choices,
    }
    if stage.kind == Stage.Kind.WRITE:
        return shown
    answers = Response.objects.in_bulk(submission.shown)
    if stage.kind == Stage.Kind.CORRECT:
        return shown | _correct(stage, prompt, answers[submission.shown[0]], content)
    return shown | _rank(submission, answers, content)


def _correct(
    stage: Stage, prompt: Prompt, original: Response, content: Mapping[str, Any]
) -> dict[str, Any]:
    edited = content.get("messages") or prompt.messages
    parts = [
        (f"message_{n}", ROLES.get(m["role"], m["role"]), m.get("content") or "")
        for n, m in enumerate(edited)
    ]
    for part in ("system", "context"):
        kept = content.get(part)
        parts.append((part, part.title(), getattr(prompt, part) if kept is None else kept))
    return {
        "original": original.text,
        "original_html": markdown.render(original.text),
        "text": content.get("text", original.text),
        "editable": parts if stage.edit_prompt else [],
        "prompt_edited": any(content.get(part) for part in ("messages", "system", "context")),
    }


def _rank(
    submission: Submission, answers: Mapping[int, Response], content: Mapping[str, Any]
) -> dict[str, Any]:
    """Cards in the order drawn for this person. Neither ids nor origins reach the page."""
    places: dict[int, int] = {}
    for group in content.get("order") or []:
        place = len(places) + 1
        places |= dict.fromkeys(group, place)
    cards = [
        {"letter": letter, "html": markdown.render(answers[pk].text), "place": places.get(pk)}
        for letter, pk in zip(LETTERS, submission.shown, strict=False)
    ]
    pair = len(cards) == 2
    chosen = content.get("strength") if pair else None
    return {
        "cards": cards,
        "places": range(1, len(cards) + 1),
        "pair": pair,
        "scale": [
            {"key": key, "strength": strength, "label": label, "chosen": strength == chosen}
            for key, strength, label in SCALE
        ],
    }


def guidelines(stage: Stage) -> dict[str, Any]:
    """The version in force, for the panel; an empty one where there is none."""
    newest: GuidelineVersion | None = stage.project.guidelines
    if newest is None:
        return {"number": 0, "html": ""}
    return {"number": newest.number, "html": markdown.render(newest.text)}


def content_from(data: QueryDict, stage: Stage, submission: Submission) -> dict[str, Any]:
    """What the form says, in the shape of a draft: it may be half done."""
    if stage.kind == Stage.Kind.RANK:
        return _order_from(data, submission.shown)
    content: dict[str, Any] = {"text": data.get("text", "").replace("\r\n", "\n")}
    if stage.kind == Stage.Kind.CORRECT:
        if data.get("unchanged"):
            content["unchanged"] = True
        if stage.edit_prompt:
            content |= _prompt_from(data, submission)
    return content


def check_touched(stage: Stage, submission: Submission, content: Mapping[str, Any]) -> None:
    """One Ctrl-Enter too many must not vouch for an answer that nobody read: a correction with
    nothing changed is refused unless "No change needed" was said."""
    if stage.kind != Stage.Kind.CORRECT or content.get("unchanged"):
        return
    original = Response.objects.get(pk=submission.shown[0]).text.replace("\r\n", "\n")
    if content["text"] != original:
        return
    prompt = submission.item.prompt
    if not checked_prompt(content, prompt.messages, prompt.system, prompt.context):
        raise Refused("Nothing is changed. Correct the answer, or say “No change needed”.")


def _order_from(data: QueryDict, shown: list[int]) -> dict[str, Any]:
    if len(shown) == 2:
        given = str(data.get("strength", ""))
        if given not in {str(strength) for _, strength, _ in SCALE}:
            return {"order": []}
        strength = int(given)
        first, second = shown if strength >= 0 else reversed(shown)
        order = [[first], [second]] if strength else [list(shown)]
        return {"order": order, "strength": strength}
    groups: dict[int, list[int]] = {}
    for letter, pk in zip(LETTERS, shown, strict=False):
        place = data.get(f"rank_{letter}", "")
        if place.isdecimal() and len(place) < 4:
            groups.setdefault(int(place), []).append(pk)
    return {"order": [groups[place] for place in sorted(groups)]}


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
        if given is not None and given != getattr(prompt, part).replace("\r\n", "\n"):
            edited[part] = given
    return edited


def _part(data: QueryDict, name: str) -> str | None:
    given = data.get(name)
    return None if given is None else given.replace("\r\n", "\n")
