"""Borda, Bradley-Terry and Plackett-Luce against SciPy, choix and statsmodels."""

import random

import choix
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from statsmodels.duration.hazard_regression import PHReg

from annotation.aggregation import borda, bradley_terry, plackett_luce

Order = list[list[int]]


def some_orders(seed: int, answers: int, many: int, ties: float) -> list[Order]:
    """Noisy orders of the numbers, the lowest mostly best."""
    dice = random.Random(seed)
    made = []
    for _ in range(many):
        groups: Order = []
        for answer in sorted(range(answers), key=lambda n: n + dice.gauss(0, 1.5)):
            if groups and dice.random() < ties:
                groups[-1].append(answer)
            else:
                groups.append([answer])
        made.append(groups)
    return made


def wins(orders: list[Order], answers: int) -> np.ndarray:
    table = np.zeros((answers, answers))
    for order in orders:
        place = {x: n for n, group in enumerate(order) for x in group}
        for x in place:
            for y in place:
                if x != y:
                    table[x, y] += 1 if place[x] < place[y] else 0.5 * (place[x] == place[y])
    return table


def listed(strength: dict[int, float]) -> list[float]:
    return [strength[answer] for answer in sorted(strength)]


def near(values: object) -> object:
    return pytest.approx(values, rel=0, abs=1e-9)


# Borda


@pytest.mark.parametrize("seed", range(5))
def test_borda_is_the_sum_of_middle_ranks(seed: int) -> None:
    orders = some_orders(seed, 5, 9, ties=0.3)
    points = np.zeros(5)
    for order in orders:
        place = {x: -n for n, group in enumerate(order) for x in group}
        points += rankdata([place[x] for x in range(5)]) - 1
    assert listed(borda(orders)["points"]) == near(points.tolist())


def test_borda_is_fair_to_answers_that_fewer_saw() -> None:
    found = borda([[[1], [2], [3]], [[2], [1], [3]], [[4], [1]]])
    assert found["share"][4] == 1.0
    assert found["order"] == [[4], [2], [1], [3]]
    assert found["points"] == {1: 3, 2: 3, 3: 0, 4: 1}


def test_ties_and_edges_of_borda() -> None:
    assert borda([[[1], [2]], [[2], [1]]])["order"] == [[1, 2]]
    assert borda([[[1, 2, 3]]])["points"] == {1: 1, 2: 1, 3: 1}
    assert borda([]) == {"order": [], "points": {}, "share": {}}
    assert borda([[[1]]]) == {"order": [], "points": {1: 0.0}, "share": {1: None}}


# Bradley-Terry


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("prior", [0, 0.1, 2])
def test_bradley_terry_is_choixs(seed: int, prior: float) -> None:
    orders = some_orders(seed, 5, 40, ties=0.2)
    table = wins(orders, 5) + prior * (1 - np.eye(5))
    theirs = choix.ilsr_pairwise_dense(table, max_iter=10_000, tol=1e-13)
    found = bradley_terry(orders, prior)
    assert found["settled"]
    assert listed(found["strength"]) == near((theirs - theirs.mean()).tolist())


def test_two_answers_have_the_log_odds() -> None:
    strength = bradley_terry([[[1], [2]]] * 3 + [[[2], [1]]], prior=0)["strength"]
    assert strength[1] - strength[2] == near(np.log(3))


@pytest.mark.parametrize("model", [bradley_terry, plackett_luce])
def test_one_that_never_lost_has_a_strength_only_with_a_prior(model) -> None:
    orders = [[[1], [2], [3]], [[1], [3], [2]]]
    without = model(orders, prior=0)
    assert without == {"order": [], "strength": {1: None, 2: None, 3: None}, "settled": False}
    assert model(orders)["order"] == [[1], [2, 3]]


@pytest.mark.parametrize("model", [bradley_terry, plackett_luce])
def test_edges(model) -> None:
    assert model([]) == {"order": [], "strength": {}, "settled": True}
    assert model([[[5]]]) == {"order": [[5]], "strength": {5: 0.0}, "settled": True}
    tied = model([[[1, 2, 3]]])
    assert tied["order"] == [[1, 2, 3]]
    assert listed(tied["strength"]) == near([0, 0, 0])
    apart = model([[[1], [2]], [[3], [4]]])  # nobody compared one pair with the other
    assert apart["order"] == [[1, 3], [2, 4]]
    assert model([[[1], [2]], [[2], [1]], [[3], [4]], [[4], [3]]], prior=0)["settled"] is False


@pytest.mark.parametrize("model", [bradley_terry, plackett_luce])
def test_extreme_strengths_are_found(model) -> None:
    orders = [[[1], [2], [3]]] * 100_000 + [[[3], [2], [1]]]
    found = model(orders, prior=1e-3)
    assert found["settled"] and found["order"] == [[1], [2], [3]]


def test_too_many_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="201 answers"):
        plackett_luce([[[answer] for answer in range(201)]])


# Plackett-Luce


@pytest.mark.parametrize("seed", range(6))
def test_plackett_luce_is_choixs_where_nothing_is_tied(seed: int) -> None:
    orders = some_orders(seed, 5, 40, ties=0)
    flat = [[answer for (answer,) in order] for order in orders]
    theirs = choix.ilsr_rankings(5, flat, max_iter=10_000, tol=1e-13)
    found = plackett_luce(orders, prior=0)
    assert found["settled"]
    assert listed(found["strength"]) == near((theirs - theirs.mean()).tolist())


@pytest.mark.parametrize("seed", range(6))
def test_with_ties_it_is_coxs_regression_in_breslows_form(seed: int) -> None:
    """An order is a stratum; an answer's place is its time, and all come to an end."""
    orders = some_orders(seed, 4, 30, ties=0.3)
    rows = [
        (number, place, answer)
        for number, order in enumerate(orders)
        for place, group in enumerate(order)
        for answer in group
    ]
    table = pd.DataFrame(rows, columns=["order", "place", "answer"])
    is_it = np.stack([(table["answer"] == n).to_numpy(float) for n in (1, 2, 3)], 1)
    fit = PHReg(
        table["place"].to_numpy(float) + 1,
        is_it,
        status=np.ones(len(table)),
        strata=table["order"].to_numpy(),
        ties="breslow",
    ).fit(tol=1e-14, maxiter=200, disp=0)
    theirs = np.array([0, *fit.params])
    found = listed(plackett_luce(orders, prior=0)["strength"])
    assert found == pytest.approx((theirs - theirs.mean()).tolist(), rel=0, abs=1e-7)


def test_of_two_answers_both_models_say_the_same() -> None:
    orders = [[[1], [2]]] * 5 + [[[2], [1]]] * 2
    assert listed(plackett_luce(orders)["strength"]) == near(
        listed(bradley_terry(orders)["strength"])
    )


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_laws(seed: int, answers: int, many: int) -> None:
    orders = some_orders(seed, answers, many, ties=0.3)
    dice = random.Random(seed)
    new = dict(enumerate(dice.sample(range(100, 200), answers)))
    renamed = [[[new[x] for x in dice.sample(g, len(g))] for g in order] for order in orders]
    dice.shuffle(renamed)
    for model, key in ((borda, "points"), (bradley_terry, "strength"), (plackett_luce, "strength")):
        found, again = model(orders), model(renamed)
        assert sorted(x for group in found["order"] for x in group) == list(range(answers))
        assert [sorted(new[x] for x in g) for g in found["order"]] == [
            sorted(g) for g in again["order"]
        ]
        for answer, value in found[key].items():
            assert again[key][new[answer]] == pytest.approx(value, abs=1e-7)
        scores = [[found[key][x] for x in group] for group in found["order"]]
        for higher, lower in zip(scores, scores[1:], strict=False):
            assert min(higher) > max(lower)
    # Everybody's same order is what comes out, whatever the model.
    for model in (borda, bradley_terry, plackett_luce):
        plain = [[[x] for x in range(answers)]] * many
        assert model(plain)["order"] == plain[0]
