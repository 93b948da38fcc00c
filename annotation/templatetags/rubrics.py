"""What the rows of the rubric's form say about mistakes and about the focus."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def said(row: Mapping[str, Any], n: int, part: str) -> SafeString:
    """The attributes of a field that was refused."""
    if part not in row["errors"]:
        return mark_safe("")
    return format_html(' aria-invalid="true" aria-describedby="{}-{}-error" autofocus', n, part)


@register.simple_tag
def mistake(row: Mapping[str, Any], n: int, part: str) -> SafeString:
    """Why it was refused, beside the field."""
    if part not in row["errors"]:
        return mark_safe("")
    words = '<p class="errorlist" id="{}-{}-error">{}</p>'
    return format_html(words, n, part, row["errors"][part])


@register.simple_tag(takes_context=True)
def at_focus(context: Mapping[str, Any], n: int, part: str) -> SafeString:
    return mark_safe(" autofocus" if context.get("focus") == f"{n}-{part}" else "")
