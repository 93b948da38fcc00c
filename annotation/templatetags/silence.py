"""How long a worker has been silent, where that is worth a word."""

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()
# Workers say that they live once a second; one that writes a large piece may take longer.
WORTH_A_WORD = 15


@register.filter
def silent_for(last: datetime | None) -> int:
    """Seconds since its last word; 0 where it is not to be missed yet, and where it said none."""
    if last is None:
        return 0
    passed = int((timezone.now() - last).total_seconds())
    return passed if passed >= WORTH_A_WORD else 0
