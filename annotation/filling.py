"""Where items come from: lazily from a project's prompts, in order of arrival or shuffled.

Positions grow with time (nanoseconds), so that whatever becomes available stands behind every
cursor."""

import random
import time
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, QuerySet

from annotation.models import Import, Item, Prompt, Ranking, Response, Stage
from annotation.rounds import CHUNK, WORKED, Known, first_round

SHUFFLE = 10_000  # a random stage is shuffled within so many prompts at a time


def fill(stage: Stage, limit: int = CHUNK) -> int:
    """Make items for the next `limit` prompts that qualify; returns how many were made.

    Called by the queue when it runs dry, so that a stage over a million prompts is made at once.
    Where another filled it since `stage` was read (they all run dry together), 1: look again."""
    if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
        return 0
    if stage.order == Stage.Order.RANDOM:
        limit = max(limit, SHUFFLE)
        places = random.sample(range(limit * 100), limit)
    else:
        places = list(range(limit - 1, -1, -1))
    made, base = 0, time.time_ns()
    while places:
        with transaction.atomic():
            locked = Stage.objects.select_for_update(no_key=True).get(pk=stage.pk)
            if locked.filled_to != stage.filled_to:
                stage.filled_to = locked.filled_to
                return made or 1
            new, passed = _fill_chunk(stage, base, places)
        made += new
        if passed < CHUNK:
            break
    return made


def _fill_chunk(stage: Stage, base: int, places: list[int]) -> tuple[int, int]:
    """One transaction of it: (items made, prompts passed). Takes the positions off `places`."""
    prompts = qualifying(stage).filter(pk__gt=stage.filled_to)
    unfinished = Import.objects.filter(
        project=stage.project_id, state__in=["previewed", "queued", "running"]
    )
    first = Prompt.objects.filter(batch__in=unfinished).aggregate(first=Min("pk"))["first"]
    if first is not None:  # an import is on its way: its prompts must not be passed by
        prompts = prompts.filter(pk__lt=first)
    ids = list(prompts.order_by("pk").values_list("pk", flat=True)[: min(CHUNK, len(places))])
    if not ids:
        return 0, 0
    items = _first_rounds(stage, ids, [base + places.pop() for _ in ids])
    Item.objects.bulk_create(items, ignore_conflicts=True)
    Stage.objects.filter(pk=stage.pk).update(filled_to=ids[-1])
    stage.filled_to = ids[-1]
    return len(items), len(ids)


def fill_gaps(stage: Stage) -> int:
    """Make the items that a fill passed by: of prompts whose id was drawn before and whose row was
    committed after it (PostgreSQL), or that came back. It reads all prompts: do it rarely. Mostly
    there are none, which is found out without holding up those who write."""
    if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
        return 0
    known = Item.objects.filter(stage=stage, prompt=OuterRef("pk"))
    missing = qualifying(stage).filter(~Exists(known), pk__lte=stage.filled_to)
    if not missing.exists():
        return 0
    with transaction.atomic():
        stage = Stage.objects.select_for_update(no_key=True).get(pk=stage.pk)
        ids = list(missing.order_by("pk").values_list("pk", flat=True)[:CHUNK])
        base = time.time_ns()
        items = _first_rounds(stage, ids, range(base, base + len(ids)))
        Item.objects.bulk_create(items, ignore_conflicts=True)
    return len(items)


def qualifying(stage: Stage) -> QuerySet[Prompt]:
    """The prompts that the queue brings in by itself: where a lead sends them, none."""
    return fitting(stage) if stage.takes_all else Prompt.objects.none()


def fitting(stage: Stage) -> QuerySet[Prompt]:
    """The prompts that there is work on here. A document has no question to answer; ranking needs
    two answers that differ; the best ranked answer needs a ranking."""
    prompts = Prompt.objects.live().filter(project=stage.project_id, retired__isnull=True)
    prompts = prompts.exclude(messages=[])
    if not stage.shows_answers:
        return prompts
    answers = Response.objects.offered().filter(prompt=OuterRef("pk"))
    if stage.kind == Stage.Kind.RANK:
        other = Response.objects.offered().filter(prompt=OuterRef("prompt"))
        return prompts.filter(
            Exists(answers.filter(Exists(other.exclude(fingerprint=OuterRef("fingerprint")))))
        )
    if stage.kind == Stage.Kind.RATE:
        return prompts.filter(Exists(answers))
    if stage.source == Stage.Source.BEST:
        rankings = Ranking.objects.filter(submission__item__prompt=OuterRef("pk"))
        return prompts.filter(Exists(rankings.filter(withdrawn__isnull=True)))
    if stage.source == Stage.Source.ORIGIN:
        answers = answers.filter(author_name=stage.source_name)
    return prompts.filter(Exists(answers))


@transaction.atomic
def send(stage: Stage, prompts: Iterable[int]) -> list[int]:
    """Items for those of the prompts that fit and have none here yet; returns the items' ids."""
    ids = sorted(set(prompts))
    Stage.objects.select_for_update(no_key=True).get(pk=stage.pk)
    base, sent = time.time_ns(), list[int]()
    for start in range(0, len(ids), CHUNK):
        there = Item.objects.filter(stage=stage, prompt=OuterRef("pk"))
        fit = fitting(stage).filter(~Exists(there), pk__in=ids[start : start + CHUNK])
        found = list(fit.order_by("pk").values_list("pk", flat=True))
        items = _first_rounds(stage, found, range(base + start, base + start + len(found)))
        Item.objects.bulk_create(items, ignore_conflicts=True)
        made = Item.objects.filter(stage=stage, prompt__in=[item.prompt_id for item in items])
        sent += made.values_list("pk", flat=True)
    return sent


def _first_rounds(stage: Stage, prompts: Sequence[int], positions: Iterable[int]) -> list[Item]:
    known = Known([stage] if stage.shows_answers else [], prompts)
    items = []
    for prompt, position in zip(prompts, positions, strict=True):
        if item := first_round(stage, prompt, known):
            item.position = position
            items.append(item)
    return items
