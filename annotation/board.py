"""The numbers of a project's board: counted at once where it is small, by a worker where it is
not. Reads only."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import CharField, Count, F, Func, Q, Sum
from django.utils import timezone

from annotation import measuring, progress
from annotation.models import Item, Measurement, Project, Prompt, Stage, Submission
from annotation.progress import Progress
from annotation.rounds import WORKED

DAYS = 30
SMALL = 20_000  # rows of a kind; beyond, no page counts them itself
REMEMBERED = 3600, 60  # seconds: a large project stays large, a small one may have grown
IN_HAND = [Submission.State.CLAIMED, Submission.State.DRAFT]


class Hour(Func):
    """The hour of a moment as text, "2026-11-21 10" in UTC: both databases group by it quickly."""

    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 13)")

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "to_char((%(expressions)s) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"
        return self.as_sql(compiler, connection, template=template)


def is_small(project: Project) -> bool:
    """May a page count the project's rows? Looks at no more than SMALL of a kind."""
    key = f"small:{project.pk}"
    known: bool | None = cache.get(key)
    if known is None:
        stages = list(project.stages.values_list("pk", flat=True))
        rows: list[Any] = [Prompt.objects.filter(project=project)]
        rows += [Item.objects.filter(stage__in=stages), Submission.objects.filter(stage__in=stages)]
        known = all(each.order_by()[: SMALL + 1].count() <= SMALL for each in rows)
        cache.set(key, known, REMEMBERED[known])
    return known


def compute(project: Project) -> dict[str, Any]:
    """All that the board needs, as JSON: O(rows) where the project is large.

    {"prompts", "last" (the newest prompt), "days": [ISO dates, today last], "stages": {id: Progress
    and "left" (submissions still needed), "to_come", "filled_to", "returned", "per_day"},
    "people": {id: {"per_day", "in_hand"}}}"""
    stages = [stage for stage in project.stages.all() if stage.state != Stage.State.IMPORTED]
    today = timezone.localdate()
    days = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    by_stage: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    by_user: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for stage, user, day, count in _handed_in(stages, days[0]):
        by_stage[stage][day] += count
        by_user[user][day] += count
    in_hand = dict(
        Submission.objects.filter(stage__in=stages, state__in=IN_HAND)
        .values_list("user")
        .annotate(n=Count("pk"))
        .order_by()
    )
    back = dict(
        Submission.objects.filter(stage__in=stages, state__in=IN_HAND)
        .filter(review=Submission.Review.RETURNED)
        .values_list("stage")
        .annotate(n=Count("pk"))
        .order_by()
    )
    last = progress.newest_prompt(project.pk)
    to_come = {stage.pk: progress.to_come_counted(stage) for stage in stages}
    return {
        "prompts": progress.prompts_counted(project),
        "last": last,
        "days": [day.isoformat() for day in days],
        "stages": {
            str(stage.pk): {
                **progress.counted(stage, to_come[stage.pk]),
                "left": left(stage, to_come[stage.pk]),
                "to_come": to_come[stage.pk],
                "filled_to": stage.filled_to,
                "returned": back.get(stage.pk, 0),
                "per_day": [by_stage[stage.pk][day] for day in days],
            }
            for stage in stages
        },
        "people": {
            str(user): {
                "per_day": [by_user[user][day] for day in days],
                "in_hand": in_hand.get(user, 0),
            }
            for user in {*by_user, *in_hand}
            if user is not None
        },
    }


def _handed_in(stages: list[Stage], first: date) -> Iterable[tuple[int, int, date, int]]:
    """(stage, user, day, submissions) of what people submitted since `first`, in local days."""
    zone = timezone.get_current_timezone()
    since = datetime.combine(first, datetime.min.time(), tzinfo=zone)
    rows = (
        Submission.objects.filter(
            stage__in=stages,
            state=Submission.State.SUBMITTED,
            user__isnull=False,
            submitted__gte=since,
        )
        .annotate(hour=Hour(F("submitted")))
        .values_list("stage", "user", "hour")
        .annotate(n=Count("pk"))
        .order_by()
    )
    for stage, user, hour, count in rows:
        moment = datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)
        yield stage, user, moment.astimezone(zone).date(), count


def left(stage: Stage, to_come: int) -> int:
    """Submissions that the stage still needs: of items open or in hand, and of those to come."""
    if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
        return 0
    goes_on = Q(open=True) | Q(taken=F("needed"))  # what skips have closed is left to nobody
    items = Item.objects.filter(goes_on, stage=stage, done__lt=F("needed"))
    items = items.exclude(lane=Item.GOLD_LANE)
    found = items.aggregate(n=Sum(F("needed") - F("done")))["n"] or 0
    return int(found) + to_come * stage.overlap


@dataclass(frozen=True)
class Counts:
    """`result`: what `compute` gave, or what is known of it; empty while the first count runs.
    `counted`: when, none for just now; `busy`: a worker counts."""

    result: dict[str, Any] = field(default_factory=dict)
    counted: datetime | None = None
    busy: bool = False
    reason: str = ""

    @property
    def known(self) -> bool:
        return bool(self.result)

    @property
    def prompts(self) -> int | None:
        return self.result.get("prompts")

    def of(self, stage: Stage) -> Progress | None:
        """The stage's progress; none where it is not counted yet."""
        found: Progress | None = self.result.get("stages", {}).get(str(stage.pk))
        return found


def board(project: Project, force: bool = False) -> Counts:
    """All of `compute`: at once, or what a worker found, who is asked again where that is old."""
    if is_small(project):
        key = f"board:{project.pk}"
        return Counts(progress.believed(key, lambda: compute(project), _rows))
    return _measured(project, force)


def _rows(found: dict[str, Any]) -> int:
    """What the count had to look at, roughly."""
    return max([found["prompts"], *(row["items"] for row in found["stages"].values())])


def counts(project: Project, stages: Iterable[Stage]) -> Counts:
    """Only the prompts and the progress of these stages: what lists of projects show."""
    if is_small(project):
        rows = {str(stage.pk): progress.progress(stage) for stage in stages}
        return Counts({"prompts": progress.prompts_in(project), "stages": rows})
    return _measured(project)


def _measured(project: Project, force: bool = False) -> Counts:
    found = measuring.ask(project=project, kind=Measurement.Kind.BOARD, force=force)
    return Counts(
        result=found.result,
        counted=found.computed,
        busy=found.state in measuring.BUSY,
        reason=found.reason if found.state == "failed" else "",
    )
