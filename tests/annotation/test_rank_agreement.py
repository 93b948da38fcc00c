"""Kendall's tau-b against SciPy, the means over raters, and one unit's disagreement."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from annotation.agreement import (
    Agreement,
    disagreement_of_orders,
    kendall_tau_b,
    mean_tau,
    same_top,
)

Order = list[list[int]]


def near(value: float) -> object:
    return pytest.approx(value, rel=0, abs=1e-9)


def some_order(dice: random.Random, answers: list[int]) -> Order:
    """A random order in which about a third of the neighbours are tied."""
    groups: Order = []
    for answer in dice.sample(answers, len(answers)):
        if groups and dice.random() < 0.35:
            groups[-1].append(answer)
        else:
            groups.append([answer])
    return groups


def reference_tau(a: Order, b: Order) -> float | None:
    one, other = (
        {answer: place for place, group in enumerate(order) for answer in group} for order in (a, b)
    )
    common = [answer for answer in one if answer in other]
    if len(common) < 2:
        return None
    tau = kendalltau([one[x] for x in common], [other[x] for x in common], variant="b").statistic
    return None if tau != tau else float(tau)


def test_tau_is_scipys() -> None:
    dice = random.Random(1)
    for _ in range(400):
        a = some_order(dice, list(range(dice.randint(1, 7))))
        b = some_order(dice, list(range(dice.randint(0, 2), dice.randint(3, 8))))
        ours, theirs = kendall_tau_b(a, b), reference_tau(a, b)
        assert ours is theirs is None or ours == near(theirs)


def test_tau_by_hand() -> None:
    assert kendall_tau_b([[7], [3, 9]], [[7], [3], [9]]) == near(2 / 6**0.5)
    assert kendall_tau_b([["x"], ["y"]], [["y"], ["x"]]) == -1.0
    assert kendall_tau_b([[1, 2]], [[1], [2]]) is None  # one of them makes no difference
    assert kendall_tau_b([[1], [2]], [[1], [3]]) is None  # one answer in common
    assert kendall_tau_b([], []) is None


orders = st.integers(0, 10**6).map(lambda seed: some_order(random.Random(seed), [1, 2, 3, 4]))


@given(orders, orders)
@settings(max_examples=100, deadline=None)
def test_laws_of_tau(a: Order, b: Order) -> None:
    tau = kendall_tau_b(a, b)
    assert tau == kendall_tau_b(b, a)
    assert kendall_tau_b(a, a) in (None, 1.0)
    if tau is not None:
        assert -1 <= tau <= 1
        assert kendall_tau_b(a, b[::-1]) == near(-tau)


def crowd(seed: int, units: int) -> list[dict[str, Order | None]]:
    """Units with other numbers of answers and raters; some saw fewer answers, some none."""
    dice = random.Random(seed)
    made = []
    for _ in range(units):
        answers = list(range(dice.randint(2, 5)))
        unit: dict[str, Order | None] = {}
        for rater in dice.sample("abcde", dice.randint(0, 5)):
            seen = answers if dice.random() < 0.8 else answers[1:]
            unit[rater] = None if dice.random() < 0.1 else some_order(dice, seen)
        made.append(unit)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_means_are_over_the_pairs_of_raters(seed: int) -> None:
    units = crowd(seed, 60)
    taus, tops = [], []
    for unit in units:
        for a, b in combinations([order for order in unit.values() if order], 2):
            if (tau := reference_tau(a, b)) is not None:
                taus.append(tau)
            common = {x for g in a for x in g} & {x for g in b for x in g}
            if len(common) > 1:
                first = [next(s for g in order if (s := set(g) & common)) for order in (a, b)]
                tops.append(first[0] == first[1])
    tau, top = mean_tau(units), same_top(units)
    assert (tau.value, tau.pairs) == (near(sum(taus) / len(taus)), len(taus))
    assert (top.value, top.pairs) == (near(sum(tops) / len(tops)), len(tops))
    for found in (tau, top):
        assert found.raters == 5
        assert found.low is not None and found.low < found.value < found.high


@pytest.mark.parametrize("measure", [mean_tau, same_top])
def test_where_orders_cannot_be_compared(measure) -> None:
    nobody = Agreement(None, None, None, 0, 0, 0)
    assert measure([]) == nobody
    assert measure([{"ana": [[1], [2]]}, {"ana": [[1], [2]], "rui": None}, {}]) == nobody
    assert measure([{"ana": [[1], [2]], "rui": [[3], [4]]}]) == nobody
    one = measure([{"ana": [[1], [2]], "rui": [[1], [2]]}])
    assert one == Agreement(1.0, None, None, 1, 2, 1)


def test_those_who_tie_everything_have_no_tau_but_a_top() -> None:
    units = [{"ana": [[1, 2]], "rui": [[1, 2]]}, {"ana": [[1, 2]], "rui": [[1, 2]]}]
    assert mean_tau(units) == Agreement(None, None, None, 2, 2, 0)
    assert same_top(units) == Agreement(1.0, near(0.025**0.5), 1.0, 2, 2, 2)


def test_disagreement_of_a_unit() -> None:
    assert disagreement_of_orders([]) is None
    assert disagreement_of_orders([[[1], [2]], None]) is None
    assert disagreement_of_orders([[[1], [2]], [[3], [4]]]) is None
    assert disagreement_of_orders([[[1], [2], [3]]] * 3) == 0
    assert disagreement_of_orders([[[1], [2], [3]], [[3], [2], [1]]]) == 100
    assert disagreement_of_orders([[[1], [2]], [[1, 2]]]) == 50
    assert disagreement_of_orders([[[1], [2], [3]], [[2], [1], [3]]]) == 33
    assert disagreement_of_orders([[[1], [2]], [[1], [2]], [[2], [1]]]) == 67


@given(orders, orders)
@settings(max_examples=100, deadline=None)
def test_disagreement_is_taus_other_side(a: Order, b: Order) -> None:
    """Without ties, it is (1 - tau) / 2 in hundredths."""
    apart = disagreement_of_orders([a, b])
    assert apart == disagreement_of_orders([b, a])
    assert (apart == 0) == ([set(group) for group in a] == [set(group) for group in b])
    if len(a) == len(b) == 4:
        assert apart == round(50 * (1 - kendall_tau_b(a, b)))


def test_a_hundred_thousand_pairs_of_drawn_orders_agree_by_chance() -> None:
    dice = random.Random(2)
    shuffled = [dice.sample([11, 12, 13, 14], 4) for _ in range(200_000)]
    given = [[[a], [b, c], [d]] if a > d else [[a], [b], [c], [d]] for a, b, c, d in shuffled]
    units = [
        dict(zip("ab", pair, strict=True)) for pair in zip(given[::2], given[1::2], strict=True)
    ]
    for measure, by_chance in ((mean_tau, 0), (same_top, 0.25)):
        found = measure(units)
        assert found.units == 100_000 and found.low < by_chance < found.high
