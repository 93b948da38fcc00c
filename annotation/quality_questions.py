"""What annotators of a stage can agree on, question by question. Pure.

A question's units are the things that several people said something about: an item, one answer to
it, one option of one. Each unit holds {annotator: value}."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from math import sqrt
from operator import mul
from typing import Any, Literal

from annotation.quality_data import Order, Rater, Turn
from annotation.rubric import in_force, options

# (the item, which part of it: an answer, or 0)
Unit = tuple[int, int]
Units = dict[Unit, dict[Rater, Any]]
Kind = Literal["choice", "ranking", "rating", "label", "labels"]
FIRST, TIE, SECOND = 1, 0, -1
CHOICES = {FIRST: "the first answer is better", TIE: "equally good", SECOND: "the second is better"}


@dataclass(slots=True)
class Question:
    """`kind`: choice (of two answers, FIRST, TIE or SECOND by the item's own order of them),
    ranking (an order over the places 0, 1, …), rating, label, labels (a tuple, sorted).
    `spread`: how far apart two ratings can be. `words`: what a value is called."""

    key: str
    title: str
    about: str
    kind: Kind
    units: Units = field(default_factory=dict)
    spread: int = 0
    words: dict[Any, str] = field(default_factory=dict)

    def compared(self) -> Units:
        """The units that at least two annotators said something about."""
        return {unit: values for unit, values in self.units.items() if len(values) > 1}


def choice_of(order: Order) -> int:
    """Of two answers: which is better."""
    return TIE if len(order) == 1 else FIRST if order[0] == (0,) else SECOND


def questions(
    kind: str, rubric: Iterable[Mapping[str, Any]], turns: Iterable[Turn]
) -> list[Question]:
    """Those of the work itself, then those of the rubric that are in force, each with what
    annotators themselves said to it; of the work's own only what there is."""
    found = rubric_questions(rubric, turns, said=True)
    if kind != "rank":
        return found
    pairs = Question("choice", "Which answer is better", "comparison", "choice", words=CHOICES)
    orders = Question("ranking", "The ranking", "comparison", "ranking")
    for turn in turns:
        if turn.order is None:
            continue
        unit = (turn.item, 0)
        if sum(map(len, turn.order)) == 2:
            pairs.units.setdefault(unit, {})[turn.rater] = choice_of(turn.order)
        else:
            orders.units.setdefault(unit, {})[turn.rater] = turn.order
    return [each for each in (pairs, orders) if each.units] + found


def rubric_questions(
    rubric: Iterable[Mapping[str, Any]], turns: Iterable[Turn], said: bool
) -> list[Question]:
    """With what was said, or with what counts."""
    asked = [_asked(question) for question in in_force(rubric) if question["type"] != "text"]
    for turn in turns if asked else ():
        ratings = (turn.said if said else turn.counts).get("ratings") or {}
        for question in asked if ratings else ():
            _put(question, turn, ratings.get(question.key))
    return asked


def _asked(question: Mapping[str, Any]) -> Question:
    words = {option["value"]: option["label"] for option in question.get("options", [])}
    if question["type"] == "rating":
        words = {int(each["value"]): each["label"] for each in options(question)}
    return Question(
        question["key"],
        question["title"],
        question["about"],
        question["type"],
        spread=question.get("high", 0) - question.get("low", 0),
        words=words,
    )


def _put(question: Question, turn: Turn, value: Any) -> None:
    if question.about == "prompt":
        _put_one(question, (turn.item, 0), turn.rater, value)
    elif isinstance(value, Mapping):
        for answer, given in value.items():
            _put_one(question, (turn.item, int(answer)), turn.rater, given)


def _put_one(question: Question, unit: Unit, rater: Rater, value: Any) -> None:
    if value is None:
        return
    if question.kind == "labels":
        value = tuple(sorted(value))
    question.units.setdefault(unit, {})[rater] = value


def likeness(question: Question) -> Callable[[Any, Any], float | None]:
    """How alike two answers are, 0 to 1: the same or not; for ratings less the square of their
    distance; for several labels the share of options on which both say the same; for rankings from
    Kendall's tau-b, None where one of them puts all on one place."""
    if question.kind == "rating":
        spread = question.spread or 1
        return lambda one, other: 1 - ((one - other) / spread) ** 2
    if question.kind == "labels":
        offered = max(len(question.words), 1)
        return lambda one, other: 1 - len(set(one) ^ set(other)) / offered
    if question.kind == "ranking":
        return _tau
    return lambda one, other: float(one == other)


def _tau(one: Order, other: Order) -> float | None:
    """(tau-b + 1) / 2. As agreement.kendall_tau_b, which weighs a hundred thousand pairs at once;
    this one is called pair by pair."""
    mine, theirs = _directions(one), _directions(other)
    untied = sum(map(bool, mine)) * sum(map(bool, theirs))
    return (sum(map(mul, mine, theirs)) / sqrt(untied) + 1) / 2 if untied else None


@lru_cache(maxsize=50_000)
def _directions(order: Order) -> tuple[int, ...]:
    """Of each two answers: 1 if the first comes first, -1 if it comes later, 0 for a tie."""
    at = {answer: place for place, group in enumerate(order) for answer in group}
    return tuple(
        (at[one] < at[other]) - (at[one] > at[other]) for one, other in combinations(sorted(at), 2)
    )


def by_chance(question: Question, one: Mapping[Hashable, int], others: Mapping[Any, int]) -> float:
    """How alike answers would be if each were drawn at random from what both usually say:
    {value: how often}. Rankings at random have a tau of 0, that is a likeness of a half."""
    if question.kind == "ranking":
        return 0.5
    alike = likeness(question)
    total = sum(one.values()) * sum(others.values())
    if not total:
        return 0.0
    each = (
        (alike(mine, theirs) or 0.0) * n * m
        for mine, n in one.items()
        for theirs, m in others.items()
    )
    return sum(each) / total
