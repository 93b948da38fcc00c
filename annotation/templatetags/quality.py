"""How shares and coefficients are written."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from annotation import quality_marks

register = template.Library()
WIDTH, HEIGHT = 120, 14
SHARES = ("same", "top")


@register.filter
def percent(share: float | None) -> str:
    """0.625 is "62 %"; nothing where nothing is known."""
    return "" if share is None else quality_marks.percent(share)


@register.filter
def coefficient(value: float | None) -> str:
    return "" if value is None else quality_marks.coefficient(value)


@register.filter
def as_figure(value: float | None, metric: str) -> str:
    """A share as percent, a coefficient with two digits."""
    return percent(value) if metric in SHARES else coefficient(value)


@register.simple_tag
def range_bar(figure: Mapping[str, Any], low: float = -0.2, high: float = 1.0) -> SafeString:
    """A value and its interval on a line from `low` to `high`, with a stroke at 0. The figures
    stand beside it in digits, so it is hidden from screen readers."""
    if figure.get("value") is None:
        return SafeString("")

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(2 + share * (WIDTH - 4), 1)

    ends = (figure.get("low"), figure.get("high"))
    start, end = (at(figure["value"] if each is None else each) for each in ends)
    return format_html(
        '<svg class="range" viewBox="0 0 {w} {h}" aria-hidden="true"><line class="ax" x1="2"'
        ' x2="{r}" y1="7" y2="7"/><line class="ax" x1="{z}" x2="{z}" y1="2" y2="12"/>'
        '<line class="l1 wide" x1="{a}" x2="{b}" y1="7" y2="7"/>'
        '<circle class="fill" cx="{c}" cy="7" r="4"/></svg>',
        w=WIDTH,
        h=HEIGHT,
        r=WIDTH - 2,
        z=at(0.0),
        a=start,
        b=end,
        c=at(figure["value"]),
    )
