"""PPO's formulas on plain tensors: no model, no text, nothing drawn at random.

Everything is [B, T]: B answers, T answer tokens, padded on the right. What is an answer's own and
what is padding is decided by its length alone, never by comparing with a pad token, which may be
the end token. The end token belongs to the answer: its length counts it.
"""

import math

import torch
from torch import Tensor


def answer_mask(lengths: Tensor, width: int) -> Tensor:
    """True where the token is the answer's own. lengths [B] -> [B, width]."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens; 0 where there is none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


def token_log_probs(logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """log p(token) under the distribution that is sampled from: logits [B, T, V] over temperature.

    In fp32 whatever the logits are: a ratio of probabilities does not survive bf16."""
    scaled = logits.float() / temperature
    return scaled.gather(-1, tokens[..., None]).squeeze(-1) - scaled.logsumexp(-1)


def entropy(log_p: Tensor) -> Tensor:
    """Nats, of whole distributions: log_p [..., V] -> [...]."""
    return torch.special.entr(log_p.exp()).sum(-1)  # a probability of 0 adds nothing


# Reward ------------------------------------------------------------------------------------------


def normalise(raw: Tensor, mean: float, std: float) -> Tensor:
    """A reward model's numbers in its own standard deviations; a spread of 0 is left alone."""
    return (raw - mean) / (std if std > 1e-6 else 1.0)


def penalise(scores: Tensor, ended: Tensor, penalty: float) -> Tensor:
    """Take `penalty` from the score of each answer that did not end. scores, ended: [B]."""
    return scores - penalty * (~ended).to(scores.dtype)


def token_rewards(
    scores: Tensor, lengths: Tensor, log_probs: Tensor, reference: Tensor, kl_coef: float
) -> Tensor:
    """What each token earns: minus kl_coef times the k1 estimate of its KL (log p - log ref), and
    for the last real token, the end token where the answer ended, the score too."""
    rewards = -kl_coef * (log_probs - reference) * answer_mask(lengths, log_probs.shape[1])
    rewards[torch.arange(len(scores), device=scores.device), lengths - 1] += scores
    return rewards


def next_kl_coef(coef: float, kl: float, target: float) -> float:
    """The price of KL for the next update (Ziegler et al. 2019): a tenth of the relative error, cut
    at a fifth, so at most 2 % an update. kl and target in nats per answer; target 0 keeps it."""
    if target <= 0:
        return coef
    error = min(0.2, max(-0.2, kl / target - 1))
    return coef * (1 + 0.1 * error)


# Advantage ---------------------------------------------------------------------------------------


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns (advantage + value), both 0 on padding.

    delta_t = r_t + gamma V_t+1 - V_t;  A_t = delta_t + gamma lam A_t+1. After the last real token
    nothing comes, whether the answer ended or was cut: V = A = 0 there."""
    values = values * mask
    advantages = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(later)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        later = (delta + gamma * lam * later) * mask[:, t]
        advantages[:, t] = later
        next_value = values[:, t]
    return advantages, advantages + values


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 (Bessel's) over the real tokens of the whole batch; padding
    is 0. Fewer than two tokens have no spread: they are only centred."""
    n = mask.sum()
    centred = (x - masked_mean(x, mask)) * mask
    if n < 2:
        return centred
    return centred * (centred.pow(2).sum() / (n - 1) + 1e-8).rsqrt()


# Losses: sums over real tokens, so that the caller divides by the tokens of the whole mini-batch
# and the gradient does not depend on how it was cut into batches for the device. ------------------


def policy_loss(
    log_probs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Clipped surrogate (to be minimised), the ratios summed, and the tokens whose ratio the clip
    holds back: those where the clipped term is the larger loss."""
    ratio = ((log_probs - old) * mask).exp()  # padding: exp(0), whatever stands there
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - clip, 1 + clip)
    loss = (torch.maximum(free, held) * mask).sum()
    with torch.no_grad():
        return loss, (ratio * mask).sum(), ((held > free) & mask).sum()


def value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Half the squared error, the larger of it and that of the value held within `clip` of what it
    was in the rollout; clip 0 does not hold it."""
    error = (values - returns).pow(2)
    if clip > 0:
        held = old + (values - old).clamp(-clip, clip)
        error = torch.maximum(error, (held - returns).pow(2))
    return 0.5 * (error * mask).sum()


def learning_rate(peak: float, step: int, total: int, warmup: float, schedule: str) -> float:
    """Of update `step` (0 first): a linear rise over warmup * total updates, then `constant`, or
    `linear` or by half a `cosine` down to 0, which it would reach at `total`."""
    rise = math.ceil(warmup * total)
    if step < rise:
        return peak * (step + 1) / rise
    if schedule == "constant":
        return peak
    left = (total - step) / (total - rise)
    return peak * (left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)
