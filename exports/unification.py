"""What several people said of one thing, as one value. Pure; a tie is called one, never broken.

A lead's decision stands before all of this: who calls passes it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from typing import Any

from annotation.aggregation import highest, lowest, majority, mean, weighted_majority
from annotation.bootstrap import is_given
from annotation.dawid_skene import SAME
from exports.preferences import DISAGREE

NOBODY = "nobody judged it"
UNKNOWN = "by those who judged it nothing can be told"
NO_WEIGHT = "those who judged it have no weight"
Values = Mapping[str, Any]  # by annotator
Weights = Mapping[str, float]  # by annotator; 1 where none is named


@dataclass(frozen=True)
class Fitted:
    """What Dawid-Skene found: how often each label is true, and {annotator: rows of the true
    label, columns of what they say}. `units` went into it, of `seen`."""

    labels: Sequence[Any]
    prior: Mapping[Any, float]
    confusion: Mapping[str, Sequence[Sequence[float]]]
    units: int = 0
    seen: int = 0

    def posterior(self, values: Values) -> dict[Any, float]:
        """How likely each label is, given what was said: as `dawid_skene` says of a unit that it
        was fitted on. Annotators and labels that it never met say nothing. Empty where nothing is
        left, or where what was said was impossible."""
        place = {label: number for number, label in enumerate(self.labels)}
        said = [
            (self.confusion[rater], place[value])
            for rater, value in sorted(values.items())
            if rater in self.confusion and value in place
        ]
        if not said:
            return {}
        joint = [
            _log(self.prior[label]) + sum(_log(rows[true][column]) for rows, column in said)
            for true, label in enumerate(self.labels)
        ]
        top = max(joint)
        if not isfinite(top):
            return {}
        odds = [exp(each - top) for each in joint]
        return {label: one / sum(odds) for label, one in zip(self.labels, odds, strict=True)}


def _log(chance: float) -> float:
    return log(chance) if chance > 0 else -inf


def given(values: Values) -> dict[str, Any]:
    """Those that say something; several labels as a tuple, sorted."""
    return {
        rater: tuple(sorted(value)) if isinstance(value, list) else value
        for rater, value in values.items()
        if is_given(value)
    }


def ratings(values: Values, how: str, weights: Weights | None = None) -> Any:
    """One score of many, None without any or in a tie: mean, max, min; majority and weighted (the
    score with the most votes, or the heaviest); best_annotator (what the heaviest says; of several
    as heavy, their majority). Labels have no mean and no order: of them it is the majority.

    Raises ValueError for a way that is none."""
    said = given(values)
    numbers = all(isinstance(value, int | float) for value in said.values())
    if how in _SCORES:
        return _SCORES[how](said)["value"] if numbers else majority(said)["value"]
    return labels(said, how, weights)[0]


_SCORES = {"mean": mean, "max": highest, "min": lowest}


def labels(
    values: Values, how: str, weights: Weights | None = None, fitted: Fitted | None = None
) -> tuple[Any, str]:
    """(the label, "") or (None, why there is none): majority, weighted, best_annotator as for
    `ratings`; dawid_skene by `fitted`. Several labels are one: the same set.

    Raises ValueError for a way that is none, and for dawid_skene without `fitted`."""
    said = given(values)
    if how == "dawid_skene":
        if fitted is None:
            raise ValueError("dawid_skene needs what was fitted on all units")
        return _likeliest(fitted.posterior(said), said)
    weights = weights or {}
    if how == "majority":
        weights = {}
    elif how == "best_annotator":
        heaviest = max((weights.get(rater, 1.0) for rater in said), default=0)
        said = {rater: v for rater, v in said.items() if weights.get(rater, 1.0) == heaviest}
        weights = {}
    elif how != "weighted":
        raise ValueError(f"{how!r} is no way to make one label of many")
    # In the order of the annotators: sums of weights are the same whoever comes first.
    found = weighted_majority(dict(sorted(said.items())), weights)
    if not said:
        return None, NOBODY
    if not any(found["votes"].values()):
        return None, NO_WEIGHT
    return (found["value"], "") if found["value"] is not None else (None, DISAGREE)


def _likeliest(chances: Mapping[Any, float], said: Values) -> tuple[Any, str]:
    if not said:
        return None, NOBODY
    if not chances:
        return None, UNKNOWN
    most = max(chances.values())
    leading = [label for label, chance in chances.items() if chance >= most - SAME]
    return (leading[0], "") if len(leading) == 1 else (None, DISAGREE)
