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
