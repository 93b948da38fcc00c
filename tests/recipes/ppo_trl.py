"""TRL 1.12.0's PPO step on tiny models: what it made (tests/recipes/oracle), and its conventions
laid over our functions. Tests only: a run knows none of this.

Its names for things: `response` is the answer, padded with `pad` behind its end; a "slot" is one of
the T places of an answer. What is written of TRL here was read in
trl/experimental/ppo/ppo_trainer.py (1.12.0) and holds because the numbers agree.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from training.recipes import ppo, ppo_math, ppo_rollout
from training.recipes.configs import PPOConfig, parse
from training.recipes.ppo_rollout import Actor, Prompt, Rollout

FIXTURES = Path(__file__).parent / "oracle"
PAD, END, VOCABULARY, WIDTH = 0, 1, 32, 12
PROMPTS = [[5, 9, 4], [7], [11, 3, 8, 6, 2], [12, 12], [30, 4], [9, 21, 17, 13], [6, 6, 6], [2]]


@dataclass(frozen=True)
class Case:
    """One rollout and two PPO epochs. `lift`: how likely the first policy finds the end token."""

    lift: float = 0.0
    temperature: float = 1.0
    kl_estimator: str = "k1"
    pad: int = PAD
    stops: bool = True
    seed: int = 0  # of the sampling


CASES = {
    "nobody ends early": Case(lift=-9.0),
    "some end early, k1": Case(lift=0.6),
    "some end early, k3": Case(lift=0.6, kl_estimator="k3"),
    "all end early, temperature 0.7": Case(lift=0.8, temperature=0.7),
    "pad is the end token": Case(lift=0.6, pad=END),
    "no stop token": Case(lift=0.6, stops=False),
}
SETTINGS: dict[str, Any] = {
    "adaptation": "full",
    "batch_size": 4,
    "accumulation": 2,
    "rollout_batch": 8,
    "max_new_tokens": WIDTH,
    "ppo_epochs": 2,
    "learning_rate": 1e-3,
    "max_grad_norm": 0.0,
    "kl_coef": 0.05,
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "clip": 0.2,
    "value_clip": 0.2,
    "value_coef": 0.1,
    "missing_eos_penalty": 1.0,
}
# Adam's. At its usual 1e-8 a weight whose gradient is as small moves as far as the others do, in a
# direction that the last bit of a sum decides.
EPSILON = 1e-5


def settings(case: Case) -> PPOConfig:
    config = parse("ppo", SETTINGS | {"temperature": case.temperature})
    assert isinstance(config, PPOConfig)
    return config


# The models: from numpy's oldest generator, whose numbers are promised to stay what they are. -----


def model(seed: int, case: Case, like: int | None = None) -> Any:
    """A language model of 5,000 weights; `like` another seed's with noise on it."""
    shape = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=case.pad,
    )
    made = LlamaForCausalLM(shape).eval()
    draw, noise = (numpy.random.RandomState(s) for s in (seed if like is None else like, seed))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name:
                continue
            values = draw.normal(0, 0.15, weight.shape)
            if like is not None:
                values = values + noise.normal(0, 0.02, weight.shape)
            weight.copy_(torch.tensor(values, dtype=torch.float32))
        # One number of the hidden state is the same everywhere, so that a row of the head has a
        # bias: the end token's is `lift`, and the pad is never drawn.
        made.model.embed_tokens.weight[:, 0] = 1.0
        made.lm_head.weight[:, 0] = 0.0
        made.lm_head.weight[PAD, 0] = -9.0
        made.lm_head.weight[END, 0] = case.lift
    return made


def head(seed: int) -> Tensor:
    """What makes a model's last hidden state one number: [1, 16]."""
    return torch.tensor(numpy.random.RandomState(seed).normal(0, 0.3, (1, 16)), dtype=torch.float32)


def models(case: Case) -> dict[str, Any]:
    """Policy, reference and the trunks of the value and the reward model: four different models."""
    return {
        "policy": model(1, case),
        "reference": model(2, case, like=1),
        "value": model(3, case),
        "reward": model(4, case),
    }


VALUE_HEAD, REWARD_HEAD = 5, 6  # seeds


# What TRL made ------------------------------------------------------------------------------------


@dataclass
class Capture:
    """TRL's tensors: [B, T] unless said. `order` [2, B]: its permutations."""

    queries: Tensor  # [B, longest prompt], padded on the left
    responses: Tensor  # as sampled
    shown: Tensor  # the same with all behind the stop token padded
    log_probs: Tensor
    reference: Tensor
    values: Tensor
    scores: Tensor  # [B], the penalty taken
    advantages: Tensor
    returns: Tensor
    order: Tensor
    losses: Tensor  # [2]: mean policy loss and mean value loss over the two epochs


def file_of(name: str) -> Path:
    return FIXTURES / f"{name.replace(',', '').replace(' ', '-')}.safetensors"


def saved(name: str) -> tuple[Capture, dict[str, Tensor], dict[str, str]]:
    """A case's tensors, the weights after two epochs, and the versions that made them."""
    with safe_open(file_of(name), "pt") as f:
        tensors = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
        versions = json.loads(f.metadata()["versions"])
    capture = Capture(**{field.name: tensors.pop(field.name) for field in fields(Capture)})
    return capture, tensors, versions


# Our functions under TRL's conventions ------------------------------------------------------------


class Pair(Actor):
    """A policy beside a value model of its own, as TRL trains them."""

    critic: Any = None

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        value = {f"value.{n}": p for n, p in self.critic.model.named_parameters()}
        return (
            {f"policy.{n}": p for n, p in self.model.named_parameters()}
            | value
            | {"value.score.weight": self.head.weight}
        )


def pair(case: Case) -> tuple[Pair, Any]:
    """Policy and value model before the first update, and the reference."""
    made = models(case)
    score = torch.nn.Linear(16, 1, bias=False)
    score.weight.data.copy_(head(VALUE_HEAD))
    actor = Pair(made["policy"], score, case.pad, [END] if case.stops else [])
    actor.critic = made["value"]
    return actor, made["reference"]


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """ref / p - 1 - log(ref / p): never negative, 0 where the two agree; mean over p: the KL."""
    apart = reference - log_probs
    return apart.expm1() - apart


@dataclass
class Conventions:
    """How TRL 1.12.0 counts. `lengths` ends the policy's mask, `longer` the values'.

    lengths: tokens before the first pad, so without the end token where that is the pad;
    longer: one slot more where there is one, the first pad: it has a value, and the score."""

    case: Case
    lengths: Tensor
    longer: Tensor
    width: int
    rows: list[int]  # of the device batch that is being learned from

    @classmethod
    def of(cls, case: Case, capture: Capture) -> "Conventions":
        is_pad = capture.shown == case.pad
        width = is_pad.shape[1]
        lengths = torch.where(is_pad.any(1), is_pad.int().argmax(1), width)
        return cls(case, lengths, (lengths + 1).clamp(max=width), width, [])

    @property
    def mask(self) -> Tensor:
        return ppo_math.answer_mask(self.lengths, self.width)

    def experience(self, rollout: Rollout, reference: Tensor, scores: Tensor) -> ppo.Experience:
        """Rewards, advantages and returns; `scores` with the penalty taken."""
        config = settings(self.case)
        old, mask = rollout.log_probs, self.mask
        seen = replace(rollout, lengths=self.longer, values=rollout.values)
        if self.case.kl_estimator == "k3":
            # A token's price is kl_coef * (log p - log ref): give it a "log ref" that makes it k3.
            reference = old - k3(old, reference)
        rewards = ppo_math.token_rewards(
            scores, self.longer, old * mask, reference * mask, config.kl_coef
        )
        advantages, returns = ppo_math.gae(
            rewards, rollout.values, seen.mask, config.gamma, config.gae_lambda
        )
        return ppo.Experience(
            seen, reference, scores, scores, ppo_math.whiten(advantages, mask), returns
        )

    @contextmanager
    def learning(self, order: Tensor) -> Iterator[None]:
        """ppo.learn within this block: TRL's permutations, its two models, its two masks, and
        losses that are means of each device batch, averaged over the batches of an update."""
        orders = iter(order.tolist())
        read, policy_loss, value_loss = ppo.read, ppo_math.policy_loss, ppo_math.value_loss

        def both(actor: Pair, model: Any, rollout: Rollout, rows: list[int], t: float) -> Any:
            self.rows = rows
            log_probs, _ = read(actor, actor.model, rollout, rows, t)
            _, values = read(actor, actor.critic, rollout, rows, t)
            return log_probs, values

        def mean(mask: Tensor) -> float:
            """Ours divides a sum by the tokens of the update; TRL by those of the batch, and then
            by the number of batches."""
            return float(self.longer.sum() / SETTINGS["accumulation"] / mask.sum())

        def policy(new: Tensor, old: Tensor, gains: Tensor, mask: Tensor, clip: float) -> Any:
            mask = ppo_math.answer_mask(self.lengths[self.rows], mask.shape[1])
            loss, ratio, held = policy_loss(new, old, gains, mask, clip)
            return loss * mean(mask), ratio, held

        def value(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
            return value_loss(new, old, returns, mask, clip) * mean(mask)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ppo, "shuffled", lambda count, key: next(orders))
            patch.setattr(ppo, "read", both)
            patch.setattr(ppo_math, "policy_loss", policy)
            patch.setattr(ppo_math, "value_loss", value)
            yield


def rollout_of(case: Case, capture: Capture) -> Rollout:
    """TRL's answers as ours: lengths count the end token, whatever the pad is."""
    is_end = (capture.responses == END) & case.stops
    ended = is_end.any(1)
    width = is_end.shape[1]
    lengths = torch.where(ended, is_end.int().argmax(1) + 1, width)
    mask = ppo_math.answer_mask(lengths, width)
    return Rollout(
        [Prompt(ids) for ids in prompts_of(case, capture)],
        capture.responses,
        lengths,
        (capture.responses == END).logical_and(mask).any(1),
        capture.log_probs,
        capture.values,
        torch.zeros_like(capture.values),
    )


def prompts_of(case: Case, capture: Capture) -> list[list[int]]:
    return [[i for i in row if i != case.pad] for row in capture.queries.tolist()]


def temperature_of(case: Case) -> float:
    return case.temperature + 1e-7


# The comparison -----------------------------------------------------------------------------------


def compare(name: str) -> dict[str, float]:
    """How far ours is from TRL's, at most, thing by thing."""
    case = CASES[name]
    capture, after, _ = saved(name)
    rules = Conventions.of(case, capture)
    actor, reference = pair(case)
    rollout = rollout_of(case, capture)
    longer = replace(rollout, lengths=rules.longer)
    heat = temperature_of(case)
    log_probs, _ = ppo_rollout.read_all(actor, actor.model, longer, heat, 4)
    before, _ = ppo_rollout.read_all(actor, reference, longer, heat, 4)
    _, values = ppo_rollout.read_all(actor, actor.critic, longer, heat, 4)
    mask, longer_mask = rules.mask, longer.mask

    made = replace(longer, log_probs=log_probs, values=values)
    experience = rules.experience(made, before, capture.scores)
    config = replace(settings(case), temperature=heat)
    optimizer = torch.optim.AdamW(
        actor.trainable().values(), config.learning_rate, eps=EPSILON, weight_decay=0
    )
    with rules.learning(capture.order):
        losses = ppo.learn(actor, experience, optimizer, config, 0)
    own = ppo.weigh(rollout, capture.reference, own_scores(case, capture), settings(case), 0.05)

    def apart(a: Tensor, b: Tensor, where: Tensor | bool = True) -> float:
        return ((a - b) * where).abs().max().item()

    both = mask & rollout.mask
    return {
        "log_prob": apart(log_probs, capture.log_probs, mask),
        "reference": apart(before, capture.reference, mask),
        "value": apart(values, capture.values, longer_mask),
        "advantage": apart(experience.advantages, capture.advantages),
        "return": apart(experience.returns, capture.returns),
        "policy_loss": abs(losses["policy_loss"] - capture.losses[0].item()),
        "value_loss": abs(losses["value_loss"] - capture.losses[1].item()),
        "weights": max(apart(p, after[n]) for n, p in actor.trainable().items()),
        "own_advantage": apart(own.advantages, capture.advantages, both),
        "own_return": apart(own.returns, capture.returns, both),
        "ended": int(rollout.ended.sum()),
    }


def own_scores(case: Case, capture: Capture) -> Tensor:
    """TRL's scores before the penalty, which our own rules take again."""
    missing = ~(capture.shown == END).any(1)
    return capture.scores + SETTINGS["missing_eos_penalty"] * missing
