"""The undo of a lead's act on many prompts: it takes back what nobody has built on since."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, QuerySet
from django.utils import timezone

from annotation import actions, rounds
from annotation.errors import Refused
from annotation.models import Action, Adjudication, Item, Prompt, Submission, User

Kind = Action.Kind


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
        actions.forward(items, people=[person for person in people if person in known])

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
        items = actions.usual().filter(pk__in=ids, open=True)
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
