"""Each verdict has a sentence that says what was seen and what to do."""

import re
from itertools import pairwise, product

import pytest

from annotation.agreement import Agreement, krippendorff_alpha
from annotation.meaning import said

METRICS = ["nominal", "ordinal", "interval", "cohen", "fleiss", "tau", "top", "same_top", "same"]
WORST_FIRST = ["none", "weak", "fair", "good"]


def found(value: float | None, half: float = 0.05, units: int = 400) -> Agreement:
    if value is None:
        return Agreement(None, None, None, units, 2, 0)
    return Agreement(value, max(-1.0, value - half), min(1.0, value + half), units, 3, units)


def test_nobody_did_the_same_item() -> None:
    verdict, sentence = said("nominal", Agreement(None, None, None, 0, 0, 0))
    assert verdict == "unknown"
    assert "overlap" in sentence


def test_everybody_always_said_the_same() -> None:
    agreement = krippendorff_alpha([{"ana": 1, "rui": 1}] * 40, "nominal")
    verdict, sentence = said("nominal", agreement)
    assert verdict == "unknown"
    assert "all 40 items" in sentence and "click" in sentence


def test_too_few_items_or_too_wide_an_interval() -> None:
    verdict, sentence = said("nominal", found(0.9, units=1))
    assert verdict == "early" and "1 item has" in sentence and "50 items" in sentence
    verdict, sentence = said("nominal", found(0.4, half=0.3, units=60))
    assert verdict == "early"
    assert "0.40" in sentence and "0.10 to 0.70" in sentence and "180 items" in sentence


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        ("nominal", 0.80, "good"),
        ("ordinal", 0.79, "fair"),
        ("interval", 0.66, "weak"),
        ("fleiss", 0.19, "none"),
        ("cohen", 0.7, "fair"),
        ("tau", 0.7, "good"),
        ("tau", 0.46, "weak"),
        ("top", 0.8, "fair"),
        ("same_top", 0.5, "weak"),
        ("same", 0.9, "good"),
    ],
)
def test_verdicts(metric: str, value: float, verdict: str) -> None:
    assert said(metric, found(value))[0] == verdict


def test_what_may_be_chance_is_not_called_weak() -> None:
    verdict, sentence = said("nominal", found(0.22, half=0.24))
    assert verdict == "none" and "drawing lots" in sentence


def test_a_verdict_that_may_not_hold_says_so() -> None:
    assert "may still turn out lower" in said("nominal", found(0.82))[1]
    assert "may still turn out lower" not in said("nominal", found(0.86))[1]
    assert "may still turn out lower" in said("top", found(0.76))[1]


def test_a_scale_read_the_wrong_way_round() -> None:
    verdict, sentence = said("ordinal", found(-0.4))
    assert verdict == "none" and "reversed" in sentence and "−0.40" in sentence


def test_the_figure_is_put_in_words() -> None:
    assert (
        "guessing would set people at odds 100 times, they are 30 times."
        in said("nominal", found(0.7))[1]
    )
    assert "a far miss counts more" in said("ordinal", found(0.7))[1]
    assert "same order about 80 of 100 times (78 to 82)" in said("tau", found(0.6))[1]
    assert "same answer first 72 of 100 times (67 to 77)" in said("top", found(0.72))[1]
    assert "(between 0.91 and 1.00): people never differed" in said("nominal", found(1.0, 0.09))[1]
    assert "they are once." in said("nominal", found(0.99, half=0.002))[1]
    assert "less than once" in said("nominal", found(0.996, half=0.002))[1]


@pytest.mark.parametrize("metric", METRICS)
def test_more_agreement_is_never_a_worse_verdict(metric: str) -> None:
    verdicts = [said(metric, found(step / 100))[0] for step in range(-30, 101)]
    assert {*verdicts} == {*WORST_FIRST}
    for lower, higher in pairwise(WORST_FIRST.index(verdict) for verdict in verdicts):
        assert lower <= higher


def test_sentences_are_whole_and_have_an_advice() -> None:
    values = [None, -0.5, -0.01, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0]
    for metric, value, units, half in product(METRICS, values, [0, 1, 30, 10_000], [0, 0.1, 0.4]):
        verdict, sentence = said(metric, found(value, half, units))
        assert sentence[0].isupper() and sentence.endswith(".")
        assert len(sentence) <= 480
        assert not re.search(r"None|nan|  |\.\.|-0|[({]\s", sentence), sentence
        assert sentence.count(". ") >= 1, sentence  # what it means, then what to do
        assert verdict in ("unknown", "early", *WORST_FIRST)
