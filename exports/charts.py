"""The histogram of lengths, as numbers for an SVG that a template draws. Pure."""

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, FOOT = 320, 110, 20
GAP = 4


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
