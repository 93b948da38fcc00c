"""How time spent at work is written."""

from django import template

register = template.Library()


@register.filter
def active(seconds: int) -> str:
    """Active time in the unit that says enough: "40 s", "7 min", "2 h 5 min"."""
    seconds = int(seconds or 0)
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@register.filter
def typical(seconds: float) -> str:
    """What one item takes: seconds up to two minutes, then minutes: "95 s", "11 min"."""
    return f"{round(seconds)} s" if seconds < 120 else active(round(seconds))
