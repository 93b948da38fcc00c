"""Alpha and the kappas against the reference libraries, on the edges, and by their laws."""

import json
import random
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as reference_fleiss
from statsmodels.stats.proportion import proportion_confint

from annotation.agreement import (
    Agreement,
    cohen_kappa,
    disagreement_of,
    fleiss_kappa,
    krippendorff_alpha,
)

METRICS = ["nominal", "ordinal", "interval"]


def near(value: float) -> object:
    return pytest.approx(value, rel=0, abs=1e-9)


def crowd(seed: int, units: int, raters: int, values: list, missing: float = 0.3) -> list[dict]:
    """Raters who often say the unit's true value; some ratings are missing, some None."""
    dice = random.Random(seed)
    made = []
    for _ in range(units):
        true = dice.choice(values)
        made.append(
            {
                rater: None
                if dice.random() < 0.1
                else (true if dice.random() < 0.6 else dice.choice(values))
                for rater in range(raters)
                if dice.random() > missing
            }
        )
    return made


def reference_alpha(units: list[dict], metric: str) -> float:
    table = np.full((1 + max(r for u in units for r in u), len(units)), np.nan)
    for column, unit in enumerate(units):
        for rater, value in unit.items():
            table[rater, column] = np.nan if value is None else value
    return krippendorff.alpha(reliability_data=table, level_of_measurement=metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "values", [[0, 1], [1, 2, 3, 4, 5], [-3, 0, 10, 11], [0.5, 0.25, 7.75, 1e6], list(range(101))]
)
def test_alpha_is_the_reference_librarys(metric: str, seed: int, values: list) -> None:
    units = crowd(seed, 40, 2 + seed % 5, values, missing=0.1 * (seed % 4))
    found = krippendorff_alpha(units, metric)
    assert found.value == near(reference_alpha(units, metric))
    pairable = [u for u in units if sum(v is not None for v in u.values()) > 1]
    assert found.units == len(pairable)
    assert found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high


def test_alpha_of_krippendorffs_own_example() -> None:
    """Krippendorff (2011), section C: four observers, missing data. The figures are printed there
    with three digits."""
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [dict(enumerate(column)) for column in zip(*rows, strict=True)]
    for metric, printed in [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]:
        assert krippendorff_alpha(units, metric).value == pytest.approx(printed, abs=6e-4)


def test_labels_are_whatever_can_be_told_apart() -> None:
    units = crowd(3, 50, 3, [0, 1, 2])
    names = {0: "good", 1: ("tone", "facts"), 2: frozenset({"x"}), None: None}
    named = [{rater: names[value] for rater, value in unit.items()} for unit in units]
    assert krippendorff_alpha(named) == krippendorff_alpha(units, "nominal")


@pytest.mark.parametrize("metric", METRICS)
def test_where_alpha_cannot_be_said(metric: str) -> None:
    assert krippendorff_alpha([], metric) == Agreement(None, None, None, 0, 0, 0)
    alone = [{"ana": 1}, {"ana": 2, "rui": None}, {}, {"rui": float("nan"), "ana": 3}]
    assert krippendorff_alpha(alone, metric) == Agreement(None, None, None, 0, 0, 0)
    same = [{"ana": 3, "rui": 3}, {"ana": 3, "lee": 3, "rui": 3}]
    assert krippendorff_alpha(same, metric) == Agreement(None, None, None, 2, 3, 4)


def test_one_unit_has_a_value_and_no_interval() -> None:
    assert krippendorff_alpha([{"a": 1, "b": 2}], "nominal") == Agreement(0.0, None, None, 1, 2, 1)


def test_full_agreement_is_one() -> None:
    for metric in METRICS:
        found = krippendorff_alpha([{"a": n % 3, "b": n % 3} for n in range(30)], metric)
        assert (found.value, found.high) == (1.0, 1.0)
        # Thirty in thirty: the exact lower bound of such a share.
        theirs = proportion_confint(30, 30, method="beta")[0]
        assert found.low == near(theirs)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="nominal, ordinal, interval"):
        krippendorff_alpha([], "ratio")  # type: ignore[arg-type]


def test_many_raters_of_one_unit_and_rows_too_wide_for_one_number() -> None:
    units = [{rater: (rater * unit) % 37 for rater in range(40)} for unit in range(1, 9)]
    for metric in METRICS:
        assert krippendorff_alpha(units, metric).value == near(reference_alpha(units, metric))


ratings = st.lists(
    st.dictionaries(st.integers(0, 4), st.none() | st.integers(-3, 6), max_size=5), max_size=12
)


@given(ratings, st.sampled_from(METRICS), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_laws_of_alpha(units: list[dict], metric: str, dice: random.Random) -> None:
    found = krippendorff_alpha(units, metric)
    assert found.value is None or found.value <= 1
    assert found.low is None or found.low <= found.value <= found.high
    shuffled = [dict(dice.sample(list(unit.items()), len(unit))) for unit in units]
    dice.shuffle(shuffled)
    again = krippendorff_alpha(shuffled, metric)
    assert again.pairs == found.pairs
    assert again.value is found.value is None or again.value == near(found.value)
    # Neither a turned, nor a stretched and shifted scale says anything else.
    moved = [{r: None if v is None else 1000 - 3 * v for r, v in u.items()} for u in units]
    other = krippendorff_alpha(moved, metric).value
    assert other is found.value is None or other == near(found.value)


# Cohen


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(10))
def test_cohen_is_scikit_learns(weights: str | None, seed: int) -> None:
    dice = random.Random(seed)
    a = [dice.randint(1, 2 + seed % 4) for _ in range(60)]
    b = [x if dice.random() < 0.5 else dice.randint(1, 2 + seed % 4) for x in a]
    assert cohen_kappa(a, b, weights) == near(cohen_kappa_score(a, b, weights=weights))
    labels = [5, 1, 3, 2, 4, 9]
    ours = cohen_kappa(a, b, weights, labels)
    assert ours == near(cohen_kappa_score(a, b, weights=weights, labels=labels))
    some = cohen_kappa(a, b, weights, [2, 1])
    assert some == near(cohen_kappa_score(a, b, weights=weights, labels=[2, 1]))


def test_cohen_leaves_out_what_one_of_them_left_out() -> None:
    a, b = [1, 2, None, 1, 2, 2], [1, 2, 2, float("nan"), 1, 2]
    assert cohen_kappa(a, b) == near(cohen_kappa_score([1, 2, 2, 2], [1, 2, 1, 2]))


def test_where_cohen_cannot_be_said() -> None:
    assert cohen_kappa([], []) is None
    assert cohen_kappa([None], [1]) is None
    assert cohen_kappa(["x", "x"], ["x", "x"]) is None
    assert cohen_kappa([1], [2], labels=[7]) is None
    assert cohen_kappa([1, 1], [2, 2]) == 0.0
    with pytest.raises(ValueError, match="2 values and the other 1"):
        cohen_kappa([1, 2], [1])


# Fleiss


@pytest.mark.parametrize("seed", range(10))
def test_fleiss_is_statsmodels(seed: int) -> None:
    units = [
        {rater: value or 0 for rater, value in unit.items()}
        for unit in crowd(seed, 30, 2 + seed % 4, [0, 1, 2, 3], missing=0)
    ]
    table, _ = aggregate_raters(np.array([list(unit.values()) for unit in units]))
    assert fleiss_kappa(units) == near(reference_fleiss(table, method="fleiss"))


def test_where_fleiss_cannot_be_said() -> None:
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([{"a": 1}, {"a": 2}]) is None
    assert fleiss_kappa([{"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 1}]) is None
    assert fleiss_kappa([{"a": 1, "b": 1}, {"a": 1, "b": 1}]) is None
    units = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {}, {"a": None}]
    assert fleiss_kappa(units) == fleiss_kappa(units[:2]) == near(-1 / 3)
    # With only the first two values, the third unit is as if nobody had judged it.
    assert fleiss_kappa([*units, {"a": 3, "b": 3}], labels=[1, 2]) == near(-1 / 3)


def test_three_people_on_the_public_pairs(sample_data: Path) -> None:
    rows = json.loads((sample_data / "pairs" / "pandalm_testset.json").read_text("utf-8"))
    units = [{n: row[f"annotator{n}"] for n in (1, 2, 3)} for row in rows]
    table, _ = aggregate_raters(np.array([list(unit.values()) for unit in units]))
    assert fleiss_kappa(units) == near(reference_fleiss(table, method="fleiss"))
    for one, other in [(1, 2), (1, 3), (2, 3)]:
        a, b = [unit[one] for unit in units], [unit[other] for unit in units]
        for weights in (None, "linear", "quadratic"):
            assert cohen_kappa(a, b, weights) == near(cohen_kappa_score(a, b, weights=weights))
    for metric in METRICS:
        assert krippendorff_alpha(units, metric).value == near(reference_alpha(units, metric))


# One unit


def test_disagreement_of_a_unit() -> None:
    assert disagreement_of([]) is None
    assert disagreement_of([3, None]) is None
    assert disagreement_of(["a", "a", "a"]) == 0
    assert disagreement_of(["a", "b"]) == 100
    assert disagreement_of(["a", "a", "b"]) == 67
    assert disagreement_of([1, 5], "ordinal", (1, 5)) == 100
    assert disagreement_of([2, 3], "interval", (1, 5)) == 25
    assert disagreement_of([1, 3, 5], "ordinal", (1, 5)) == 67
    assert disagreement_of([1, 1, 2], "ordinal") == 67  # no scale: as nominal
    assert disagreement_of([0, 9], "interval", (0, 5)) == 100


@pytest.mark.parametrize("metric", METRICS)
def test_a_hundred_thousand_units_of_chance_agree_by_chance(metric: str) -> None:
    dice = np.random.default_rng(0)
    values = dice.integers(1, 6, size=(100_000, 2)).tolist()
    units = [{"ana": a, "rui": b} for a, b in values]
    found = krippendorff_alpha(units, metric)
    assert found.units == 100_000 and found.low < 0 < found.high  # chance, nothing else
