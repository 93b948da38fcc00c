"""The likeliest labels and the raters' reliability, each found from the other. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotation.bootstrap import Numbers, Whole, is_given

ROUNDS = 500
SETTLED = 1e-9  # the largest change of a probability in a round, below which it has settled
SAME = 1e-6  # labels whose probabilities are nearer to each other are a tie


def dawid_skene(
    units: Sequence[Mapping[Any, Any]],
    labels: Sequence[Any] | None = None,
    rounds: int = ROUNDS,
    many: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The likeliest label of each unit {rater: label}, given how reliable each rater turns out.

    {"values": of each unit, None in a tie or without ratings, "tied": the labels of each unit that
    lead together, "probabilities": of each unit, by label, None without ratings, "labels", "prior":
    by label, "confusion": {rater: rows of the true label, columns of what they say}, "accuracy":
    {rater: the share of their labels that are right, as far as is known}, "rounds", "settled",
    "log_likelihood"}.

    It begins with each unit's shares of votes and goes on until nothing changes, `rounds` at most.
    `labels`: only these values count. `many`: how often there is such a unit, once each without it.
    Source: Dawid and Skene (1979), without smoothing."""
    told = _Told.of(units, labels, many)
    if not len(told.said):
        nothing = _Fit(np.zeros((0, 0)), np.zeros(0), np.zeros((0, 0, 0)), 0.0)
        return _result(told, nothing, 0, True)
    shares = np.zeros((len(told.starts), len(told.labels)))
    np.add.at(shares, (told.kind, told.said), 1)
    fit = _round(told, shares / shares.sum(1, keepdims=True))
    for done in range(1, rounds):
        before, fit = fit, _round(told, fit.probabilities)
        if np.abs(fit.probabilities - before.probabilities).max() <= SETTLED:
            return _result(told, fit, done + 1, True)
    return _result(told, fit, rounds, False)


@dataclass(frozen=True)
class _Told:
    """Who said what. Units of which the same people said the same are one kind: `many` counts
    them, `kinds` has the kind of each unit (None without ratings). Of each rating `kind`, `rater`
    and `said` (the label's place); the ratings of a kind begin at `starts`."""

    labels: list[Any]
    raters: list[Any]
    kinds: list[int | None]
    many: Numbers
    kind: Whole
    rater: Whole
    said: Whole
    starts: Whole

    @classmethod
    def of(
        cls,
        units: Sequence[Mapping[Any, Any]],
        labels: Sequence[Any] | None,
        times: Sequence[int] | None = None,
    ) -> "_Told":
        if labels is None:
            labels = [*dict.fromkeys(v for unit in units for v in unit.values() if is_given(v))]
        place = {label: number for number, label in enumerate(labels)}
        raters: dict[Any, int] = {}
        found: dict[tuple[tuple[int, int], ...], int] = {}
        kinds: list[int | None] = []
        for unit in units:
            ratings = [
                (raters.setdefault(rater, len(raters)), place[value])
                for rater, value in unit.items()
                if is_given(value) and value in place
            ]
            kinds.append(found.setdefault(tuple(sorted(ratings)), len(found)) if ratings else None)
        told = [(kind, *rating) for ratings, kind in found.items() for rating in ratings]
        kind_of, rater_of, said = np.array(told, np.int64).reshape(-1, 3).T
        rated = [place for place, kind in enumerate(kinds) if kind is not None]
        weights = None if times is None else [times[place] for place in rated]
        many = np.bincount([kinds[place] or 0 for place in rated], weights, len(found))
        starts = np.searchsorted(kind_of, np.arange(len(found)))
        return cls([*labels], [*raters], kinds, many.astype(float), kind_of, rater_of, said, starts)


@dataclass(frozen=True)
class _Fit:
    probabilities: Numbers  # of each kind of unit, by label
    prior: Numbers
    confusion: Numbers  # by rater, true label, label said
    log_likelihood: float


def _round(told: _Told, probabilities: Numbers) -> _Fit:
    """Reliability from the labels' probabilities, then those from the reliability."""
    many, size = len(told.labels), len(told.raters) * len(told.labels)
    cell = told.rater * many + told.said
    weights = probabilities * told.many[:, None]
    by_label = [np.bincount(cell, weight, size) for weight in weights[told.kind].T]
    confusion = np.stack(by_label, 1).reshape(len(told.raters), many, many).swapaxes(1, 2)
    of_label = confusion.sum(2, keepdims=True)
    # Of a label that they never met nothing is known of a rater: all is as likely.
    unknown = np.full_like(confusion, 1 / many)
    confusion = np.divide(confusion, of_label, out=unknown, where=of_label > 0)
    prior = weights.sum(0) / told.many.sum()
    with np.errstate(divide="ignore"):  # what never happened has the logarithm -inf
        each = np.log(confusion)[told.rater, :, told.said]
        joint = np.log(prior) + np.add.reduceat(each, told.starts)
    top = joint.max(1, keepdims=True)
    odds = np.exp(joint - top)
    total = odds.sum(1, keepdims=True)
    return _Fit(odds / total, prior, confusion, float(told.many @ (top + np.log(total))[:, 0]))


def _result(told: _Told, fit: _Fit, rounds: int, settled: bool) -> dict[str, Any]:
    rows = fit.probabilities.tolist()
    leading = [
        [label for label, chance in zip(told.labels, row, strict=True) if chance >= max(row) - SAME]
        for row in rows
    ]
    values: list[Any] = []
    tied: list[list[Any]] = []
    probabilities: list[dict[Any, float] | None] = []
    for kind in told.kinds:
        lead = [] if kind is None else leading[kind]
        values.append(lead[0] if len(lead) == 1 else None)
        tied.append([*lead] if len(lead) > 1 else [])
        probabilities.append(
            None if kind is None else dict(zip(told.labels, rows[kind], strict=True))
        )
    right = fit.probabilities[told.kind, told.said] if rows else np.zeros(0)
    given = told.many[told.kind]
    of_them = np.bincount(told.rater, right * given) / np.bincount(told.rater, given)
    return {
        "values": values,
        "tied": tied,
        "probabilities": probabilities,
        "labels": told.labels,
        "prior": dict(zip(told.labels, fit.prior.tolist(), strict=bool(rows))),
        "confusion": dict(zip(told.raters, fit.confusion.tolist(), strict=True)),
        "accuracy": dict(zip(told.raters, of_them.tolist(), strict=True)),
        "rounds": rounds,
        "settled": settled,
        "log_likelihood": fit.log_likelihood,
    }
