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
    """The middle 95 % of what `statistic` gives for resamples of units, of which `counts` holds how
    many there are of each pattern. It gets such counts in rows and answers with a value a row,
    NaN where it is undefined. None with fewer than two units, or where more than half of the
    resamples leave the statistic undefined."""
    units = int(counts.sum())
    if units < 2:
        return None, None
    times = max(FEWEST, min(MOST, WORK // len(counts)))
    draws = np.concatenate([statistic(rows) for rows in _resamples(counts, units, times)])
    draws = draws[~np.isnan(draws)]
    if 2 * len(draws) < times:
        return None, None
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


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
