"""Half Fine-Tuning (arXiv 2404.18466): in each round of a run a drawn half of it is frozen.

A block is a module that owns weights within a layer, its bias with it. In every layer half of the
attention's blocks, half of the feed-forward's and half of the norms are frozen; where their number
is odd, the layers take turns in freezing one more and one less. What stands outside the layers
(embeddings, the last norm, the head) is trained in every round: embeddings are often the head too,
and a new head has nothing to keep.

The choice is drawn from (seed, round) alone, so that a resume freezes the same half. A frozen block
has no gradient and no state in the optimiser: neither momentum nor weight decay can move it.
"""

import random
import re
from collections import defaultdict
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.recipes.run_dir import RunDir


def blocks(model: torch.nn.Module) -> dict[tuple[str, str], list[str]]:
    """(category, layer) -> the names of its blocks; a layer's name ends with the first number."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        layer = re.match(r".*?\.\d+(?=\.)", name)
        if layer and next(module.parameters(recurse=False), None) is not None:
            found[_category(name[layer.end() :], module), layer[0]].append(name)
    return found


def _category(name: str, module: torch.nn.Module) -> str:
    if "norm" in type(module).__name__.lower():
        return "norm"
    return "attention" if "attn" in name or "attention" in name else "feed-forward"


def frozen_in(model: torch.nn.Module, seed: int, round: int) -> set[str]:
    """Names of the weights that are frozen in a round. Raises ValueError where none could be."""
    draw, chosen = random.Random(f"half {seed} {round}"), set[str]()
    spare: dict[str, int] = {}
    for (category, _), names in sorted(blocks(model).items()):
        # Of an odd number one half is rounded up and the next one down; which is first is drawn.
        spare.setdefault(category, draw.randrange(2))
        chosen |= set(draw.sample(sorted(names), (len(names) + spare[category]) // 2))
        spare[category] ^= len(names) % 2
    if not chosen:
        raise ValueError("Half fine-tuning finds no layers in this model: train all of it (full).")
    return {name for name, _ in model.named_parameters() if name.rpartition(".")[0] in chosen}


def round_of(step: int, total: int, rounds: int) -> int:
    """The round, from 0, of the step that follows `step` done ones; rounds are of equal length."""
    return min(step * rounds // total, rounds - 1)


def enter(model: torch.nn.Module, optimizer: Any, seed: int, round: int) -> None:
    """Freeze the round's half and thaw the rest. The optimiser must have been made with all of the
    weights; it forgets what it knew of the frozen ones, whose memory is then free."""
    chosen = frozen_in(model, seed, round)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in chosen)
        if name in chosen:
            parameter.grad = None
            optimizer.state.pop(parameter, None)


def trained_share(model: torch.nn.Module, seed: int, rounds: int) -> float:
    """The share of the weights that is trained in a round, mean over the rounds."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    frozen = sum(sizes[n] for round in range(rounds) for n in frozen_in(model, seed, round))
    return 1 - frozen / rounds / sum(sizes.values())


class HalfTuning(TrainerCallback):
    """Enters each round at its first step, and says so."""

    def __init__(self, run: RunDir, rounds: int, total: int) -> None:
        self.run = run
        self.rounds = rounds
        self.total = total
        self.round = -1

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        now = round_of(state.global_step, self.total, self.rounds)
        if now == self.round:
            return
        self.round = now
        enter(model, optimizer, self.run.seed, now)
        every = list(model.parameters())
        share = sum(p.numel() for p in every if p.requires_grad) / sum(p.numel() for p in every)
        self.run.event(
            "note",
            state.global_step,
            text=f"Round {now + 1} of {self.rounds}: {share:.0%} of the weights are trained, the "
            "others are frozen.",
        )
