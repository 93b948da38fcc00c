"""One value of many: ratings and labels, on every small crowd and on drawn ones."""

from itertools import permutations, product
from random import Random

import pytest

from annotation.dawid_skene import dawid_skene
from exports.choices import LABELS_BY, RATINGS_BY
from exports.preferences import DISAGREE
from exports.unification import NO_WEIGHT, NOBODY, UNKNOWN, Fitted, labels, ratings


def test_every_way_that_a_selection_offers() -> None:
    values = {"ana": 1, "bea": 5, "cleo": 5}
    found = {how: ratings(values, how, {"ana": 0.9, "bea": 0.3}) for how in RATINGS_BY}
    # cleo is not named and weighs 1.
    assert found == {
        "mean": pytest.approx(11 / 3),
        "majority": 5,
        "weighted": 5,
        "max": 5,
        "min": 1,
        "best_annotator": 5,
    }
    weights = {"ana": 0.9, "bea": 0.3, "cleo": 0.3}
    assert ratings(values, "weighted", weights) == 1
    assert ratings(values, "best_annotator", weights) == 1
    with pytest.raises(ValueError, match="median"):
        ratings(values, "median")


def test_no_value_and_ties() -> None:
    for how in RATINGS_BY:
        assert ratings({}, how) is None
        assert ratings({"ana": None}, how) is None
        assert ratings({"ana": 3}, how) == 3
    for how in ("majority", "weighted", "best_annotator"):
        assert ratings({"ana": 1, "bea": 2}, how) is None
    assert ratings({"ana": 1, "bea": 2}, "mean") == 1.5


def test_labels_have_no_mean() -> None:
    values = {"ana": "bug", "bea": "bug", "cleo": "wish"}
    for how in ("mean", "max", "min", "majority"):
        assert ratings(values, how) == "bug"


def test_labels_of_every_small_crowd() -> None:
    for said in product(["a", "b", "c", None], repeat=4):
        values = dict(zip("wxyz", said, strict=True))
        votes = [one for one in said if one]
        top = {one for one in votes if votes.count(one) == max(map(votes.count, votes))}
        wanted = (None, NOBODY) if not top else (*top, "") if len(top) == 1 else (None, DISAGREE)
        assert labels(values, "majority") == wanted
        for how in ("weighted", "best_annotator"):
            for weights in (None, dict.fromkeys("wxyz", 0.7)):
                assert labels(values, how, weights) == wanted


def test_weights_decide_and_the_order_of_annotators_does_not() -> None:
    values = {"w": "a", "x": "b", "y": "b", "z": "a"}
    weights = {"w": 0.1, "x": 0.2, "y": 0.7, "z": 0.8}
    assert labels(values, "weighted", weights) == (None, DISAGREE)
    for turned in permutations(values.items()):
        assert labels(dict(turned), "weighted", weights | {"z": 0.81}) == ("a", "")
        assert labels(dict(turned), "best_annotator", weights) == ("a", "")
    assert labels(values, "weighted", dict.fromkeys("wxyz", 0)) == (None, NO_WEIGHT)
    assert labels(values, "best_annotator", weights | {"y": 0.8}) == (None, DISAGREE)


def test_several_labels_are_one_label() -> None:
    values = {"ana": ["rude", "long"], "bea": ["long", "rude"], "cleo": ["long"]}
    assert labels(values, "majority") == (("long", "rude"), "")


def test_an_unknown_way() -> None:
    with pytest.raises(ValueError, match="'oracle' is no way"):
        labels({"ana": "a"}, "oracle")
    with pytest.raises(ValueError, match="needs what was fitted"):
        labels({"ana": "a"}, "dawid_skene")
    assert set(LABELS_BY) == {"majority", "weighted", "dawid_skene", "best_annotator"}


def crowd(seed: int, units: int = 80) -> list[dict[str, str]]:
    """Labels of four annotators, from one who is nearly always right to one who guesses."""
    random = Random(seed)
    found = []
    for _ in range(units):
        truth = random.choice("abc")
        found.append(
            {
                who: truth if random.random() < right else random.choice("abc")
                for who, right in (("ana", 0.95), ("bea", 0.8), ("cleo", 0.6), ("dan", 0.1))
                if random.random() < 0.8
            }
        )
    return found


def fitted(units: list[dict[str, str]]) -> Fitted:
    found = dawid_skene(units)
    return Fitted(found["labels"], found["prior"], found["confusion"])


@pytest.mark.parametrize("seed", range(6))
def test_a_unit_of_the_fit_gets_what_the_fit_gave_it(seed: int) -> None:
    units = crowd(seed)
    whole, model = dawid_skene(units), fitted(units)
    for unit, value, chances in zip(units, whole["values"], whole["probabilities"], strict=True):
        if unit:
            assert model.posterior(unit) == pytest.approx(chances, abs=1e-6)
        said = labels(unit, "dawid_skene", fitted=model)
        wanted = (value, "") if value is not None else (None, DISAGREE if unit else NOBODY)
        assert said == wanted


def test_units_with_a_count_are_fitted_as_if_each_stood_there() -> None:
    units = crowd(1, 20)
    many = [1 + place % 3 for place in range(20)]
    every = [unit for unit, n in zip(units, many, strict=True) for _ in range(n)]
    counted, plain = dawid_skene(units, many=many), dawid_skene(every)
    assert counted["prior"] == pytest.approx(plain["prior"])
    for who, rows in plain["confusion"].items():
        for mine, theirs in zip(counted["confusion"][who], rows, strict=True):
            assert mine == pytest.approx(theirs)
    assert counted["log_likelihood"] == pytest.approx(plain["log_likelihood"])


def test_what_the_fit_never_met() -> None:
    model = fitted(crowd(2))
    assert labels({"otto": "a"}, "dawid_skene", fitted=model) == (None, UNKNOWN)
    assert labels({"ana": "z"}, "dawid_skene", fitted=model) == (None, UNKNOWN)
    known = model.posterior({"ana": "a"})
    assert model.posterior({"ana": "a", "otto": "b", "bea": "z"}) == known
    certain = Fitted(["a", "b"], {"a": 0.5, "b": 0.5}, {"x": [[1, 0], [0, 1]], "y": [[1, 0]] * 2})
    assert certain.posterior({"x": "b", "y": "b"}) == {}, "impossible by the fit"
    assert labels({"x": "b", "y": "b"}, "dawid_skene", fitted=certain) == (None, UNKNOWN)
