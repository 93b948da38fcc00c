"""What a run will cost: memory, disk and time, from the model's shape and the rows' lengths.

The shape comes from a build on the meta device, which holds no weights. The formulas are the usual
ones (weights, gradients, AdamW, activations of a Llama-like layer) with measured factors: fp32
keeps twice of what bf16 keeps, an adapter on every linear layer keeps more activations than full
training does, not less, and what batches of varying length leave unused is a quarter more.
"""

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from training.recipes.artifacts import check_weights

MIB = 2**20
LORA_ACTIVATIONS = 1.65  # of full training's, measured on all-linear adapters
IMPORTED = 550 * MIB  # torch, transformers and TRL alone; about what a CUDA context takes, too
HOLES = 1.25  # batches of varying length leave the allocator with memory it cannot reuse
LOGITS = 12  # bytes a logit while its loss is made
EFFICIENCY = 0.45  # of a plain matrix product's speed, measured on small models on a processor
KEPT_CHECKPOINTS = 3  # two that stay and the one that is being written


@dataclass(frozen=True)
class Shape:
    """A model's numbers, each in parameters or units."""

    total: int  # all parameters, a weight used twice counted once
    trained: int
    layers: int
    hidden: int
    keys: int  # width of keys, and of values, in a layer
    inner: int  # width of the feed-forward
    vocabulary: int

    @property
    def share(self) -> float:
        return self.trained / self.total


def shape_of(path: str, config: Any, *, classifier: bool = False) -> Shape:
    """The model as the config adapts it. Raises ValueError where it cannot be built."""
    check_weights(path)
    try:
        plain = AutoConfig.from_pretrained(path, trust_remote_code=False)
        auto: Any = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
        if classifier:
            plain.num_labels = 1
        with torch.device("meta"):
            model = auto.from_config(plain, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The model {path} cannot be built: {error}") from None
    total = sum(p.numel() for p in model.parameters())
    trained = total
    if getattr(config, "adaptation", "full") == "lora":
        head = model.get_output_embeddings()
        tops = ("score", "classifier", "classification_head")
        trained = 0
        for name, module in model.named_modules():
            if name.split(".")[0] in tops:
                trained += sum(p.numel() for p in module.parameters(recurse=False))
            elif isinstance(module, torch.nn.Linear) and module is not head:
                trained += config.lora_rank * (module.in_features + module.out_features)
        total += trained
    text = plain.get_text_config()
    heads = getattr(text, "num_attention_heads", 1)
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Shape(
        total=total,
        trained=trained,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
    )


def steps_of(rows: int, config: Any) -> int:
    """Updates of a run: all passes over the rows, or as many as `max_steps` allows."""
    per_pass = math.ceil(math.ceil(rows / config.batch_size) / config.accumulation)
    total = max(1, math.ceil(per_pass * config.epochs))
    return min(total, config.max_steps) if config.max_steps else total


def number_bytes(config: Any) -> int:
    """Bytes of a weight and of an activation: 4 on the processor and in full training, else 2."""
    full = getattr(config, "adaptation", "lora") == "full"
    return 2 if torch.cuda.is_available() and not full else 4


def activations(shape: Shape, tokens: int, config: Any) -> float:
    """Bytes kept for the backward pass over `tokens` (padding counted), without checkpointing."""
    wide = 2 if not torch.cuda.is_available() else 1
    kept = tokens * shape.layers * (16 * shape.hidden + 6 * shape.keys + 8 * shape.inner) * wide
    return kept * (LORA_ACTIVATIONS if config.adaptation == "lora" else 1)


def training_bytes(shape: Shape, tokens: int, config: Any, *, logits: bool) -> float:
    """Most memory of an SFT or reward step. `tokens`: of the longest micro-batch."""
    weights = shape.total * number_bytes(config)
    state = shape.trained * (4 + 8)  # gradients and AdamW, in fp32
    passing = activations(shape, tokens, config)
    passing += tokens * shape.vocabulary * LOGITS if logits else 0
    return IMPORTED + weights + state + HOLES * passing


def ppo_bytes(shape: Shape, prompt: int, config: Any) -> float:
    """Most memory of a PPO update: policy, reward model and, in full training, the reference; the
    update's micro-batch or the rollout's cache, whichever is larger."""
    weights = shape.total * number_bytes(config)
    copies = 3 if config.adaptation == "full" else 2
    batch = min(config.batch_size, config.rollout_batch)
    length = prompt + config.max_new_tokens
    update = activations(shape, batch * length, config)
    update += batch * config.max_new_tokens * shape.vocabulary * LOGITS
    rollout = generation_bytes(shape, config.rollout_batch, length, number_bytes(config))
    return IMPORTED + copies * weights + shape.trained * 12 + HOLES * max(update, rollout)


def generation_bytes(shape: Shape, batch: int, length: int, width: int) -> float:
    """Cache of keys and values, which doubles for a moment when it grows, and a step's logits."""
    return batch * (2 * 2 * length * shape.layers * shape.keys * width + shape.vocabulary * 8)


def disk_bytes(shape: Shape, config: Any) -> float:
    """Checkpoints (weights in fp32 and AdamW's state of what is trained) and the artifact."""
    return shape.trained * (12 * KEPT_CHECKPOINTS + 4) + 20 * MIB


def available_bytes() -> int:
    """Memory that is free on the device: of the GPU, or of the machine within its cgroup."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    free = psutil.virtual_memory().available
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
        if limit.isdigit():
            free = min(free, int(limit) - int(used))
    except (OSError, ValueError):
        pass  # no cgroup, no limit
    return int(free)


def free_disk_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def speed() -> float:
    """Floating-point operations a second of a plain matrix product here and now."""
    gpu = torch.cuda.is_available()
    size = 4096 if gpu else 512
    device = "cuda" if gpu else "cpu"
    b = torch.randn(size, size, device=device, dtype=torch.bfloat16 if gpu else torch.float32)
    a = b / size
    best = 0.0
    for _ in range(8):  # the best of some: others may be at work here for a moment
        began = time.perf_counter()
        for _ in range(4):
            a = a @ b
        if gpu:
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - began))
    return best


def training_seconds(shape: Shape, tokens: float, config: Any, rate: float) -> float:
    """Time to train on `tokens` (padding counted): forward, backward over activations and, in full
    training, over weights."""
    factor = 6 if config.adaptation == "full" else 4
    return factor * shape.total * tokens / (rate * EFFICIENCY)


def forward_seconds(shape: Shape, tokens: float, rate: float) -> float:
    return 2 * shape.total * tokens / (rate * EFFICIENCY)


def generation_seconds(shape: Shape, steps: float) -> float:
    """Time of `steps` tokens of a batch: each reads all weights once, so memory sets the pace."""
    bandwidth = 1.5e12 if torch.cuda.is_available() else 4e9  # bytes a second, on the low side
    return steps * max(shape.total * 4 / bandwidth, 0.005)
