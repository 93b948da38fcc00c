"""Memory of a run by formula, from its config and the model's shape, before anything is loaded.

A run is fullest at one of a few moments; what is in memory at each is a list of terms in bytes, and
the fullest moment is what the run needs. The terms are the usual ones (weights, gradients, AdamW's
two moments, activations of a Llama-like layer, logits). The factors of `Factors` are measured, on a
processor in fp32: benchmarks/memory.py finds them on some cells and tries them on others. On a GPU
they are the textbook's, and not measured.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from training.recipes.shapes import ADAPTERS, Shape

MIB = 2**20
IMPORTED = 550 * MIB  # torch, transformers and TRL alone; about what a CUDA context takes, too
FOUR_BITS = 0.5 * 1.03  # bytes of an nf4 weight with its doubly quantised scales
TILE = (4096, 32_768)  # tokens and vocabulary of which TRL makes logits at a time
AT_ONCE = 4  # rows that an evaluation reads together; PPO answers so many micro-batches at a time

Terms = dict[str, float]


@dataclass(frozen=True)
class Factors:
    """What the textbook leaves open."""

    activations: float  # of the textbook's
    adapter: float  # of the textbook's, where an adapter stands on every linear map
    tile: float  # bytes a logit of a tile
    logits: float  # bytes a logit where all of them are made
    gradients: float  # share of the gradients that is there when activations are at their most
    holes: float  # PPO's micro-batches of varying length leave memory that cannot be used again
    dropped: (
        float  # share of what checkpointing forgets that the C library's heap keeps all the same
    )
    rest: float  # bytes of what else a run loads and makes


PROCESSOR = Factors(activations=1.25, adapter=1.75, tile=36, logits=24, gradients=0.6,
                    holes=1.25, dropped=0.45, rest=90 * MIB)  # fmt: skip
GPU = Factors(activations=1.1, adapter=1.45, tile=4, logits=12, gradients=1.0, holes=1.1,
              dropped=0.0, rest=100 * MIB)  # fmt: skip


@dataclass(frozen=True)
class Need:
    """The fullest moment of a run: what is in memory, in bytes."""

    moment: str
    terms: Terms

    @property
    def total(self) -> float:
        return sum(self.terms.values())


def need(
    recipe: str,
    shape: Shape,
    config: Any,
    longest: int,
    *,
    judge: Shape | None = None,
    continued: bool = False,
    factors: Factors | None = None,
    gpu: bool | None = None,
) -> Need:
    """What a run needs at its fullest. `longest`: tokens of the longest row as it is trained, of a
    prompt where the recipe answers; `judge`: the reward model that scores answers, if any;
    `continued`: it goes on with an adapter; `gpu`: here, if it is not said."""
    gpu = torch.cuda.is_available() if gpu is None else gpu
    factors = factors or (GPU if gpu else PROCESSOR)
    run = _Run(recipe, shape, config, longest, judge, continued, factors, gpu)
    return max(run.moments(), key=lambda moment: moment.total)


@dataclass(frozen=True)
class _Run:
    recipe: str
    shape: Shape
    config: Any
    longest: int
    judge: Shape | None
    continued: bool
    factors: Factors
    gpu: bool

    # Numbers

    @property
    def adaptation(self) -> str:
        return getattr(self.config, "adaptation", "")

    @property
    def whole(self) -> bool:
        return self.adaptation in ("full", "half")

    @property
    def computed(self) -> int:
        """Bytes of an activation: 2 where the device computes in bf16."""
        return 2 if self.gpu and getattr(self.config, "precision", "auto") != "fp32" else 4

    @property
    def held(self) -> int:
        """Bytes of a weight: 4 of one that is trained itself."""
        return 4 if self.whole else self.computed

    # Terms

    def base(self) -> Terms:
        """What is there throughout."""
        shape, held = self.shape, self.held
        plain = shape.total - shape.added
        if self.adaptation == "qlora":
            weights = shape.linear * FOUR_BITS + (plain - shape.linear) * held
            if not self.gpu:  # the others are read where they lie, so the whole file stays mapped
                weights += shape.linear * 4
        else:
            weights = plain * held
        terms = {"libraries": IMPORTED, "the rest": self.factors.rest, "weights": weights}
        if shape.added:
            terms["adapter"] = shape.added * 4
        if self.has_reference and self.whole:
            terms["reference"] = weights
        elif self.has_reference and self.continued:
            terms["reference"] = shape.added * 4
        if self.judge is not None:
            terms["reward model"] = (self.judge.total - self.judge.added) * self.computed
        return terms

    @property
    def has_reference(self) -> bool:
        """PPO, DPO and KTO look at the model as it was: a copy of all weights, or of an adapter
        that is continued; under a new adapter it is the base, which is there."""
        return self.recipe in ("ppo", "dpo", "kto") and getattr(self.config, "loss", "") != "orpo"

    def learning(self) -> Terms:
        return {
            "gradients": self.shape.trained * 4 * self.factors.gradients,
            "optimiser": self.shape.trained * 8,
        }

    def layer(self, tokens: float) -> float:
        """Bytes that one layer keeps for the backward pass, as the textbook counts them."""
        shape = self.shape
        kept = tokens * (16 * shape.hidden + 6 * shape.keys + 8 * shape.inner) * self.computed / 2
        adapted = self.adaptation in ADAPTERS
        return kept * (self.factors.adapter if adapted else self.factors.activations)

    def activations(self, tokens: float) -> float:
        """Bytes kept for the backward pass over `tokens`, padding counted."""
        every = self.shape.layers * self.layer(tokens)
        if self.config.checkpointing == "on":  # each layer's input, and one layer made again
            kept = tokens * self.shape.hidden * self.computed * self.shape.layers
            return kept + self.layer(tokens) + every * self.factors.dropped
        return every

    def tile(self, tokens: float) -> float:
        """Logits of a loss that is made tile by tile (TRL's fused head)."""
        most, wide = TILE
        return min(tokens, most) * min(self.shape.vocabulary, wide) * self.factors.tile

    def logits(self, tokens: float) -> float:
        return tokens * self.shape.vocabulary * self.factors.logits

    def cache(self, rows: int, length: int) -> float:
        """Keys and values; twice, since a cache that grows is copied."""
        each = 2 * self.shape.layers * self.shape.keys * self.computed
        return 2 * rows * length * each

    # Moments

    def moments(self) -> Iterable[Need]:
        base, config, longest = self.base(), self.config, self.longest
        batch = config.batch_size
        if self.recipe == "answer":
            length = longest + config.max_new_tokens
            room = {"cache": self.cache(batch, length),
                    "logits": batch * self.shape.vocabulary * 8.0}  # fmt: skip
            yield Need("answering", base | room)
            return
        if self.recipe == "evaluate":
            yield Need("evaluating", base | {"logits": self.logits(batch * longest)})
            return
        if self.recipe == "ppo":
            yield from self.ppo(base)
            return
        sequences = 2 if self.recipe in ("reward", "dpo") else 1
        tokens = batch * sequences * longest
        step = {"activations": self.activations(tokens)}
        if self.recipe not in ("reward", "classify"):
            step["logits"] = self.tile(tokens)
            seen = {"logits": self.logits(min(AT_ONCE, config.eval_rows) * longest)}
            yield Need("evaluating", base | seen)
        yield Need("training", base | self.learning() | step)

    def ppo(self, base: Terms) -> Iterable[Need]:
        """Sampling with a cache and learning; the optimiser's moments stay for both."""
        config = self.config
        answer, batch = config.max_new_tokens, min(config.batch_size, config.rollout_batch)
        length = min(self.longest + answer, config.max_length)
        step = {"activations": self.activations(batch * length) * self.factors.holes,
                "logits": self.logits(batch * (answer + 1))}  # fmt: skip
        yield Need("learning", base | self.learning() | step)
        rows = min(AT_ONCE * config.batch_size, config.rollout_batch)
        sampled = {"optimiser": self.shape.trained * 8.0, "cache": self.cache(rows, length),
                   "logits": self.logits(rows)}  # fmt: skip
        yield Need("answering", base | sampled)
