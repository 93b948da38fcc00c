"""What a stage's annotators agree on, how each of them stands, and where they part.

`compute` is what a worker runs (measuring.py); it also writes each item's disagreement, which lists
are filtered and ordered by. Items of gold are left out of the agreement and measured apart."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db import connection, transaction

from annotation import quality_data, quality_marks, quality_people, quality_results
from annotation.agreement import disagreement_of, disagreement_of_orders
from annotation.models import Item, Stage
from annotation.quality_data import Data, data_key, load
from annotation.quality_measures import measured
from annotation.quality_questions import FIRST, SECOND, Question, questions

BATCH = 1_000  # items that one statement writes


def compute(stage: Stage) -> dict[str, Any]:
    """All figures of a stage as JSON: {"key", "submissions", "questions", "people", …}. Annotators
    are the numbers of users, or names of imported raters.

    100,000 items of two submissions take a few seconds."""
    key = data_key(stage) if quality_data.is_small(stage) else ""
    data = load(stage)
    asked = questions(stage.kind, stage.rubric, data.turns)
    write_disagreement(data, disagreements(asked))
    everyone = quality_people.people(data, asked)
    people = [
        {**asdict(person), "marks": [asdict(m) for m in quality_marks.marks(person, everyone)]}
        for person in everyone
    ]
    return {
        "key": key,
        "submissions": len(data.turns),
        "all": data.all,
        "items": len({turn.item for turn in data.turns}),
        "compared": len(_compared(data)),
        "gold": _gold(data, everyone),
        "texts": texts(stage.kind, data),
        "questions": [measured(question) for question in asked],
        "results": quality_results.results(stage, data, asked),
        "usual": quality_marks.usual(everyone),
        "people": people,
    }


def _compared(data: Data) -> set[int]:
    """Items on which at least two annotators worked."""
    counts = Counter(turn.item for turn in data.turns)
    return {item for item, n in counts.items() if n > 1}


def _gold(data: Data, everyone: Sequence[quality_people.Person]) -> dict[str, Any]:
    """How all of them together met the known answers."""
    scores = [person.gold for person in everyone if person.gold]
    n = sum(score.n for score in scores)
    hits = sum(score.value * score.n for score in scores)
    share = asdict(quality_people.share_of(min(hits, n), n)) if n else None
    return {"items": len(data.answers), "score": share}


def texts(kind: str, data: Data) -> dict[str, Any]:
    """Of work that is written: what became of the original, or of the suggestion."""
    turns = data.turns
    if kind not in ("write", "correct", "chat") or not turns:
        return {}
    uses = Counter(turn.suggestion_use for turn in turns if turn.suggestion_use)
    unchanged = sum(turn.unchanged for turn in turns)
    shares: list[tuple[str, int, int]] = []
    if kind == "correct":
        shares = [
            ("left as it was", unchanged, len(turns)),
            ("corrected", len(turns) - unchanged, len(turns)),
        ]
    words = {"kept": "kept as suggested", "edited": "edited", "discarded": "written anew"}
    shares += [(words[use], n, uses.total()) for use, n in uses.most_common()]
    looked = Counter(turn.review for turn in turns if turn.review not in ("", "waiting"))
    shares += [(f"{what} in review", n, looked.total()) for what, n in looked.most_common()]
    return {
        "shares": [
            {"said": said, **asdict(quality_people.share_of(n, total))} for said, n, total in shares
        ]
    }


def disagreements(asked: Iterable[Question]) -> dict[int, int]:
    """Of each item on which two said something, 0 to 100: of its most disputed question, the mean
    over the answers that the question is about."""
    most: dict[int, int] = {}
    for question in asked:
        parts: dict[int, list[int]] = defaultdict(list)
        known: dict[tuple[Any, ...], int | None] = {}  # few things are said, of many items
        for (item, _), values in question.units.items():
            if len(values) < 2:
                continue
            said = tuple(values.values())
            if said not in known:
                known[said] = _apart(question, list(said))
            if (part := known[said]) is not None:
                parts[item].append(part)
        for item, each in parts.items():
            most[item] = max(most.get(item, 0), round(sum(each) / len(each)))
    return most


def _apart(question: Question, values: list[Any]) -> int | None:
    if question.kind == "ranking":
        return disagreement_of_orders(values)
    if question.kind == "choice":  # a tie is halfway
        return disagreement_of(values, "ordinal", scale=(SECOND, FIRST))
    if question.kind == "rating":
        low, high = min(question.words), max(question.words)
        return disagreement_of(values, "ordinal", scale=(low, high))
    return disagreement_of(values)


def write_disagreement(data: Data, found: Mapping[int, int]) -> int:
    """Only what is another than it was, a batch a statement; returns how many. Where somebody works
    on an item at this moment it is left: there it is soon to be measured again."""
    changed: dict[int | None, list[int]] = defaultdict(list)
    for item, before in data.disagreement.items():
        if before != (after := found.get(item)):
            changed[after].append(item)
    locks = connection.features.has_select_for_update_skip_locked
    for value, items in changed.items():
        for start in range(0, len(items), BATCH):
            batch = sorted(items[start : start + BATCH])
            with transaction.atomic():
                rows = Item.objects.filter(pk__in=batch)
                if locks:
                    free = rows.order_by("pk").select_for_update(skip_locked=True)
                    rows = Item.objects.filter(pk__in=list(free.values_list("pk", flat=True)))
                rows.update(disagreement=value)
    return sum(map(len, changed.values()))
