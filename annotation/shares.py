"""How sure a counted share is, and how likely chance alone gives such a count. Pure."""

from itertools import accumulate
from math import exp, log, sqrt

Z = 1.959963984540054  # a normal value lies within so many deviations in 95 of 100 cases


def wilson(hits: float, trials: int, z: float = Z) -> tuple[float, float] | None:
    """The interval of a share, 95 % with the usual `z`; None without trials. `hits` may be a sum
    of parts. Source: Wilson (1927)."""
    if not trials:
        return None
    share, square = hits / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z * sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def binomial_p(hits: int, trials: int, chance: float = 0.5) -> float:
    """How often chance alone gives this count or one that is as unlikely: the exact two-sided
    binomial test. `chance` lies between 0 and 1, both left out."""
    logs = [0.0, *accumulate(log(number) for number in range(1, trials + 1))]
    yes, no = log(chance), log(1 - chance)
    each = [
        logs[trials] - logs[k] - logs[trials - k] + k * yes + (trials - k) * no
        for k in range(trials + 1)
    ]
    limit = each[hits] + 1e-7  # as unlikely, but for the last digits
    return min(1.0, sum(exp(value) for value in each if value <= limit))
