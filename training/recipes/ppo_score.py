"""What answers are worth to PPO: what a reward run says of them, what a rule says, or their sum."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from training.recipes import data, evaluation, heuristics, loading, ppo_math
from training.recipes.configs import PPOConfig
from training.recipes.ppo_rollout import Check, Prompt
from training.recipes.run_dir import RunDir

# What a reward says of answers: prompts and answer tokens (with the end token, if any) to [B].
Score = Callable[[Sequence[Prompt], list[list[int]]], Tensor]
# The same of their texts.
Judge = Callable[[Sequence[Prompt], list[str]], Tensor]


def score_of(run: RunDir, config: PPOConfig, policy: Any, check: Check) -> Score:
    """The run's judges, added up. `policy` is the policy's tokenizer."""
    judges: list[Judge] = []
    if "reward" in run.inputs:
        judges.append(by_model(loading.load_reward(run), config.batch_size, check))
    if rule := heuristics.rule_of(config):
        judges.append(by_rule(rule, config.rule_weight))
    return text_score(judges, policy)


def text_score(judges: Sequence[Judge], policy: Any) -> Score:
    """Judges of text as a Score. What they see is what a reader would: special tokens within an
    answer are left out, so the policy cannot write turns into a reward model's template."""

    def score(prompts: Sequence[Prompt], answers: list[list[int]]) -> Tensor:
        found = policy.batch_decode(answers, skip_special_tokens=True)
        texts = [text.strip() for text in found]
        return torch.stack([judge(prompts, texts) for judge in judges]).sum(0)

    return score


def by_model(reward: loading.Reward, batch_size: int, check: Check) -> Judge:
    """A reward run, through text: its tokenizer and template need not be the policy's, and its
    numbers come in the standard deviations that it recorded.

    The model is loaded apart even where its base is the policy's: sharing would tie two runs, which
    otherwise meet in text alone, to one tokenizer, one type of number and one set of adapters."""
    encoder = data.Encoder(reward.tokenizer, reward.max_length)
    pad = reward.tokenizer.pad_token_id

    def judge(prompts: Sequence[Prompt], texts: list[str]) -> Tensor:
        dialogues = [
            encoder.dialogue([*p.messages, {"role": "assistant", "content": text}])
            for p, text in zip(prompts, texts, strict=True)
        ]
        raw = evaluation.rewards(
            reward.model, dialogues, pad, batch_size=4 * batch_size, check=check
        )
        return ppo_math.normalise(torch.tensor(raw), reward.mean, reward.std)

    return judge


def by_rule(rule: heuristics.Rule, weight: float) -> Judge:
    return lambda prompts, texts: weight * torch.tensor(rule(texts))
