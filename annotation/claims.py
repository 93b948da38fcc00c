"""Open claims, moved to another person or given back to the queue: when somebody is away, leaves or
has too much. What they wrote stays theirs, as an expired draft that they and the leads can see."""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from annotation import given, leave, places
from annotation.errors import Refused
from annotation.history import record
from annotation.models import Item, Membership, Response, Seat, Stage, Submission, User, Workspace

State = Submission.State
HELD = (State.CLAIMED, State.DRAFT)
HOLDS = timedelta(days=7)  # so long a moved item waits for its new person


@dataclass
class Moved:
    """How many items went to the other person, and how many back to the queue."""

    moved: int = 0
    returned: int = 0
    stages: list[str] = field(default_factory=list)  # of those that went back although asked for

    def said(self, to: User | None) -> str:
        """In words, for the page."""
        parts = [f"{_items(self.moved)} moved to {to}"] if self.moved else []
        if self.returned:
            parts.append(f"{_items(self.returned)} back in the queue")
        text = ", ".join(parts) or "No item was in hand"
        if to is not None and self.stages:
            text += f" ({to} cannot have them: {', '.join(self.stages)})"
        return f"{text}."


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


def held(workspace: Workspace, user: User, stage: Stage | None = None) -> "QuerySet[Submission]":
    """What the person holds now in the workspace, or in one stage of it."""
    stages = Stage.objects.filter(project__workspace=workspace)
    if stage is not None:
        stages = stages.filter(pk=stage.pk)
    return Submission.objects.filter(user=user, stage__in=stages.values("pk"), state__in=HELD)


def counts(workspace: Workspace, users: Iterable[int]) -> dict[int, int]:
    """How many items each of these people holds: one look for a page of people."""
    stages = Stage.objects.filter(project__workspace=workspace).values("pk")
    rows = Submission.objects.filter(user__in=list(users), stage__in=stages, state__in=HELD)
    return dict(rows.values_list("user").annotate(n=Count("pk")).order_by())


def by_stage(workspace: Workspace, user: User) -> list[tuple[Stage, int, int]]:
    """The stages in which the person holds something: how many items, and in how many of them
    something is written."""
    found: dict[int, list[int]] = {}
    for stage, state in held(workspace, user).values_list("stage", "state"):
        count = found.setdefault(stage, [0, 0])
        count[0] += 1
        count[1] += state == State.DRAFT
    stages = Stage.objects.filter(pk__in=found).select_related("project").order_by("pk")
    return [(stage, *found[stage.pk]) for stage in stages]  # type: ignore[misc]


def release(
    *, workspace: Workspace, user: User, by: User | None, stage: Stage | None = None
) -> Moved:
    """What the person holds goes back to the queue; what was kept for them alone is for everybody
    again. `stage` None: in all stages of the workspace."""
    done = Moved()
    for turn in _turns(workspace, user, stage):
        with transaction.atomic():
            if _let_go(turn, by):
                places.release(turn.item_id, turn.stage)
                done.returned += 1
    _instead_of(workspace, stage, user, None)
    return done


def move(
    *, workspace: Workspace, user: User, to: User, by: User | None, stage: Stage | None = None
) -> Moved:
    """What the person holds is the other's from now on, for HOLDS at least; they begin anew.

    An item that they cannot have (they did it, skipped it, or wrote one of its answers, or do not
    work in its stage) goes back to the queue. Refused for somebody who is not an active member,
    who is away, or who is the same person."""
    if to.pk == user.pk:
        raise Refused("They hold these items already: choose somebody else.")
    member = Membership.objects.filter(workspace=workspace, user=to, is_active=True).first()
    if member is None or not to.is_active:
        raise Refused(f"{to} is not in this workspace: choose somebody who is.")
    member.user = to
    if leave.is_away(member):
        raise Refused(f"{to} is {leave.said(member)}: choose somebody who is there.")
    done = Moved()
    works: dict[int, bool] = {}
    for turn in _turns(workspace, user, stage):
        if turn.stage_id not in works:
            works[turn.stage_id] = _works_in(turn.stage, to)
        with transaction.atomic():
            if not _let_go(turn, by):
                continue
            if works[turn.stage_id] and _give(turn, to):
                done.moved += 1
                continue
            places.release(turn.item_id, turn.stage)
            done.returned += 1
        if turn.stage.name not in done.stages:
            done.stages.append(turn.stage.name)
    _instead_of(workspace, stage, user, to)
    return done


def _turns(workspace: Workspace, user: User, stage: Stage | None) -> list[Submission]:
    rows = held(workspace, user, stage).select_related("stage", "item")
    return list(rows.order_by("pk"))


def _let_go(turn: Submission, by: User | None) -> bool:
    """The person's turn is an expired draft; false if they handed it in meanwhile."""
    mine = Submission.objects.filter(pk=turn.pk, state__in=HELD)
    if not mine.update(state=State.EXPIRED, claimed_until=None):
        return False
    record(turn, "release", by)
    return True


def _works_in(stage: Stage, user: User) -> bool:
    return stage.open_to_all or Seat.objects.filter(stage=stage, user=user, assigned=True).exists()


def _give(turn: Submission, to: User) -> bool:
    """The place that was just let go is `to`'s, without going through the queue: the item's
    counters do not change. False if the item is not for them."""
    if Response.objects.filter(pk__in=turn.item.candidates, author=to).exists():
        return False
    until = timezone.now() + HOLDS
    theirs = Submission.objects.filter(item=turn.item_id, user=to)
    if theirs.filter(state=State.EXPIRED).update(state=State.DRAFT, claimed_until=until):
        theirs.filter(draft={}).update(state=State.CLAIMED)
    elif theirs.exists():
        return False
    else:
        try:
            with transaction.atomic():
                Submission.objects.create(
                    item=turn.item,
                    stage=turn.stage,
                    user=to,
                    shown=random.sample(turn.item.candidates, len(turn.item.candidates)),
                    claimed_until=until,
                    suggestion_id=turn.suggestion_id,
                )
        except IntegrityError:  # they got it from the queue this moment
            return False
    Seat.objects.get_or_create(stage=turn.stage, user=to)
    return True


def _may(item: Item, user: User) -> bool:
    """The item is one for this person: they have not done it, and wrote none of its answers."""
    done = Submission.objects.filter(item=item, user=user).exclude(state__in=[*HELD, State.EXPIRED])
    mine = Response.objects.filter(pk__in=item.candidates, author=user)
    return not done.exists() and not mine.exists()


def _instead_of(workspace: Workspace, stage: Stage | None, user: User, to: User | None) -> None:
    """Open items that a lead gave to this person: the other stands in where they may have it; else
    one name less, and with no name left the item is everybody's. It comes in front of all
    cursors."""
    items = Item.objects.filter(stage__project__workspace=workspace, open=True).exclude(people=[])
    if stage is not None:
        items = items.filter(stage=stage)
    mine = items.extra(where=[given.names("annotation_item", "%s")], params=[user.pk])
    works: dict[int, bool] = {}
    for place, item in enumerate(mine.select_related("stage")):
        pk, people, lane = item.pk, item.people, item.lane
        kept = [each for each in people if each != user.pk]
        if to is not None and item.stage_id not in works:
            works[item.stage_id] = _works_in(item.stage, to)
        if to is not None and to.pk not in kept and works[item.stage_id] and _may(item, to):
            kept.append(to.pk)
        Item.objects.filter(pk=pk, people=people).update(
            people=sorted(kept), lane=lane - 1 + abs(lane) % 2, position=time.time_ns() + place
        )
