"""What is said of a model that tells the better answer from the worse one. Pure; numpy.

Beside it stand baselines that need no model, judged on the same pairs with the same draws, so that
a reward model that has learnt no more than length is seen to.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from training.recipes import bootstrap

BINS = 5  # of the confidence, from a half to one


def pair_scores(
    rows: Sequence[Mapping[str, Any]],
    better: Sequence[float],
    worse: Sequence[float],
    *,
    word_margins: Sequence[float] | None = None,
    draws: int = bootstrap.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy of the scores of chosen and rejected answers (a draw counts half) with its interval,
    clustered by prompt; calibration; and the baselines, each with how far the model is ahead.

    `rows`: of a preference snapshot. `word_margins`: of `baselines.WordModel`, where there is one.
    """
    if not rows:
        return {"pairs": 0}
    clusters = [prompt_key(row) for row in rows]
    margins = [a - b for a, b in zip(better, worse, strict=True)]
    wins = _wins(margins)
    mean, low, high = bootstrap.share(wins, clusters, draws=draws, seed=seed)
    longer = [_length(row["chosen"]) - _length(row["rejected"]) for row in rows]
    rivals: dict[str, Sequence[float]] = {
        "longer_wins": longer,
        "shorter_wins": [-difference for difference in longer],
    }
    if word_margins is not None:
        rivals["word_model"] = word_margins
    return {
        "accuracy": mean,
        "low": low,
        "high": high,
        "pairs": len(rows),
        "prompts": len(set(clusters)),
        **calibration(margins),
        **{
            name: _beside(wins, _wins(rival), clusters, draws, seed)
            for name, rival in rivals.items()
        },
    }


def _beside(
    wins: Sequence[float], theirs: Sequence[float], clusters: Sequence[str], draws: int, seed: int
) -> dict[str, Any]:
    """A baseline's own share, and the model's lead over it pair by pair, both with intervals."""
    share, low, high = bootstrap.share(theirs, clusters, draws=draws, seed=seed)
    leads = [a - b for a, b in zip(wins, theirs, strict=True)]
    one, two = bootstrap.interval(leads, clusters, draws=draws, seed=seed)
    ahead = {"mean": sum(leads) / len(leads), "low": one, "high": two}
    return {"share": share, "low": low, "high": high, "ahead": ahead}


def _wins(margins: Sequence[float]) -> list[float]:
    return [1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in margins]


def _length(messages: Sequence[Mapping[str, Any]]) -> int:
    """Characters."""
    return sum(len(message["content"] or "") for message in messages)


def prompt_key(row: Mapping[str, Any]) -> str:
    """What pairs of one prompt have in common."""
    return json.dumps(row["prompt"], sort_keys=True, ensure_ascii=False)


def calibration(margins: Sequence[float]) -> dict[str, Any]:
    """Is the model as sure as it is right? By Bradley and Terry it gives the better answer the
    probability sigmoid(margin).

    log_loss: mean −ln of that (ln 2 = 0.693 knows nothing). bins: by the probability of whichever
    answer it prefers, {"low", "high", "pairs", "sure", "right"}, empty ones left out. ece: how far
    `sure` and `right` lie apart, weighted by pairs (expected calibration error)."""
    values = numpy.asarray(margins, dtype=float)
    sure = 1 / (1 + numpy.exp(-numpy.minimum(numpy.abs(values), 500)))
    right = numpy.where(values > 0, 1.0, numpy.where(values == 0, 0.5, 0.0))
    place = numpy.minimum(((sure - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins, ece = [], 0.0
    for number in range(BINS):
        held = place == number
        if count := int(held.sum()):
            one, two = float(sure[held].mean()), float(right[held].mean())
            low = 0.5 + number / (2 * BINS)
            bins.append({"low": low, "high": low + 1 / (2 * BINS), "pairs": count,
                         "sure": one, "right": two})  # fmt: skip
            ece += count / len(values) * abs(one - two)
    # ln(1 + e^-m), without overflow.
    losses = numpy.logaddexp(0.0, -values)
    return {"log_loss": float(losses.mean()), "ece": ece, "bins": bins}


def win_rate(
    ours: Sequence[float],
    theirs: Sequence[float],
    clusters: Sequence[str],
    *,
    draws: int = bootstrap.DRAWS,
    seed: int = 0,
) -> dict[str, float]:
    """How often our answer to a prompt is judged better than theirs (a draw counts half)."""
    wins = _wins([a - b for a, b in zip(ours, theirs, strict=True)])
    share, low, high = bootstrap.share(wins, clusters, draws=draws, seed=seed)
    return {"share": share, "low": low, "high": high}


def separation(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """How often a good answer scores higher than a bad one (the area under the ROC curve); None
    where there are none of one side. By ranks: Mann and Whitney."""
    if not good or not bad:
        return None
    ordered = numpy.sort(numpy.asarray(bad, dtype=float))
    below = numpy.searchsorted(ordered, good, "left")
    within = numpy.searchsorted(ordered, good, "right") - below
    found = float((below + within / 2).mean() / len(bad))
    return found if math.isfinite(found) else None
