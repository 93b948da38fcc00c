"""How sure a figure of agreement is: 95 % intervals by resampling units. Pure.

Units that look alike are one pattern with a count, so a resample of 100,000 units is one draw of
a few numbers. The draws are seeded: the same work gives the same interval. Source: Efron and
Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 14 (percentile and BCa)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 4
MOST, FEWEST = 1_000, 200  # resamples
WORK = 20_000_000  # patterns drawn in all: beyond it, fewer resamples
NORMAL = NormalDist()
BATCH = 100_000  # patterns at a time
Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """`value` is None where it cannot be said: nobody judged the same unit (then `units` is 0), or
    nobody made a difference (all ratings the same, all answers tied), so that agreement cannot be
    told from chance. `low`, `high`: its 95 % interval, None where there is too little to say.
    `units`, `raters`, `pairs` (of ratings of the same unit): those that went into it."""

    value: float | None
    low: float | None
    high: float | None
    units: int
    raters: int
    pairs: int


def is_given(value: Any) -> bool:
    return value is not None and bool(value == value)


def interval(
    counts: Whole, statistic: Callable[[Numbers], Numbers]
) -> tuple[float | None, float | None]:
    """The bounds within which the figure lies, from what `statistic` gives for resamples of units,
    of which `counts` holds how many there are of each pattern. It gets such counts in rows and
    answers with a value a row, NaN where it is undefined.

    Full agreement, 1, is the same in all resamples; its lower bound is that of a share of which
    no miss was seen (Clopper and Pearson, 1934). None with fewer than two units, or where more
    than half of the resamples leave the statistic undefined."""
    units = int(counts.sum())
    if units < 2:
        return None, None
    value = statistic(counts[None, :].astype(float))[0]
    if value == 1:
        return 0.025 ** (1 / units), 1.0
    times = max(FEWEST, min(MOST, WORK // len(counts)))
    draws = np.concatenate([statistic(rows) for rows in _resamples(counts, units, times)])
    draws = draws[~np.isnan(draws)]
    if 2 * len(draws) < times:
        return None, None
    low, high = np.quantile(draws, _levels(counts, statistic, draws, value))
    # A few units may bend the correction so far that it passes the figure itself.
    return min(float(low), float(value)), max(float(high), float(value))


def _levels(
    counts: Whole, statistic: Callable[[Numbers], Numbers], draws: Numbers, value: float
) -> list[float]:
    """Which quantiles of the draws bound the interval: 2.5 and 97.5 %, moved by the draws' bias and
    by how the spread changes with the figure (`skew`, from leaving out a unit at a time). With
    many patterns there are units enough to do without."""
    levels = [0.025, 0.975]
    if len(counts) > MOST or np.ptp(draws) == 0:
        return levels
    below = np.mean(draws < value) + np.mean(draws == value) / 2
    bias = NORMAL.inv_cdf(float(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    without = statistic(counts - np.eye(len(counts)))
    there = counts * ~np.isnan(without)
    away = np.nan_to_num(there @ np.nan_to_num(without) / max(1, there.sum()) - without)
    squares = float(there @ away**2)
    skew = float(there @ away**3) / (6 * squares**1.5) if squares else 0.0
    ends = [bias + NORMAL.inv_cdf(level) for level in levels]
    if any(skew * end >= 0.9 for end in ends):  # far too skewed for the formula
        return levels
    return [NORMAL.cdf(bias + end / (1 - skew * end)) for end in ends]


def _resamples(counts: Whole, units: int, times: int) -> Iterator[Numbers]:
    random = np.random.default_rng(SEED)
    patterns = len(counts)
    at_once = max(1, BATCH // patterns)
    sizes = [min(at_once, times - begun) for begun in range(0, times, at_once)]
    if 20 * patterns < units:
        for size in sizes:
            yield random.multinomial(units, counts / units, size=size).astype(float)
        return
    owner = np.repeat(np.arange(patterns), counts)  # cheaper when most units are one of a kind
    for size in sizes:
        drawn = [owner[random.integers(units, size=units)] for _ in range(size)]
        yield np.array([np.bincount(each, minlength=patterns) for each in drawn], float)
