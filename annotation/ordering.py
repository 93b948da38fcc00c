"""What a lead changes about a queue: its order, priorities, and how many each item needs."""

import time
from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import F, Min, Q
from django.db.models.functions import Greatest

from annotation.filling import fill_gaps
from annotation.models import Item, Seat, Stage
from annotation.rounds import CHUNK

SCORED = 1 << 40  # positions below were given by scores, those above (nanoseconds) by arrival


@transaction.atomic
def set_order(stage: Stage, scores: Mapping[int, float], source: str) -> int:
    """Give the prompts with the highest scores first (an uncertainty, say); returns how many open
    items were moved. Prompts without a score come after them, in order of arrival.

    `source` says in words where the scores come from ("run 12")."""
    Stage.objects.filter(pk=stage.pk).update(
        order=Stage.Order.SCORES,
        order_source=source[:100],
        filled_to=max([stage.filled_to, *scores]),
    )
    stage.refresh_from_db()
    while fill_gaps(stage) == CHUNK:
        pass
    items = Item.objects.filter(stage=stage, open=True)
    items.filter(position__lt=SCORED).update(position=F("position") + time.time_ns())
    ranked = sorted(scores, key=lambda prompt: (-scores[prompt], prompt))
    moved = 0
    for start in range(0, len(ranked), CHUNK):
        place = {prompt: start + n for n, prompt in enumerate(ranked[start : start + CHUNK], 1)}
        rows = list(items.filter(prompt__in=place).only("prompt_id"))
        for item in rows:
            item.position = place[item.prompt_id]
        moved += Item.objects.bulk_update(rows, ["position"])
    Seat.objects.filter(stage=stage).update(cursors={})
    return moved


@transaction.atomic
def set_priority(stage: Stage, prompt_ids: Iterable[int], priority: int) -> int:
    """Put these prompts' open items before those of a lower priority (0 is the usual one)."""
    items = Item.objects.filter(stage=stage, open=True, prompt__in=list(prompt_ids))
    first = items.aggregate(first=Min("position"))["first"] or 0
    return items.update(lane=-2 * priority, position=F("position") + (time.time_ns() - first))


@transaction.atomic
def overlap_changed(stage: Stage) -> None:
    """After the stage's overlap was changed: items need that many, or as many as hold them."""
    items = Item.objects.filter(stage=stage)
    items.update(needed=Greatest("taken", stage.overlap))
    free = Q(taken__lt=F("needed"), skips__lt=stage.skips_to_close, prompt__retired__isnull=True)
    items.filter(open=True, taken=F("needed")).update(open=False)
    again = items.filter(free, open=False)
    again.update(open=True)
    Seat.objects.filter(stage=stage).update(cursors={})
