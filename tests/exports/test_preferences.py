"""Rankings to pairs, on every ordering of up to four answers."""

from collections import Counter
from itertools import combinations, permutations, product

import pytest

from exports.preferences import (
    DISAGREE,
    MODES,
    TIE,
    Vote,
    best,
    comparisons,
    judged_bad,
    ties,
    unify,
)


def orders(answers: tuple[int, ...]) -> list[list[list[int]]]:
    """Every ordering with ties: each way to give places, without gaps."""
    found = []
    for places in product(range(len(answers)), repeat=len(answers)):
        if set(places) == set(range(max(places) + 1)):
            found.append(
                [
                    [a for a, place in zip(answers, places, strict=True) if place == here]
                    for here in range(max(places) + 1)
                ]
            )
    return found


EVERY = [order for n in (1, 2, 3, 4) for order in orders(tuple(range(1, n + 1)))]


def test_every_ordering_is_there() -> None:
    assert len(EVERY) == 1 + 3 + 13 + 75  # the ordered Bell numbers


@pytest.mark.parametrize("order", EVERY, ids=str)
def test_all_pairs_follow_the_ranking_and_ties_give_none(order) -> None:
    place = {a: i for i, group in enumerate(order) for a in group}
    got = {(a, b): gap for a, b, gap in comparisons(order, "all")}
    assert got == {
        (a, b): place[b] - place[a] for a, b in permutations(place, 2) if place[a] < place[b]
    }
    tied = {frozenset(pair) for pair in ties(order, "all")}
    assert tied == {frozenset(p) for p in combinations(place, 2) if place[p[0]] == place[p[1]]}
    assert len(got) + len(tied) == len(place) * (len(place) - 1) // 2


@pytest.mark.parametrize("order", EVERY, ids=str)
def test_adjacent_and_best_take_their_part_of_all(order) -> None:
    every = set(comparisons(order, "all"))
    assert set(comparisons(order, "adjacent")) == {row for row in every if row[2] == 1}
    first = set(order[0])
    assert set(comparisons(order, "best")) == {row for row in every if row[0] in first}
    assert {frozenset(p) for p in ties(order, "best")} == {
        frozenset(p) for p in combinations(first, 2)
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", EVERY, ids=str)
def test_one_ranking_unified_is_itself(order, mode: str) -> None:
    pairs = unify([Vote(order)], mode)
    kept = {(p.chosen, p.rejected) for p in pairs if not p.reason}
    assert kept == {(a, b) for a, b, _ in comparisons(order, mode)}
    tied = {frozenset((p.chosen, p.rejected)) for p in pairs if p.reason == TIE}
    assert tied == {frozenset(pair) for pair in ties(order, mode)}
    assert len(pairs) == len(kept) + len(tied), "each pair has one fate"


@pytest.mark.parametrize("mode", MODES)
def test_every_two_rankings_of_three_answers(mode: str) -> None:
    for one, two in product(orders((1, 2, 3)), repeat=2):
        votes = Counter()
        for order in (one, two):
            votes.update((a, b) for a, b, _ in comparisons(order, mode))
        pairs = unify([Vote(one), Vote(two)], mode)
        assert pairs == unify([Vote(two), Vote(one)], mode), "the order of votes does not count"
        for pair in pairs:
            ahead = votes[pair.chosen, pair.rejected] - votes[pair.rejected, pair.chosen]
            if not pair.reason:
                assert ahead > 0
            elif pair.reason == DISAGREE:
                assert ahead == 0 and votes[pair.chosen, pair.rejected] > 0
            else:
                assert pair.reason == TIE and votes[pair.chosen, pair.rejected] == 0
        compared = {frozenset(p) for p in votes}
        assert compared <= {frozenset((p.chosen, p.rejected)) for p in pairs}


def test_the_majority_of_three_decides() -> None:
    for votes in product([[[1], [2]], [[2], [1]], [[1, 2]]], repeat=3):
        (pair,) = unify([Vote(order, by=i) for i, order in enumerate(votes)])
        ones = sum(order == [[1], [2]] for order in votes)
        twos = sum(order == [[2], [1]] for order in votes)
        assert pair.by == [0, 1, 2]
        if ones == twos:
            assert pair.reason == (DISAGREE if ones else TIE)
        else:
            assert not pair.reason and (pair.chosen == 1) == (ones > twos)


def test_strength_and_places_are_means_with_contrary_votes_negative() -> None:
    votes = [Vote([[1], [2]], 3), Vote([[1], [2]], -2), Vote([[2], [1]], 1), Vote([[1, 2]], None)]
    (pair,) = unify(votes)
    assert (pair.chosen, pair.rejected) == (1, 2)
    assert pair.strength == pytest.approx((3 + 2 - 1) / 3)
    assert pair.places == pytest.approx(1 / 3)
    (silent,) = unify([Vote([[1], [2]])])
    assert silent.strength is None
    far = next(p for p in unify([Vote([[1], [2], [3]])]) if (p.chosen, p.rejected) == (1, 3))
    assert far.places == 2


def test_a_mode_that_is_none() -> None:
    with pytest.raises(ValueError, match="all, adjacent, best"):
        unify([Vote([[1], [2]])], "some")


def test_best() -> None:
    assert best([]) == set()
    assert best([Vote([[3], [1, 2]])]) == {3}
    assert best([Vote([[1, 2], [3]])]) == {1, 2}
    assert best([Vote([[1], [2]]), Vote([[2], [1]])]) == {1, 2}
    assert best([Vote([[1], [2], [3]]), Vote([[1], [3], [2]]), Vote([[2], [1], [3]])]) == {1}


def test_judged_bad() -> None:
    assert judged_bad([]) == set()
    assert judged_bad([Vote([[1], [2]])]) == set()
    assert judged_bad([Vote([[1], [2]], all_bad=True)]) == {1, 2}
    divided = [Vote([[1], [2]], all_bad=True), Vote([[1], [2], [3]])]
    assert judged_bad(divided) == {1, 2}  # half of them is enough
    assert judged_bad([*divided, Vote([[1], [3]])]) == {2}
