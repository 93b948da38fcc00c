"""What the kinds unpaired, labels and text make of the work on one prompt. Pure, as rows.py."""

from collections.abc import Iterator, Mapping
from typing import Any

from exports import formats, preferences
from exports.conditions import looked_up, question
from exports.judging import NOTHING, YES, Known, one_value, said, too_weak
from exports.rules import Selection
from exports.unification import NOBODY
from exports.work import (
    OTHER_CHOSEN,
    Answer,
    Candidate,
    Work,
    place,
    prompt_of,
    unfit,
    unfit_text,
)

RANKINGS = "rankings"
METADATA = "metadata."
MIDDLE = "neither the best nor the worst ranked"
UNRANKED = "nobody ranked it"
NO_GOOD = "which values are good is not said"
ABOUT_ANSWERS = "the label is about the answer, not about the prompt"


def unpaired(
    work: Work, selection: Selection, salt: str, known: Known = NOTHING
) -> Iterator[Candidate]:
    """Each answer with a thumb: up or down by what was imported (no question), by the rankings
    (the best up, the worst down), by a rubric's question or by metadata (the good values up)."""
    ranked = _by_rank(work, selection, known) if selection.question == RANKINGS else {}
    for answer in work.answers:
        found = Candidate(work, length=len(answer.text), answers=[answer])
        thumb: bool | None = None
        if selection.question == RANKINGS:
            thumb, found.reason = ranked.get(answer.id, (None, UNRANKED))
            found.rankings = [
                one
                for one in work.rankings
                if not one.out and any(answer.id in group for group in one.order)
            ]
        elif not selection.question:
            thumb, found.reason = _imported(answer)
        elif selection.question.startswith(METADATA):
            value = _metadata(work, selection.question, answer)
            thumb, found.reason = _thumb(value, selection.good, NOBODY)
        else:
            value, found.rated, found.reason = one_value(work, selection, known, answer.id)
            if not found.reason:
                thumb, found.reason = _thumb(value, selection.good, preferences.DISAGREE)
        if not answer.in_scope and not _judged(found, selection):
            continue  # of another stage, or not handed in
        if thumb is not None:
            found.label = "good" if thumb else "bad"
        found.reason = found.reason or unfit(work, answer) or unfit_text(selection, answer.text)
        if not found.reason and thumb is not None:
            prompt = prompt_of(work, selection, answer)
            found.row = formats.unpaired(prompt, answer.text, thumb)
            place(found, selection, salt, answer)
        yield found


def _judged(found: Candidate, selection: Selection) -> bool:
    """Whether somebody judged the answer itself, and not its prompt only."""
    _, key = question(selection.question) or (0, "")
    about_it = (isinstance(one.ratings.get(key), Mapping) for one in found.rated)
    return bool(found.rankings) or any(about_it)


def _imported(answer: Answer) -> tuple[bool | None, str]:
    label = answer.metadata.get("label")
    if answer.out:
        return None, answer.out
    if answer.passed_over:
        return None, OTHER_CHOSEN
    return (label, "") if isinstance(label, bool) else (None, NOBODY)


def _by_rank(work: Work, selection: Selection, known: Known) -> dict[int, tuple[bool | None, str]]:
    """{answer: (thumb, why it has none)} of those that were ranked. What is judged bad is no good
    answer, be it the best of its prompt."""
    standing = [one for one in work.rankings if not one.out]
    told: dict[int, tuple[bool | None, str]] = {
        answer: (None, one.out) for one in work.rankings for group in one.order for answer in group
    }
    if not standing:
        return told
    votes = [
        preferences.Vote(one.order, one.strength, at, one.all_bad)
        for at, one in enumerate(standing)
    ]
    how = selection.label_by if selection.label_by in preferences.WAYS else "majority"
    score = preferences.scores(votes, how=how, weights=known.by_place(standing))
    highest, lowest = max(score.values()), min(score.values())
    bad = preferences.judged_bad(votes)
    alike = preferences.DISAGREE if any(len(one.order) > 1 for one in standing) else preferences.TIE
    for answer, points in score.items():
        by = [one for one in standing if any(answer in group for group in one.order)]
        if reason := too_weak(by, selection):
            told[answer] = None, reason
        elif answer in bad:
            told[answer] = False, ""
        elif highest == lowest:
            told[answer] = None, alike
        elif points in (highest, lowest):
            told[answer] = points == highest, ""
        else:
            told[answer] = None, MIDDLE
    return told


def _thumb(value: Any, good: tuple[str, ...], missing: str) -> tuple[bool | None, str]:
    """Whether a value is good: one of `good`; a number at least the least of them; a list where it
    holds one of them. Where `good` is empty, YES is, and a number says nothing."""
    if value is None:
        return None, missing
    if isinstance(value, int | float) and not isinstance(value, bool):
        least = min((float(one) for one in good if _is_number(one)), default=None)
        return (None, NO_GOOD) if least is None else (value >= least, "")
    each = [_text(one) for one in (value if isinstance(value, list | tuple) else [value])]
    if not good:
        return any(one.lower() in YES for one in each), ""
    return any(one in good for one in each), ""


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def labels(
    work: Work, selection: Selection, salt: str, known: Known = NOTHING
) -> Iterator[Candidate]:
    """Texts with a label: the prompt once, or each answer in scope (alone, or after the prompt)."""
    if selection.label_text == "prompt":
        yield _labelled(work, selection, salt, known, None)
        return
    scope = [answer for answer in work.answers if answer.in_scope]
    for answer in scope:
        yield _labelled(work, selection, salt, known, answer)
    if not scope:
        yield Candidate(work, "it has no answer")


def _labelled(
    work: Work, selection: Selection, salt: str, known: Known, answer: Answer | None
) -> Candidate:
    found = Candidate(work, answers=[] if answer is None else [answer])
    if answer is not None and (answer.out or answer.passed_over):
        found.reason = answer.out or OTHER_CHOSEN
    about = None if answer is None else answer.id
    if found.reason:
        label: Any = None
    elif selection.question.startswith(METADATA):
        label = _metadata(work, selection.question, answer)
        found.reason = "" if label is not None else f"no {selection.question}"
    elif answer is None and _about_answers(work, selection.question):
        label, found.reason = None, ABOUT_ANSWERS
    else:
        label, found.rated, found.reason = one_value(work, selection, known, about)
    if isinstance(label, Mapping) and not found.reason:
        found.reason = f"{selection.question} is no label"
    if not found.reason:
        found.label = _text(label)
    document = not work.messages and answer is not None
    if not document:
        found.reason = found.reason or unfit(work, answer)
    elif work.retired:
        found.reason = found.reason or "the prompt is retired"
    text = "" if found.reason else _rendered(work, selection, answer)
    found.length = len(text) if text else len(answer.text) if answer is not None else 0
    found.reason = found.reason or unfit_text(selection, text)
    if not found.reason:
        found.row = formats.labels(text, found.label)
        place(found, selection, salt, answer)
    return found


def _about_answers(work: Work, named: str) -> bool:
    """Whether all that was said to the question was said about answers."""
    about = [answer.id for answer in work.answers]
    return not said(work, named).values and any(said(work, named, pk).values for pk in about)


def _rendered(work: Work, selection: Selection, answer: Answer | None) -> str:
    """The text that is classified: one turn as it is; several each after its role."""
    turns: list[formats.Message] = []
    if selection.label_text != "answer" and work.messages:
        turns += prompt_of(work, selection, answer)
    several = len(turns) > 1
    if answer is not None:
        turns += formats.answer(answer.text)
    if several:
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
    return "\n\n".join(turn["content"] for turn in turns)


def _metadata(work: Work, named: str, answer: Answer | None) -> Any:
    """The answer's own value, or else its prompt's."""
    name = named.removeprefix(METADATA)
    own = None if answer is None else looked_up(answer.metadata, name)
    value = looked_up(work.metadata, name) if own is None else own
    return None if value in ("", [], {}) else value


def _text(label: Any) -> str:
    """A label as text: several of one thing with a bar between them; a mean to four digits."""
    if isinstance(label, list | tuple):
        return "|".join(map(_text, label))
    if isinstance(label, float):
        return f"{round(label, 4):.15g}"
    return str(label).lower() if isinstance(label, bool) else str(label)


def documents(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    """The texts of a document: its answers, a correction in the place of what it corrects."""
    scope = [answer for answer in work.answers if answer.in_scope]
    standing = [answer for answer in scope if not answer.out and not answer.passed_over]
    corrected = {answer.corrects for answer in standing}
    if work.messages or not scope:
        yield Candidate(work, "a prompt, not a document" if work.messages else "it has no text")
        return
    for answer in scope:
        found = Candidate(work, answer.out, length=len(answer.text), answers=[answer])
        if work.retired:
            found.reason = "the prompt is retired"
        elif not found.reason and answer.passed_over:
            found.reason = OTHER_CHOSEN
        elif not found.reason and answer.id in corrected:
            found.reason = "superseded by its correction"
        found.reason = found.reason or unfit_text(selection, answer.text)
        if not found.reason:
            found.row = formats.document(answer.text)
            place(found, selection, salt, answer)
        yield found
