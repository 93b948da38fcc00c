"""What a stage's quality is measured from: who said what about which item. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db.models import Count, Max, Q, Sum, TextField, Value
from django.db.models.functions import Cast

from annotation.models import Adjudication, Gold, Item, Review, Stage, Submission
from annotation.models.prompts import BatchQuerySet
from annotation.rubric import in_force, version

MOST = 300_000  # submissions: the newest are read, and the page says so
SMALL = 2_000  # submissions that are measured while somebody waits for the page
CHUNK = 2_000  # rows fetched at once

# An annotator: the number of a user, or an imported rater's name.
Rater = int | str


@dataclass(slots=True)
class Turn:
    """One annotator's word on an item. `said`: what they handed in; `counts`: the same, or what a
    reviewer put in its place; both {"order"?, "ratings"?}."""

    pk: int
    item: int
    rater: Rater
    said: dict[str, Any]
    counts: dict[str, Any]
    shown: list[int]
    seconds: int
    review: str
    unchanged: bool
    suggestion_use: str
    order: "Order | None" = None  # what they said, over the places in the item's answers


# Places of an item's answers, best first, ties together: ((1,), (0, 2)).
Order = tuple[tuple[int, ...], ...]


def canonical(order: Sequence[Sequence[int]], answers: Sequence[int]) -> Order | None:
    """The order over the places in `answers`, so that equal orders are equal; None if it is about
    others. Pure."""
    place = {pk: n for n, pk in enumerate(answers)}
    try:
        return tuple([tuple(sorted([place[pk] for pk in group])) for group in order])
    except KeyError:
        return None


@dataclass(slots=True)
class Data:
    """`turns` are about items that are no gold, `gold` about those that are; `decided`: what a
    lead said of an item, {item: (the chosen submission or None, content)}."""

    stage: Stage
    turns: list[Turn] = field(default_factory=list)
    gold: list[Turn] = field(default_factory=list)
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)  # of gold, by item
    candidates: dict[int, list[int]] = field(default_factory=dict)
    disagreement: dict[int, int | None] = field(default_factory=dict)  # as stored
    decided: dict[int, tuple[int | None, dict[str, Any]]] = field(default_factory=dict)
    reviews: dict[Rater, dict[str, int]] = field(default_factory=dict)
    all: bool = True  # False: the newest MOST only


def load(stage: Stage, only: Sequence[int] | None = None) -> Data:
    """All that was handed in and counts, or (without reviews and decisions) of the items `only`.

    A fixed submission says what its author handed in: that stands in its draft, while its ranking
    and ratings say what the reviewer made of it."""
    some = Item.objects.filter(stage=stage)
    if only is not None:
        some = some.filter(pk__in=only)
    known = Gold.objects.filter(item__in=some).values_list("item", "content")
    data = Data(stage, answers=dict(known))
    met = some.filter(Q(done__gt=0) | Q(disagreement__isnull=False))
    items = met.values_list("pk", _text("candidates"), "disagreement")
    for pk, candidates, disagreement in items.iterator(CHUNK):
        data.candidates[pk] = orjson.loads(candidates)
        data.disagreement[pk] = disagreement
    hidden = set(some.filter(lane=Item.GOLD_LANE).values_list("pk", flat=True))
    handed_in = _handed_in(stage)
    if only is not None:
        handed_in = handed_in.filter(item__in=only)
    ranked = stage.kind == Stage.Kind.RANK
    fixed = dict(handed_in.filter(review="fixed").values_list("pk", "draft"))
    # Of a large stage every column counts: what nobody asks for here is not read.
    nothing = Value("null", output_field=TextField())
    shown = _text("shown") if ranked else nothing
    ranking = _text("ranking__order") if ranked else nothing  # of what is handed in it counts
    ratings = _text("ratings") if in_force(stage.rubric) else nothing
    rows = handed_in.order_by("-pk").values_list(
        "pk", "item", "user", "rater", shown, ratings, ranking, *REST
    )
    for pk, item, user, rater, seen, rated, order, *rest in rows[: MOST + 1].iterator(CHUNK):
        if len(data.turns) >= MOST:
            data.all = False
            break
        answers = orjson.loads(rated)
        counts: dict[str, Any] = {"ratings": answers} if answers else {}
        if order is not None and (best_first := orjson.loads(order)) is not None:
            counts["order"] = best_first
        said = fixed.get(pk, counts) if fixed else counts
        turn = Turn(
            pk, item, rater if user is None else user, said, counts, orjson.loads(seen) or [], *rest
        )
        if said.get("order"):
            turn.order = canonical(said["order"], data.candidates.get(item) or sorted(turn.shown))
        (data.gold if item in hidden else data.turns).append(turn)
    if only is None:
        data.decided = _decided(stage, data)
        data.reviews = _reviews(stage)
    return data


REST = ("active_seconds", "review", "unchanged", "suggestion_use")


def _handed_in(stage: Stage) -> BatchQuerySet:
    return Submission.objects.live().filter(stage=stage, state=Submission.State.SUBMITTED)


def _text(name: str) -> Cast:
    """A JSON column as it is stored: of half a million values Django's reading is most of the
    time."""
    return Cast(name, TextField())


def _decided(stage: Stage, data: Data) -> dict[int, tuple[int | None, dict[str, Any]]]:
    """The decisions in force; one that chose a submission says what that one says."""
    rows = Adjudication.objects.filter(item__stage=stage, withdrawn=None)
    found = {
        item: (submission, content)
        for item, submission, content in rows.values_list("item", "submission", "content")
    }
    chosen = {submission for submission, _ in found.values() if submission is not None}
    said = {turn.pk: turn.counts for turn in data.turns if turn.pk in chosen}
    return {
        item: (submission, content if submission is None else said.get(submission, {}))
        for item, (submission, content) in found.items()
    }


def _reviews(stage: Stage) -> dict[Rater, dict[str, int]]:
    """Of each annotator: how many submissions were accepted, returned, fixed, each time counted."""
    rows = Review.objects.filter(submission__stage=stage).order_by()
    counted = rows.values_list("submission__user", "submission__rater", "decision").annotate(
        n=Count("pk")
    )
    found: dict[Rater, dict[str, int]] = {}
    for user, rater, decision, n in counted:
        found.setdefault(rater if user is None else user, {})[decision] = n
    return found


def is_small(stage: Stage) -> bool:
    """Whether all of it is read in no time; costs no more than SMALL rows of an index."""
    rows = Submission.objects.filter(stage=stage, state=Submission.State.SUBMITTED)
    return rows[: SMALL + 1].count() <= SMALL


def data_key(stage: Stage) -> str:
    """Changes with all that the measurement is made from. For small stages: it counts."""
    turns: Mapping[str, Any] = _handed_in(stage).aggregate(
        n=Count("pk"), last=Max("pk"), saves=Sum("version"), at=Max("submitted")
    )
    reviews = Review.objects.filter(submission__stage=stage).aggregate(last=Max("pk"))
    decided = Adjudication.objects.filter(item__stage=stage).aggregate(
        last=Max("pk"), withdrawn=Max("withdrawn")
    )
    gold = Gold.objects.filter(item__stage=stage).aggregate(n=Count("pk"), last=Max("pk"))
    hidden = Item.objects.filter(stage=stage, lane=Item.GOLD_LANE).aggregate(n=Count("pk"))
    parts = [*turns.values(), *reviews.values(), *decided.values(), *gold.values()]
    return ":".join(map(str, [*parts, *hidden.values(), version(stage.rubric)]))[:500]
