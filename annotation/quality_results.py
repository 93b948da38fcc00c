"""What all of them together say: whose answers win, and which labels the items have. Reads only.

What counts goes in: a reviewer's fix in place of the author's words, a lead's decision in place of
everybody's."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from django.db import connection

from annotation.aggregation import (
    bradley_terry,
    dawid_skene,
    highest,
    lowest,
    majority,
    mean,
    weighted_majority,
)
from annotation.models import Stage
from annotation.quality_data import Data, Turn
from annotation.quality_people import ratio
from annotation.quality_questions import Question, rubric_questions

LEAD = "the lead"  # who decided: one voice in place of all
MOST_SOURCES = 30
MOST_UNITS = 150_000  # for Dawid and Skene; above it majority alone


def results(stage: Stage, data: Data, asked: Sequence[Question]) -> dict[str, Any]:
    """{"wins": whose answers win, of rank stages, "questions": of each rating and label}. `asked`:
    what annotators said; where nothing was fixed or decided, that is what counts."""
    turns = list(deciding(data))
    if data.decided or any(turn.said is not turn.counts for turn in data.turns):
        asked = rubric_questions(stage.rubric, turns, said=False)
    found: dict[str, Any] = {"questions": [], "wins": []}
    for question in asked:
        if question.kind == "rating":
            found["questions"].append(_rated(question))
        elif question.kind == "label":
            found["questions"].append(_labelled(question))
    if stage.kind == Stage.Kind.RANK:
        found["wins"] = wins(turns, sources(stage))
    return found


def deciding(data: Data) -> Iterator[Turn]:
    """The turns that count; of an item that a lead decided, that decision alone."""
    for turn in data.turns:
        if turn.item not in data.decided:
            yield turn
    for item, (pk, content) in data.decided.items():
        if content.get("order") or content.get("ratings"):
            yield Turn(pk or 0, item, LEAD, content, content, [], 0, "", False, "")


def sources(stage: Stage) -> dict[int, str]:
    """Whose each answer to the stage's prompts is: the author's or model's name, or its origin."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT r.id, r.author_name, r.origin FROM annotation_response r
               WHERE r.prompt_id IN (SELECT i.prompt_id FROM annotation_item i
                                     WHERE i.stage_id = %s AND i.done > 0)""",
            [stage.pk],
        )
        return {pk: name or f"{origin}, no name" for pk, name, origin in cursor.fetchall()}


def wins(turns: Sequence[Turn], whose: Mapping[int, str]) -> list[dict[str, Any]]:
    """Of each source, the best first: {"source", "items", "won", "low", "high", "strength"}.

    `won`: the share of comparisons with another source's answer that it won, a tie being half, with
    a 95 % interval over items; `strength`: Bradley and Terry's, the natural logarithm of the odds
    against an average answer, fair to those that met stronger ones. Pure."""
    items: dict[int, list[Named]] = defaultdict(list)
    for turn in turns:
        if order := turn.counts.get("order"):
            named = tuple([tuple([whose.get(pk, "") for pk in group]) for group in order])
            items[turn.item].append(named)
    # Items of which the same is said about the same sources: of many items there are few kinds.
    kinds = Counter(map(tuple, items.values()))
    points: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    orders: Counter[Named] = Counter()
    for kind, n in kinds.items():
        here: dict[str, list[float]] = {}
        for one, other, score in (each for named in kind for each in _comparisons(named)):
            for source, part in ((one, score), (other, 1 - score)):
                pair = here.setdefault(source, [0.0, 0.0])
                pair[0] += part
                pair[1] += 1
            better = ((one,), (other,)) if score == 1 else ((min(one, other), max(one, other)),)
            orders[better] += n
        for source, (won, met) in here.items():
            points[source].append((won, met, n))
    if len(points) < 2:
        return []
    strength = bradley_terry(orders.elements())["strength"]
    lines = []
    for source, rows in points.items():
        won, met = (sum(row[end] * row[2] for row in rows) for end in (0, 1))
        share = ratio(rows)
        lines.append(
            {
                "source": source,
                "items": sum(n for *_, n in rows),
                "won": won / met,
                "low": max(share.low, 0.0) if share else None,
                "high": share.high if share else None,
                "strength": strength.get(source),
            }
        )
    busiest = sorted(lines, key=lambda line: -line["items"])[:MOST_SOURCES]
    return sorted(busiest, key=lambda line: -line["won"])


Named = tuple[tuple[str, ...], ...]


def _comparisons(named: Sequence[Sequence[str]]) -> Iterator[tuple[str, str, float]]:
    """(one source, another, 1 if the first won or 0.5 for a tie) of each two answers."""
    for place, group in enumerate(named):
        for one, other in combinations(group, 2):
            if one != other:
                yield one, other, 0.5
        for worse in named[place + 1 :]:
            for one in group:
                for other in worse:
                    if one != other:
                        yield one, other, 1.0


def _rated(question: Question) -> dict[str, Any]:
    """The mean over units of their mean, of their highest and of their lowest rating."""
    kinds = Counter(tuple(unit.values()) for unit in question.units.values())
    total = kinds.total()
    line: dict[str, Any] = {"title": question.title, "kind": "rating", "units": total}
    for name, rule in (("mean", mean), ("highest", highest), ("lowest", lowest)):
        values = (rule(dict(enumerate(kind)))["value"] * n for kind, n in kinds.items())
        line[name] = sum(values) / total if total else None
    return line


def _labelled(question: Question) -> dict[str, Any]:
    """How many units get each label: by majority, by a majority that weighs each annotator by how
    right Dawid and Skene find them, and by these two."""
    units = list(question.units.values())
    plain = _each(units, lambda unit: majority(unit)["value"])
    line = {
        "title": question.title,
        "kind": "label",
        "units": len(units),
        "ties": sum(value is None for value in plain),
        "labels": [],
        "differ": None,
    }
    columns = {"majority": Counter(plain)}
    several = sum(len(unit) > 1 for unit in units)
    if several and len(units) <= MOST_UNITS:
        model = dawid_skene(units, labels=list(question.words))
        weights = {rater: max(share, 0.0) for rater, share in model["accuracy"].items()}
        weighted = _each(units, lambda unit: weighted_majority(unit, weights)["value"])
        columns |= {"weighted": Counter(weighted), "modelled": Counter(model["values"])}
        line["differ"] = sum(
            one is not None and one != other
            for one, other in zip(plain, model["values"], strict=True)
        )
    line["labels"] = [
        {"label": label, **{name: counts[value] for name, counts in columns.items()}}
        for value, label in question.words.items()
    ]
    return line


def _each(
    units: Sequence[Mapping[Any, Any]], rule: Callable[[Mapping[Any, Any]], Any]
) -> list[Any]:
    """The rule's answer for each unit, worked out once for units that are the same."""
    known: dict[tuple[tuple[Any, Any], ...], Any] = {}
    found = []
    for unit in units:
        key = tuple(unit.items())
        if key not in known:
            known[key] = rule(unit)
        found.append(known[key])
    return found
