"""The preflight's part of a form that starts something: asked for, followed, answered.

It stands inside the form and always speaks of what the form says now: it asks again with the form's
own values, while a worker is at it and whenever one of them has changed."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from training import preflight_report, preflights, reports
from training.models import Preflight
from training.planning import Plan
from training.recipes.configs import RECIPES


@dataclass
class Look:
    """What is known of one run to be."""

    plan: Plan
    row: Preflight | None = None

    @property
    def title(self) -> str:
        return RECIPES[self.plan.run.recipe].title

    @property
    def state(self) -> str:
        """Of the row, or "waits", "lost", "unknown"."""
        if self.row is None:
            return "waits" if self.plan.waits else "unknown"
        return "lost" if preflights.is_lost(self.row) else self.row.state

    @property
    def ahead(self) -> int:
        """How many preflights a worker does before it."""
        assert self.row is not None
        return preflights.ahead(self.row)

    @property
    def for_long(self) -> str:
        """How long ago it was asked, or answered."""
        assert self.row is not None
        since = (not self.row.is_busy and self.row.computed) or self.row.asked
        return reports.span((timezone.now() - since).total_seconds())

    @property
    def report(self) -> dict[str, Any] | None:
        """What it found, ready for the page; while two steps are tried, too."""
        if self.row is None or not self.row.found:
            return None
        tried = {"probe": self.row.probe} if self.row.probe else {}
        return preflight_report.shown(self.row.found | tried)


@dataclass
class Verdict:
    """Of all that a button would start. `url`: where it is asked for; `prefix`: of the knobs."""

    url: str
    word: str
    looks: list[Look]
    prefix: str = ""
    is_new: bool = False  # the form has not been sent: ask what is known of it

    @property
    def busy(self) -> bool:
        return any(look.state in ("queued", "running") for look in self.looks)

    @property
    def may_start(self) -> bool:
        states = [look.state for look in self.looks]
        return bool(states) and all(state in ("passed", "waits") for state in states)

    @property
    def refuses(self) -> bool:
        return any(look.state in ("refused", "failed") for look in self.looks)

    def start(self) -> bool:
        """May it start now? What has not been looked at is asked for. Raises Refused."""
        self._check()
        self.ask()
        self._check()
        return self.may_start

    def _check(self) -> None:
        for look in self.looks:
            if look.row is not None:
                preflights.check(look.row)

    def ask(self, *, probe: bool = False, again: bool = False) -> None:
        for look in self.looks:
            if not look.plan.waits:
                look.row = preflights.ask(look.plan, probe=probe, again=again)


def looks(plans: list[Plan]) -> list[Look]:
    """What is known by now."""
    return [Look(plan, None if plan.waits else preflights.known(plan)) for plan in plans]


def answer(request: HttpRequest, verdict: Verdict) -> HttpResponse:
    """The verdict alone, for whoever follows it."""
    return render(request, "training/_verdict.html", {"verdict": verdict})
