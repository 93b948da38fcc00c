"""How sure a counted share is, and whether a position draws people. Pure."""

from dataclasses import dataclass
from itertools import accumulate
from math import exp, log, sqrt
from typing import Literal

Z = 1.959963984540054  # a normal value lies within so many deviations in 95 of 100 cases
CLEAR = 0.05  # a share so far from chance matters in practice, and not only to statistics


def wilson(hits: int, trials: int) -> tuple[float, float] | None:
    """The 95 % interval of a share; None without trials. Source: Wilson (1927)."""
    if not trials:
        return None
    share, square = hits / trials, Z**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = Z * sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def binomial_p(hits: int, trials: int, chance: float = 0.5) -> float:
    """How often chance alone gives a count as unlikely as this one, or unlikelier (exact,
    two-sided). `chance` lies between 0 and 1; 1.0 without trials."""
    logs = [0.0, *accumulate(log(number) for number in range(1, trials + 1))]
    yes, no = log(chance), log(1 - chance)
    each = [
        logs[trials] - logs[k] - logs[trials - k] + k * yes + (trials - k) * no
        for k in range(trials + 1)
    ]
    limit = each[hits] + 1e-7  # as unlikely, but for the last digits
    return min(1.0, sum(exp(value) for value in each if value <= limit))


@dataclass(frozen=True)
class PositionBias:
    """`share` of decided comparisons in which the answer shown first was put first, its interval,
    how likely that is by chance, and `leans`: "first" or "later" where it is beyond chance by so
    much that it matters, "slightly" where it is beyond chance only, "" where it is not."""

    first: int
    decided: int
    chance: float
    share: float | None
    low: float | None
    high: float | None
    p: float
    leans: Literal["", "slightly", "first", "later"]


def position_bias(first: int, decided: int, chance: float = 0.5) -> PositionBias:
    """Does somebody favour the answer that is shown first (on the left)? `first` of `decided`
    times (ties left out) it won; with k answers in random places `chance` is 1 / k."""
    bounds = wilson(first, decided)
    if bounds is None:
        return PositionBias(0, 0, chance, None, None, None, 1.0, "")
    low, high = bounds
    p = binomial_p(first, decided, chance)
    leans: Literal["", "slightly", "first", "later"] = ""
    if p < 0.05:
        leans = "slightly"
        if low > chance + CLEAR / 2 or high < chance - CLEAR / 2:
            leans = "first" if low > chance else "later"
    return PositionBias(first, decided, chance, first / decided, low, high, p, leans)
