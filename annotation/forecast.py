"""Where a pace leads: the day on which what is left will be done, in words, with what it assumes.

Pure. The range is that of a mean: WIDE standard errors to both sides of the pace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, sqrt

WINDOW = 7  # days that the pace is taken from
WIDE = 1.28  # of a normal distribution, 80 % lie within so many standard errors
FAR = 730  # days: beyond, a date says nothing


@dataclass(frozen=True)
class Forecast:
    """`day`: when it is done; none where there is no telling. `early` and `late` stand around it
    (none: not to be said). `pace`: submissions a day. `said`: a sentence; `assumes`: another."""

    day: date | None
    early: date | None
    late: date | None
    pace: float
    said: str
    assumes: str = ""


def forecast(left: int, per_day: Sequence[int], today: date, begun: bool = True) -> Forecast:
    """`left`: submissions that are still needed; `per_day`: of the last days, today's last;
    `begun`: anything was ever handed in.

    The pace is that of the last WINDOW whole days, or of the days since work began."""
    if left <= 0:
        return Forecast(None, None, None, 0.0, "All that is here is done.")
    days = _window(per_day)
    if not any(days):
        words = f"Nobody has handed anything in for {WINDOW} days" if begun else "Nobody has begun"
        return Forecast(None, None, None, 0.0, f"{words}, so there is no date.")
    pace = sum(days) / len(days)
    spread = _standard_error(days)
    assumes = _assumes(days)
    needed = left / pace
    if needed > FAR:
        words = f"At {_a_day(pace)} it takes more than two years."
        return Forecast(None, None, None, pace, words, assumes)
    day = today + timedelta(days=ceil(needed))
    if spread is None:
        words = f"At {_a_day(pace)} it is done about {said(day, today)}."
        return Forecast(day, None, None, pace, words, assumes)
    early = today + timedelta(days=ceil(left / (pace + WIDE * spread)))
    slow = pace - WIDE * spread
    late = today + timedelta(days=ceil(left / slow)) if slow > 0 and left / slow <= FAR else None
    between = (
        f"{said(early, today)} at the earliest; the days differ too much to say the latest"
        if late is None
        else f"between {said(early, today)} and {said(late, today)}"
    )
    words = f"At {_a_day(pace)} it is done about {said(day, today)}"
    words += "." if early == late else f" ({between})."
    return Forecast(day, early, late, pace, words, assumes)


def _window(per_day: Sequence[int]) -> list[int]:
    """The days that the pace is taken from. Today is half over: it counts only where work began
    today or yesterday and there is nothing else to go by."""
    whole = list(per_day[-WINDOW - 1 : -1])
    if not any(per_day[: -WINDOW - 1]):  # work began within the window: days before it say nothing
        while whole and not whole[0]:
            whole.pop(0)
    return whole if any(whole) else list(per_day[-1:])


def _standard_error(days: Sequence[int]) -> float | None:
    """Of the mean; none for fewer than three days."""
    if len(days) < 3:
        return None
    mean = sum(days) / len(days)
    return sqrt(sum((n - mean) ** 2 for n in days) / (len(days) - 1) / len(days))


def _a_day(pace: float) -> str:
    return f"{pace:,.0f} a day" if pace >= 10 else f"{pace:.2g} a day"


def _assumes(days: Sequence[int]) -> str:
    of = {
        1: "a single day, so the date is a guess",
        2: "two days, so the date is rough",
    }.get(len(days), f"the last {len(days)} whole days")
    return (
        f"The pace is that of {of}. It assumes that people go on as they did then, weekends "
        "included, and that nothing new comes in."
    )


def said(day: date, today: date) -> str:
    """As a person says it: "today", "tomorrow", "Thu 3 Dec", next year with the year."""
    if (day - today).days in (0, 1):
        return ("today", "tomorrow")[(day - today).days]
    words = f"{day:%a} {day.day} {day:%b}"
    return words if day.year == today.year else f"{words} {day.year}"
