"""The cross-validation behind benchmarks/reward_trials.py, on features that are made up."""

import numpy
import pytest

pytest.importorskip("torch")

from benchmarks.reward_trials import FOLDS, fit_head, folds_of, held_out_margins  # noqa: E402

CLUSTERS = [f"prompt {i // 3}" for i in range(240)]  # three pairs a prompt


def differences(signal: float) -> numpy.ndarray:
    """240 pairs of 40 features, of which the first leans to the better answer by `signal`."""
    found = numpy.random.default_rng(5).normal(size=(240, 40))
    found[:, 0] += signal
    return found


def test_pairs_of_a_prompt_share_a_fold_and_folds_are_of_like_size():
    folds = folds_of(CLUSTERS, 0)
    by_prompt = {}
    for cluster, fold in zip(CLUSTERS, folds, strict=True):
        by_prompt.setdefault(cluster, set()).add(int(fold))
    assert {len(found) for found in by_prompt.values()} == {1}
    assert numpy.bincount(folds, minlength=FOLDS).tolist() == [48] * FOLDS
    assert folds.tolist() != folds_of(CLUSTERS, 1).tolist()


def test_the_head_stands_where_its_loss_is_flat():
    rows, ridge = differences(0.5), 0.1
    weights = fit_head(rows, ridge)

    def loss(w: numpy.ndarray) -> float:
        return float(numpy.logaddexp(0, -(rows @ w)).mean() + ridge * (w @ w) / 2)

    for place in range(0, 40, 7):
        nudge = numpy.zeros(40)
        nudge[place] = 1e-3
        assert loss(weights) < min(loss(weights + nudge), loss(weights - nudge))


def test_with_more_features_than_pairs_the_head_is_the_same():
    """Found in what the pairs span; here against Newton's steps over all features."""
    rows, ridge = numpy.random.default_rng(8).normal(size=(30, 50)), 0.1
    weights = fit_head(rows, ridge)
    wrong = 1 / (1 + numpy.exp(rows @ weights))
    assert numpy.abs(ridge * weights - rows.T @ wrong / 30).max() < 1e-9
    assert weights.shape == (50,)


def test_a_signal_is_found_and_a_coin_is_not():
    margins, heads = held_out_margins(differences(3.0)[:, None], CLUSTERS)
    assert (margins > 0).mean() >= 0.95
    assert len(heads) == FOLDS
    coin = numpy.random.default_rng(6).choice([-1.0, 1.0], 240)
    margins, _ = held_out_margins((differences(3.0) * coin[:, None])[:, None], CLUSTERS)
    assert abs((margins > 0).mean() - 0.5) < 3 * 0.5 / 240**0.5


def test_what_a_prompt_has_for_itself_alone_helps_nobody():
    """A feature that says the answer within one prompt only: seen in training it would decide."""
    rows = numpy.random.default_rng(7).normal(size=(240, 40)) * 0.01
    own = numpy.zeros((240, 80))
    own[range(240), [i // 3 for i in range(240)]] = 1.0
    margins, _ = held_out_margins(numpy.hstack([rows, own])[:, None], CLUSTERS)
    assert abs((margins > 0).mean() - 0.5) < 3 * 0.5 / 240**0.5


def test_what_is_read_of_a_text_is_chosen_by_what_it_tells():
    nothing, found = differences(0.0), differences(3.0)
    margins, heads = held_out_margins(numpy.stack([nothing, found], 1), CLUSTERS)
    assert {pool for pool, _ in heads} == {1}
    assert (margins > 0).mean() >= 0.95
