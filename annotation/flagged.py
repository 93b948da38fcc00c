"""The lead's list of a stage: items that people flagged, or skipped until they closed."""

from dataclasses import dataclass, field

from django.db import transaction

from annotation import places
from annotation.history import record
from annotation.models import Item, Stage, Submission, SubmissionVersion, User

SHOWN = 50


@dataclass
class Flagged:
    """`skips`: turns that were skipped, with reason and note; `by`: who pressed the flag."""

    item: Item
    skips: list[Submission] = field(default_factory=list)
    by: list[str] = field(default_factory=list)


@transaction.atomic
def press(*, turn: Submission, user: User, on: bool) -> None:
    """The flag on the person's turn: its item is on the list, or off it; the history says who."""
    # Locked, as by a submit: both append to the history, which numbers what it holds.
    Submission.objects.select_for_update(of=("self",)).get(pk=turn.pk)
    places.flag(turn.item_id, on)
    record(turn, "flag" if on else "unflag", user)
    turn.item.flagged = on


def flagged(stage: Stage) -> list[Flagged]:
    """The oldest SHOWN of the list. Retired prompts wait for nobody, so they are not on it."""
    items = Item.objects.filter(stage=stage, flagged=True, prompt__retired__isnull=True)
    rows = {
        item.pk: Flagged(item) for item in items.select_related("prompt").order_by("pk")[:SHOWN]
    }
    skips = Submission.objects.filter(item__in=rows, state=Submission.State.SKIPPED)
    for skip in skips.select_related("user").defer("draft").order_by("pk"):
        rows[skip.item_id].skips.append(skip)
    presses = SubmissionVersion.objects.filter(
        submission__item__in=rows, event__in=["flag", "unflag"]
    )
    last = {}  # of each turn
    for item, turn, event, name, email in presses.order_by("pk").values_list(
        "submission__item", "submission", "event", "author__name", "author__email"
    ):
        last[item, turn] = (event, name or email or "somebody")
    for (item, _), (event, who) in last.items():
        if event == "flag":
            rows[item].by.append(who)
    return list(rows.values())
