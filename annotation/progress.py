"""How far along a stage is, and what waits for a person. Reads only."""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import TypedDict, TypeVar

from django.core.cache import cache
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation import given
from annotation.filling import qualifying
from annotation.models import (
    Import,
    Item,
    Measurement,
    Membership,
    Project,
    Prompt,
    Response,
    Seat,
    Stage,
    Submission,
    User,
)
from annotation.rounds import WORKED

MANY = 10_000  # counting for a person ends here: the cost of a page must not grow with a project
FRESH = 20  # seconds for which the work page believes what it counted
LARGE = 1000  # what takes counting over more rows than this is believed for a while
ROWS_A_SECOND = 1000  # a stage of so many rows is counted once a second at most, and so on ...
WINDOW = 20_000  # prompts looked through for what is to come
LONGEST = 300  # ... to this many seconds
SLOW = 0.05  # seconds: what takes longer to count is believed for a while, however little it is

T = TypeVar("T")
_counting: dict[str, Lock] = defaultdict(Lock)


class Progress(TypedDict):
    items: int  # with those that the next fills will make
    done: int  # as many submissions as needed
    open: int  # can be claimed, those to be made included
    flagged: int  # on the lead's list
    in_hand: int  # claimed or drafted now
    submitted: int
    skipped: int
    late: int


def progress(stage: Stage) -> Progress:
    """Counts over the whole stage: O(items), so those of a large one are believed for a while."""
    return believed(f"progress:{stage.pk}", lambda: counted(stage), lambda found: found["items"])


def prompts_in(project: Project) -> int:
    """How many prompts of the project are in use: O(prompts), believed for a while."""
    key = f"prompts:{project.pk}"
    return believed(key, lambda: prompts_counted(project), lambda found: found)


def prompts_counted(project: Project) -> int:
    """The same, counted now."""
    return Prompt.objects.live().filter(project=project, retired=None).count()


def believed(key: str, count: Callable[[], T], rows: Callable[[T], int]) -> T:
    """What was counted, kept longer the more there was to count. Of many who arrive at once, one
    counts for all."""
    known: T | None = cache.get(key)
    if known is None:
        with _counting[key]:
            known = cache.get(key)
            if known is None:
                known = count()
                if rows(known) >= LARGE:
                    cache.set(key, known, min(rows(known) / ROWS_A_SECOND, LONGEST))
    return known


def counted(stage: Stage, to_come: int | None = None) -> Progress:
    """`progress`, counted now: for a worker, or where all is small. `to_come` where it is known."""
    in_use = Prompt.objects.filter(pk=OuterRef("prompt"), retired__isnull=True)
    usual = Item.objects.filter(stage=stage).exclude(lane=Item.GOLD_LANE)
    items = usual.aggregate(
        items=Count("pk"),
        done=Count("pk", filter=Q(done__gte=F("needed"))),
        open=Count("pk", filter=Q(open=True)),
        flagged=Count("pk", filter=Q(Exists(in_use), flagged=True)),
    )
    if to_come is None:
        to_come = to_come_counted(stage)
    turns = Submission.objects.filter(stage=stage)
    unfinished = Import.objects.filter(project=stage.project_id).exclude(state=Import.State.DONE)
    if Submission.objects.filter(batch__in=unfinished).exists():  # else the index alone is read
        turns = turns.live()
    states = dict(turns.values_list("state").annotate(n=Count("pk")).order_by())
    return {
        "items": items["items"] + to_come,
        "done": items["done"],
        "open": items["open"] + to_come,
        "flagged": items["flagged"],
        "in_hand": states.get("claimed", 0) + states.get("draft", 0),
        "submitted": states.get("submitted", 0),
        "skipped": states.get("skipped", 0),
        "late": states.get("late", 0),
    }


def to_come_counted(stage: Stage) -> int:
    """The prompts that the queue will still bring in: O(prompts)."""
    return qualifying(stage).filter(pk__gt=stage.filled_to).count() if _is_worked(stage) else 0


def _is_worked(stage: Stage) -> bool:
    return stage.kind in WORKED and stage.state != Stage.State.IMPORTED


def left_for(stage: Stage, user: User) -> int:
    """How many items the person could still do here, their own drafts included; MANY at most."""
    mine = Submission.objects.filter(item=OuterRef("pk"), user=user)
    items = Item.objects.filter(~Exists(mine), stage=stage, open=True, prompt__retired__isnull=True)
    items = items.filter(lane__lt=Item.GOLD_LANE).extra(
        where=[given.is_for("annotation_item", "%s")], params=[user.pk]
    )
    own = Response.objects.filter(author=user, withdrawn__isnull=True)
    if stage.shows_answers:
        items = items.filter(~Exists(own.filter(prompt=OuterRef("prompt"))))
    held = Submission.objects.filter(stage=stage, user=user, state__in=["claimed", "draft"])
    left = held.count() + items[:MANY].count()
    if left < MANY:
        to_come = _to_come(stage)
        if stage.shows_answers and 0 < to_come < LARGE:  # among many, one's own do not matter
            unmet = qualifying(stage).filter(pk__gt=stage.filled_to)
            answered = own.filter(prompt__gt=stage.filled_to, prompt__project=stage.project_id)
            to_come -= unmet.filter(pk__in=answered.values("prompt"))[:LARGE].count()
        left += to_come
    return min(left, MANY)


def _to_come(stage: Stage) -> int:
    """Prompts that the next fills will meet, MANY at most: of many, one count serves everybody.

    Where few of many prompts qualify: those of the next WINDOW, else what the board's worker found.
    Without either all are looked through: that is believed until there is a newer prompt, the
    longer the more it took."""
    last = newest_prompt(stage.project_id)
    if last <= stage.filled_to or not stage.takes_all:
        return 0
    took = 0.0

    def count() -> int:
        nonlocal took
        began = time.monotonic()
        found = _in_window(stage)
        if found is None:
            found = _measured(stage, last)
        if found is None:
            found = qualifying(stage).filter(pk__gt=stage.filled_to)[:MANY].count()
        took = time.monotonic() - began
        return found

    def cost(found: int) -> int:
        return found * 2 if took < SLOW else max(found * 2, int(took * LONGEST * ROWS_A_SECOND))

    return believed(f"to-come:{stage.pk}:{last}", count, cost)


def newest_prompt(project: int) -> int:
    rows = Prompt.objects.filter(project=project).order_by("-pk")
    return rows.values_list("pk", flat=True).first() or 0


def _in_window(stage: Stage) -> int | None:
    """Of the next WINDOW prompts those that qualify; None where there are more, and none of these
    does."""
    ahead = Prompt.objects.filter(project=stage.project_id, pk__gt=stage.filled_to)
    edge = ahead.order_by("pk").values_list("pk", flat=True)[WINDOW : WINDOW + 1].first()
    fit = qualifying(stage).filter(pk__gt=stage.filled_to)
    if edge is None:
        return fit[:MANY].count()
    return fit.filter(pk__lt=edge)[:MANY].count() or None


def _measured(stage: Stage, last: int) -> int | None:
    """What board.compute found to come, if nothing was brought in or filled since."""
    rows = Measurement.objects.filter(
        project=stage.project_id,
        stage=None,
        kind=Measurement.Kind.BOARD,
        computed__gte=timezone.now() - timedelta(hours=1),
    )
    result = rows.values_list("result", flat=True).first() or {}
    found = result.get("stages", {}).get(str(stage.pk), {})
    if result.get("last") != last or found.get("filled_to") != stage.filled_to:
        return None
    return min(int(found["to_come"]), MANY)


def left_about(stage: Stage, user: User, finished: int, anew_below: int = 0) -> int:
    """`left_for`, counted every FRESH seconds, less what was finished since; where there were fewer
    than `anew_below` to count, counted anew."""
    key = f"left:{stage.pk}:{user.pk}"
    known = cache.get(key)
    if known is None or max(known) < anew_below:
        known = (left_for(stage, user), finished)
        cache.set(key, known, FRESH)
    left, then = known
    return max(left - (finished - then), 0)


def waiting_for(user: User) -> list[tuple[Stage, int]]:
    """The stages in which work waits for this person, with how much: (stage, left)."""
    mine = Seat.objects.filter(stage=OuterRef("pk"), user=user)
    member = Membership.objects.filter(user=user, is_active=True).values("workspace")
    stages = (
        Stage.objects.filter(
            Q(open_to_all=True) | Exists(mine.filter(assigned=True)),
            kind__in=WORKED,
            state=Stage.State.OPEN,
            project__archived__isnull=True,
            project__workspace__in=member,
        )
        .select_related("project__workspace")
        .annotate(finished=Coalesce(Subquery(mine.values("submitted")), 0))
        .order_by("project__name", "project_id", "position", "pk")
    )
    counted = [(stage, left_about(stage, user, stage.finished, LARGE)) for stage in stages]
    return [(stage, left) for stage, left in counted if left]
