"""Rankings to pairs, on every ordering of up to four answers."""

from collections import Counter
from itertools import combinations, permutations, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.rank_aggregation import MOST_ANSWERS
from annotation.text import normalise
from exports.choices import VOTES
from exports.preferences import (
    DISAGREE,
    MODES,
    NO_WEIGHT,
    NOT_IN_TABLE,
    TIE,
    TOO_MANY,
    UNKNOWN_STRENGTH,
    WAYS,
    Vote,
    best,
    comparisons,
    judged_bad,
    margin,
    ties,
    unify,
)
from exports.rows import _say_the_same


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


def crowd(seed: int) -> tuple[list[Vote], dict[int, float]]:
    """Up to six rankings, each of some of five answers, with weights of which some are equal."""
    random = Random(seed)
    votes = []
    for by in range(random.randint(1, 6)):
        seen = random.sample(range(1, 6), random.randint(2, 5))
        order: list[list[int]] = []
        for answer in seen:
            if order and random.random() < 0.3:
                order[-1].append(answer)
            else:
                order.append([answer])
        votes.append(Vote(order, random.choice([None, 1, 2, 4]), by))
    return votes, {vote.by: random.choice([0.1, 0.3, 0.7, 1.0]) for vote in votes}


CROWDS = [crowd(seed) for seed in range(150)]


def fates(pairs) -> list[tuple[object, ...]]:
    """What became of each two answers, dropped ones without a side."""
    return sorted(
        (sorted((p.chosen, p.rejected)), p.reason or p.chosen, p.by, p.strength or 0, p.places)
        for p in pairs
    )


def test_the_ways_are_those_that_a_selection_offers() -> None:
    assert set(WAYS) == set(VOTES)
    with pytest.raises(ValueError, match="majority, weighted, borda"):
        unify([Vote([[1], [2]])], how="oracle")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_the_order_of_votes_never_matters(how: str, mode: str) -> None:
    for votes, weights in CROWDS:
        shuffled = Random(1).sample(votes, len(votes))
        said = unify(votes, mode, how=how, weights=weights)
        assert said == unify(shuffled, mode, how=how, weights=weights)
        one_fate = {frozenset((p.chosen, p.rejected)) for p in said}
        assert len(one_fate) == len(said)
        assert best(votes, how=how, weights=weights) == best(shuffled, how=how, weights=weights)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_answers_under_other_numbers_have_the_same_fate(how: str, mode: str) -> None:
    named = {1: 40, 2: 10, 3: 50, 4: 20, 5: 30}
    for votes, weights in CROWDS:
        others = [
            Vote([[named[a] for a in group] for group in v.order], v.strength, v.by) for v in votes
        ]
        before = unify(votes, mode, how=how, weights=weights)
        for pair in before:
            pair.chosen, pair.rejected = named[pair.chosen], named[pair.rejected]
        assert fates(unify(others, mode, how=how, weights=weights)) == fates(before)
        top = {named[answer] for answer in best(votes, how=how, weights=weights)}
        assert best(others, how=how, weights=weights) == top


@pytest.mark.parametrize("mode", MODES)
def test_equal_weights_are_the_majority(mode: str) -> None:
    for votes, _ in CROWDS:
        same = dict.fromkeys(range(6), 0.3)
        for how in ("weighted", "best_annotator"):
            for weights in (None, same):
                said = unify(votes, mode, how=how, weights=weights)
                for pair, plain in zip(said, unify(votes, mode), strict=True):
                    assert (pair.chosen, pair.rejected) == (plain.chosen, plain.rejected)
                    assert (pair.reason, pair.by) == (plain.reason, plain.by)
                    assert pair.strength == pytest.approx(plain.strength)
                    assert pair.places == pytest.approx(plain.places)


def test_a_reliable_vote_outweighs_two() -> None:
    votes = [Vote([[1], [2]], 3, 0), Vote([[2], [1]], 1, 1), Vote([[2], [1]], 1, 2)]
    (plain,) = unify(votes)
    assert (plain.chosen, plain.strength) == (2, pytest.approx((1 + 1 - 3) / 3))
    (weighted,) = unify(votes, how="weighted", weights={0: 0.9, 1: 0.3, 2: 0.3})
    assert (weighted.chosen, weighted.by) == (1, [0, 1, 2])
    assert weighted.strength == pytest.approx((0.9 * 3 - 0.3 - 0.3) / 1.5)
    (even,) = unify(votes, how="weighted", weights={0: 0.6, 1: 0.3, 2: 0.3})
    assert even.reason == DISAGREE
    (nobody,) = unify(votes, how="weighted", weights=dict.fromkeys(range(3), 0.0))
    assert nobody.reason == NO_WEIGHT


def test_the_best_annotator_alone_is_heard() -> None:
    votes = [Vote([[1], [2]], by=0), Vote([[2], [1]], by=1), Vote([[1, 2]], by=2)]
    (pair,) = unify(votes, how="best_annotator", weights={0: 0.5, 1: 0.6, 2: 0.1})
    assert (pair.chosen, pair.by) == (2, [1])
    (pair,) = unify(votes, how="best_annotator", weights={0: 0.5, 1: 0.6, 2: 0.7})
    assert (pair.reason, pair.by) == (TIE, [2])
    (pair,) = unify(votes, how="best_annotator", weights={0: 0.6, 1: 0.6, 2: 0.1})
    assert (pair.reason, pair.by) == (DISAGREE, [0, 1])
    two = unify([*votes, Vote([[3], [1]], by=3)], how="best_annotator", weights={1: 2})
    assert [(p.chosen, p.rejected) for p in two] == [(2, 1), (3, 1)], "the one who compared them"


def test_one_order_over_all_answers_makes_pairs_that_nobody_compared() -> None:
    votes = [Vote([[1], [2]], by=0), Vote([[2], [3]], by=1), Vote([[8], [9]], by=2)]
    for how in ("borda", "bradley_terry"):
        found = {(p.chosen, p.rejected): p for p in unify(votes, how=how)}
        assert set(found) == {(1, 2), (2, 3), (1, 3), (8, 9)}, "what nothing connects gives none"
        assert found[1, 3].by == [0, 1] and found[1, 3].places == 2
        assert found[1, 2].by == [0]
        assert [(p.chosen, p.rejected) for p in unify(votes, "best", how=how)] == [
            (1, 2),
            (1, 3),
            (8, 9),
        ]
    assert {(p.chosen, p.rejected) for p in unify(votes)} == {(1, 2), (2, 3), (8, 9)}


def test_one_order_says_why_two_answers_give_no_pair() -> None:
    for how in ("borda", "bradley_terry"):
        (tied,) = unify([Vote([[1, 2]]), Vote([[1, 2]], by=1)], how=how)
        assert (tied.reason, tied.by) == (TIE, [0, 1])
        (divided,) = unify([Vote([[1], [2]], 2), Vote([[2], [1]], 1, by=1)], how=how)
        assert (divided.reason, divided.strength) == (DISAGREE, None)
        assert unify([Vote([[1]])], how=how) == []
    # A circle of majorities: each beats the next by two to one, and no order can say so.
    circle = [Vote([[1], [2], [3]]), Vote([[2], [3], [1]], by=1), Vote([[3], [1], [2]], by=2)]
    assert [p.reason for p in unify(circle)] == ["", "", ""]
    for how in ("borda", "bradley_terry"):
        assert [p.reason for p in unify(circle, how=how)] == [DISAGREE] * 3


def test_more_answers_than_an_order_by_strength_holds() -> None:
    many = [[answer] for answer in range(MOST_ANSWERS)]
    votes = [Vote(many), Vote([[MOST_ANSWERS], [0]], by=1)]
    found = unify(votes, "adjacent", how="bradley_terry")
    assert {p.reason for p in found} == {TOO_MANY}
    assert len(unify(votes, "adjacent", how="borda")) >= MOST_ANSWERS - 1


def test_the_margin_of_a_pair() -> None:
    table = {"1": 0.0, "2": 1 / 3, "3": 2 / 3, "4": 1.0}
    (pair,) = unify([Vote([[1], [2]], 4), Vote([[1], [2]], -3, 1), Vote([[2], [1]], 2, 2)])
    assert margin(pair, "none", table) == (None, "")
    assert margin(pair, "places", table) == (pytest.approx(1 / 3), "")
    assert margin(pair, "strength", table) == (pytest.approx((4 + 3 - 2) / 3), "")
    assert margin(pair, "table", table) == (pytest.approx((1 + 2 / 3 - 1 / 3) / 3), "")
    assert margin(pair, "table", {"4": 1.0}) == (None, NOT_IN_TABLE)
    (silent,) = unify([Vote([[1], [2]])])
    for kind in ("strength", "table"):
        assert margin(silent, kind, table) == (None, UNKNOWN_STRENGTH)
    votes = [Vote([[1], [2]], 4, 0), Vote([[1], [2]], 1, 1)]
    (pair,) = unify(votes, how="weighted", weights={0: 0.75, 1: 0.25})
    assert margin(pair, "table", table) == (pytest.approx(0.75), "")


SPACED = st.lists(st.sampled_from(["a", "b", "ab", " ", "\n", "\x1f", "\u00a0", "é", "e\u0301"]))


@given(SPACED, SPACED)
def test_two_answers_are_the_same_where_their_words_are(one: list[str], other: list[str]) -> None:
    """A look at the first words says no more than the whole texts do."""
    texts = "".join(one), "".join(other)
    assert _say_the_same(*texts) == (normalise(texts[0]) == normalise(texts[1]))
    assert _say_the_same(texts[0], f" {texts[0]} ")
