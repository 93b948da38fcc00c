"""Line charts as SVG, drawn on the server: no script, readable by a screen reader. Pure."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 24
MOST_POINTS = 240


@dataclass(frozen=True)
class Line:
    """A named series of (step, value), in order of steps. `style`: l1 or l2 of the stylesheet."""

    name: str
    points: Sequence[Point]
    style: str = "l1"


def number(value: float) -> str:
    """As a person reads it: three significant digits, no long tail."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10_000 or size < 0.001:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from `low` to `high`, about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """As `number`, but with the digits that it takes to tell neighbours apart."""
    labels = [number(value) for value in values]
    step = min((b - a for a, b in itertools.pairwise(values)), default=math.inf)
    read = (float(label.replace(",", "")) for label in labels)
    if all(abs(a - b) < step / 100 for a, b in zip(read, values, strict=True)):
        return labels
    places = max(0, 1 - math.floor(math.log10(step)))  # steps have two digits at most: 2.5
    exact = [f"{value:.{places}f}" for value in values]
    spare = min(len(text) - len(text.rstrip("0")) for text in exact) if places else 0
    return [text[: len(text) - spare].rstrip(".") for text in exact]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points: of each bucket the lowest and the highest, so that spikes stay."""
    if len(points) <= most:
        return list(points)
    buckets = max(1, most // 2 - 1)
    size = (len(points) - 2) / buckets
    kept = [points[0]]
    for index in range(buckets):
        part = points[1 + int(index * size) : 1 + int((index + 1) * size)]
        if part:
            ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
            kept.extend(sorted(ends))
    return [*kept, points[-1]]


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """The axis for these values: a little air, and no division by nothing where all are equal.
    A thousandth of them is the least that it shows: less needs labels longer than there is room."""
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    air = max(air, max(abs(low), abs(high)) * 0.0005)
    floor = 0.0 if low >= 0 and low - air < 0 else low - air
    return floor, high + air


def summary(lines: Sequence[Line]) -> str:
    """What the chart says, in a sentence: for screen readers."""
    parts = []
    for line in lines:
        values = [value for _, value in line.points]
        parts.append(
            f"{line.name}: last {number(values[-1])} at step {line.points[-1][0]:g}, "
            f"lowest {number(min(values))}, highest {number(max(values))}"
        )
    return "; ".join(parts)


def chart(title: str, lines: Sequence[Line], mark: tuple[str, float] | None = None) -> SafeString:
    """An SVG of one or two lines over the steps. `mark`: a dashed level with its name.

    Empty where no line has a point."""
    lines = [line for line in lines if line.points]
    if not lines:
        return SafeString("")
    steps = [step for line in lines for step, _ in line.points]
    values = [value for line in lines for _, value in line.points] + ([mark[1]] if mark else [])
    low, high = bounds(values)
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    grid = format_html_join(
        "",
        '<line class="ax" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 4, tick)
            for v, tick in zip(ticks(low, high), tick_labels(ticks(low, high)), strict=True)
        ),
    )
    feet = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (
                x(s),
                HEIGHT - 7,
                "start" if s == first else "end" if s == last else "middle",
                f"{s:g}",
            )
            for s in (sorted({first, last}) if last - first < 4 else _feet(first, last))
        ),
    )
    drawn = format_html_join("", "{}{}", ((_path(line, x, y), _dots(line, x, y)) for line in lines))
    level = (
        format_html(
            '<line class="ax mark" x1="{}" x2="{}" y1="{}" y2="{}" stroke-dasharray="3 4"/>'
            '<text x="{}" y="{}">{}: {}</text>',
            LEFT, WIDTH - RIGHT, y(mark[1]), y(mark[1]),
            LEFT + 4, y(mark[1]) - 4, mark[0], number(mark[1]),
        )
        if mark
        else ""
    )  # fmt: skip
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}. {}">{}{}{}{}</svg>',
        WIDTH, HEIGHT, title, summary(lines), grid, feet, level, drawn,
    )  # fmt: skip


def _feet(first: float, last: float) -> list[float]:
    """The steps named below the chart: its ends, and round ones that do not touch them."""
    if last - first < 4:
        return sorted({first, last})
    room = (last - first) / 7
    between = [s for s in ticks(first, last) if first + room < s < last - room]
    return [first, *between, last]


def _path(line: Line, x, y) -> SafeString:  # type: ignore[no-untyped-def]
    points = " ".join(f"{x(step)},{y(value)}" for step, value in thin(line.points))
    return format_html('<polyline class="{}" points="{}"/>', line.style, points)


def _dots(line: Line, x, y) -> SafeString:  # type: ignore[no-untyped-def]
    """What one hovers over: each point says what it is. The last one is always seen."""
    points = thin(line.points, 80)
    return format_html_join(
        "",
        '<circle class="dot {}{}" cx="{}" cy="{}" r="{}"><title>{} {} at step {}</title></circle>',
        (
            (line.style, " last" if place == len(points) - 1 else "", x(step), y(value), 3.5,
             line.name, number(value), f"{step:g}")
            for place, (step, value) in enumerate(points)
        ),
    )  # fmt: skip


def reliability(title: str, bins: Sequence[Mapping[str, float]]) -> SafeString:
    """How right (upwards) by how sure (to the right), both from 0 and a half on; the dashed line is
    where they agree. `bins`: {"sure", "right", "pairs"}; a dot's area is its share of the pairs."""
    total = sum(row["pairs"] for row in bins) or 1

    def x(sure: float) -> float:
        return round(LEFT + (min(max(sure, 0.5), 1) - 0.5) * 2 * (WIDTH - LEFT - RIGHT), 1)

    def y(right: float) -> float:
        return round(TOP + (1 - min(max(right, 0), 1)) * (HEIGHT - TOP - BOTTOM), 1)

    grid = format_html_join(
        "",
        '<line class="ax" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>',
        ((LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 4, f"{v:g}") for v in (0, 0.5, 1)),
    )
    feet = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (x(v), HEIGHT - 7, "end" if v == 1 else "start" if v == 0.5 else "middle", f"{v:g}")
            for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1)
        ),
    )
    ordered = sorted(bins, key=lambda row: row["sure"])
    path = " ".join(f"{x(row['sure'])},{y(row['right'])}" for row in ordered)
    dots = format_html_join(
        "",
        '<circle class="fill" cx="{}" cy="{}" r="{}"><title>{} % sure, {} % right, {} pairs'
        "</title></circle>",
        (
            (x(row["sure"]), y(row["right"]), round(3 + 9 * math.sqrt(row["pairs"] / total), 1),
             round(100 * row["sure"]), round(100 * row["right"]), f"{row['pairs']:g}")
            for row in ordered
        ),
    )  # fmt: skip
    said = "; ".join(f"{row['sure']:.0%} sure, {row['right']:.0%} right" for row in ordered)
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}. {}">{}{}'
        '<line class="ax mark" x1="{}" x2="{}" y1="{}" y2="{}" stroke-dasharray="3 4"/>'
        '<polyline class="l1" points="{}"/>{}</svg>',
        WIDTH, HEIGHT, title, said, grid, feet, x(0.5), x(1), y(0.5), y(1), path, dots,
    )  # fmt: skip


def histogram(title: str, edges: Sequence[float], counts: Sequence[int]) -> SafeString:
    """Bars between the edges (one more than there are counts), as an SVG."""
    most = max(counts, default=0)
    if not most or len(edges) != len(counts) + 1:
        return SafeString("")
    wide = (WIDTH - 16) / len(counts)
    foot = HEIGHT - BOTTOM
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{} to {}: {}</title></rect>',
        (
            (
                round(8 + place * wide, 1),
                round(foot - (foot - TOP) * count / most, 1),
                round(wide * 0.86, 1),
                round((foot - TOP) * count / most, 1),
                f"{edges[place]:g}",
                f"{edges[place + 1]:g}",
                count,
            )
            for place, count in enumerate(counts)
        ),
    )
    every = max(1, len(counts) // 4)
    feet = format_html_join(
        "",
        '<text x="{}" y="{}">{}</text>',
        (
            (round(8 + p * wide, 1), HEIGHT - 7, f"{edges[p]:g}")
            for p in range(0, len(counts), every)
        ),
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<g class="fill">{}</g><line class="ax" x1="0" x2="{}" y1="{}" y2="{}"/>{}</svg>',
        WIDTH, HEIGHT, title, bars, WIDTH, foot, foot, feet,
    )  # fmt: skip
