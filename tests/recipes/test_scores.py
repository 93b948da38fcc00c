"""Intervals, calibration, baselines and scores of classes, against numbers worked out by hand."""

import math
import random
from itertools import pairwise

import numpy
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from exports import formats
from tests.recipes.conftest import user
from training.recipes import baselines, bootstrap
from training.recipes.class_scores import class_scores
from training.recipes.pair_scores import calibration, pair_scores, separation, win_rate
from training.recipes.text_metrics import rouge_l, text_metrics


def pair(question: str, better: str, worse: str):
    return formats.preference(user(question), better, worse)


def test_wilson_interval_by_hand() -> None:
    # 8 of 10, z = 1.96: (0.8 + 0.19208 +- 1.96 sqrt(0.016 + 0.009604)) / 1.38416
    low, high = bootstrap.wilson(8, 10)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 10 + 3.8416 / 400)
    assert low == pytest.approx((0.8 + 0.19208 - half) / 1.38416)
    assert high == pytest.approx((0.8 + 0.19208 + half) / 1.38416)
    assert bootstrap.wilson(0, 5)[0] == 0.0
    assert bootstrap.wilson(5, 5)[1] == pytest.approx(1.0)


def test_the_bootstrap_covers_as_theory_says() -> None:
    """For many rows the interval is the mean +- 1.96 standard errors."""
    values = numpy.random.default_rng(1).integers(0, 2, 2000).astype(float)
    low, high = bootstrap.interval(list(values), range(2000), draws=4000)
    error = values.std() / math.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.002)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.002)


def test_rows_of_one_prompt_are_one_witness() -> None:
    """Ten copies of each row tell nothing new: the interval is that of the rows themselves."""
    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    once = bootstrap.interval(values, range(10), seed=3)
    copies = [value for value in values for _ in range(10)]
    names = [n for n in range(10) for _ in range(10)]
    assert bootstrap.interval(copies, names, seed=3) == once
    alone = bootstrap.interval(copies, range(100), seed=3)
    assert alone[1] - alone[0] < (once[1] - once[0]) / 2


def test_the_bootstrap_repeats_with_its_seed() -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.0, 1.0, 0.3]
    assert bootstrap.interval(values, range(7), seed=1) == bootstrap.interval(
        values, range(7), seed=1
    )
    assert bootstrap.interval(values, range(7), seed=1) != bootstrap.interval(
        values, range(7), seed=2
    )


def test_all_right_is_not_certain() -> None:
    """Four pairs of two prompts, all won: as two of two."""
    mean, low, high = bootstrap.share([1.0] * 4, ["a", "a", "b", "b"])
    assert (mean, high) == (1.0, 1.0) and low == pytest.approx(bootstrap.wilson(2, 2)[0])


def test_accuracy_beside_its_baselines() -> None:
    rows = [
        pair("a", "yes, it is", "no"),
        pair("b", "no", "yes, it is"),
        pair("c", "same", "same"),
        pair("d", "a long one", "a"),
    ]
    found = pair_scores(rows, [2, 2, 1, 1], [1, 1, 1, 2])
    assert found["accuracy"] == 2.5 / 4 and (found["pairs"], found["prompts"]) == (4, 4)
    assert found["longer_wins"]["share"] == 2.5 / 4
    assert found["shorter_wins"]["share"] == 1.5 / 4
    assert "word_model" not in found
    # Pair by pair against longer: 1-1, 1-0, 0.5-0.5, 0-1.
    assert found["longer_wins"]["ahead"]["mean"] == 0.0
    assert found["longer_wins"]["ahead"]["low"] < 0 < found["longer_wins"]["ahead"]["high"]
    assert found["shorter_wins"]["ahead"]["mean"] == 0.25
    assert pair_scores([], [], []) == {"pairs": 0}


def test_a_lead_is_taken_pair_by_pair() -> None:
    """A model that is right wherever length is, and on one pair more, leads by that pair: the
    interval of the lead is far narrower than those of the two shares would have it."""
    rows = [pair(str(i), "long one" if i % 2 else "x", "y" if i % 2 else "long") for i in range(40)]
    margins = [1 if i % 2 or i < 2 else -1 for i in range(40)]
    found = pair_scores(rows, margins, [0] * 40)
    ahead = found["longer_wins"]["ahead"]
    assert ahead["mean"] == pytest.approx(1 / 40)
    assert ahead["low"] == 0.0 and ahead["high"] <= 0.1
    assert found["high"] - found["low"] > 0.25


def test_calibration_by_hand() -> None:
    """ln 3: sure to 0.75, right in one of two. ln 19: sure to 0.95, right. 0: a draw."""
    three, nineteen = math.log(3), math.log(19)
    found = calibration([three, -three, nineteen, 0.0])
    assert found["log_loss"] == pytest.approx(
        -(math.log(0.75) + math.log(0.25) + math.log(0.95) + math.log(0.5)) / 4
    )
    assert [(b["low"], b["pairs"], b["right"]) for b in found["bins"]] == [
        (0.5, 1, 0.5),
        (0.7, 2, 0.5),
        (0.9, 1, 1.0),
    ]
    assert [b["sure"] for b in found["bins"]] == pytest.approx([0.5, 0.75, 0.95])
    assert found["ece"] == pytest.approx((0 + 2 * 0.25 + 0.05) / 4)
    assert calibration([0.0] * 3)["log_loss"] == pytest.approx(math.log(2))
    assert calibration([-5000.0])["log_loss"] == 5000  # no overflow


def test_win_rate_counts_draws_half() -> None:
    found = win_rate([1, 2, 3, 4], [2, 1, 3, 0], list("abcd"))
    assert found["share"] == 2.5 / 4 and found["low"] < 0.625 < found["high"]


def test_separation_by_hand() -> None:
    # 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4.
    assert separation([3.0, 2.0], [1.0, 2.0]) == 3.5 / 4
    assert separation([1.0], []) is None


def planted(count: int, word: str = "thanks"):
    """Pairs of like length whose better answer holds a word that the worse one does not."""
    random = numpy.random.default_rng(0)
    common = [f"w{n}" for n in range(30)]
    rows = []
    for i in range(count):
        better, worse = (list(random.choice(common, 6)) for _ in range(2))
        better[0], worse[0] = word, "please"
        rows.append(pair(f"{i}?", " ".join(better), " ".join(worse)))
    return rows


def test_the_word_model_is_scikit_learns() -> None:
    rows = planted(60)
    rows[3:9] = [pair("?", r["rejected"][0]["content"], r["chosen"][0]["content"])
                 for r in rows[3:9]]  # fmt: skip
    model = baselines.fit_words(rows)
    assert model is not None
    texts = [row[side][0]["content"] for side in ("chosen", "rejected") for row in rows]
    vectors = TfidfVectorizer(token_pattern=r"\w+").fit(texts)
    apart = (vectors.transform(texts[:60]) - vectors.transform(texts[60:])).toarray()
    # sum of losses + |w|^2/2 is C = 1; each pair both ways round, halved, so that there are two
    # classes and no intercept.
    both, sides = numpy.concatenate([apart, -apart]), [1] * 60 + [0] * 60
    theirs = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-8).fit(both, sides)
    assert model.margins(rows) == pytest.approx(list(apart @ theirs.coef_[0]), abs=2e-3)


def test_the_word_model_finds_a_word_and_nothing_in_noise() -> None:
    rows = planted(300)
    model = baselines.fit_words(rows[:200])
    assert model is not None and all(margin > 0 for margin in model.margins(rows[200:]))
    random = numpy.random.default_rng(0)
    turned = [
        pair("?", row["rejected"][0]["content"], row["chosen"][0]["content"])
        if random.random() < 0.5
        else row
        for row in rows
    ]
    noise = baselines.fit_words(turned[:200])
    assert noise is not None
    right = sum(margin > 0 for margin in noise.margins(turned[200:]))
    assert 30 <= right <= 70
    assert baselines.fit_words([]) is None


def test_the_loss_of_the_word_model_has_come_to_rest() -> None:
    rows = planted(80)
    model = baselines.fit_words(rows)
    features = model.differences(rows)
    slope = -1 / (1 + numpy.exp(features @ model.weights))
    gradient = features.T @ slope / 80 + model.weights / 80
    assert float(numpy.abs(gradient).max()) < 1e-4


def test_scores_of_classes_by_hand() -> None:
    """Three classes; the last never occurs and is never said."""
    wanted, found = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    scores = class_scores(wanted, found, ["no", "yes", "other"])
    assert scores["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert scores["accuracy"] == 3 / 5 and scores["most_common"] == 3 / 5
    no, yes, other = scores["classes"]
    assert (no["precision"], no["recall"], no["rows"]) == (2 / 3, 2 / 3, 3)
    assert (no["f1"], yes["f1"], other["f1"]) == pytest.approx((2 / 3, 1 / 2, 0))
    assert scores["macro_f1"] == pytest.approx(f1_score(wanted, found, average="macro"))
    assert (scores["low"], scores["high"]) == bootstrap.wilson(3, 5)
    assert class_scores([], [], ["a"]) == {"rows": 0}


def test_metrics_of_texts_by_hand() -> None:
    """the cat sat on the/a mat: words 5 of 6, bigrams 3 of 5, three 2 of 4, four 1 of 3."""
    found = text_metrics(["the cat sat on the mat"], ["the cat sat on a mat"])
    assert found["bleu"] == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert found["rouge_l"] == pytest.approx(5 / 6)  # the, cat, sat, on, mat of six and six
    assert found["exact_match"] == 0.0


def test_a_short_answer_pays_for_brevity() -> None:
    """All four-grams are right; five words for ten cost e^(1 - 10/5)."""
    found = text_metrics(["a b c d e"], ["a b c d e f g h i j"])
    assert found["bleu"] == pytest.approx(math.exp(-1))
    assert found["rouge_l"] == pytest.approx(2 * 1.0 * 0.5 / 1.5)


def test_chrf_by_hand() -> None:
    """abcd for abce: orders 1 to 6, beta 2, white space left out; 3/4, 2/3, 1/2, 0 of four."""
    found = text_metrics(["abcd"], ["abce"])
    assert found["chrf"] == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)


def test_white_space_is_no_difference_and_scripts_are_words() -> None:
    assert text_metrics(["yes \n it"], ["yes it "])["exact_match"] == 1.0
    assert text_metrics(["да нет"], ["да нет"])["rouge_l"] == 1.0
    assert text_metrics([], []) == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_rouge_l_is_that_of_rouge_score() -> None:
    """Which brings nltk with it, 58 MiB that no run should hold."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer, draw = RougeScorer(["rougeL"]), random.Random(0)
    texts = [" ".join(draw.choices("abcdefg", k=draw.randrange(12))) for _ in range(200)]
    for answer, reference in pairwise(texts):
        theirs = scorer.score(reference, answer)["rougeL"].fmeasure
        assert rouge_l(answer, reference) == pytest.approx(theirs)


def test_bins_are_in_order() -> None:
    bins = calibration(list(numpy.linspace(-6, 6, 200)))["bins"]
    assert all(a["high"] == pytest.approx(b["low"]) for a, b in pairwise(bins))
    assert sum(b["pairs"] for b in bins) == 200
