"""Which round of an item a prompt is in: what answers change when they arrive, go or are ranked.

What an item is about changes only while nobody has touched it; a ranked item is never touched
again, and new answers open its next round."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q

from annotation.candidates import (
    Answer,
    Order,
    best_ranked,
    next_round,
    to_correct,
    to_rank,
    to_rate,
)
from annotation.models import (
    Adjudication,
    Gold,
    Item,
    Membership,
    Prompt,
    Ranking,
    Response,
    Stage,
    Submission,
)

CHUNK = 1000  # prompts a transaction: nobody waits for more
WORKED = (Stage.Kind.WRITE, Stage.Kind.CORRECT, Stage.Kind.RANK, Stage.Kind.RATE)


def answers_arrived(prompt_ids: Iterable[int]) -> None:
    """Call it after prompts got or lost answers or rankings, were retired or came back.

    Untouched items get their candidates again, a ranked item the next round over what is new,
    prompts that now qualify their first item; items of retired prompts are closed."""
    ids = sorted(set(prompt_ids))
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            _refresh(ids[start : start + CHUNK])


def answered(prompt: int, project: int) -> None:
    """`answers_arrived` for one person's answer, which mostly concerns no other stage yet."""
    with connection.cursor() as cursor:  # raw: part of each submit
        cursor.execute(
            """SELECT 1 FROM annotation_stage WHERE project_id = %s
               AND (filled_to >= %s OR NOT takes_all) AND kind IN ('correct', 'rank', 'rate')
               AND state <> 'imported' LIMIT 1""",
            [project, prompt],
        )
        concerned = cursor.fetchone()
    if concerned:
        answers_arrived([prompt])


def item_done(item: Item, project: int) -> None:
    """`answers_arrived` after the last ranking or rating that an item needed, if there is an answer
    that it did not show, or a stage that corrects the best ranked one."""
    if connection.vendor == "postgresql":  # whoever adds an answer now is waited for, or waits
        Prompt.objects.select_for_update(no_key=True).filter(pk=item.prompt_id).first()
    with connection.cursor() as cursor:  # raw: part of each submit
        cursor.execute(
            "SELECT id FROM annotation_response WHERE prompt_id = %s AND withdrawn IS NULL",
            [item.prompt_id],
        )
        answers = {pk for (pk,) in cursor.fetchall()}
        cursor.execute(
            """SELECT 1 FROM annotation_stage
               WHERE project_id = %s AND kind = 'correct' AND source = 'best' LIMIT 1""",
            [project],
        )
        corrected = cursor.fetchone()
    if corrected or not answers <= set(item.candidates):
        answers_arrived([item.prompt_id])


def built_on(submission: Submission) -> bool:
    """An answer rests on this work, or somebody has (or is just getting) an item that is about it.

    PostgreSQL: the prompt is locked, as by whoever renews its items; of the items, those that are
    not to be had at once are being worked on."""
    prompt = submission.item.prompt_id
    Prompt.objects.select_for_update(no_key=True).filter(pk=prompt).first()
    answers = list(submission.responses.filter(withdrawn=None))
    for answer in answers:
        if answer.corrections.filter(withdrawn=None).exists() or answer.continuations.exists():
            return True
    ids = {answer.pk for answer in answers}
    others = Item.objects.filter(prompt=prompt).exclude(pk=submission.item_id)
    about = {pk for pk, shown in others.values_list("pk", "candidates") if ids.intersection(shown)}
    if submission.stage.kind == Stage.Kind.RANK:
        next_rounds = Q(stage=submission.stage_id, round__gt=submission.item.round)
        best = Q(stage__kind=Stage.Kind.CORRECT, stage__source=Stage.Source.BEST)
        about |= set(others.filter(next_rounds | best).values_list("pk", flat=True))
    free = others.filter(pk__in=about).select_for_update(skip_locked=True)
    return (
        len(free) < len(about)
        or Submission.objects.filter(item__in=about).exists()
        or Adjudication.objects.filter(item__in=about).exists()
        or Gold.objects.filter(item__in=about).exists()
    )


def _refresh(ids: Sequence[int]) -> None:
    # The prompts are locked first (PostgreSQL): of two that write at once, the second sees all.
    prompts = list(
        Prompt.objects.live()
        .filter(pk__in=ids)
        .exclude(messages=[])
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("pk", "project_id", "retired")
    )
    projects = {project for _, project, _ in prompts}
    # Prompts that a stage has not come to yet will be met by its next fill.
    reached = Q(filled_to__gte=ids[0]) | Q(takes_all=False)
    worked = Stage.objects.filter(reached, project__in=projects, kind__in=WORKED)
    stages = list(worked.exclude(state=Stage.State.IMPORTED))
    if not stages:
        return
    decided = Adjudication.objects.filter(item=OuterRef("pk"))  # one that was withdrawn is kept
    touched = Exists(Submission.objects.filter(item=OuterRef("pk"))) | Exists(decided)
    rounds: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in (
        Item.objects.filter(stage__in=stages, prompt__in=ids)
        .annotate(touched=touched)
        .order_by("round")
    ):
        rounds[item.stage_id, item.prompt_id].append(item)
    known = Known([stage for stage in stages if stage.shows_answers], ids)
    base = time.time_ns()
    new: list[Item] = []
    for stage in stages:
        for prompt, project, retired in prompts:
            if project != stage.project_id:
                continue
            items = rounds[stage.pk, prompt]
            _open_or_close(stage, items, retired is not None)
            if retired is None and (made := _renew(stage, prompt, items, known)):
                made.position = base + len(new)
                new.append(made)
    Item.objects.bulk_create(new, ignore_conflicts=True)


class Known:
    """The answers and orderings of some prompts, read when they are first asked for."""

    def __init__(self, stages: Sequence[Stage], prompts: Sequence[int]) -> None:
        self.prompts = prompts
        self.answers: Mapping[int, list[Answer]] = _answers(prompts) if stages else {}
        self._orders: Mapping[int, list[tuple[int, Order]]] | None = None

    def best(self, prompt: int, item: int | None = None) -> int | None:
        """The best ranked answer, by all rankings of the prompt or by those of one item."""
        if self._orders is None:
            self._orders = _orders(self.prompts)
        live = {answer.id for answer in self.answers.get(prompt, [])}
        return best_ranked(
            [[a for a in group if a in live] for group in order]
            for where, order in self._orders.get(prompt, [])
            if item in (None, where)
        )

    def candidates(self, stage: Stage, prompt: int) -> list[int]:
        """What a first round is about; nothing while the prompt does not qualify."""
        answers = self.answers.get(prompt, [])
        if stage.kind == Stage.Kind.RANK:
            return to_rank(answers, stage.max_answers)
        if stage.kind == Stage.Kind.RATE:
            return to_rate(answers, stage.max_answers)
        best = self.best(prompt) if stage.source == Stage.Source.BEST else None
        return to_correct(answers, stage.source, stage.source_name, best)

    def next_candidates(
        self, stage: Stage, prompt: int, seen: Sequence[int], last: int
    ) -> list[int]:
        """What the round after item `last` is about: what is new, and to rank it the best of the
        last; nothing while nothing is new."""
        answers = self.answers.get(prompt, [])
        if stage.kind == Stage.Kind.RATE:
            return to_rate(answers, stage.max_answers, seen)
        return next_round(answers, seen, self.best(prompt, last), stage.max_answers)


def _answers(prompts: Sequence[int]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = defaultdict(list)
    rows = Response.objects.offered().filter(prompt__in=prompts)
    for prompt, pk, name, fingerprint in rows.values_list(
        "prompt_id", "pk", "author_name", "fingerprint"
    ):
        found[prompt].append(Answer(pk, name, fingerprint))
    return found


def _orders(prompts: Sequence[int]) -> dict[int, list[tuple[int, Order]]]:
    found: dict[int, list[tuple[int, Order]]] = defaultdict(list)
    rows = Ranking.objects.filter(
        submission__in=Submission.objects.live().filter(item__prompt__in=prompts),
        submission__state=Submission.State.SUBMITTED,
        withdrawn__isnull=True,
    )
    for prompt, item, order in rows.values_list(
        "submission__item__prompt_id", "submission__item_id", "order"
    ):
        found[prompt].append((item, order))
    return found


def _open_or_close(stage: Stage, items: Sequence[Item], retired: bool) -> None:
    for item in items:
        free = item.taken < item.needed and item.skips < stage.skips_to_close
        rows = Item.objects.filter(pk=item.pk)
        if item.open and retired:
            rows.update(open=False)
        elif free and not item.open and not retired:
            rows.filter(taken__lt=F("needed")).update(open=True, position=time.time_ns())


def _renew(stage: Stage, prompt: int, items: Sequence[Item], known: Known) -> Item | None:
    """What new answers change for one prompt in one stage; returns the item to be made, if any."""
    if not items:
        met = stage.takes_all and prompt <= stage.filled_to
        return first_round(stage, prompt, known) if met else None
    last = items[-1]
    if not stage.shows_answers or last.is_gold:  # what gold is about is fixed by its answer
        return None
    seen = [answer for item in items[:-1] for answer in item.candidates]
    if not last.touched and last.taken == 0:  # type: ignore[attr-defined]
        if seen:
            fresh = known.next_candidates(stage, prompt, seen, items[-2].pk)
        else:
            fresh = known.candidates(stage, prompt)
        rows = Item.objects.filter(pk=last.pk, taken=0)
        if not fresh:
            rows.delete()
        elif fresh != last.candidates:
            rows.update(candidates=fresh)
        return None
    if stage.kind == Stage.Kind.CORRECT or last.done < last.needed:
        return None
    fresh = known.next_candidates(stage, prompt, [*seen, *last.candidates], last.pk)
    if not fresh or not _somebody_may(stage, fresh):
        return None
    return Item(
        stage=stage,
        prompt_id=prompt,
        round=last.round + 1,
        candidates=fresh,
        lane=last.lane + abs(last.lane) % 2,
        needed=stage.overlap,
    )


@transaction.atomic
def open_round(stage: Stage, prompts: Iterable[int]) -> list[int]:
    """Have the work on these prompts done once more: the next round over the answers that are there
    now, whether they are new or not. Returns the items' ids.

    Prompts without an item here, with a round that is not done yet, and gold are left as they
    are."""
    ids = sorted(set(prompts))
    base, opened = time.time_ns(), list[int]()
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        locked = Prompt.objects.select_for_update(no_key=True).filter(pk__in=part)
        list(locked.order_by("pk").values_list("pk"))  # a count() would lock nothing
        last: dict[int, Item] = {}
        rows = Item.objects.filter(stage=stage, prompt__in=part, prompt__retired=None)
        for item in rows.order_by("round"):
            last[item.prompt_id] = item
        known = Known([stage] if stage.shows_answers else [], part)
        new: list[Item] = []
        for prompt, item in sorted(last.items()):
            fresh = first_round(stage, prompt, known)
            if fresh is None or item.is_gold or item.done < item.needed:
                continue
            fresh.round, fresh.lane = item.round + 1, item.lane + abs(item.lane) % 2
            fresh.position = base + start + len(new)
            new.append(fresh)
        Item.objects.bulk_create(new, ignore_conflicts=True)
        for item in new:
            made = Item.objects.filter(stage=stage, prompt=item.prompt_id, round=item.round)
            opened += made.values_list("pk", flat=True)
    return opened


def _somebody_may(stage: Stage, answers: Sequence[int]) -> bool:
    """Somebody is there who wrote none of these answers: without them a round would stay open for
    ever, as where two people write a better answer each time."""
    authors = Response.objects.filter(pk__in=answers, author__isnull=False)
    written = list(authors.values_list("author", flat=True))
    if not written:
        return True
    people = Membership.objects.filter(workspace=stage.project.workspace_id, is_active=True)
    if not stage.open_to_all:
        people = people.filter(user__seats__stage=stage, user__seats__assigned=True)
    return people.exclude(user__in=written).exists()


def first_round(stage: Stage, prompt: int, known: Known) -> Item | None:
    """The item that a prompt starts with; none while the prompt does not qualify.

    The caller gives it its position."""
    candidates = known.candidates(stage, prompt) if stage.shows_answers else []
    if stage.shows_answers and not candidates:
        return None
    return Item(stage=stage, prompt_id=prompt, candidates=candidates, needed=stage.overlap)
