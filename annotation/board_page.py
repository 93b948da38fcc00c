"""What a lead sees of a project at a glance: where the pace leads, who works, what waits. Reads
only; beside the numbers of board.py every count stops at MANY."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString

from annotation import charts, leave
from annotation.board import DAYS, Counts
from annotation.forecast import Forecast, forecast, said
from annotation.models import (
    Adjudication,
    Item,
    Measurement,
    Membership,
    Project,
    Prompt,
    Role,
    Seat,
    Stage,
)
from annotation.progress import Progress
from annotation.prompt_filters import differing
from annotation.quality_page import TONES, VERDICTS, headline
from annotation.reviewing import counted as waiting_in
from annotation.rounds import WORKED

MANY = 1_000
IDLE = 3  # days without a submission, while work waits
MOST_PEOPLE = 30
DISAGREE = 50  # of 100: from here on an item stands on the lead's list


@dataclass(frozen=True)
class Agreed:
    """A stage's agreement as it was last measured: of its own question, else of the one that is
    agreed on least. `word` and `tone` are those of the quality page."""

    value: float
    word: str
    tone: str
    about: str
    sentence: str
    measured: datetime


@dataclass(frozen=True)
class Line:
    """A stage on the board. Counts of what waits end at MANY."""

    stage: Stage
    progress: Progress | None
    left: int = 0
    forecast: Forecast | None = None
    to_review: int = 0
    returned: int = 0
    flagged: int = 0
    disagree: int = 0
    agreement: Agreed | None = None

    @property
    def may_agree(self) -> bool:
        """Several people say something that can be compared, and have begun."""
        compares = self.stage.kind in (Stage.Kind.RANK, Stage.Kind.RATE) or self.stage.rubric
        begun = self.progress is not None and self.progress["submitted"] > 1
        return bool(compares and begun and self.stage.overlap > 1)


@dataclass(frozen=True)
class Person:
    """`week`: submissions of the last seven days; `last`: when the last one was, in words."""

    member: Membership  # with its user
    week: int
    in_hand: int
    last: str
    said: str  # "idle", "away until 3 Dec"; empty: nothing to say
    tone: str


def lines(stages: Sequence[Stage], counts: Counts, role: Role) -> list[Line]:
    """A line a stage. What waits is for reviewers, where the pace leads for leads."""
    today = _today(counts)
    if role < Role.REVIEWER:
        return [Line(stage, counts.of(stage)) for stage in stages]
    rows, known = [], agreements(stages)
    waiting = waiting_in([stage.pk for stage in stages])
    for stage in stages:
        found = counts.result.get("stages", {}).get(str(stage.pk), {})
        is_led = role >= Role.LEAD and "left" in found
        worked = is_led and stage.kind in WORKED and stage.state == Stage.State.OPEN
        known_of = counts.of(stage)
        begun = known_of is None or known_of["submitted"] > 0
        ahead = forecast(found["left"], found["per_day"], today, begun) if worked else None
        in_use = Prompt.objects.filter(pk=OuterRef("prompt"), retired__isnull=True)
        items = Item.objects.filter(stage=stage)
        rows.append(
            Line(
                stage=stage,
                progress=known_of,
                left=found.get("left", 0),
                forecast=ahead,
                to_review=waiting[stage.pk],
                returned=found.get("returned", 0),
                flagged=_few(items.filter(Exists(in_use), flagged=True)),
                disagree=_few(to_decide(stage)),
                agreement=known.get(stage.pk),
            )
        )
    return rows


def divided(stage: Stage) -> "QuerySet[Item]":
    """The items on which people were found to disagree."""
    rows = differing(Item.objects.filter(stage=stage))
    return rows.filter(disagreement__gte=DISAGREE)


def to_decide(stage: Stage) -> "QuerySet[Item]":
    """Those of them that nobody else will do and no lead has decided: what waits for a lead. Where
    more than MANY are divided, it looks at so many times five."""
    looked_at = divided(stage).order_by("-disagreement", "prompt").values("pk")[: 5 * MANY]
    decided = Adjudication.objects.filter(item=OuterRef("pk"), withdrawn=None)
    rows = Item.objects.filter(pk__in=looked_at, done__gte=F("needed"))
    return rows.filter(~Exists(decided))


def _few(rows: "QuerySet[Any]") -> int:
    return rows.order_by()[: MANY + 1].count()


def _today(counts: Counts) -> date:
    """The day that the numbers end with."""
    days = counts.result.get("days")
    return date.fromisoformat(days[-1]) if days else timezone.localdate()


def agreements(stages: Sequence[Stage]) -> dict[int, Agreed]:
    """Of the stages that were measured, as their quality pages said last."""
    rows = Measurement.objects.filter(stage__in=stages, kind=Measurement.Kind.QUALITY)
    found = {}
    for stage, questions, computed in rows.values_list("stage", "result__questions", "computed"):
        if (row := headline(_led(questions or []))) and computed:
            found[stage] = Agreed(
                value=row["lead"]["value"],
                word=VERDICTS[row["verdict"]],
                tone=TONES[row["verdict"]],
                about=row["title"],
                sentence=row["sentence"],
                measured=computed,
            )
    return found


def _led(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "lead": each["figures"][0]} for each in questions if each["figures"]]


def whole(rows: Sequence[Line]) -> str:
    """When all of it is done, in a sentence; empty where no stage has a date."""
    open_ = [row for row in rows if row.forecast is not None and row.left]
    if not open_:
        return ""
    today = timezone.localdate()
    dated = [row for row in open_ if row.forecast and row.forecast.day]
    without = [str(row.stage) for row in open_ if not (row.forecast and row.forecast.day)]
    if not dated:
        return "" if len(open_) == 1 else "No stage has a date yet."
    last = max(dated, key=_ends)
    words = f"All is done about {said(_ends(last), today)}, with {last.stage}."
    if len(dated) == 1 and not without:
        words = ""  # the stage's own line says it
    elif without:
        words = f"{last.stage} is done about {said(_ends(last), today)}; no date for "
        words += " and ".join(without) + "."
    return words


def assumes(rows: Sequence[Line]) -> list[str]:
    """What the dates rest on, each said once, with its stages where they differ."""
    by_words: dict[str, list[str]] = {}
    for row in rows:
        if row.left and row.forecast and row.forecast.assumes:
            by_words.setdefault(row.forecast.assumes, []).append(str(row.stage))
    if len(by_words) < 2:
        return list(by_words)
    return [f"{' and '.join(names)}: {words}" for words, names in by_words.items()]


def _ends(row: Line) -> date:
    assert row.forecast is not None and row.forecast.day is not None
    return row.forecast.day


def chart(pace: Sequence[tuple[date, int]]) -> SafeString:
    """Submissions a day, all stages together."""
    return charts.per_day("Submissions a day", [day for day, _ in pace], [n for _, n in pace])


def pace(counts: Counts) -> list[tuple[date, int]]:
    """(day, submissions), today last; empty where nothing is counted."""
    days = counts.result.get("days", [])
    series = [row["per_day"] for row in counts.result.get("stages", {}).values()]
    sums = [sum(values) for values in zip(*series, strict=True)] if series else [0] * len(days)
    return [(date.fromisoformat(day), n) for day, n in zip(days, sums, strict=True)]


def people(project: Project, stages: Sequence[Stage], counts: Counts) -> list[Person]:
    """Those who work here or could, the busiest of the last week first: MOST_PEOPLE at most."""
    today = _today(counts)
    found = counts.result.get("people", {})
    open_ = [
        stage
        for stage in stages
        if stage.state == Stage.State.OPEN
        and counts.result.get("stages", {}).get(str(stage.pk), {}).get("left")
    ]
    to_all = any(stage.open_to_all for stage in open_)
    seats = Seat.objects.filter(stage__in=stages)
    assigned = set(seats.filter(stage__in=open_, assigned=True).values_list("user", flat=True))
    ever = set(seats.filter(submitted__gt=0).values_list("user", flat=True))
    rows = []
    members = project.workspace.memberships.filter(is_active=True).select_related("user")
    for member in members.order_by("user__name", "user"):
        asked = (to_all and member.role == Role.ANNOTATOR) or member.user_id in assigned
        did = found.get(str(member.user_id))
        if did or asked or member.user_id in ever:
            rows.append(_person(member, did, asked, member.user_id in ever, today))
    rows.sort(key=lambda row: -row.week)
    return rows[:MOST_PEOPLE]


def _person(
    member: Membership, did: dict[str, Any] | None, asked: bool, ever: bool, today: date
) -> Person:
    per_day = did["per_day"] if did else []
    ago = next((ago for ago, n in enumerate(reversed(per_day)) if n), None)
    last = _last(ago, ever, today)
    words, tone = "", ""
    if leave.is_away(member):
        words = leave.said(member)
    elif asked and (ago is None or ago >= IDLE):
        words, tone = ("idle", "warn") if ever or ago is not None else ("not begun", "")
    in_hand = did["in_hand"] if did else 0
    return Person(member, sum(per_day[-7:]), in_hand, last, words, tone)


def _last(ago: int | None, ever: bool, today: date) -> str:
    if ago is None:
        return f"over {DAYS} days ago" if ever else ""
    if ago < 2:
        return ("today", "yesterday")[ago]
    day = today - timedelta(days=ago)
    return f"{ago} days ago" if ago < 7 else f"{day.day} {day:%b}"
