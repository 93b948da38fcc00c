"""What PPO needs of a language model: three parts in one set of weights, answers sampled in batches
with a KV cache, and what a model thinks of answers that are there.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from training.recipes import ppo_math
from training.recipes.evaluation import batch_of

Check = Callable[[], None]  # raises Stopped where the run is asked to stop


@dataclass(frozen=True)
class Prompt:
    ids: list[int]
    messages: list[dict[str, Any]] = field(default_factory=list)


# The three parts ---------------------------------------------------------------------------------


@dataclass
class Actor:
    """The policy, its value head and its reference."""

    model: Any  # a peft model, or a causal language model that is trained in full
    head: nn.Linear
    pad: int
    stops: list[int]
    adapter: str | None = None  # the reference's adapter; None is the base alone
    frozen: Any = None  # the reference in full fine-tuning
    bf16: bool = False  # whether forwards compute in it

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        pad: int,
        stops: list[int],
        adapter: str | None = None,
        bf16: bool = False,
    ) -> "Actor":
        """Wrap a model as it stands before the first update. Its value head is all zeros until the
        first answers have their scores (`ppo.begin_value`)."""
        config = model.config.get_text_config()
        head = nn.Linear(config.hidden_size, 1).to(model.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        frozen = None
        if not hasattr(model, "peft_config"):
            frozen = copy.deepcopy(model).requires_grad_(False).eval()
        return cls(model.eval(), head, pad, stops, adapter, frozen, bf16)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """The reference model, for the time of a block. peft ties `trainable` to `active`: on the
        way out the policy's adapter becomes both again."""
        if self.frozen is not None:
            yield self.frozen
        elif self.adapter is None:
            with self.model.disable_adapter():
                yield self.model
        else:
            self.model.set_adapter(self.adapter, inference_mode=True)
            try:
                yield self.model
            finally:
                self.model.set_adapter("default")

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of all that an update moves."""
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        return named | {f"value_head.{n}": p for n, p in self.head.named_parameters()}

    def learning(self, on: bool) -> None:
        """The adapter's dropout acts in updates only, and so does activation checkpointing, which a
        layer in training mode does; the base's own dropout never acts, since its noise would be
        taken for a change of the policy."""
        for name, module in self.model.named_modules():
            if "lora_dropout" in name:
                module.train(on)
            if isinstance(module, GradientCheckpointingLayer):
                module.training = on and module.gradient_checkpointing


def look(
    actor: Actor,
    model: Any,
    ids: Tensor,
    mask: Tensor,
    *,
    keep: int,
    cache: bool = False,
    past: Any = None,
) -> tuple[Tensor, Tensor, Any]:
    """One forward: logits [B, keep, V] and values [B, keep] of the last positions, and the cache.

    Positions count real tokens only, so an answer does not feel the padding on its left."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    with torch.autocast(actor.device.type, torch.bfloat16, enabled=actor.bf16):
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=cache,
            output_hidden_states=True,
            logits_to_keep=keep,
        )
    values = actor.head(out.hidden_states[-1][:, -keep:].float()).squeeze(-1)
    return out.logits, values, out.past_key_values


# Answers ------------------------------------------------------------------------------------------


@dataclass
class Rollout:
    """Answers as they were sampled: [B, T] tensors, right-padded; `lengths` counts the end token,
    `ended` says whether the last one is an end token, of the answer alone."""

    prompts: Sequence[Prompt]
    tokens: Tensor
    lengths: Tensor
    ended: Tensor
    log_probs: Tensor
    values: Tensor
    entropy: Tensor

    @property
    def mask(self) -> Tensor:
        return ppo_math.answer_mask(self.lengths, self.tokens.shape[1])

    @property
    def answers(self) -> list[list[int]]:
        pairs = zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)
        return [row[:length] for row, length in pairs]


@torch.no_grad()
def answer(
    actor: Actor,
    prompts: Sequence[Prompt],
    *,
    max_new: int,
    temperature: float,
    generator: torch.Generator,
    at_once: int,
    check: Check = lambda: None,
) -> Rollout:
    """Sample an answer to each prompt, `at_once` of them at a time."""
    size, device = (len(prompts), max_new), actor.device
    tokens = torch.full(size, actor.pad, device=device)
    log_probs, values, entropy = (torch.zeros(size, device=device) for _ in range(3))
    lengths = torch.zeros(size[0], dtype=torch.long, device=device)
    ended = torch.zeros(size[0], dtype=torch.bool, device=device)
    stops = torch.tensor(actor.stops, dtype=torch.long, device=device)
    for start in range(0, len(prompts), at_once):
        rows = slice(start, start + at_once)
        ids, mask = _padded(actor, prompts[rows])
        past = None
        for t in range(max_new):
            check()
            logits, value, past = look(actor, actor.model, ids, mask, keep=1, cache=True, past=past)
            log_p = (logits[:, -1].float() / temperature).log_softmax(-1)
            alive = ~ended[rows]
            token = torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1)
            token = token.where(alive, actor.pad)
            tokens[rows, t] = token
            log_probs[rows, t] = log_p.gather(1, token[:, None]).squeeze(1) * alive
            values[rows, t] = value.squeeze(1) * alive
            entropy[rows, t] = ppo_math.entropy(log_p) * alive
            lengths[rows] += alive
            ended[rows] |= torch.isin(token, stops) & alive
            if ended[rows].all():
                break
            ids = token[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
    seen = slice(0, int(lengths.max()))
    return Rollout(
        prompts,
        tokens[:, seen],
        lengths,
        ended,
        log_probs[:, seen],
        values[:, seen],
        entropy[:, seen],
    )


def _padded(actor: Actor, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Prompts with padding on the left, so that all end where their answers begin; and a mask."""
    batch = batch_of([prompt.ids for prompt in prompts], actor.pad, actor.device, left=True)
    return batch["input_ids"], batch["attention_mask"]


def read(
    actor: Actor, model: Any, rollout: Rollout, rows: list[int], temperature: float
) -> tuple[Tensor, Tensor]:
    """What a model thinks of answers that are there: log-probabilities and values, [rows, T] with
    T the longest of these answers. The position before a token gives both."""
    width = int(rollout.lengths[rows].max())
    tokens, mask = rollout.tokens[rows, :width], rollout.mask[rows, :width]
    ids, before = _padded(actor, [rollout.prompts[i] for i in rows])
    logits, values, _ = look(
        actor,
        model,
        torch.cat([ids, tokens], 1),
        torch.cat([before, mask.long()], 1),
        keep=width + 1,
    )
    return ppo_math.token_log_probs(logits[:, :-1], tokens, temperature), values[:, :-1]


@torch.no_grad()
def read_all(
    actor: Actor, model: Any, rollout: Rollout, temperature: float, at_once: int
) -> tuple[Tensor, Tensor]:
    """`read` over all answers, [B, T], 0 on padding."""
    log_probs, values = torch.zeros_like(rollout.log_probs), torch.zeros_like(rollout.values)
    for rows in cut(list(range(len(rollout.prompts))), at_once):
        seen, value = read(actor, model, rollout, rows, temperature)
        log_probs[rows, : seen.shape[1]], values[rows, : seen.shape[1]] = seen, value
    return log_probs * rollout.mask, values * rollout.mask


def cut(rows: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
