"""How sure a figure of agreement is: 95 % intervals by resampling units. Pure.

Units that look alike are one pattern with a count, so a resample of 100,000 units is one draw of
a few numbers. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13
(the percentile interval). The draws are seeded: the same work gives the same interval."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 4
MOST, FEWEST = 1_000, 200  # resamples
WORK = 20_000_000  # patterns drawn in all: beyond it, fewer resamples
Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """`value` is None where it cannot be said: nobody judged the same unit (`units` is 0), or all
    ratings are the same, so that chance cannot be told from agreement. `low`, `high`: its 95 %
    interval. `units`, `raters`, `pairs` (of ratings): those that went into it."""

    value: float | None
    low: float | None
    high: float | None
    units: int
    raters: int
    pairs: int


def is_given(value: Any) -> bool:
    return value is not None and bool(value == value)


def interval(
    counts: Whole, statistic: Callable[[Numbers], float]
) -> tuple[float | None, float | None]:
    """From `counts` (units of each pattern) and the statistic of such counts (NaN where it is
    undefined): the middle 95 % of the resamples. None with fewer than two units, or where the
    statistic is undefined in more than half of the resamples."""
    units = int(counts.sum())
    if units < 2:
        return None, None
    times = max(FEWEST, min(MOST, WORK // len(counts)))
    draws = np.fromiter(map(statistic, _resamples(counts, units, times)), float, times)
    draws = draws[~np.isnan(draws)]
    if 2 * len(draws) < times:
        return None, None
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _resamples(counts: Whole, units: int, times: int) -> Iterator[Numbers]:
    random = np.random.default_rng(SEED)
    patterns = len(counts)
    if 20 * patterns < units:
        yield from random.multinomial(units, counts / units, size=times).astype(float)
        return
    owner = np.repeat(np.arange(patterns), counts)  # cheaper when most units are one of a kind
    for _ in range(times):
        drawn = owner[random.integers(units, size=units)]
        yield np.bincount(drawn, minlength=patterns).astype(float)
