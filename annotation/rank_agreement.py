"""How much people agree on rankings. Pure.

An order is a list of groups, best first: [[7], [3, 9]] puts 7 above 3 and 9, which are equal.
Two orders are compared on the answers that both hold."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np

from annotation.bootstrap import Agreement, Numbers, Whole, interval

Order = Sequence[Sequence[Hashable]]
OrderUnit = Mapping[Any, Order | None]


def kendall_tau_b(order_a: Order, order_b: Order) -> float | None:
    """From -1 (turned round) over 0 to 1 (the same order); ties as Kendall (1945) counts them.

    None with fewer than two answers in common, or where one of the orders ties them all."""
    shared = _shared(_places(order_a), _places(order_b))
    if shared is None:
        return None
    value = _tau(*shared)[0]
    return None if np.isnan(value) else float(value)


def mean_tau(units: Sequence[OrderUnit]) -> Agreement:
    """Kendall's tau-b, averaged over all pairs of raters who ordered the same unit, {rater:
    order}. A pair counts only where both made a difference between the answers."""
    pairs = _Pairs.of(units)
    return pairs.mean([_tau(a, b) for a, b in pairs.blocks])


def same_top(units: Sequence[OrderUnit]) -> Agreement:
    """The share of pairs of raters of the same unit who put the same answer first (or the same
    ones, tied)."""
    pairs = _Pairs.of(units)
    return pairs.mean([_top(a, b) for a, b in pairs.blocks])


def disagreement_of_orders(orders: Sequence[Order | None]) -> int | None:
    """Of one unit, 0 (the same order) to 100 (turned round); None with fewer than two orders that
    share answers. Of 100 comparisons of two answers by two raters, those in which they differ; a
    tie against an order is half a difference (Fagin et al., 2006)."""
    places = [_places(order) for order in orders if order]
    apart, compared = 0.0, 0
    for one, other in combinations(places, 2):
        common = [answer for answer in one if answer in other]
        for x, y in combinations(common, 2):
            mine, theirs = one[x] - one[y], other[x] - other[y]
            compared += 1
            if mine * theirs < 0:
                apart += 1
            elif (mine == 0) != (theirs == 0):
                apart += 0.5
    return round(100 * apart / compared) if compared else None


def _places(order: Order) -> dict[Hashable, int]:
    return {answer: place for place, group in enumerate(order) for answer in group}


def _shared(one: dict[Any, int], other: dict[Any, int]) -> tuple[Whole, Whole] | None:
    """The places of the answers that both hold, as two tables of one row."""
    common = [answer for answer in one if answer in other]
    if len(common) < 2:
        return None
    return np.array([[one[x] for x in common]]), np.array([[other[x] for x in common]])


def _tau(a: Whole, b: Whole) -> Numbers:
    """Of each row: (same direction - opposite) / sqrt(untied in a * untied in b)."""
    alike, in_a, in_b = np.zeros((3, len(a)))
    for i, j in combinations(range(a.shape[1]), 2):
        mine, theirs = np.sign(a[:, i] - a[:, j]), np.sign(b[:, i] - b[:, j])
        alike += mine * theirs
        in_a += mine != 0
        in_b += theirs != 0
    untied = np.sqrt(in_a * in_b)
    return np.divide(alike, untied, out=np.full(len(a), np.nan), where=untied > 0)


def _top(a: Whole, b: Whole) -> Numbers:
    best_a, best_b = a == a.min(1, keepdims=True), b == b.min(1, keepdims=True)
    return (best_a == best_b).all(1).astype(float)


@dataclass(frozen=True)
class _Pairs:
    """All pairs of orders of the same unit, as tables of places with one row a pair: a block of
    two tables for each number of answers, `units` and `raters` naming whose each row is."""

    blocks: list[tuple[Whole, Whole]]
    units: list[Whole]
    raters: list[list[tuple[Hashable, Hashable]]]

    @classmethod
    def of(cls, units: Sequence[OrderUnit]) -> "_Pairs":
        rows: dict[int, list[tuple[Any, Any, int, Any, Any]]] = {}
        for number, unit in enumerate(units):
            given = [(rater, _places(order)) for rater, order in unit.items() if order]
            for (one, a), (other, b) in combinations(given, 2):
                common = [answer for answer in a if answer in b]
                if len(common) > 1:
                    row = ([a[x] for x in common], [b[x] for x in common], number, one, other)
                    rows.setdefault(len(common), []).append(row)
        blocks = [
            (np.array([row[0] for row in block]), np.array([row[1] for row in block]))
            for block in rows.values()
        ]
        numbers = [np.array([row[2] for row in block]) for block in rows.values()]
        return cls(blocks, numbers, [[row[3:] for row in block] for block in rows.values()])

    def mean(self, values: list[Numbers]) -> Agreement:
        """The mean over pairs, resampled by unit; a NaN is a pair that does not count."""
        if not self.blocks:
            return Agreement(None, None, None, 0, 0, 0)
        value, unit = np.concatenate(values), np.concatenate(self.units)
        counts = ~np.isnan(value)
        whose = list(chain.from_iterable(self.raters))
        raters = {rater for pair, so in zip(whose, counts, strict=True) if so for rater in pair}
        if not counts.any():
            return Agreement(None, None, None, len(np.unique(unit)), len(set(chain(*whose))), 0)
        _, unit = np.unique(unit[counts], return_inverse=True)
        sums, pairs = np.bincount(unit, value[counts]), np.bincount(unit)
        # A unit is known by its sum and its pairs: as one complex number they sort together.
        kinds, many = np.unique(sums + 1j * pairs, return_counts=True)

        def mean(weights: Numbers) -> Numbers:
            return (weights @ kinds.real) / (weights @ kinds.imag)

        low, high = interval(many, mean)
        total = int(counts.sum())
        mean_of_all = float(value[counts].mean())
        return Agreement(mean_of_all, low, high, len(sums), len(raters), total)
