"""Wilson's interval against statsmodels, the binomial test against SciPy."""

import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from annotation.shares import binomial_p, wilson


@pytest.mark.parametrize(
    ("hits", "trials"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 20), (612, 1000), (3, 123_456)]
)
def test_wilson_is_statsmodels(hits: int, trials: int) -> None:
    theirs = proportion_confint(hits, trials, method="wilson")
    assert wilson(hits, trials) == pytest.approx(theirs, rel=0, abs=1e-12)
    strict = proportion_confint(hits, trials, alpha=0.01, method="wilson")
    assert wilson(hits, trials, 2.5758293035489004) == pytest.approx(strict, rel=0, abs=1e-12)


def test_no_trials_no_interval() -> None:
    assert wilson(0, 0) is None


@pytest.mark.parametrize("chance", [0.5, 0.25, 1 / 3, 0.9])
@pytest.mark.parametrize("trials", [1, 2, 9, 40, 1001])
def test_binomial_test_is_scipys(trials: int, chance: float) -> None:
    for hits in {0, 1, trials // 4, trials // 2, trials - 1, trials}:
        theirs = binomtest(hits, trials, chance).pvalue
        assert binomial_p(hits, trials, chance) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_without_trials_nothing_is_unlikely() -> None:
    assert binomial_p(0, 0) == 1.0
