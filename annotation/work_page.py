"""What the work page shows of a submission; work_form.py is what its form hands back."""

import json
from collections.abc import Mapping
from typing import Any

from annotation import guideline_text, markdown, progress, rows
from annotation.desk import Desk
from annotation.errors import Refused
from annotation.guidelines import is_new_to, last_read
from annotation.models import GuidelineVersion, Prompt, Response, Review, Stage, Submission
from annotation.prompt_page import conversation
from annotation.rubric import Question, in_force, options
from annotation.work_form import LETTERS, field_of

ROLES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
# A comparison of two: the keys 1 to 8 from left to right, and the strength that is stored.
SCALE = [
    (1, 4, "A is significantly better"),
    (2, 3, "A is better"),
    (3, 2, "A is slightly better"),
    (4, 1, "A is negligibly better"),
    (5, -1, "B is negligibly better"),
    (6, -2, "B is slightly better"),
    (7, -3, "B is better"),
    (8, -4, "B is significantly better"),
]


def context(
    seated: Desk,
    submission: Submission | None,
    *,
    typed: Mapping[str, Any] | None = None,
    **notices: Any,
) -> dict[str, Any]:
    """The page's context. `typed` stands in for the stored draft after a refusal; `notices`:
    problem (why it was refused), conflict (the stored draft beside what was typed), undone, unused
    (a text that came too late)."""
    stage, user = seated.stage, seated.user
    done = seated.submitted
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
        waiting = progress.waiting_for(user)
        shown["waiting"] = [(other, n) for other, n in waiting if other.pk != stage.pk]
        return shown | {"refusal": seated.refusal}
    shown["returned"] = returned(submission)
    return shown | editor(submission, typed=typed, problem=notices.get("problem"))


def returned(submission: Submission) -> Review | None:
    """Why its author has it again, if a reviewer returned it."""
    if submission.review != Submission.Review.RETURNED:
        return None
    back = submission.reviews.filter(decision=Review.Decision.RETURN)
    return back.select_related("reviewer").order_by("-pk").first()


def editor(
    submission: Submission, *, typed: Mapping[str, Any] | None = None, problem: object = None
) -> dict[str, Any]:
    """What the templates of the work itself need: of an annotator's turn, and where a reviewer or a
    lead says it in their own words."""
    stage, prompt = submission.stage, submission.item.prompt
    content = submission.draft if typed is None else typed
    errors = _errors(submission, problem)
    shown: dict[str, Any] = {
        "stage": stage,
        "project": stage.project,
        "submission": submission,
        "item": submission.item,
        "prompt": prompt,
        "turns": conversation(prompt),
        "context_html": markdown.render(prompt.context) if prompt.context else "",
        "instructions_html": markdown.render(stage.instructions) if stage.instructions else "",
        "system_html": markdown.render(prompt.system) if prompt.system else "",
        "tools": json.dumps(prompt.tools, indent=2, ensure_ascii=False) if prompt.tools else "",
        "content": content,
        "reasons": Submission.SkipReason.choices,
        "errors": errors,
        "questions": questions_for(stage, submission, content.get("ratings") or {}, errors),
    }
    if stage.kind == Stage.Kind.WRITE:
        return shown | _write(submission, content)
    answers = _answers(submission.shown)
    if stage.kind == Stage.Kind.CORRECT:
        original = answers[submission.shown[0]]
        return shown | _correct(submission, prompt, original, content, errors)
    shown["cards"] = _cards(submission, answers, content, errors)
    return shown | _rank(submission, content) if stage.kind == Stage.Kind.RANK else shown


def _answers(shown: list[int]) -> dict[int, Response]:
    if not shown:
        return {}
    sql = f"SELECT {{r}} FROM annotation_response r WHERE r.id IN ({', '.join(map(str, shown))})"
    return {response.pk: response for (response,) in rows.read(sql, {}, r=Response)}


def questions_for(
    stage: Stage,
    submission: Submission,
    ratings: Mapping[str, Any],
    errors: Mapping[str, str],
    answer: int | None = None,
) -> list[dict[str, Any]]:
    """The rubric's questions as the page asks them: about the prompt, or about one answer. To
    correct, those about the one answer stand with those about the prompt."""
    if not stage.rubric:
        return []
    found = []
    alone = submission.shown[0] if stage.kind == Stage.Kind.CORRECT else None
    for question in in_force(stage.rubric):
        about = answer if answer is not None or question["about"] == "prompt" else alone
        if (question["about"] == "prompt") != (about is None):
            continue
        where = question["key"] if about is None else f"{question['key']}:{about}"
        value = ratings.get(question["key"])
        if about is not None:
            value = value.get(str(about)) if isinstance(value, Mapping) else None
        found.append(_asked(question, field_of(where, submission.shown), value, errors))
    return found


def _asked(question: Question, name: str, value: Any, errors: Mapping[str, str]) -> dict[str, Any]:
    chosen = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    offered = options(question) if question["type"] != "text" else []
    return {
        "name": name,
        "id": f"id_{name}",
        "title": question["title"],
        "help": question["help"],
        "type": question["type"],
        "required": question["required"],
        "options": [
            {
                "value": option["value"],
                "label": option["label"],
                "chosen": option["value"] in chosen,
                # A rating's key is its number; of a choice the digits from 1.
                "key": option["value"] if question["type"] == "rating" else str(place),
            }
            for place, option in enumerate(offered, 1)
        ],
        "value": value if isinstance(value, str) else "",
        "error": errors.get(name, ""),
    }


def _errors(submission: Submission, problem: object) -> dict[str, str]:
    """{field of the form: what is wrong with it}."""
    fields = problem.fields if isinstance(problem, Refused) else {}
    return {field_of(field, submission.shown): message for field, message in fields.items()}


def _write(submission: Submission, content: Mapping[str, Any]) -> dict[str, Any]:
    suggestion = submission.suggestion if submission.suggestion_id else None
    text = content.get("text")
    if text is None:
        text = suggestion.text if suggestion else ""
    return {"text": text, "suggestion": suggestion.text if suggestion else ""}


def _correct(
    submission: Submission,
    prompt: Prompt,
    original: Response,
    content: Mapping[str, Any],
    errors: Mapping[str, str],
) -> dict[str, Any]:
    stage = submission.stage
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
        "editable": [
            {"name": name, "label": label, "value": value, "error": errors.get(name, "")}
            for name, label, value in (parts if stage.edit_prompt else [])
        ],
        "prompt_edited": any(content.get(part) for part in ("messages", "system", "context")),
        "tags": _tags(stage, content, original.pk),
    }


def _tags(stage: Stage, content: Mapping[str, Any], answer: int) -> list[dict[str, Any]]:
    ticked = (content.get("tags") or {}).get(str(answer), [])
    return [
        {"name": tag, "chosen": tag in ticked, "key": place}
        for place, tag in enumerate(stage.tags, 1)
    ]


def _cards(
    submission: Submission,
    answers: Mapping[int, Response],
    content: Mapping[str, Any],
    errors: Mapping[str, str],
) -> list[dict[str, Any]]:
    """In the order drawn for this person. Neither ids nor origins reach the page."""
    stage = submission.stage
    places: dict[int, int] = {}
    for group in content.get("order") or []:
        place = len(places) + 1
        places |= dict.fromkeys(group, place)
    ratings = content.get("ratings") or {}
    return [
        {
            "letter": letter,
            "html": markdown.render(answers[pk].text),
            "place": places.get(pk),
            "tags": _tags(stage, content, pk),
            "questions": questions_for(stage, submission, ratings, errors, pk),
        }
        for letter, pk in zip(LETTERS, submission.shown, strict=False)
    ]


def _rank(submission: Submission, content: Mapping[str, Any]) -> dict[str, Any]:
    pair = len(submission.shown) == 2
    strength = content.get("strength") if pair else None
    all_bad = bool(content.get("all_bad"))
    return {
        "places": range(1, len(submission.shown) + 1),
        "pair": pair,
        "scale": [
            {"key": key, "strength": step, "label": label, "chosen": step == strength}
            for key, step, label in SCALE
        ],
        "tied": strength == 0 and not all_bad,
        "both_bad": strength == 0 and all_bad,
        "all_bad": all_bad,
        "reason": content.get("reason", ""),
        "better": content.get("better", ""),
    }


def guidelines(stage: Stage, seated: Desk | None = None) -> dict[str, Any]:
    """The version in force, for the panel; an empty one where there is none. `new`: it came after
    the person began here and they have not said that they read it."""
    newest: GuidelineVersion | None = stage.project.guidelines
    if newest is None:
        return {"number": 0, "html": ""}
    return {
        "pk": newest.pk,
        "number": newest.number,
        "html": guideline_text.render(newest.text),
        "new": seated is not None and is_new_to(newest, seated),
        "before": newest.number - 1,
    }


def to_read(seated: Desk, version: GuidelineVersion) -> dict[str, Any]:
    """What stands before the next item: the guidelines, and what is new in them since the version
    that the person read last."""
    project = seated.stage.project
    number = last_read(project, seated.user)
    before = project.guideline_versions.filter(number=number).first() if number else None
    return {
        "number": version.number,
        "html": guideline_text.render(version.text),
        "before": before,
        "steps": guideline_text.diff(before.text, version.text) if before else [],
    }
