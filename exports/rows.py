"""What each kind makes of the work on one prompt: rows, and dropped rows with their one reason.

Pure: from plain values to plain values. What is out of the selection's scope (other projects and
stages, late, withdrawn or unfinished work) never gets here.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

from annotation.text import normalise
from exports import conditions, formats, judging, preferences, rated_rows
from exports.judging import NOTHING, Known
from exports.rules import Selection, numbers
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


@lru_cache(maxsize=8)  # they are asked of every prompt
def _wanted(written: tuple[str, ...]) -> tuple[conditions.Condition, ...]:
    return tuple(conditions.parse_metadata(one) for one in written)


@lru_cache(maxsize=8)
def _least(written: tuple[str, ...]) -> tuple[conditions.Condition, ...]:
    return tuple(conditions.parse_rating(one) for one in written)


Maker = Callable[[Work, Selection, str, Known], Iterator[Candidate]]


def candidates(
    kind: str, work: Work, selection: Selection, salt: str, known: Known = NOTHING
) -> Iterator[Candidate]:
    """All that the prompt gives to a dataset of the kind, each once."""
    unmet = ""
    if selection.metadata:
        unmet = conditions.unmet(work.metadata, _wanted(selection.metadata))
    for found in MAKERS[kind](work, selection, salt, known):
        if unmet:
            found.reason, found.row = unmet, None
        yield found


def _sft(work: Work, selection: Selection, salt: str, known: Known) -> Iterator[Candidate]:
    wanted = set(selection.answers)
    scope = [answer for answer in work.answers if answer.in_scope]
    standing = [answer for answer in scope if not answer.passed_over and not answer.out]
    corrected = {a.corrects for a in standing} if "corrected" in wanted else set()
    judged = _Judged(work, selection, known, [a for a in standing if a.kind in wanted])
    for answer in scope:
        found = Candidate(work, length=len(answer.text), answers=[answer])
        if answer.kind not in wanted:
            found.reason = f"answers {class_of(answer)} are not selected"
        elif answer.out:
            found.reason = answer.out
        elif answer.passed_over:
            found.reason = OTHER_CHOSEN
        elif answer.id in corrected:
            found.reason = "superseded by its correction"
        else:
            found.reason = (
                judged.reason(answer) or unfit(work, answer) or unfit_text(selection, answer.text)
            )
        if not found.reason:
            found.row = formats.sft(prompt_of(work, selection, answer), answer.text)
            place(found, selection, salt, answer)
        yield found


class _Judged:
    """What rankings and ratings say of a prompt's answers, where the selection asks."""

    def __init__(
        self, work: Work, selection: Selection, known: Known, answers: list[Answer]
    ) -> None:
        self.work, self.selection, self.known = work, selection, known
        self.best, self.bad, self.rated = set[int](), set[int](), set[int]()
        if selection.best_ranked:
            standing = [ranked for ranked in work.rankings if not ranked.out]
            votes = _votes(standing)
            how, weights = selection.votes, known.by_place(standing)
            self.best = preferences.best(votes, how=how, weights=weights)
            self.bad = preferences.judged_bad(votes)
        if selection.best_rated:
            how = selection.rating_by
            self.rated = judging.best_rated(work, answers, selection.best_rated, how, known.weights)
        self.least = _least(selection.ratings)

    def reason(self, answer: Answer) -> str:
        """Why the answer is not good enough, or nothing."""
        selection = self.selection
        if selection.best_ranked:
            if not self.best:
                return "nobody ranked it"
            if answer.id not in self.best:
                return "not the best ranked"
            if answer.id in self.bad:
                return "the best ranked, but judged bad"
        if selection.best_rated and answer.id not in self.rated:
            return "not the best rated" if self.rated else "nobody rated it"
        if selection.min_raters > 1 and (weak := self._too_few(answer)):
            return weak
        if self.least:
            by_, weights = selection.rating_by, self.known.weights
            return judging.unmet_rating(self.work, self.least, by_, weights, answer.id)
        return ""

    def _too_few(self, answer: Answer) -> str:
        """Whether too few ranked or rated this answer, where that decides about it."""
        weak = ""
        if self.selection.best_ranked:
            by = [
                one
                for one in self.work.rankings
                if not one.out and any(answer.id in group for group in one.order)
            ]
            weak = judging.too_weak(by, self.selection)
        if self.selection.best_rated and not weak:
            said = judging.said(self.work, self.selection.best_rated, answer.id)
            weak = judging.too_weak(said.rated, self.selection)
        return weak


def _preference(work: Work, selection: Selection, salt: str, known: Known) -> Iterator[Candidate]:
    answers = {answer.id: answer for answer in work.answers}
    standing = [ranked for ranked in work.rankings if not ranked.out]
    table = numbers(selection.margin_table) if selection.margin == "table" else {}
    aside = [ranked for ranked in work.rankings if ranked.out]
    compared = set()
    weights = known.by_place(standing) if known.weights else None
    for pair in preferences.unify(
        _votes(standing), selection.pairs, how=selection.votes, weights=weights
    ):
        if aside or selection.corrections_as_pairs:
            compared.add(frozenset((pair.chosen, pair.rejected)))
        by = [standing[at] for at in pair.by]
        margin, unknown = preferences.margin(pair, selection.margin, table)
        reason = (
            pair.reason
            or judging.too_weak(by, selection)
            or _too_slight(pair, selection)
            or unknown
        )
        yield _pair(work, selection, salt, answers, pair, by, reason, margin)
    # What only annotators said who do not count here: dropped, each pair once.
    for ranked in aside:
        for pair in preferences.unify(_votes([ranked]), selection.pairs):
            sides = frozenset((pair.chosen, pair.rejected))
            if sides not in compared:
                compared.add(sides)
                yield _pair(work, selection, salt, answers, pair, [ranked], ranked.out, None)
    if selection.corrections_as_pairs:
        yield from _corrections(work, selection, salt, answers, compared)


def _too_slight(pair: preferences.Pair, selection: Selection) -> str:
    if not selection.min_strength:
        return ""
    if pair.strength is None:
        return preferences.UNKNOWN_STRENGTH
    return f"weaker than {selection.min_strength}" if pair.strength < selection.min_strength else ""


def _corrections(
    work: Work,
    selection: Selection,
    salt: str,
    answers: dict[int, Answer],
    compared: set[frozenset[int]],
) -> Iterator[Candidate]:
    """Each correction over its original."""
    for correction in work.answers:
        original = answers.get(correction.corrects or 0)
        if not correction.in_scope or original is None:
            continue
        if not selection.include_imported and correction.origin == "imported":
            continue
        edited = (correction.messages, correction.system, correction.context)
        reason = correction.out
        if frozenset((correction.id, original.id)) in compared:
            reason = reason or "a ranking says which of the two is better"
        if correction.passed_over:
            reason = OTHER_CHOSEN
        if not selection.edited_prompts and any(part is not None for part in edited):
            reason = reason or "the correction changed the prompt"
        if selection.margin != "none" or selection.min_strength:
            reason = reason or "a correction has no strength"
        pair = preferences.Pair(correction.id, original.id)
        yield _pair(work, selection, salt, answers, pair, [], reason, None, correction)


def _pair(
    work: Work,
    selection: Selection,
    salt: str,
    answers: dict[int, Answer],
    pair: preferences.Pair,
    rankings: list[Ranked],
    reason: str,
    margin: float | None,
    correction: Answer | None = None,
) -> Candidate:
    chosen, rejected = answers.get(pair.chosen), answers.get(pair.rejected)
    if chosen is None or rejected is None:
        return Candidate(work, "one of the two answers was withdrawn", rankings=rankings)
    found = Candidate(
        work,
        reason or unfit(work, correction),
        length=len(chosen.text),
        other=len(rejected.text),
        answers=[chosen, rejected],
        rankings=rankings,
    )
    if not found.reason and _say_the_same(chosen.text, rejected.text):
        found.reason = "both answers are the same"
    if not found.reason:
        found.reason = unfit_text(selection, chosen.text) or unfit_text(selection, rejected.text)
    if not found.reason:
        prompt = prompt_of(work, selection, correction)
        found.row = formats.preference(prompt, chosen.text, rejected.text, margin)
        place(found, selection, salt, correction)
    return found


def _say_the_same(one: str, other: str) -> bool:
    """Normalised. Most often the first words tell."""
    if one.isascii() and other.isascii() and one.split(None, 2)[:2] != other.split(None, 2)[:2]:
        return False
    return normalise(one) == normalise(other)


def _prompts(work: Work, selection: Selection, salt: str, known: Known) -> Iterator[Candidate]:
    found = Candidate(work, unfit(work, None))
    if not found.reason:
        asked = work.messages[-1]["content"]
        found.length = len(asked)
        found.reason = unfit_text(selection, asked)
    if not found.reason:
        found.row = formats.prompts(prompt_of(work, selection, None))
        place(found, selection, salt, None)
    yield found


def _votes(rankings: list[Ranked]) -> list[preferences.Vote]:
    return [preferences.Vote(r.order, r.strength, at, r.all_bad) for at, r in enumerate(rankings)]


def _documents(work: Work, selection: Selection, salt: str, known: Known) -> Iterator[Candidate]:
    yield from rated_rows.documents(work, selection, salt)


MAKERS: dict[str, Maker] = {
    "sft": _sft,
    "preference": _preference,
    "unpaired": rated_rows.unpaired,
    "prompts": _prompts,
    "text": _documents,
    "labels": rated_rows.labels,
}
