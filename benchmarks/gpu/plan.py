"""What is measured, in which order, and what its numbers are held beside."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

WARM = 3  # steps before the timed ones
SIDES = ("ours", "trl")


@dataclass(frozen=True)
class Shape:
    """A Llama's."""

    hidden: int
    inner: int
    layers: int
    heads: int
    keys: int  # heads of keys and values
    vocabulary: int
    tied: bool  # one matrix is embedding and head


SHAPES = {
    "0.5B": Shape(896, 4864, 24, 14, 2, 151_936, True),  # as Qwen2.5's
    "1.5B": Shape(1536, 8960, 28, 12, 2, 151_936, True),
    "8B": Shape(4096, 14_336, 32, 32, 8, 128_256, False),  # as Llama 3.1's
    "tiny": Shape(64, 128, 2, 4, 2, 512, True),
}

# Dense bf16 with sums in fp32, operations a second, as the makers' datasheets have it. The first
# name that the device's name contains counts.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "A10": 125e12,
}


def peak_of(device: str) -> float | None:
    return next((peak for name, peak in PEAKS.items() if name in device), None)


def operations(adaptation: str, weights: int) -> int:
    """Floating-point operations a token, by which MFU is reckoned: MFU = tokens a second * this /
    the device's peak. 6N where all weights are trained (2N forward, 2N backward to the activations,
    2N to the weights), 4N under an adapter, whose own share is below 2 %. N: the weights that
    multiply each token, the layers' linear maps and the head. Attention between tokens, padding
    and what activation checkpointing computes again do not count."""
    return (6 if adaptation == "full" else 4) * weights


@dataclass(frozen=True)
class Cell:
    """One measurement of one side."""

    kind: str  # train or ppo
    shape: str
    adaptation: str
    side: str
    packed: bool = False
    rows: int = 2  # a batch
    room: int = 2048  # tokens of the longest row, and of a packed one
    steps: int = 12  # timed
    checkpointing: bool = False
    attention: str = "sdpa"
    peer: str = field(default="", repr=False)  # the environment of TRL's PPO

    @property
    def name(self) -> str:
        how = "" if self.kind == "ppo" else " packed" if self.packed else " unpacked"
        return f"{self.kind} {self.shape} {self.adaptation}{how} {self.side}"


ORDER = (  # of shape and adaptation: the most telling first, should the time not do for all
    ("8B", "lora"),
    ("0.5B", "full"),
    ("8B", "qlora"),
    ("8B", "full"),
    ("0.5B", "lora"),
    ("1.5B", "lora"),
    ("1.5B", "full"),
    ("0.5B", "qlora"),
    ("1.5B", "qlora"),
)


def cells(*, tiny: bool, peer: str, attention: str) -> Iterator[Cell]:
    """PPO comes behind the first three pairs, what is unpacked last."""
    order = [("tiny", adaptation) for adaptation in ("lora", "full", "qlora")] if tiny else ORDER
    more: dict[str, Any] = {"attention": attention}
    if tiny:
        more |= {"room": 64, "steps": 3}
    for packed in (True, False):
        for place, (shape, adaptation) in enumerate(order):
            for side in SIDES:
                yield Cell(
                    "train",
                    shape,
                    adaptation,
                    side,
                    packed,
                    rows=2 if packed else 4,
                    checkpointing=(shape, adaptation) == ("8B", "full"),
                    **more,
                )
            if packed and place == 2:
                small = "tiny" if tiny else "0.5B"
                for side in SIDES if peer else SIDES[:1]:
                    for mode in ("lora",) if tiny else ("lora", "full"):
                        yield Cell("ppo", small, mode, side, steps=2, peer=peer)
