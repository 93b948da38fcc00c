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
    units: Sequence[Mapping[Any, Any]], labels: Sequence[Any] | None = None, rounds: int = ROUNDS
) -> dict[str, Any]:
    """The likeliest label of each unit {rater: label}, given how reliable each rater turns out.

    {"values": of each unit, None in a tie or without ratings, "tied": the labels of each unit that
    lead together, "probabilities": of each unit, by label, None without ratings, "labels", "prior":
    by label, "confusion": {rater: rows of the true label, columns of what they say}, "accuracy":
    {rater: the share of their labels that are right, as far as is known}, "rounds", "settled",
    "log_likelihood"}.

    It begins with each unit's shares of votes and goes on until nothing changes, `rounds` at most.
    `labels`: only these values count. Source: Dawid and Skene (1979), without smoothing."""
    told = _Told.of(units, labels)
    if not len(told.said):
        nothing = _Fit(np.zeros((0, 0)), np.zeros(0), np.zeros((0, 0, 0)), 0.0)
        return _result(told, nothing, 0, True)
    shares = np.zeros((len(told.starts), len(told.labels)))
    np.add.at(shares, (told.unit, told.said), 1)
    fit = _round(told, shares / shares.sum(1, keepdims=True))
    for done in range(1, rounds):
        before, fit = fit, _round(told, fit.probabilities)
        if np.abs(fit.probabilities - before.probabilities).max() <= SETTLED:
            return _result(told, fit, done + 1, True)
    return _result(told, fit, rounds, False)


@dataclass(frozen=True)
class _Told:
    """Who said what of which unit: `unit` counts only those that have a rating (`whole` says where
    they stand among all), and `starts` is where each begins."""

    labels: list[Any]
    raters: list[Any]
    unit: Whole
    rater: Whole
    said: Whole
    starts: Whole
    whole: list[int]
    units: int

    @classmethod
    def of(cls, units: Sequence[Mapping[Any, Any]], labels: Sequence[Any] | None) -> "_Told":
        if labels is None:
            labels = [*dict.fromkeys(v for unit in units for v in unit.values() if is_given(v))]
        place = {label: number for number, label in enumerate(labels)}
        raters: dict[Any, int] = {}
        told: list[tuple[int, int, int]] = []
        starts: list[int] = []
        whole: list[int] = []
        for number, unit in enumerate(units):
            begin = len(told)
            for rater, value in unit.items():
                if is_given(value) and value in place:
                    who = raters.setdefault(rater, len(raters))
                    told.append((len(whole), who, place[value]))
            if len(told) > begin:
                starts.append(begin)
                whole.append(number)
        unit_of, rater_of, said = np.array(told, np.int64).reshape(-1, 3).T
        begins = np.array(starts, np.int64)
        return cls([*labels], [*raters], unit_of, rater_of, said, begins, whole, len(units))


@dataclass(frozen=True)
class _Fit:
    probabilities: Numbers  # of each unit, by label
    prior: Numbers
    confusion: Numbers  # by rater, true label, label said
    log_likelihood: float


def _round(told: _Told, probabilities: Numbers) -> _Fit:
    """Reliability from the labels' probabilities, then those from the reliability."""
    many, size = len(told.labels), len(told.raters) * len(told.labels)
    cell = told.rater * many + told.said
    by_label = [np.bincount(cell, weight, size) for weight in probabilities[told.unit].T]
    confusion = np.stack(by_label, 1).reshape(len(told.raters), many, many).swapaxes(1, 2)
    of_label = confusion.sum(2, keepdims=True)
    # Of a label that they never met nothing is known of a rater: all is as likely.
    unknown = np.full_like(confusion, 1 / many)
    confusion = np.divide(confusion, of_label, out=unknown, where=of_label > 0)
    prior = probabilities.mean(0)
    with np.errstate(divide="ignore"):  # what never happened has the logarithm -inf
        each = np.log(confusion)[told.rater, :, told.said]
        joint = np.log(prior) + np.add.reduceat(each, told.starts)
    top = joint.max(1, keepdims=True)
    odds = np.exp(joint - top)
    total = odds.sum(1, keepdims=True)
    return _Fit(odds / total, prior, confusion, float((top + np.log(total)).sum()))


def _result(told: _Told, fit: _Fit, rounds: int, settled: bool) -> dict[str, Any]:
    values: list[Any] = [None] * told.units
    tied: list[list[Any]] = [[] for _ in range(told.units)]
    probabilities: list[dict[Any, float] | None] = [None] * told.units
    for number, row in zip(told.whole, fit.probabilities.tolist(), strict=True):
        best = max(row)
        lead = [x for x, chance in zip(told.labels, row, strict=True) if chance >= best - SAME]
        probabilities[number] = dict(zip(told.labels, row, strict=True))
        if len(lead) == 1:
            values[number] = lead[0]
        else:
            tied[number] = lead
    many = len(told.raters)
    right = fit.probabilities[told.unit, told.said] if len(told.said) else np.zeros(0)
    accuracy = np.bincount(told.rater, right, many) / np.maximum(
        np.bincount(told.rater, None, many), 1
    )
    return {
        "values": values,
        "tied": tied,
        "probabilities": probabilities,
        "labels": told.labels,
        "prior": dict(zip(told.labels, fit.prior.tolist(), strict=False)),
        "confusion": dict(zip(told.raters, fit.confusion.tolist(), strict=True)),
        "accuracy": dict(zip(told.raters, accuracy.tolist(), strict=True)),
        "rounds": rounds,
        "settled": settled,
        "log_likelihood": fit.log_likelihood,
    }
