"""What a lead changes about a queue: its order, priorities, and how many each item needs."""

import time
from collections.abc import Iterable, Mapping

from django.db import connection, transaction
from django.db.models import F, Min, Q, Value
from django.db.models.functions import Greatest

from annotation.errors import Refused
from annotation.filling import fill, fill_gaps
from annotation.models import Item, Prompt, Seat, Stage
from annotation.rounds import CHUNK, WORKED
from annotation.text import row_number

MOST_SCORES = 100_000  # in one call: it runs in one request and one transaction
MOST_PROMPTS = 10_000  # given a priority in one call
MOST_AHEAD = 200_000  # prompts that the queue has not come to yet, whose items are made on the way
HIGHEST = 100  # priority; -100 is the lowest
SCORED = 1 << 40  # positions below were given by scores, those above (nanoseconds) by arrival


def order_by_scores(stage: Stage, scores: Mapping[str, float], source: str) -> int:
    """`set_order` for a program: prompts by their external id, or by number where no prompt has
    that id. All or nothing: Refused names what is unknown."""
    check_worked(stage)
    if len(scores) > MOST_SCORES:
        raise Refused(
            f"{len(scores):,} scores are too many for one call: at most {MOST_SCORES:,}. Send the "
            "highest ones; prompts without a score come after them, in order of arrival."
        )
    if not source.strip():
        raise Refused("Say where the scores come from, e.g. “run 12”.", field="source")
    found = find(stage, scores)
    if len(set(found.values())) < len(found):
        raise Refused("A prompt has two scores: one under its id, one under its number.")
    reach(stage, found.values())
    return set_order(stage, {found[name]: scores[name] for name in found}, source.strip())


def prioritise(stage: Stage, prompts: Iterable[int], priority: int) -> int:
    """`set_priority` for a lead's selection; the queue comes to these prompts first, if it has not.
    Raises Refused for too many of them."""
    check_worked(stage)
    ids = list(prompts)
    if len(ids) > MOST_PROMPTS:
        raise Refused(too_many(len(ids)))
    if not -HIGHEST <= priority <= HIGHEST:
        raise Refused(f"A priority is a whole number from -{HIGHEST} to {HIGHEST}.")
    reach(stage, ids)
    return set_priority(stage, ids, priority)


def too_many(prompts: int) -> str:
    return (
        f"{prompts:,} prompts are too many at once: at most {MOST_PROMPTS:,}. Narrow the search, "
        "or order the stage by scores."
    )


def check_worked(stage: Stage) -> None:
    if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
        raise Refused(f"Nobody works in {stage}: it has no queue to be ordered.")


def find(stage: Stage, names: Iterable[str]) -> dict[str, int]:
    """The project's prompts by external id, or by number where no prompt has that id.

    Raises Refused, all or nothing, with the first of those that are unknown."""
    wanted = list(names)
    prompts = Prompt.objects.live().filter(project=stage.project_id)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), CHUNK):
        part = [name for name in wanted[start : start + CHUNK] if _plain(name) == name]
        found |= dict(prompts.filter(external_id__in=part).values_list("external_id", "pk"))
        numbers = {row_number(name): name for name in part if name not in found}
        known = prompts.filter(pk__in=[number for number in numbers if number is not None])
        found |= {numbers[pk]: pk for pk in known.values_list("pk", flat=True)}
    if unknown := [name for name in wanted if name not in found]:
        first = ", ".join(f"“{_plain(name[:60])}”" for name in unknown[:5])
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        raise Refused(f"This project has no prompt {first}{more}. Nothing was changed.")
    return found


def _plain(name: str) -> str:
    """Without what no database stores: NULs and halves of characters."""
    return name.replace("\0", "?").encode("utf-8", "replace").decode()


def reach(stage: Stage, prompts: Iterable[int]) -> None:
    """Make the items up to the last of these prompts, as the queue would when it came there."""
    last = max(prompts, default=0) if stage.takes_all else 0
    ahead = Prompt.objects.filter(project=stage.project_id, pk__gt=stage.filled_to, pk__lte=last)
    if ahead[: MOST_AHEAD + 1].count() > MOST_AHEAD:
        raise Refused(
            f"The queue of {stage} is more than {MOST_AHEAD:,} prompts away from the last of "
            "these: choose among earlier ones."
        )
    before = -1
    while before < stage.filled_to < last:
        before = stage.filled_to
        fill(stage)


@transaction.atomic
def set_order(stage: Stage, scores: Mapping[int, float], source: str) -> int:
    """Give the prompts with the highest scores first (an uncertainty, say); returns how many open
    items were moved. Prompts without a score come after them, in order of arrival.

    `source` says in words where the scores come from ("run 12")."""
    Stage.objects.filter(pk=stage.pk).update(
        order=Stage.Order.SCORES,
        order_source=source[:100],
        filled_to=Greatest("filled_to", Value(max(scores, default=0))),
    )
    stage.refresh_from_db()
    while fill_gaps(stage) == CHUNK:
        pass
    items = Item.objects.filter(stage=stage, open=True)
    items.filter(position__lt=SCORED).update(position=F("position") + time.time_ns())
    ranked = sorted(scores, key=lambda prompt: (-scores[prompt], prompt))
    with connection.cursor() as cursor:  # raw: a tenth of the time of bulk_update
        cursor.executemany(
            """UPDATE annotation_item SET position = %s
               WHERE stage_id = %s AND prompt_id = %s AND open""",
            [(place, stage.pk, prompt) for place, prompt in enumerate(ranked, 1)],
        )
        moved = cursor.rowcount
    Seat.objects.filter(stage=stage).update(cursors={})
    return moved


@transaction.atomic
def set_priority(stage: Stage, prompt_ids: Iterable[int], priority: int) -> int:
    """Put these prompts' open items before those of a lower priority (0 is the usual one)."""
    items = Item.objects.filter(stage=stage, open=True, prompt__in=list(prompt_ids))
    items = items.exclude(lane=Item.GOLD_LANE)
    first = items.aggregate(first=Min("position"))["first"] or 0
    return items.update(lane=-2 * priority, position=F("position") + (time.time_ns() - first))


@transaction.atomic
def overlap_changed(stage: Stage) -> None:
    """After the stage's overlap was changed: items need that many, or as many as hold them."""
    items = Item.objects.filter(stage=stage).exclude(lane=Item.GOLD_LANE)
    items.update(needed=Greatest("taken", stage.overlap))
    free = Q(taken__lt=F("needed"), skips__lt=stage.skips_to_close, prompt__retired__isnull=True)
    items.filter(open=True, taken=F("needed")).update(open=False)
    again = items.filter(free, open=False)
    again.update(open=True)
    Seat.objects.filter(stage=stage).update(cursors={})
