"""`{% panels "dataset" dataset.pk %}`: the panels that settings name for a page, as fragments."""

from django import template
from django.conf import settings
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def panels(context: Context, page: str, pk: int | str) -> SafeString:
    """A placeholder a panel, which loads the fragment and is told what the page's own address asks
    for; the page knows nothing else of it."""
    asked = context["request"].GET.urlencode()
    return format_html_join(
        "\n",
        '<div class="slot" hx-get="{}{}" hx-trigger="load" hx-swap="outerHTML"></div>',
        (
            (reverse(name, args=[pk]), f"?{asked}" if asked else "")
            for name in settings.PANELS.get(page, [])
        ),
    )
