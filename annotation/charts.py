"""Charts as SVG, drawn on the server: no script, each with what it says in words. Pure."""

from collections.abc import Sequence
from datetime import date

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 420, 140
LEFT, RIGHT, TOP, BOTTOM = 34, 4, 8, 22
MEAN_OF = 7  # days of the line


def per_day(title: str, days: Sequence[date], values: Sequence[int]) -> SafeString:
    """A bar a day, and the mean of the MEAN_OF days before each as a line. Empty for no days."""
    if not days:
        return SafeString("")
    most = _round_up(max([*values, 1]))
    step = (WIDTH - LEFT - RIGHT) / len(days)

    def y(value: float) -> float:
        return round(TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM), 1)

    grid = format_html_join(
        "",
        '<line class="ax" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, y(v), y(v), LEFT - 6, y(v) + 4, f"{v:,}")
            for v in sorted({0, most // 2 if most > 1 else 0, most})
        ),
    )
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (
                round(LEFT + place * step + step * 0.12, 1),
                y(value),
                round(step * 0.76, 1),
                round(HEIGHT - BOTTOM - y(value), 1),
                f"{day:%a} {day.day} {day:%b}",
                f"{value:,}",
            )
            for place, (day, value) in enumerate(zip(days, values, strict=True))
        ),
    )
    points = " ".join(
        f"{round(LEFT + (place + 0.5) * step, 1)},{y(sum(part) / len(part))}"
        for place in range(MEAN_OF - 1, len(values))
        if (part := values[place - MEAN_OF + 1 : place + 1])
    )
    feet = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{} {}</text>',
        (
            (
                WIDTH - RIGHT if place == len(days) - 1 else round(LEFT + place * step, 1),
                HEIGHT - 6,
                "end" if place == len(days) - 1 else "start",
                day.day,
                f"{day:%b}",
            )
            for place, day in enumerate(days)
            if place == len(days) - 1 or (place % 7 == 0 and place < len(days) - 5)
        ),
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}: {} in {} days, {} at'
        ' most on a day, {} today">{}<g class="fill">{}</g><polyline class="l2" points="{}"/>{}'
        "</svg>",
        WIDTH, HEIGHT, title, f"{sum(values):,}", len(days), f"{max(values):,}", f"{values[-1]:,}",
        grid, bars, points, feet,
    )  # fmt: skip


def _round_up(value: int) -> int:
    """The next of 1, 2, 4, 6, 8, 10, 20, 40 ...: its half is a whole number, too."""
    size = 1
    while value > 10 * size:
        size *= 10
    return next(n * size for n in (1, 2, 4, 6, 8, 10) if n * size >= value)
