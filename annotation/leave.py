"""Leave: who is away, from when until when, by their own calendar. The only writer of its dates."""

from datetime import date, datetime

from django.db import transaction
from django.utils import timezone

from annotation import zones
from annotation.errors import Refused
from annotation.models import Membership, Workspace


@transaction.atomic
def set_leave(*, membership: Membership, first: date | None, last: date | None) -> None:
    """Away from `first` to `last`, both included; no last: until further notice; neither: here.

    Raises Refused for an end before its beginning, and for an end alone."""
    if last is not None and first is None:
        raise Refused("Say also from which day.", field="away_from")
    if first is not None and last is not None and last < first:
        raise Refused("The last day lies before the first.", field="away_until")
    membership.away_from, membership.away_until = first, last
    membership.save(update_fields=["away_from", "away_until"])


def is_away(membership: Membership, now: datetime | None = None) -> bool:
    """Today is a day of their leave where they are."""
    if membership.away_from is None:
        return False
    today = zones.today(membership.user, now)
    until = membership.away_until
    return membership.away_from <= today and (until is None or today <= until)


def said(membership: Membership, now: datetime | None = None) -> str:
    """ "away until 3 December", "away from 1 December", or nothing where no leave is to come."""
    first, last = membership.away_from, membership.away_until
    if first is None or (last is not None and last < zones.today(membership.user, now)):
        return ""
    if not is_away(membership, now):
        return f"away from {_day(first)}" + (f" to {_day(last)}" if last else "")
    return f"away until {_day(last)}" if last else "away until further notice"


def away(workspace: Workspace) -> dict[int, str]:
    """Who is away today: {user: what `said` says}."""
    rows = workspace.memberships.filter(is_active=True, away_from__isnull=False)
    return {m.user_id: said(m) for m in rows.select_related("user") if is_away(m)}


def _day(day: date) -> str:
    year = "" if day.year == timezone.localdate().year else f" {day.year}"
    return f"{day.day} {day:%B}{year}"
