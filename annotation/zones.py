"""Each person's own time zone: days and hours on pages are theirs."""

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from annotation.models import User


@cache
def names() -> list[str]:
    """The zones that a person may choose: places, not abbreviations."""
    return sorted(name for name in available_timezones() if "/" in name and name[:4] != "Etc/")


def of(user: User) -> ZoneInfo:
    """The person's zone; the server's where none is set, or one that is no more."""
    try:
        return ZoneInfo(user.timezone or settings.TIME_ZONE)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(settings.TIME_ZONE)


def today(user: User, now: datetime | None = None) -> date:
    """The day that it is where the person is."""
    return timezone.localdate(now or timezone.now(), of(user))


class Middleware:
    """Pages speak of time in the zone of whoever looks. Without a session nobody is asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return self.get_response(request)
        user = request.user
        if not user.is_authenticated or not user.timezone:
            return self.get_response(request)
        with timezone.override(of(user)):
            return self.get_response(request)
