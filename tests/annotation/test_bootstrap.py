"""The interval against SciPy's, where it is not defined, and how often it holds the truth."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from annotation.agreement import krippendorff_alpha
from annotation.bootstrap import interval


def bounds(values: np.ndarray) -> tuple[float | None, float | None]:
    kinds, counts = np.unique(values, return_counts=True)
    return interval(counts, lambda weights: weights @ kinds / weights.sum(1))


@pytest.mark.parametrize(("size", "many"), [(30, 5), (400, 4), (40, 40), (3_000, 3_000)])
def test_it_is_scipys_but_for_the_draws(size: int, many: int) -> None:
    """Skewed data, so that the correction shows; to a few hundredths of the interval's width."""
    dice = np.random.default_rng(size)
    values = dice.exponential(size=many)[dice.integers(many, size=size)]
    method = "BCa" if many < 1000 else "percentile"
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method=method, rng=dice
    ).confidence_interval
    low, high = bounds(values)
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.06 * width)
    assert high == pytest.approx(theirs.high, abs=0.06 * width)


def test_it_is_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(size=200)
    assert bounds(values) == bounds(values)


def test_where_there_is_no_interval() -> None:
    assert bounds(np.array([])) == (None, None)
    assert bounds(np.array([3.0])) == (None, None)
    counts = np.array([1, 9])
    assert interval(counts, lambda weights: np.full(len(weights), np.nan)) == (None, None)


def test_full_agreement_is_not_certain() -> None:
    assert bounds(np.ones(20)) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert bounds(np.zeros(20)) == (0.0, 0.0)


@given(st.lists(st.integers(-2, 2), min_size=2, max_size=30))
@settings(max_examples=80, deadline=None)
def test_the_bounds_lie_among_the_values(values: list[int]) -> None:
    figures = np.array(values) / 4
    low, high = bounds(figures)
    assert low is not None and high is not None
    assert figures.min() <= low <= figures.mean() + 1e-12
    assert figures.mean() - 1e-12 <= high <= figures.max()


def test_the_interval_of_alpha_mostly_holds_the_truth() -> None:
    """Three raters who know the answer in 60 of 100 cases and guess among five otherwise: the
    truth is 0.36, that both of two raters know."""

    def judged(dice: random.Random) -> list[dict[int, int]]:
        units = []
        for _ in range(60):
            true = dice.randrange(5)
            said = [true if dice.random() < 0.6 else dice.randrange(5) for _ in range(3)]
            units.append(dict(enumerate(said)))
        return units

    held = 0
    for seed in range(100):
        found = krippendorff_alpha(judged(random.Random(seed)), "nominal")
        held += found.low <= 0.36 <= found.high
    assert 88 <= held <= 100
