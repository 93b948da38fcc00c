"""A rubric: questions beside the work, about the prompt or about each answer. Pure.

Stored in `Stage.rubric` as [{"key", "title", "help", "type", "about", "required", "options"?,
"low"?, "high"?, "removed"?}]. A key never changes and is never given twice: a question that is
removed stays, marked, because answers to it are kept. `options` is [{"value", "label", "removed"?}]
and keeps what was removed for the same reason."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotation.content import checked_text
from annotation.errors import Refused

TYPES = ("rating", "label", "labels", "text")
ABOUT = ("prompt", "answer")
# The work's own fields: a refusal that names one of them means no question.
OTHER_FIELDS = ("text", "reason", "better", "order", "strength", "system", "context")
MAX_QUESTIONS = 30  # in force at once
MAX_OPTIONS = 50
MAX_TITLE = 200
MAX_HELP = 1000
MAX_NOTE = 20_000  # characters of one text answer

Question = Mapping[str, Any]


def version(rubric: Sequence[Question]) -> str:
    """Changes with every edit: tells whether a form was made from another state of the rubric."""
    return hashlib.sha256(json.dumps(rubric, sort_keys=True).encode()).hexdigest()[:16]


def in_force(rubric: Iterable[Question]) -> list[Question]:
    """The questions that are asked, in order."""
    return [question for question in rubric if not question.get("removed")]


def options(question: Question) -> list[Mapping[str, str]]:
    """What is offered: of a rating its numbers, as {"value", "label"} like any other option."""
    if question["type"] == "rating":
        numbers = range(question["low"], question["high"] + 1)
        return [{"value": str(n), "label": str(n)} for n in numbers]
    return [each for each in question.get("options", []) if not each.get("removed")]


def checked_rubric(
    given: Sequence[Mapping[str, Any]], before: Sequence[Question]
) -> list[dict[str, Any]]:
    """The rubric after an edit: `given` in its order, then what was removed.

    A question without a key is new. One that has a key keeps its type and what it is about:
    answers hang on them. Raises Refused; its `field` is "<place>-<part>", places from 0."""
    known = {question["key"]: question for question in before}
    keys = [str(question.get("key") or "") for question in given]
    if twice := {key for key in keys if key and keys.count(key) > 1}:
        raise Refused(f"The question “{min(twice)}” stands in the rubric twice.")
    if len(given) > MAX_QUESTIONS:
        raise Refused(f"A rubric has at most {MAX_QUESTIONS} questions; this one has {len(given)}.")
    taken = set(known)
    after = []
    for place, (question, key) in enumerate(zip(given, keys, strict=True)):
        if key and key not in known:
            raise Refused(f"There is no question “{key}” here to be changed.", field=f"{place}-key")
        clean = _checked_question(question, known.get(key), place)
        if not key:
            key = _free_key(clean["title"], taken)
            taken.add(key)
        after.append({"key": key, **clean})
    gone = [{**known[key], "removed": True} for key in known if key not in keys]
    return after + gone


def _checked_question(
    given: Mapping[str, Any], before: Question | None, place: int
) -> dict[str, Any]:
    title = _checked_words(given.get("title"), "title", MAX_TITLE, f"{place}-title").strip()
    if not title:
        raise Refused("A question needs a title.", field=f"{place}-title")
    words = _checked_words(given.get("help"), "help text", MAX_HELP, f"{place}-help").strip()
    clean: dict[str, Any] = {"title": title, "help": words}
    for part, allowed in (("type", TYPES), ("about", ABOUT)):
        value = before[part] if before else given.get(part)
        if value not in allowed or given.get(part, value) != value:
            said = f"it is “{value}”, and answers hang on it" if before else " or ".join(allowed)
            raise Refused(f"The {part} cannot be that: {said}.", field=f"{place}-{part}")
        clean[part] = value
    clean["required"] = bool(given.get("required", True))
    if clean["type"] == "rating":
        clean |= _checked_range(given, place)
    elif clean["type"] in ("label", "labels"):
        clean["options"] = _checked_options(given, before, place)
    return clean


def _checked_words(value: Any, what: str, most: int, field: str) -> str:
    """A short text; what is wrong with it is said beside its field."""
    try:
        words = checked_text(value or "", what, may_be_empty=True)
    except Refused as refused:
        raise Refused(str(refused), field=field) from None
    if len(words) > most:
        raise Refused(f"The {what} has {len(words):,} characters; at most {most:,}.", field=field)
    return words


def _checked_range(given: Mapping[str, Any], place: int) -> dict[str, int]:
    low, high = given.get("low", 1), given.get("high", 5)
    if not all(type(end) is int for end in (low, high)) or not 0 <= low < high <= 10:
        raise Refused(
            "A rating goes from a whole number to a higher one, 0 to 10.", field=f"{place}-high"
        )
    return {"low": low, "high": high}


def _checked_options(
    given: Mapping[str, Any], before: Question | None, place: int
) -> list[dict[str, Any]]:
    """Options with a known value keep it under a new label; those left out stay, as removed."""
    known = {each["value"]: each for each in (before or {}).get("options", [])}
    field = f"{place}-options"
    offered = [
        (str(option.get("value") or ""), label)
        for option in given.get("options") or []
        if (label := _checked_words(option.get("label"), "option", MAX_TITLE, field).strip())
    ]
    spoken_for = {value for value, _ in offered}
    after: list[dict[str, Any]] = []
    for value, label in offered:
        if value not in known:
            same = [
                each["value"]
                for each in known.values()
                if each["label"] == label and each["value"] not in spoken_for
            ]
            values = {*known, *(each["value"] for each in after)}
            value = same[0] if same else _free_key(label, values)
        after.append({"value": value, "label": label})
    labels = [each["label"] for each in after]
    if len(after) < 2:
        raise Refused("A choice needs at least two options, one a line.", field=field)
    if len(after) > MAX_OPTIONS:
        raise Refused(f"A choice has at most {MAX_OPTIONS} options.", field=field)
    if len(set(labels)) < len(labels) or len({each["value"] for each in after}) < len(after):
        raise Refused("Two options are the same.", field=field)
    gone = {*known} - {each["value"] for each in after}
    return after + [{**known[value], "removed": True} for value in known if value in gone]


def _free_key(title: str, taken: set[str]) -> str:
    """A short name made of the title: letters, digits, hyphens; never one that was given."""
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:30].strip("-") or "question"
    key, n = base, 2
    while key in taken or key in OTHER_FIELDS:
        key, n = f"{base}-{n}", n + 1
    return key


def checked_ratings(
    given: Mapping[str, Any], rubric: Iterable[Question], shown: Sequence[int]
) -> dict[str, Any]:
    """The answers to the questions in force, complete: {key: value} about the prompt,
    {key: {response: value}} about each answer. An optional question may be left out.

    A rating is a whole number, a label an option's value, labels a list of them, text a text.
    Raises Refused with all `fields` that are wrong, "<key>" or "<key>:<response>"."""
    clean: dict[str, Any] = {}
    wrong: dict[str, str] = {}

    def judged(value: Any, question: Question, field: str) -> Any:
        try:
            return _checked_value(value, question, field)
        except Refused as refused:
            wrong.update(refused.fields)
            return None

    for question in in_force(rubric):
        key = question["key"]
        value = given.get(key)
        if question["about"] == "prompt":
            kept = judged(value, question, key)
        else:
            each = value if isinstance(value, Mapping) else {}
            answers = {str(pk): judged(each.get(str(pk)), question, f"{key}:{pk}") for pk in shown}
            kept = {pk: answer for pk, answer in answers.items() if answer is not None} or None
        if kept is not None:
            clean[key] = kept
    if wrong:
        first, others = next(iter(wrong.values())), len(wrong) - 1
        more = f" {others} more {'are' if others > 1 else 'is'} marked below." if others else ""
        raise Refused(first + more, fields=wrong)
    return clean


def _checked_value(value: Any, question: Question, field: str) -> Any:
    kind, title = question["type"], question["title"]
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        if question["required"]:
            raise Refused(f"“{title}” is not answered yet.", field=field)
        return None
    if kind == "text":
        return _checked_words(value, f"answer to “{title}”", MAX_NOTE, field)
    offered = [option["value"] for option in options(question)]
    if kind == "rating":
        if type(value) is int and str(value) in offered:
            return value
    elif kind == "label":
        if value in offered:
            return value
    elif isinstance(value, list) and all(each in offered for each in value):
        return [each for each in offered if each in value]
    raise Refused(f"“{title}” has an answer that is not offered.", field=field)


def missing(
    rubric: Iterable[Question], ratings: Mapping[str, Any], shown: Sequence[int]
) -> list[str]:
    """Keys of the required questions that have no answer yet: of a submission that was complete,
    those that were added after it."""
    keys = []
    for question in in_force(rubric):
        value = ratings.get(question["key"])
        if question["about"] == "answer" and shown:
            there = isinstance(value, Mapping) and all(str(pk) in value for pk in shown)
        else:
            there = value is not None or question["about"] == "answer"
        if question["required"] and not there:
            keys.append(question["key"])
    return keys
