"""What a lead does with many prompts at once; with undoing.py, which takes it back, the only writer
of actions."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation import filling, rounds
from annotation.errors import Refused
from annotation.models import (
    Action,
    Item,
    Project,
    Prompt,
    Seat,
    Stage,
    Submission,
    User,
)
from annotation.ordering import (
    HIGHEST,
    MOST_PROMPTS,
    check_worked,
    reach,
    too_many,
)
from annotation.ordering import (
    prioritise as set_priority,
)

Kind = Action.Kind


def assign(*, stage: Stage, prompts: Iterable[int], people: Sequence[User], author: User) -> Action:
    """Only these people get what is open of these prompts here, next; nobody named: everybody may
    again. Raises Refused for people who do not work here, and for more places than people."""
    ids = _ids(prompts)
    check_worked(stage)
    _check_people(stage, people)
    reach(stage, ids)
    chosen = sorted(person.pk for person in people)
    with transaction.atomic():
        items = _open(stage, ids)
        if people:
            _check_enough(items, people)
        before = {str(pk): old for pk, old in items.values_list("pk", "people")}
        if not before:
            raise Refused(_none_open(stage))
        forward(items, people=chosen)
        names = ", ".join(str(person) for person in people) or "everybody"
        said = f"{_count(len(before), 'item')} of {stage} given to {names}"
        return _keep(Kind.ASSIGN, stage.project, stage, said, before, len(before), author)


def prioritise(*, stage: Stage, prompts: Iterable[int], priority: int, author: User) -> Action:
    """These prompts' open items before (or, below 0, after) those of another priority."""
    ids = _ids(prompts)
    check_worked(stage)
    if not -HIGHEST <= priority <= HIGHEST:
        raise Refused(f"A priority is a whole number from -{HIGHEST} to {HIGHEST}.")
    reach(stage, ids)
    with transaction.atomic():
        before = {str(pk): lane for pk, lane in _open(stage, ids).values_list("pk", "lane")}
        if not before:
            raise Refused(_none_open(stage))
        changed = set_priority(stage, ids, priority)
        where = "first" if priority > 0 else "last" if priority < 0 else "in the usual place"
        said = f"{_count(changed, 'item')} of {stage} put {where}"
        return _keep(Kind.PRIORITISE, stage.project, stage, said, before, changed, author)


def retire(*, project: Project, prompts: Iterable[int], author: User) -> Action:
    """Out of every queue and of new datasets; what was done on them stays."""
    now = timezone.now()
    with transaction.atomic():
        rows = _prompts(project, _ids(prompts)).filter(retired=None).select_for_update()
        ids = list(rows.values_list("pk", flat=True))
        Prompt.objects.filter(pk__in=ids).update(retired=now)
        Item.objects.filter(prompt__in=ids, open=True).update(open=False)
        said = f"{_count(len(ids), 'prompt')} retired"
        before = {"prompts": ids}
        return _keep(Kind.RETIRE, project, None, said, before, len(ids), author)


def restore(*, project: Project, prompts: Iterable[int], author: User) -> Action:
    """Retired prompts are in use again."""
    with transaction.atomic():
        rows = _prompts(project, _ids(prompts)).exclude(retired=None).select_for_update()
        rows = rows.exclude(fingerprint__startswith="erased")
        ids = list(rows.values_list("pk", flat=True))
        Prompt.objects.filter(pk__in=ids).update(retired=None)
        said = f"{_count(len(ids), 'prompt')} brought back"
        before = {"prompts": ids}
        action = _keep(Kind.RESTORE, project, None, said, before, len(ids), author)
    rounds.answers_arrived(ids)
    return action


def send(*, stage: Stage, prompts: Iterable[int], author: User) -> Action:
    """Items in the stage for those of the prompts that have none there and that fit."""
    ids = _ids(prompts)
    check_worked(stage)
    with transaction.atomic():
        there = Item.objects.filter(stage=stage, prompt__in=ids).values("prompt").distinct().count()
        made = filling.send(stage, ids)
        said = f"{_count(len(made), 'prompt')} sent to {stage}"
        if there:
            said += f"; {there:,} {'was' if there == 1 else 'were'} there already"
        if unfit := len(ids) - there - len(made):
            said += f"; {unfit:,} {'does' if unfit == 1 else 'do'} not fit ({_unfit(stage)})"
        return _keep(Kind.SEND, stage.project, stage, said, {"items": made}, len(made), author)


def open_round(*, stage: Stage, prompts: Iterable[int], author: User) -> Action:
    """The work on these prompts once more, where the last round is done."""
    ids = _ids(prompts)
    check_worked(stage)
    with transaction.atomic():
        made = rounds.open_round(stage, ids)
        said = f"{_count(len(made), 'new round')} opened in {stage}"
        if others := len(ids) - len(made):
            said += f"; {others:,} left as they are (not done yet, gold, or not in this stage)"
        return _keep(Kind.ROUND, stage.project, stage, said, {"items": made}, len(made), author)


def _none_open(stage: Stage) -> str:
    return f"None of these is open in {stage}: they are done, gold, or have no item there."


def _check_enough(items: "QuerySet[Item]", people: Sequence[User]) -> None:
    """Nobody does an item twice: who had a turn on it does not count for what it still needs."""
    turns = Submission.objects.filter(item=OuterRef("pk"), user__in=people)
    turns = turns.exclude(state=Submission.State.EXPIRED).order_by()
    had = Coalesce(Subquery(turns.values("item").annotate(n=Count("pk")).values("n")), 0)
    short = items.annotate(missing=F("needed") - F("taken"), may=len(people) - had)
    most = short.filter(missing__gt=F("may")).aggregate(most=Max("missing"))["most"]
    if most is not None:
        raise Refused(
            f"Some of these still need {most} {'person' if most == 1 else 'people'} who did not "
            "have them yet, and you chose too few of those: nobody else would get them. Choose "
            "more people, or lower the stage's overlap first."
        )


def forward(items: "QuerySet[Item]", people: list[int]) -> None:
    """In front of everybody's cursor: whoever may have them now has perhaps passed them by."""
    first = items.aggregate(first=Min("position"))["first"] or 0
    ids = list(items.values_list("pk", "lane"))
    lanes: dict[int, list[int]] = defaultdict(list)
    for pk, lane in ids:
        lanes[lane].append(pk)
    for lane, pks in lanes.items():
        Item.objects.filter(pk__in=pks).update(
            people=people,
            lane=lane - 1 + abs(lane) % 2,
            position=F("position") + (time.time_ns() - first),
        )


def _check_people(stage: Stage, people: Sequence[User]) -> None:
    members = stage.workspace.memberships.filter(is_active=True)
    known = set(members.values_list("user", flat=True))
    if not stage.open_to_all:
        seated = Seat.objects.filter(stage=stage, assigned=True)
        known &= set(seated.values_list("user", flat=True))
    for person in people:
        if person.pk not in known:
            raise Refused(f"{person} does not work in {stage}: give them a seat there first.")


def _ids(prompts: Iterable[int]) -> list[int]:
    ids = sorted(set(prompts))
    if not ids:
        raise Refused("Choose at least one prompt.")
    if len(ids) > MOST_PROMPTS:
        raise Refused(too_many(len(ids)))
    return ids


def _prompts(project: Project, ids: list[int]) -> "QuerySet[Prompt]":
    return Prompt.objects.live().filter(project=project, pk__in=ids)


def usual() -> "QuerySet[Item]":
    return Item.objects.exclude(lane=Item.GOLD_LANE)


def _open(stage: Stage, prompts: list[int]) -> "QuerySet[Item]":
    return usual().filter(stage=stage, prompt__in=prompts, open=True)


def _unfit(stage: Stage) -> str:
    if not stage.shows_answers:
        return "a document, or retired"
    if stage.kind == Stage.Kind.RANK:
        return "without two different answers, or retired"
    return "without an answer, or retired"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _keep(
    kind: Kind,
    project: Project,
    stage: Stage | None,
    said: str,
    before: dict[str, Any],
    changed: int,
    author: User,
) -> Action:
    return Action.objects.create(
        project=project,
        stage=stage,
        kind=kind,
        said=said[:300],
        changed=changed,
        before=before,
        author=author,
    )
