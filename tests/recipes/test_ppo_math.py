"""Every formula of PPO against numbers worked out by hand beside it."""

import math

import pytest

torch = pytest.importorskip("torch")

from training.recipes import ppo_math  # noqa: E402

pytestmark = pytest.mark.recipe


def t(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def close(found, expected, tolerance=1e-9):
    torch.testing.assert_close(found.double(), t(*expected), atol=tolerance, rtol=0)


def test_the_mask_goes_by_length_and_knows_no_pad_token():
    mask = ppo_math.answer_mask(torch.tensor([1, 3]), 3)
    assert mask.tolist() == [[True, False, False], [True, True, True]]


def test_log_probs_are_those_of_the_distribution_that_is_sampled_from():
    # Two tokens, odds e^(2/T) to 1. T = 2: p = e/(e+1) and 1/(e+1).
    logits, first, second = t([[2.0, 0.0]]), torch.tensor([[0]]), torch.tensor([[1]])
    e = math.e
    found = ppo_math.token_log_probs(logits, first, 2.0)
    close(found, [[math.log(e / (e + 1))]], 1e-6)
    close(ppo_math.token_log_probs(logits, second, 2.0), [[math.log(1 / (e + 1))]], 1e-6)
    close(ppo_math.token_log_probs(logits, second, 1.0), [[math.log(1 / (e * e + 1))]], 1e-6)


def test_log_probs_of_bf16_logits_are_taken_in_fp32():
    logits = torch.tensor([[[8.0, 8.0625]]], dtype=torch.bfloat16)
    found = ppo_math.token_log_probs(logits, torch.tensor([[0]]), 1.0)
    assert found.dtype == torch.float32
    close(found, [[-math.log(1 + math.exp(0.0625))]], 1e-6)


def test_entropy_of_a_fair_coin_and_of_a_certainty():
    close(ppo_math.entropy(t([0.5, 0.5], [1.0, 0.0]).log()), [math.log(2), 0.0])


def test_a_reward_is_told_in_its_own_standard_deviations():
    close(ppo_math.normalise(t(5.0, 1.0), 3.0, 2.0), [1.0, -1.0])
    close(ppo_math.normalise(t(5.0, 1.0), 3.0, 0.0), [2.0, -2.0])


def test_the_penalty_is_taken_from_the_score_and_does_not_replace_it():
    found = ppo_math.penalise(t(2.0, 2.0), torch.tensor([True, False]), 0.5)
    close(found, [2.0, 1.5])


def test_the_score_falls_on_the_last_real_token_and_kl_on_each():
    # Row 1 ends at its second token of three; row 2 fills the width. KL per token: log p - log ref.
    log_probs = t([-1.0, -2.0, 9.0], [-1.0, -1.0, -1.0])
    reference = t([-1.5, -1.0, 0.0], [-1.0, -3.0, -1.0])
    lengths = torch.tensor([2, 3])
    found = ppo_math.token_rewards(t(10.0, 20.0), lengths, log_probs, reference, 0.1)
    # -0.1 * 0.5;  -0.1 * -1 + 10;  padding nothing, whatever stands there.
    close(found, [[-0.05, 10.1, 0.0], [0.0, -0.2, 20.0]])


def test_going_away_from_the_reference_costs():
    """The sign: a token that the policy likes more than the reference does earns less."""
    found = ppo_math.token_rewards(t(0.0), torch.tensor([1]), t([-0.1]), t([-2.1]), 0.5)
    close(found, [[-1.0]])


def test_the_price_of_kl_follows_the_target():
    # kl = 6 at target 5: error 0.2, a tenth of it. kl = 50 is cut to the same. kl = 4.5: -0.1.
    assert ppo_math.next_kl_coef(0.1, 6.0, 5.0) == pytest.approx(0.102)
    assert ppo_math.next_kl_coef(0.1, 50.0, 5.0) == pytest.approx(0.102)
    assert ppo_math.next_kl_coef(0.1, 4.5, 5.0) == pytest.approx(0.099)
    assert ppo_math.next_kl_coef(0.1, 0.0, 5.0) == pytest.approx(0.098)
    assert ppo_math.next_kl_coef(0.1, 50.0, 0.0) == 0.1


def test_gae():
    # gamma 0.9, lambda 0.5. Row 1 has three tokens:
    #   d2 = 1 - 0.3 = 0.7                    A2 = 0.7
    #   d1 = 0 + 0.9 * 0.3 - 0.2 = 0.07       A1 = 0.07 + 0.45 * 0.7 = 0.385
    #   d0 = 0.5 + 0.9 * 0.2 - 0.1 = 0.58     A0 = 0.58 + 0.45 * 0.385 = 0.75325
    # Row 2 has two; the value 7 that stands on its padding must not be felt:
    #   d1 = 1 - 0.2 = 0.8                    A1 = 0.8
    #   d0 = 0.9 * 0.2 - 0.1 = 0.08           A0 = 0.08 + 0.45 * 0.8 = 0.44
    rewards = t([0.5, 0.0, 1.0], [0.0, 1.0, 0.0])
    values = t([0.1, 0.2, 0.3], [0.1, 0.2, 7.0])
    mask = ppo_math.answer_mask(torch.tensor([3, 2]), 3)
    advantages, returns = ppo_math.gae(rewards, values, mask, 0.9, 0.5)
    close(advantages, [[0.75325, 0.385, 0.7], [0.44, 0.8, 0.0]])
    close(returns, [[0.85325, 0.585, 1.0], [0.54, 1.0, 0.0]])


def test_gae_with_lambda_1_is_the_rest_of_the_rewards_less_the_value():
    rewards, values = t([1.0, 2.0, 4.0]), t([0.5, 0.25, 0.125])
    advantages, returns = ppo_math.gae(rewards, values, torch.ones(1, 3).bool(), 1.0, 1.0)
    close(advantages, [[6.5, 5.75, 3.875]])
    close(returns, [[7.0, 6.0, 4.0]])


def test_whitening_is_over_the_real_tokens_of_the_whole_batch():
    # 1, 2, 3 and 6: mean 3, squares 4 + 1 + 0 + 9 = 14, over 3 (Bessel): deviation sqrt(14/3).
    x = t([1.0, 2.0, 100.0], [3.0, 6.0, -100.0])
    mask = ppo_math.answer_mask(torch.tensor([2, 2]), 3)
    s = math.sqrt(14 / 3)
    close(ppo_math.whiten(x, mask), [[-2 / s, -1 / s, 0.0], [0.0, 3 / s, 0.0]], 1e-8)


def test_one_token_has_no_spread_to_be_divided_by():
    mask = torch.tensor([[True, False]])
    close(ppo_math.whiten(t([5.0, 1.0]), mask), [[0.0, 0.0]])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.0, 2.0, -2.0, 0),
        (1.5, 2.0, -2.4, 1),  # better than expected and already likelier: held at 1.2
        (0.5, 2.0, -1.0, 0),  # better and less likely: nothing holds it back
        (0.5, -2.0, 1.6, 1),  # worse and already less likely: held at 0.8
        (1.5, -2.0, 3.0, 0),  # worse and likelier: the whole gradient
    ],
)
def test_the_policy_clip_on_both_sides_and_both_signs(ratio, advantage, loss, clipped):
    new = t([math.log(ratio)]).requires_grad_()
    mask = torch.ones(1, 1).bool()
    found, ratios, held = ppo_math.policy_loss(new, t([0.0]), t([advantage]), mask, 0.2)
    assert found.item() == pytest.approx(loss)
    assert ratios.item() == pytest.approx(ratio)
    assert held.item() == clipped
    found.backward()
    assert (new.grad.item() == 0) == bool(clipped)


def test_padding_is_in_no_loss():
    mask = ppo_math.answer_mask(torch.tensor([1]), 2)
    new = t([0.0, 80.0]).requires_grad_()
    loss, ratio, clipped = ppo_math.policy_loss(new, t([0.0, 0.0]), t([1.0, 1.0]), mask, 0.2)
    assert (loss.item(), ratio.item(), clipped.item()) == (-1.0, 1.0, 0)
    loss.backward()
    assert new.grad.tolist() == [[-1.0, 0.0]]
    assert ppo_math.value_loss(t([1.0, 9.0]), t([1.0, 1.0]), t([0.0, 0.0]), mask, 0.2).item() == 0.5


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (0.1, 0.405),  # within 0.2 of what it was (0): 0.5 * 0.9^2
        (0.6, 0.32),  # moved to the return: 0.5 * 0.4^2 = 0.08 < held at 0.2: 0.5 * 0.8^2
        (-0.6, 1.28),  # moved away: 0.5 * 1.6^2 > held at -0.2: 0.5 * 1.2^2
    ],
)
def test_the_value_clip_takes_the_larger_error(value, loss):
    one = torch.ones(1, 1).bool()
    found = ppo_math.value_loss(t([value]), t([0.0]), t([1.0]), one, 0.2)
    assert found.item() == pytest.approx(loss)


def test_no_value_clip():
    one = torch.ones(1, 1).bool()
    found = ppo_math.value_loss(t([0.6]), t([0.0]), t([1.0]), one, 0.0)
    assert found.item() == pytest.approx(0.08)


def test_the_learning_rate_rises_then_falls_or_holds():
    rates = [ppo_math.learning_rate(1.0, i, 10, 0.2, "linear") for i in range(10)]
    # Two updates of warm-up, then 8 eighths down: the last update still learns.
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    # Half a cosine over the same eighths: (1 - cos(pi left)) / 2.
    waves = [ppo_math.learning_rate(1.0, i, 10, 0.2, "cosine") for i in (0, 2, 4, 6, 9)]
    assert waves == pytest.approx([0.5, 1.0, 0.853553, 0.5, 0.038060], abs=1e-6)
    held = [ppo_math.learning_rate(1.0, i, 10, 0.2, "constant") for i in range(10)]
    assert held == [0.5] + [1.0] * 9
    assert ppo_math.learning_rate(1.0, 0, 1, 0.0, "linear") == 1.0
