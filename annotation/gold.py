"""Gold: items with a known answer, hidden in the queue. The only writer of gold, and of the lane
that makes an item gold."""

import time
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from annotation.content import checked_ranking, checked_text
from annotation.errors import Refused
from annotation.gold_score import score
from annotation.models import Gold, Item, Stage, User
from annotation.rubric import checked_ratings, in_force

__all__ = ["end_gold", "make_gold", "score"]

FOR_ALL = 32_767  # people: as many as the column holds


@transaction.atomic
def make_gold(*, item: Item, content: Mapping[str, Any], author: User, note: str = "") -> Gold:
    """From now on each person gets the item once, at an unforeseen turn, and is judged by
    `content`: {"order"} of the item's answers, {"ratings"} by its rubric, or both. Given again, it
    is changed.

    Raises Refused for a kind of work that has no one right answer, and for what cannot be handed
    in."""
    note = checked_text(note, "note", may_be_empty=True).strip()
    item = (
        Item.objects.select_for_update(of=("self",))
        .select_related("stage__project", "prompt")
        .get(pk=item.pk)
    )
    stage = item.stage
    if stage.state == Stage.State.IMPORTED:
        raise Refused("Nobody works in this stage, so nobody would get its gold.")
    if item.prompt.retired:
        raise Refused("The prompt is retired: bring it back first.")
    known = _known(item, content)
    Gold.objects.filter(item=item).delete()  # a new number: what was measured by it is out of date
    gold = Gold.objects.create(item=item, content=known, author=author, note=note)
    Item.objects.filter(pk=item.pk).update(
        lane=Item.GOLD_LANE, needed=FOR_ALL, open=True, people=[], position=time.time_ns()
    )
    return gold


def _known(item: Item, content: Mapping[str, Any]) -> dict[str, Any]:
    """What is right, in the shape of content.py: what is not given is not judged."""
    known: dict[str, Any] = {}
    if item.stage.kind == Stage.Kind.RANK and content.get("order"):
        known["order"] = checked_ranking({"order": content["order"]}, item.candidates)["order"]
    given = content.get("ratings") or {}
    judged = [
        {**question, "required": False}
        for question in in_force(item.stage.rubric)
        if question["type"] != "text"
    ]
    if ratings := checked_ratings(given, judged, item.candidates):
        known["ratings"] = ratings
    if not known:
        raise Refused(
            "Gold needs an answer that is right: an order of the answers, or answers to the "
            "rubric's questions. A text has no one right answer."
        )
    return known


@transaction.atomic
def end_gold(*, item: Item) -> None:
    """An ordinary item again: what was handed in on it counts, and it is open to as many more as
    the stage's overlap leaves."""
    item = Item.objects.select_for_update(of=("self",)).select_related("stage").get(pk=item.pk)
    if not Gold.objects.filter(item=item).delete()[0]:
        raise Refused("This item is no gold, perhaps any more.")
    rows = Item.objects.filter(pk=item.pk)
    rows.update(lane=0, position=time.time_ns(), needed=Greatest(F("taken"), item.stage.overlap))
    rows.update(open=False)
    skips = item.stage.skips_to_close
    rows.filter(taken__lt=F("needed"), skips__lt=skips, prompt__retired=None).update(open=True)
