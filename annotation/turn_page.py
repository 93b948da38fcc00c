"""What the page of one turn shows: what was handed in, in words, and its history. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from annotation import markdown
from annotation.history import QUIET
from annotation.models import Response, Stage, Submission, SubmissionVersion
from annotation.word_diff import word_diff
from annotation.work_form import LETTERS

State = Submission.State
VERSIONS = 100  # of the history, the latest
LONG = 20_000  # characters of a text that the history shows; the latest stands above in full
EVENTS = {
    "submit": "Handed in",
    "resubmit": "Handed in again",
    "late": "Handed in late: the place had gone to another",
    "skip": "Skipped",
    "undo": "Taken back",
    "reopen": "Reopened",
    "complete": "Answered the new questions",
    "flag": "Flagged for the lead",
    "unflag": "Flag taken off",
    "accept": "Accepted",
    "return": "Returned",
    "fix": "Fixed",
    "release": "Given to somebody else",
}
STRENGTHS = {
    4: "significantly better",
    3: "better",
    2: "slightly better",
    1: "negligibly better",
}


@dataclass(frozen=True)
class Shown:
    """An answer as it was shown. `source` is empty until the work is handed in."""

    letter: str
    html: str
    source: str
    tags: Sequence[str] = ()


@dataclass
class Content:
    """What one version says. `facts`: (what, said) in short lines; `texts`: (what, text)."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    """`texts`: (what, [(kind, words)], more) where "same", "del", "ins" are against the version
    before and `more` counts the characters that are not shown."""

    said: str
    who: str
    when: datetime
    facts: list[tuple[str, str]]
    texts: list[tuple[str, list[tuple[str, str]], int]]


def shown(turn: Submission) -> list[Shown]:
    """The answers in the order drawn; where they came from stays hidden until it is handed in."""
    answers = Response.objects.in_bulk(turn.shown)
    open_now = turn.state in (State.SUBMITTED, State.LATE)
    return [
        Shown(
            letter=letter,
            html=markdown.render(answers[pk].text) if pk in answers else "",
            source=_source(answers[pk]) if open_now and pk in answers else "",
            tags=turn.tags.get(str(pk), []),
        )
        for letter, pk in zip(LETTERS, turn.shown, strict=False)
    ]


def _source(answer: Response) -> str:
    name = answer.author_name or (str(answer.author) if answer.author else "")
    return f"{answer.get_origin_display().lower()}: {name}" if name else answer.get_origin_display()


def said(
    stage: Stage, shown: Sequence[int], content: Mapping[str, Any], event: str = ""
) -> Content:
    """A draft, or a version of the history, in words. Nothing in it is trusted to have a shape:
    the history outlives the code that wrote it."""
    letters = {pk: letter for letter, pk in zip(LETTERS, shown, strict=False)}
    found = Content()
    if event == "skip":
        reasons = dict(Submission.SkipReason.choices)
        reason = str(content.get("reason") or "")
        found.facts.append(("Why", str(reasons.get(reason, reason))))
        if content.get("note"):
            found.facts.append(("Note", str(content["note"])))
    if content.get("unchanged"):
        found.facts.append(("Answer", "no change needed"))
    elif isinstance(content.get("text"), str):
        found.texts.append(("Answer", content["text"]))
    if order := _order(content.get("order"), letters):
        found.facts.append(("Order", order))
    if strength := _strength(content, shown):
        found.facts.append(("Strength", strength))
    if content.get("all_bad"):
        bad = "both answers are bad" if len(shown) == 2 else "all answers are bad"
        found.facts.append(("Judgement", bad))
    if event != "skip" and content.get("reason"):
        found.facts.append(("Reason", str(content["reason"])))
    found.facts += _ratings(stage, content.get("ratings"), letters)
    tags = content.get("tags")
    for pk, names in (tags if isinstance(tags, Mapping) else {}).items():
        if names:
            found.facts.append((f"Tags of {_letter(pk, letters)}", ", ".join(map(str, names))))
    if isinstance(content.get("better"), str) and content["better"]:
        found.texts.append(("A better answer", content["better"]))
    for number, message in enumerate(content.get("messages") or [], 1):
        found.texts.append((f"Prompt, turn {number}", str(message.get("content") or "")))
    for part in ("system", "context"):
        if isinstance(content.get(part), str):
            found.texts.append((f"The {part}", content[part]))
    return found


def _order(order: Any, letters: Mapping[int, str]) -> str:
    if not isinstance(order, list):
        return ""
    groups = [" = ".join(letters.get(pk, "?") for pk in group) for group in order if group]
    return " > ".join(groups)


def _strength(content: Mapping[str, Any], shown: Sequence[int]) -> str:
    strength = content.get("strength")
    if not isinstance(strength, int) or len(shown) != 2:
        return ""
    if strength == 0:
        return "equally good"
    return f"{'A' if strength > 0 else 'B'} is {STRENGTHS.get(abs(strength), 'better')}"


def _letter(pk: Any, letters: Mapping[int, str]) -> str:
    return letters.get(int(pk), "?") if str(pk).isdecimal() else "?"


def _ratings(stage: Stage, given: Any, letters: Mapping[int, str]) -> list[tuple[str, str]]:
    """By the questions' titles, those that are no longer asked included."""
    facts = []
    for question in stage.rubric:
        value = given.get(question["key"]) if isinstance(given, Mapping) else None
        if value is None or value == "":
            continue
        title = question["title"] + (" (no longer asked)" if question.get("removed") else "")
        labels = {each["value"]: each["label"] for each in question.get("options", [])}
        if isinstance(value, Mapping):
            each = [f"{_letter(pk, letters)}: {_value(one, labels)}" for pk, one in value.items()]
            facts.append((title, " · ".join(sorted(each))))
        else:
            facts.append((title, _value(value, labels)))
    return facts


def _value(value: Any, labels: Mapping[str, str]) -> str:
    if isinstance(value, list):
        return ", ".join(labels.get(str(one), str(one)) for one in value)
    return labels.get(str(value), str(value))


def timeline(turn: Submission) -> list[Event]:
    """The history, newest first, each version against the one before it."""
    versions = SubmissionVersion.objects.filter(submission=turn).select_related("author")
    latest = list(versions.order_by("-number")[:VERSIONS])
    events: list[Event] = []
    facts: list[tuple[str, str]] = []
    texts: dict[str, str] = {}
    for version in reversed(latest):
        content = said(turn.stage, turn.shown, version.content, version.event)
        changed = [
            _text(what, texts.get(what), text)
            for what, text in content.texts
            if texts.get(what) != text
        ]
        event = Event(
            said=EVENTS.get(version.event, version.event),
            who=str(version.author or "somebody"),
            when=version.created,
            facts=[fact for fact in content.facts if fact not in facts],
            texts=changed,
        )
        events.append(event)
        if version.event not in QUIET:
            facts, texts = content.facts, {**texts, **dict(content.texts)}
    return events[::-1]


def _text(what: str, before: str | None, after: str) -> tuple[str, list[tuple[str, str]], int]:
    cut = after[:LONG]
    steps = [("same", cut)] if before is None else word_diff(before[:LONG], cut)
    return what, steps, len(after) - len(cut)
