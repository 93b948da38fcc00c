"""How fast a person works: for themselves and for the leads, never for a comparison in public.

Reads only, over a bounded number of turns, and believed for FRESH seconds."""

import time
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from django.core.cache import cache
from django.utils import timezone

from annotation import zones
from annotation.models import Stage, Submission, User

DAYS = 14
FRESH = 20  # seconds
PATIENCE = 200  # what took a second to read is good for so many
MOST_MINE = 5_000  # of one's latest turns
MOST_HERE = 20_000  # of a stage's latest turns
HANDED_IN = (Submission.State.SUBMITTED, Submission.State.LATE)


@dataclass(frozen=True)
class Day:
    date: date
    items: int
    seconds: int


@dataclass(frozen=True)
class Pace:
    """`days`: the last DAYS, oldest first. `typical`: the median seconds of an item, if known."""

    days: list[Day]
    typical: int | None

    @property
    def today(self) -> Day:
        return self.days[-1]

    @property
    def items(self) -> int:
        return sum(day.items for day in self.days)

    @property
    def seconds(self) -> int:
        return sum(day.seconds for day in self.days)


@dataclass(frozen=True)
class Here:
    """One person's time in one stage."""

    seconds: int
    typical: int | None


def mine(user: User) -> Pace:
    """What the person handed in on each of their last days, wherever it was."""
    key = f"pace:{user.pk}"
    known: Pace | None = cache.get(key)
    if known is None:
        known = _mine(user)
        cache.set(key, known, FRESH)
    return known


def _mine(user: User) -> Pace:
    zone, today = zones.of(user), zones.today(user)
    days = {today - timedelta(days=ago): (0, 0) for ago in range(DAYS - 1, -1, -1)}
    # By number first: that reads the index alone, where the rows hold long texts.
    turns = Submission.objects.filter(user=user, state__in=HANDED_IN)
    latest = turns.order_by("-pk").values("pk")[:MOST_MINE]
    since = timezone.now() - timedelta(days=DAYS)
    rows = Submission.objects.filter(pk__in=latest, submitted__gte=since)
    times = []
    for when, seconds in rows.values_list("submitted", "active_seconds"):
        day = timezone.localdate(when, zone)
        if day in days:
            items, before = days[day]
            days[day] = (items + 1, before + seconds)
            times.append(seconds)
    return Pace([Day(day, *counted) for day, counted in days.items()], _typical(times))


def here(stage: Stage) -> dict[int, Here]:
    """Of each person in the stage, by their id."""
    key = f"pace-here:{stage.pk}"
    known: dict[int, Here] | None = cache.get(key)
    if known is None:
        began = time.monotonic()
        known = _here(stage)
        cache.set(key, known, max(FRESH, PATIENCE * (time.monotonic() - began)))
    return known


def _here(stage: Stage) -> dict[int, Here]:
    turns = Submission.objects.filter(stage=stage, state__in=HANDED_IN)
    latest = turns.order_by("-pk").values("pk")[:MOST_HERE]
    times: dict[int, list[int]] = {}
    rows = Submission.objects.filter(pk__in=latest, user__isnull=False)
    for user, seconds in rows.values_list("user", "active_seconds"):
        times.setdefault(user, []).append(seconds)
    return {user: Here(sum(each), _typical(each)) for user, each in times.items()}


def _typical(times: list[int]) -> int | None:
    """The median of the times that were taken: imported and very old turns have none."""
    taken = [seconds for seconds in times if seconds]
    return round(median(taken)) if taken else None


WIDTH, HEIGHT, GAP = 420, 60, 6


def bars(values: list[int]) -> list[dict[str, float]]:
    """A bar a value, left to right, as {x, y, width, height} in a box of WIDTH by HEIGHT."""
    most = max([*values, 1])
    step = WIDTH / max(len(values), 1)
    return [
        {
            "x": round(place * step + GAP / 2, 1),
            "y": round(HEIGHT - value / most * HEIGHT, 1),
            "width": round(step - GAP, 1),
            "height": round(value / most * HEIGHT, 1),
        }
        for place, value in enumerate(values)
    ]
