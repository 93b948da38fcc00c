"""How much people agree: on labels and scores here, on rankings in `rank_agreement`, which is
reached through this module as well. Pure.

A unit is what several raters judged, {rater: value}; a value of None (or NaN) is no rating."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np

from annotation.bootstrap import Agreement, Numbers, Whole, interval, is_given
from annotation.rank_agreement import disagreement_of_orders, kendall_tau_b, mean_tau, same_top

__all__ = [
    "Agreement",
    "cohen_kappa",
    "disagreement_of",
    "disagreement_of_orders",
    "fleiss_kappa",
    "kendall_tau_b",
    "krippendorff_alpha",
    "mean_tau",
    "same_top",
]

Metric = Literal["nominal", "ordinal", "interval"]
Unit = Mapping[Any, Any]


def krippendorff_alpha(units: Sequence[Unit], metric: Metric = "nominal") -> Agreement:
    """Agreement beyond chance: 1 is perfect, 0 what chance gives, below 0 systematic disagreement.

    Any number of raters, ratings may be missing. Values: hashable for "nominal", sortable for
    "ordinal", numbers for "interval". Raises ValueError for another metric.
    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011)."""
    if metric not in get_args(Metric):
        raise ValueError(f"The metric is one of {', '.join(get_args(Metric))}, not {metric!r}.")
    values: list[Any] = []
    sizes: list[int] = []
    raters: set[Hashable] = set()
    for unit in units:
        given = {rater: value for rater, value in unit.items() if is_given(value)}
        if len(given) > 1:
            values.extend(given.values())
            sizes.append(len(given))
            raters.update(given)
    pairs = sum(size * (size - 1) // 2 for size in sizes)
    if len(set(values)) < 2:
        return Agreement(None, None, None, len(sizes), len(raters), pairs)
    patterns = _Patterns.of(values, np.array(sizes), metric)
    value = float(patterns.alpha(patterns.counts[None, :].astype(float))[0])
    low, high = interval(patterns.counts, patterns.alpha)
    return Agreement(value, low, high, len(sizes), len(raters), pairs)


@dataclass(frozen=True)
class _Patterns:
    """The different units, each once: `cells` holds their values as places in the sorted labels,
    pattern after pattern; `sizes` how many ratings each has, `counts` how many units are like it.

    The ordinal distance of two values, (the ratings between them with half of their own)², is the
    interval distance of their middle ranks: one formula serves both."""

    metric: Metric
    labels: list[Any]
    cells: Whole
    sizes: Whole
    counts: Whole

    @classmethod
    def of(cls, values: list[Any], sizes: Whole, metric: Metric) -> "_Patterns":
        labels = list(dict.fromkeys(values)) if metric == "nominal" else sorted(set(values))
        place = {label: number for number, label in enumerate(labels)}
        cells = np.fromiter((place[value] for value in values), np.int64, len(values))
        ends = np.cumsum(sizes)
        kept, kept_sizes, counts = [], [], []
        for size in np.unique(sizes):
            starts = (ends - sizes)[sizes == size]
            rows = np.sort(cells[starts[:, None] + np.arange(size)], axis=1)
            different, many = _unique_rows(rows, len(labels))
            kept.append(different.ravel())
            kept_sizes.append(np.full(len(different), size))
            counts.append(many)
        return cls(
            metric,
            labels,
            np.concatenate(kept),
            np.concatenate(kept_sizes),
            np.concatenate(counts),
        )

    def alpha(self, weights: Numbers) -> Numbers:
        """1 - observed / expected disagreement, for each row of numbers of units by pattern; NaN
        where one value is all there is."""
        order, first = self._by_label
        ratings = np.add.reduceat(np.repeat(weights, self.sizes, axis=1)[:, order], first, axis=1)
        total = ratings.sum(1)
        if self.metric == "nominal":
            apart, expected = self._fixed, total**2 - (ratings**2).sum(1)
        else:
            if self.metric == "interval":
                apart, at = self._fixed, self._scores[None, :]
            else:
                at = np.cumsum(ratings, axis=1) - ratings / 2
                apart = self._spread(at)
            at = at - ((ratings * at).sum(1) / total)[:, None]
            expected = 2 * total * (ratings * at**2).sum(1)
        observed = (weights * apart).sum(1) * (total - 1)
        mixed = np.count_nonzero(ratings, axis=1) > 1
        undefined = np.full(len(weights), np.nan)
        return 1 - np.divide(observed, expected, out=undefined, where=mixed)

    @cached_property
    def _by_label(self) -> tuple[Whole, Whole]:
        """The cells sorted by label, and where each label begins (each has a cell)."""
        order = np.argsort(self.cells, kind="stable")
        return order, np.searchsorted(self.cells[order], np.arange(len(self.labels)))

    @cached_property
    def _fixed(self) -> Numbers:
        """The observed disagreement of each pattern, where it does not hang on all ratings."""
        return self._unlike() if self.metric == "nominal" else self._spread(self._scores[None, :])

    @cached_property
    def _scores(self) -> Numbers:
        scores = np.array(self.labels, float)
        return scores - scores.mean()  # no digits lost to a large common part

    def _unlike(self) -> Numbers:
        """Of each pattern: ordered pairs of ratings that differ, over ratings less one."""
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        keys, alike = np.unique(owner * len(self.labels) + self.cells, return_counts=True)
        same = np.bincount(keys // len(self.labels), alike * (alike - 1.0), len(self.sizes))
        return self.sizes - same / (self.sizes - 1)

    def _spread(self, at: Numbers) -> Numbers:
        """Of each pattern, where the labels lie `at` (in rows): squared distances over ordered
        pairs of ratings, over ratings less one. That is 2m times the squared distances from the
        unit's own mean, over m - 1."""
        starts = np.cumsum(self.sizes) - self.sizes
        cells = at[:, self.cells]
        mean = np.add.reduceat(cells, starts, axis=1) / self.sizes
        away = (cells - np.repeat(mean, self.sizes, axis=1)) ** 2
        return 2 * self.sizes * np.add.reduceat(away, starts, axis=1) / (self.sizes - 1)


def _unique_rows(rows: Whole, base: int) -> tuple[Whole, Whole]:
    """The different rows of numbers below `base`, and how often each occurs."""
    size = rows.shape[1]
    if float(base) ** size < 2**62:  # a row is one number: much faster to sort
        keys = rows @ base ** np.arange(size, dtype=np.int64)
        _, first, many = np.unique(keys, return_index=True, return_counts=True)
        return rows[first], many
    different, many = np.unique(rows, axis=0, return_counts=True)
    return different, many


def cohen_kappa(
    a: Sequence[Any],
    b: Sequence[Any],
    weights: Literal["linear", "quadratic"] | None = None,
    labels: Sequence[Any] | None = None,
) -> float | None:
    """Two raters on the same units, in the same order; 1 perfect, 0 chance.

    `weights`: near misses count less, by their distance in `labels` (sorted values where none
    are given). Units that one of them left out, or with a value that is not in `labels`, do not
    count. None where nothing is left or both always said the same. Raises ValueError for lists
    of different lengths. Source: Cohen (1960, 1968)."""
    if len(a) != len(b):
        raise ValueError(f"One rater has {len(a)} values and the other {len(b)}.")
    both = [(x, y) for x, y in zip(a, b, strict=True) if is_given(x) and is_given(y)]
    if labels is None:
        seen = {value for pair in both for value in pair}
        labels = sorted(seen) if weights else list(seen)
    place = {label: number for number, label in enumerate(labels)}
    table = np.zeros((len(place), len(place)))
    for (x, y), many in Counter(both).items():
        if x in place and y in place:
            table[place[x], place[y]] += many
    if not table.sum():
        return None
    steps = np.abs(np.subtract.outer(np.arange(len(place)), np.arange(len(place)))).astype(float)
    cost = {None: (steps > 0) * 1.0, "linear": steps, "quadratic": steps**2}[weights]
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    by_chance = float((cost * expected).sum())
    return 1 - float((cost * table).sum()) / by_chance if by_chance else None


def fleiss_kappa(units: Sequence[Unit], labels: Sequence[Any] | None = None) -> float | None:
    """Many raters, the same number of ratings of each unit (units without any are left out).

    `labels`: only these values count. None where the numbers differ, are below two, or all
    ratings are the same. Source: Fleiss (1971)."""
    allowed = None if labels is None else set(labels)
    tables = [Counter(_kept(unit.values(), allowed)) for unit in units]
    tables = [table for table in tables if table]
    sizes = {table.total() for table in tables}
    if len(sizes) != 1 or (size := sizes.pop()) < 2:
        return None
    total = size * len(tables)
    shares = sum(tables, Counter())
    by_chance = sum(many**2 for many in shares.values()) / total**2
    if len(shares) < 2:
        return None
    alike = sum(many * (many - 1) for table in tables for many in table.values())
    observed = alike / (total * (size - 1))
    return (observed - by_chance) / (1 - by_chance)


def _kept(values: Iterable[Any], allowed: set[Any] | None) -> list[Any]:
    return [v for v in values if is_given(v) and (allowed is None or v in allowed)]


def disagreement_of(
    values: Sequence[Any], metric: Metric = "nominal", scale: tuple[float, float] | None = None
) -> int | None:
    """Of one unit, 0 (all say the same) to 100; None with fewer than two ratings.

    Nominal: of 100 pairs of its raters, those that differ. Ordinal and interval: how far two of
    its raters are apart on average, in hundredths of `scale` (its lowest and highest value);
    without a scale, as nominal."""
    given = [value for value in values if is_given(value)]
    if len(given) < 2:
        return None
    pairs = len(given) * (len(given) - 1) // 2
    if metric == "nominal" or scale is None or scale[1] <= scale[0]:
        alike = sum(many * (many - 1) // 2 for many in Counter(given).values())
        return round(100 * (pairs - alike) / pairs)
    apart = sum(abs(x - y) for x, y in combinations(given, 2))
    return min(100, round(100 * apart / pairs / (scale[1] - scale[0])))
