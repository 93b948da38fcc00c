"""What was said to a rubric's question about a prompt or an answer, and what it comes to. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation.bootstrap import is_given
from exports.conditions import Condition, question
from exports.preferences import DISAGREE
from exports.rules import Selection
from exports.unification import NOBODY, Fitted, labels, ratings
from exports.work import Answer, Ranked, Rated, Work

ALONE = "one annotator only, agreement unknown"
UNMEASURED = "agreement not measured yet"
YES = ("true", "yes", "up", "good")  # what is good where a selection does not say


@dataclass(frozen=True)
class Known:
    """What was found out before about the annotators: what their words weigh, by annotator, and
    the reliability that Dawid-Skene found. raters.py makes it."""

    weights: Mapping[str, float] = field(default_factory=dict)
    fitted: Fitted | None = None

    def by_place(self, rankings: Sequence[Ranked]) -> dict[int, float]:
        """The weight of each ranking, by its place: what `preferences.unify` is given."""
        if not self.weights:
            return {}
        return {at: self.weights.get(one.annotator, 1.0) for at, one in enumerate(rankings)}


NOTHING = Known()


def in_force(rated: Iterable[Rated]) -> list[Rated]:
    """Those that count: without what is out, and where a lead has decided, that alone."""
    counts = [one for one in rated if not one.out]
    return [one for one in counts if one.decided] or counts


@dataclass
class Said:
    """{annotator: value} of what counts, and whose it is; `out`: why the others' does not."""

    values: dict[str, Any] = field(default_factory=dict)
    rated: list[Rated] = field(default_factory=list)
    out: str = ""


def said(work: Work, named: str, about: int | None = None) -> Said:
    """What was said to the question "7.helpful" about a response, or about the prompt. What was
    said about the prompt holds for each answer. Of somebody who said it twice the later counts.

    Raises ValueError for what names no question."""
    asked = question(named)
    if asked is None:
        raise ValueError(f"{named!r} names no question; write it as 7.helpful, of stage 7")
    stage, key = asked
    told = [
        one
        for one in work.rated
        if one.stage == stage and is_given(_part(one.ratings.get(key), about))
    ]
    counts = {one.annotator: one for one in in_force(told)}
    out = "" if counts else next((one.out for one in told if one.out), "")
    values = {who: _part(one.ratings[key], about) for who, one in counts.items()}
    return Said(values, [*counts.values()], out)


def _part(value: Any, about: int | None) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(about)) if about is not None else None
    return value


def rated_value(
    work: Work,
    named: str,
    how: str,
    weights: Mapping[str, float] | None = None,
    about: int | None = None,
) -> Any:
    """One value of all that was said (`unification.ratings`), None without any or in a tie."""
    return ratings(said(work, named, about).values, how, weights)


def one_value(
    work: Work, selection: Selection, known: Known, about: int | None = None
) -> tuple[Any, list[Rated], str]:
    """(the value, whose words it is made of, why there is none) of the selection's question: scores
    unified as scores, labels as labels; by Dawid-Skene scores are labels, too."""
    found = said(work, selection.question, about)
    if not found.values:
        return None, [], found.out or NOBODY
    if reason := too_weak(found.rated, selection):
        return None, found.rated, reason
    scores = all(isinstance(value, int | float) for value in found.values.values())
    if scores and selection.label_by != "dawid_skene":
        value = ratings(found.values, selection.rating_by, known.weights)
        return value, found.rated, DISAGREE if value is None else ""
    label, divided = labels(found.values, selection.label_by, known.weights, known.fitted)
    return label, found.rated, divided


def unmet_rating(
    work: Work,
    conditions: Iterable[Condition],
    how: str,
    weights: Mapping[str, float] | None = None,
    about: int | None = None,
) -> str:
    """Why what was said does not fulfil the conditions, or nothing."""
    for condition in conditions:
        found = said(work, condition.name, about)
        if not found.values:
            return found.out or f"nobody answered {condition.name}"
        value = ratings(found.values, how, weights)
        if value is None:
            return f"annotators disagree on {condition.name}"
        if not condition.test(value):
            return f"its rating does not fulfil “{condition}”"
    return ""


def best_rated(
    work: Work,
    answers: Iterable[Answer],
    named: str,
    how: str,
    weights: Mapping[str, float] | None = None,
) -> set[int]:
    """The answers with the highest rating, several if it is the same; empty where none has one."""
    values = {answer.id: rated_value(work, named, how, weights, answer.id) for answer in answers}
    scores = {pk: value for pk, value in values.items() if isinstance(value, int | float)}
    highest = max(scores.values(), default=None)
    return {pk for pk, score in scores.items() if score == highest}


def too_weak(by: Sequence[Ranked] | Sequence[Rated], selection: Selection) -> str:
    """Why people's words on one thing are not enough, or nothing. A lead's decision is."""
    if selection.min_raters < 2 and not selection.min_agreement:
        return ""
    if any(one.decided for one in by):
        return ""
    people = len({one.annotator for one in by})
    if people < selection.min_raters:
        return f"fewer than {selection.min_raters} annotators"
    if selection.min_agreement:
        known = [one.agreement for one in by if one.agreement is not None]
        if not known:
            return ALONE if people < 2 else UNMEASURED
        if min(known) < selection.min_agreement:
            return f"annotators agree by less than {selection.min_agreement} %"
    return ""
