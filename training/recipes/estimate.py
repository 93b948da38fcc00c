"""What a run will cost in time and on disk, and what the device has: rough, in seconds and bytes.
Memory has a file of its own (memory.py)."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from training.recipes.evaluation import ANSWERED
from training.recipes.memory import MIB
from training.recipes.shapes import Shape

EFFICIENCY = 0.45  # of a plain matrix product's speed, measured on small models on a processor
KEPT_CHECKPOINTS = 4  # two that stay, the best one, and the one that is being written
LOADING = 20  # seconds
AGAIN = 4 / 3  # time where activations are computed twice


def steps_of(rows: int, config: Any) -> int:
    """Updates of a run: all passes over the rows, or as many as `max_steps` allows."""
    per_pass = math.ceil(math.ceil(rows / config.batch_size) / config.accumulation)
    total = max(1, math.ceil(per_pass * config.epochs))
    return min(total, config.max_steps) if config.max_steps else total


def run_seconds(
    recipe: str,
    shape: Shape,
    config: Any,
    *,
    steps: int,
    rows: int,
    judged: int,
    mean: float,
    longest: int,
    rate: float,
) -> float:
    """Time of a whole run. `rows` it reads, of which `judged` before and after; their `mean` and
    `longest` length in tokens; `rate` in operations a second."""
    if recipe in ("answer", "evaluate"):
        seconds = forward_seconds(shape, rows * mean, rate)
        batches = math.ceil(rows / config.batch_size)
        return LOADING + seconds + generation_seconds(shape, batches * config.max_new_tokens)
    if recipe == "ppo":
        tokens = steps * config.rollout_batch * (mean + config.max_new_tokens)
        seconds = config.ppo_epochs * training_seconds(shape, tokens, config, rate)
        seconds += 3 * forward_seconds(shape, tokens, rate)
        return LOADING + seconds + generation_seconds(shape, (steps + 2) * config.max_new_tokens)
    # A batch is padded to its longest row: about half of the way from the mean to the longest.
    padded = (mean + longest) / 2 * (2 if recipe in ("reward", "dpo") else 1)
    tokens = steps * config.batch_size * config.accumulation * padded
    looks = 2 + steps // config.eval_steps
    seconds = training_seconds(shape, tokens, config, rate)
    seconds += looks * forward_seconds(shape, judged * padded, rate)
    if recipe in ("dpo", "kto"):
        seconds += forward_seconds(shape, tokens, rate)  # the reference reads along
    batches = math.ceil(min(judged, ANSWERED) / 4) if recipe == "sft" else 1
    seconds += 2 * batches * generation_seconds(shape, getattr(config, "sample_tokens", 0))
    return LOADING + seconds


def training_seconds(shape: Shape, tokens: float, config: Any, rate: float) -> float:
    """Time to train on `tokens` (padding counted): forward, backward over activations and, where
    the weights are trained themselves, over weights."""
    factor = 6 if config.adaptation in ("full", "half") else 4
    again = AGAIN if config.checkpointing == "on" else 1
    return again * factor * shape.total * tokens / (rate * EFFICIENCY)


def forward_seconds(shape: Shape, tokens: float, rate: float) -> float:
    return 2 * shape.total * tokens / (rate * EFFICIENCY)


def generation_seconds(shape: Shape, steps: float) -> float:
    """Time of `steps` tokens of a batch: each reads all weights once, so memory sets the pace."""
    bandwidth = 1.5e12 if torch.cuda.is_available() else 4e9  # bytes a second, on the low side
    return steps * max(shape.total * 4 / bandwidth, 0.005)


def disk_bytes(shape: Shape) -> float:
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
