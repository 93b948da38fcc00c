"""Histograms, as numbers for an SVG that a template draws. Pure."""

from dataclasses import dataclass, replace
from typing import Any

WIDTH, HEIGHT, FOOT = 320, 110, 20
GAP = 4
LOW = 56  # of a facet's histogram


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    count: int
    edge: str


def _short(number: int) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else str(number)


def histogram(lengths: dict[str, Any]) -> dict[str, Any]:
    """`lengths` as exports.figures describes them: bars up to the last that is not empty, and what
    they say in words for those who do not see them."""
    edges, counts = lengths["edges"], lengths["counts"]
    used = max((place for place, count in enumerate(counts) if count), default=0) + 1
    first = min((place for place, count in enumerate(counts) if count), default=0)
    first = max(0, min(first, used - 4))
    shown = range(first, max(used, first + 1))
    step, highest = WIDTH / len(shown), max(counts) or 1
    bars = []
    for slot, place in enumerate(shown):
        height = round(counts[place] / highest * (HEIGHT - 12), 1)
        top = edges[place + 1] if place + 1 < len(edges) else None
        label = f"{edges[place]} to {top - 1}" if top else f"{edges[place]} and more"
        x, y = round(slot * step + GAP / 2, 1), round(HEIGHT - height, 1)
        width = round(step - GAP, 1)
        bars.append(Bar(x, y, width, height, label, counts[place], _short(edges[place])))
    said = "; ".join(f"{bar.label}: {bar.count}" for bar in bars if bar.count) or "no answers"
    return {
        "bars": bars,
        "width": WIDTH,
        "height": HEIGHT + FOOT,
        "axis": HEIGHT,
        "words": HEIGHT + 15,
        "said": f"Answers by length in characters. {said}.",
    }


@dataclass(frozen=True)
class Step:
    """A bar that can be chosen. `query`: the address that chooses it."""

    label: str
    count: int
    query: str
    on: bool = False
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0


def steps(found: list[Step], ends: list[str]) -> dict[str, Any]:
    """Bars of equal width over the whole range; `ends`: words below the first and the last. Each
    that is not empty is at least 2 high, so that it can be seen and met."""
    highest = max((step.count for step in found), default=0) or 1
    wide = WIDTH / max(1, len(found))
    bars = []
    for place, step in enumerate(found):
        height = max(2.0, round(step.count / highest * LOW, 1)) if step.count else 0.0
        bars.append(
            replace(
                step, x=round(place * wide + 1, 1), y=round(LOW - height, 1),
                width=round(max(1.0, wide - 2), 1), height=height,
            )
        )  # fmt: skip
    return {"bars": bars, "width": WIDTH, "height": LOW + 1, "axis": LOW, "ends": ends}
