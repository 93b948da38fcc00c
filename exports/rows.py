"""What each kind makes of the work on one prompt: rows, and dropped rows with their one reason.

Pure: from plain values to plain values. What is out of the selection's scope (other projects and
stages, late, withdrawn or unfinished work) never gets here.
"""

from collections.abc import Iterator

from annotation.text import normalise
from exports import formats, preferences
from exports.rules import Selection
from exports.work import (
    OTHER_CHOSEN,
    Answer,
    Candidate,
    Ranked,
    Work,
    class_of,
    place,
    prompt_of,
    unfit,
    unfit_text,
)


def candidates(kind: str, work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    """All that the prompt gives to a dataset of the kind, each once."""
    return {"sft": _sft, "preference": _preference, "prompts": _prompts}[kind](
        work, selection, salt
    )


def _sft(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    wanted = set(selection.answers)
    scope = [answer for answer in work.answers if answer.in_scope]
    standing = [answer for answer in scope if not answer.passed_over]
    corrected = {a.corrects for a in standing} if "corrected" in wanted else set()
    votes = _votes(work) if selection.best_ranked else []
    best, bad = preferences.best(votes), preferences.judged_bad(votes)
    for answer in scope:
        found = Candidate(work, length=len(answer.text), answers=[answer])
        if answer.kind not in wanted:
            found.reason = f"answers {class_of(answer)} are not selected"
        elif answer.passed_over:
            found.reason = OTHER_CHOSEN
        elif answer.id in corrected:
            found.reason = "superseded by its correction"
        elif selection.best_ranked and not best:
            found.reason = "nobody ranked it"
        elif selection.best_ranked and answer.id not in best:
            found.reason = "not the best ranked"
        elif answer.id in bad:
            found.reason = "the best ranked, but judged bad"
        else:
            found.reason = unfit(work, answer) or unfit_text(selection, answer.text)
        if not found.reason:
            found.row = formats.sft(prompt_of(work, selection, answer), answer.text)
            place(found, selection, salt, answer)
        yield found


def _preference(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    answers = {answer.id: answer for answer in work.answers}
    compared = set()
    for pair in preferences.unify(_votes(work), selection.pairs):
        compared.add(frozenset((pair.chosen, pair.rejected)))
        rankings = [work.rankings[place] for place in pair.by]
        chosen, rejected = answers.get(pair.chosen), answers.get(pair.rejected)
        if chosen is None or rejected is None:
            yield Candidate(work, "one of the two answers was withdrawn", rankings=rankings)
            continue
        margin = {"strength": pair.strength, "places": pair.places}.get(selection.margin)
        reason = pair.reason
        if not reason and selection.margin == "strength" and margin is None:
            reason = preferences.UNKNOWN_STRENGTH
        yield _pair(work, selection, salt, chosen, rejected, reason, margin, rankings)
    if selection.corrections_as_pairs:
        for correction in work.answers:
            original = answers.get(correction.corrects or 0)
            if not correction.in_scope or original is None:
                continue
            if not selection.include_imported and correction.origin == "imported":
                continue
            ranked = frozenset((correction.id, original.id)) in compared
            reason = "the two were ranked as well" if ranked else ""
            if correction.passed_over:
                reason = OTHER_CHOSEN
            if not reason and selection.margin != "none":
                reason = "a correction has no margin"
            yield _pair(work, selection, salt, correction, original, reason, None, [], correction)


def _pair(
    work: Work,
    selection: Selection,
    salt: str,
    chosen: Answer,
    rejected: Answer,
    reason: str,
    margin: float | None,
    rankings: list[Ranked],
    correction: Answer | None = None,
) -> Candidate:
    found = Candidate(
        work,
        reason,
        length=len(chosen.text),
        other=len(rejected.text),
        answers=[chosen, rejected],
        rankings=rankings,
    )
    if not found.reason:
        found.reason = unfit(work, correction)
    if not found.reason and normalise(chosen.text) == normalise(rejected.text):
        found.reason = "both answers are the same"
    if not found.reason:
        found.reason = unfit_text(selection, chosen.text) or unfit_text(selection, rejected.text)
    if not found.reason:
        prompt = prompt_of(work, selection, correction)
        found.row = formats.preference(prompt, chosen.text, rejected.text, margin)
        place(found, selection, salt, correction)
    return found


def _prompts(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    found = Candidate(work, unfit(work, None))
    if not found.reason:
        found.row = formats.prompts(prompt_of(work, selection, None))
        found.length = len(found.row["prompt"][-1]["content"])
        place(found, selection, salt, None)
    yield found


def _votes(work: Work) -> list[preferences.Vote]:
    return [
        preferences.Vote(r.order, r.strength, place, r.all_bad)
        for place, r in enumerate(work.rankings)
    ]
