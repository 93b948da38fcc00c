"""`{{ 0.631|percent }}`: 63 %."""

from django import template

register = template.Library()


@register.filter
def percent(share: float) -> str:
    return f"{share * 100:.0f} %"
