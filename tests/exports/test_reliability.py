"""What a word weighs: from agreement and known answers, by hand."""

from itertools import permutations
from random import Random

import pytest

from exports.reliability import FEW, FEW_KNOWN, Record, Tally, by_pair, nearness, ways


def test_a_weight_by_hand() -> None:
    tally = Tally()
    for _ in range(30):
        tally.compare({"ana": "x", "bea": "x", "cleo": "y"})
    for _ in range(10):
        tally.compare({"ana": "x", "bea": "y", "dan": "x"})
    tally.judge({"bea": "x", "cleo": "y"}, "x")
    measured = tally.measured()
    # Where two of three agree, each of these stands against a tie of the others: nothing is said
    # of them, while the third stands against two.
    assert measured.records["cleo"] == Record(0, 30, 0, 1)
    assert measured.records["bea"] == Record(0, 10, 1, 1)
    assert measured.records["ana"] == Record(0, 0, 0, 0)
    assert measured.mean == 0


def test_the_majority_of_the_others_decides() -> None:
    tally = Tally()
    tally.compare({"ana": 1, "bea": 1, "cleo": 1, "dan": 0})
    assert [tally.met(who).agreed for who in ("ana", "bea", "cleo", "dan")] == [1, 1, 1, 0]
    assert all(tally.met(who).compared == 1 for who in ("ana", "bea", "cleo", "dan"))
    tally.compare({"ana": 1, "bea": 0})
    assert (tally.met("ana").agreed, tally.met("ana").compared) == (1, 2)
    tally.compare({"eve": 1})
    assert tally.met("eve") == Record()
    assert tally.measured().weights()["eve"] == tally.measured().mean


def test_shares_are_drawn_towards_the_mean_and_known_answers_stand_first() -> None:
    mean = 0.8
    assert Record().weight(mean) == pytest.approx(mean)
    assert Record(5, 5).weight(mean) == pytest.approx((5 + FEW * mean) / (5 + FEW))
    assert Record(1000, 1000).weight(mean) > 0.99
    peers = (90 + FEW * mean) / (100 + FEW)
    expected = (2 + FEW_KNOWN * peers) / (10 + FEW_KNOWN)
    assert Record(90, 100, 2, 10).weight(mean) == pytest.approx(expected)
    assert Record(90, 100, 2, 10).weight(mean) < 0.5 < Record(90, 100).weight(mean)


def test_without_comparisons_known_answers_give_the_mean() -> None:
    tally = Tally()
    assert tally.measured().mean == 1
    tally.judge({"ana": "a", "bea": "b"}, "a")
    measured = tally.measured()
    assert measured.mean == 0.5
    assert measured.weights() == {
        "ana": pytest.approx((1 + FEW_KNOWN * 0.5) / (1 + FEW_KNOWN)),
        "bea": pytest.approx((0 + FEW_KNOWN * 0.5) / (1 + FEW_KNOWN)),
    }


def test_ratings_by_nearness_and_several_labels_by_overlap() -> None:
    tally = Tally()
    tally.compare({"ana": 5, "bea": 4, "cleo": 1}, "rating", 4)
    assert tally.met("ana").agreed == pytest.approx(1 - 2.5 / 4)
    assert tally.met("cleo").agreed == pytest.approx(1 - 3.5 / 4)
    tally = Tally()
    tally.compare({"ana": ("a", "b"), "bea": ("a",), "cleo": ("a", "c")}, "labels")
    # Of bea and cleo both tick a, one of them c: half is no majority.
    assert tally.met("ana").agreed == pytest.approx(1 / 2)
    assert tally.met("bea").agreed == 1
    assert nearness((), (), "labels", 1) == 1
    assert nearness(1, 5, "rating", 4) == 0


def test_the_good_annotator_weighs_more_whoever_is_read_first() -> None:
    random, units = Random(3), []
    for _ in range(200):
        truth = random.choice("abc")
        chances = (("ana", 0.95), ("bea", 0.8), ("cleo", 0.4), ("dan", 0.8))
        units.append(
            {w: truth if random.random() < right else random.choice("abc") for w, right in chances}
        )
    found = []
    for order in list(permutations(range(4)))[:6]:
        tally = Tally()
        for unit in units:
            said = list(unit.items())
            tally.compare(dict(said[place] for place in order))
        found.append(tally.measured().weights())
    assert found[0]["ana"] > found[0]["bea"] > found[0]["cleo"]
    assert all(weights == found[0] for weights in found)


def test_orders_are_compared_pair_by_pair() -> None:
    assert dict(ways([[3], [1, 2]])) == {(1, 2): 0, (1, 3): -1, (2, 3): -1}
    assert by_pair({"ana": [[1], [2]], "bea": [[2], [1]], "cleo": [[2], [3]]}) == {
        (1, 2): {"ana": 1, "bea": -1},
        (2, 3): {"cleo": 1},
    }


def test_a_weight_is_explained() -> None:
    tally = Tally()
    for _ in range(3):
        tally.compare({"ana": 1, "bea": 1, "cleo": 1})
    tally.judge({"ana": 1}, 1)
    tally.met("dan")
    measured = tally.measured()
    assert measured.explain("ana") == (
        "1.00: right in 1 of 1 known answers, as the majority of the others in 3 of 3 comparisons; "
        "drawn towards 1.00, the mean of all."
    )
    assert "nobody else judged the same" in measured.explain("dan")
    assert "weighs 1" in measured.explain("otto")
