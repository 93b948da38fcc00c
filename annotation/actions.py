"""What a lead does with many prompts at once, each with its undo. The only writer of actions.

An undo takes back what nobody has built on since, and says how much that was."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation import filling, rounds
from annotation.errors import Refused
from annotation.models import (
    Action,
    Adjudication,
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
        _forward(items, people=chosen)
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


def undo(*, action: Action, author: User) -> str:
    """What was taken back, in words. Raises Refused where it was undone already."""
    with transaction.atomic():
        mine = Action.objects.filter(pk=action.pk, undone=None)
        if not mine.update(undone=timezone.now()):
            raise Refused("This was undone already.")
        undone, arrived = _UNDO[Kind(action.kind)](action)
    rounds.answers_arrived(arrived)
    if undone < action.changed:
        left = action.changed - undone
        return f"{undone:,} taken back; {left:,} changed since and stay as they are."
    return f"{undone:,} taken back."


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


def _changed_since(action: Action) -> set[int]:
    """The items or prompts of a later act of the same sort that stands: it is not undone here."""
    turns = (Kind.RETIRE, Kind.RESTORE)
    alike = turns if action.kind in turns else (action.kind,)
    later = Action.objects.filter(
        project=action.project_id, stage=action.stage_id, kind__in=alike, undone=None
    )
    found: set[int] = set()
    for before in later.filter(pk__gt=action.pk).values_list("before", flat=True):
        found.update(int(pk) for pk in before.get("prompts", before))
    return found


def _undo_assign(action: Action) -> tuple[int, list[int]]:
    """Who has left the workspace meanwhile gets nothing back."""
    there = action.workspace.memberships.filter(is_active=True)
    known = set(there.values_list("user", flat=True))

    def give(items: "QuerySet[Item]", people: Any) -> None:
        _forward(items, people=[person for person in people if person in known])

    return _by_value(action, give), []


def _undo_prioritise(action: Action) -> tuple[int, list[int]]:
    def put(items: "QuerySet[Item]", lane: Any) -> None:
        first = items.aggregate(first=Min("position"))["first"] or 0
        items.update(lane=lane, position=F("position") + (time.time_ns() - first))

    return _by_value(action, put), []


def _by_value(action: Action, put: Callable[["QuerySet[Item]", Any], None]) -> int:
    """`put(items, what they had before)` for the items that are still open and as it left them."""
    alike: dict[str, list[int]] = defaultdict(list)
    values, changed = {}, _changed_since(action)
    for pk, value in action.before.items():
        if int(pk) not in changed:
            alike[repr(value)].append(int(pk))
            values[repr(value)] = value
    undone = 0
    for key, ids in alike.items():
        items = _usual().filter(pk__in=ids, open=True)
        undone += items.count()
        put(items, values[key])
    return undone


def _undo_retire(action: Action) -> tuple[int, list[int]]:
    ids = sorted(set(action.before["prompts"]) - _changed_since(action))
    back = Prompt.objects.filter(pk__in=ids).exclude(retired=None)
    back = back.exclude(fingerprint__startswith="erased")
    return back.update(retired=None), ids


def _undo_restore(action: Action) -> tuple[int, list[int]]:
    ids = sorted(set(action.before["prompts"]) - _changed_since(action))
    again = Prompt.objects.filter(pk__in=ids, retired=None)
    return again.update(retired=timezone.now()), ids


def _undo_made(action: Action) -> tuple[int, list[int]]:
    """Items that nobody has touched go; the others stay."""
    touched = Submission.objects.filter(item=OuterRef("pk"))
    decided = Adjudication.objects.filter(item=OuterRef("pk"))
    made = Item.objects.filter(
        ~Exists(touched), ~Exists(decided), pk__in=action.before["items"], taken=0
    )
    # Locked (PostgreSQL), and left alone where somebody is just getting one.
    free = made.exclude(lane=Item.GOLD_LANE).select_for_update(of=("self",), skip_locked=True)
    gone = list(free.values_list("pk", flat=True))
    Item.objects.filter(pk__in=gone).delete()
    return len(gone), []


_UNDO: dict[Kind, Callable[[Action], tuple[int, list[int]]]] = {
    Kind.ASSIGN: _undo_assign,
    Kind.PRIORITISE: _undo_prioritise,
    Kind.RETIRE: _undo_retire,
    Kind.RESTORE: _undo_restore,
    Kind.SEND: _undo_made,
    Kind.ROUND: _undo_made,
}


def _forward(items: "QuerySet[Item]", people: list[int]) -> None:
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


def _usual() -> "QuerySet[Item]":
    return Item.objects.exclude(lane=Item.GOLD_LANE)


def _open(stage: Stage, prompts: list[int]) -> "QuerySet[Item]":
    return _usual().filter(stage=stage, prompt__in=prompts, open=True)


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
