"""How sure a share or a mean is, with rows of one prompt kept together. Pure; numpy."""

import math
from collections.abc import Hashable, Sequence

import numpy

DRAWS = 1000


def wilson(wins: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson's score interval), within 0 and 1."""
    share, square = wins / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    half /= 1 + square / count
    return max(0.0, middle - half), min(1.0, middle + half)


def interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean by a percentile bootstrap that draws whole clusters (prompts).

    The draws depend on the seed and on how many clusters there are alone, so that two calls over
    the same rows are paired. `values` must not be empty."""
    place = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    index = numpy.array([place[cluster] for cluster in clusters])
    sums = numpy.bincount(index, numpy.asarray(values, dtype=float), len(place))
    counts = numpy.bincount(index, minlength=len(place))
    random = numpy.random.default_rng(seed)
    means = numpy.empty(draws)
    for draw in range(draws):
        chosen = random.integers(0, len(place), len(place))
        means[draw] = sums[chosen].sum() / counts[chosen].sum()
    low, high = numpy.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def share(
    wins: Sequence[float], clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float, float]:
    """A share of wins (1, 0, or 0.5 for a draw) and its interval. Where every draw gives the same
    (one cluster, or all won), the bootstrap sees no spread: then Wilson's interval, with each
    cluster counted once."""
    mean = sum(wins) / len(wins)
    low, high = interval(wins, clusters, draws=draws, seed=seed)
    if low == high:
        prompts = len(set(clusters))
        low, high = wilson(mean * prompts, prompts)
    return mean, low, high
