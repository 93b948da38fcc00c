"""One pass over a selection: its rows onto the shelf, its figures into words and numbers."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from exports.figures import describe
from exports.models import Dataset
from exports.selection import Selection, select
from exports.shelf import Shelf
from exports.work import DUPLICATE, Answer, Candidate, Ranked

Beat = Callable[[int], None]


def provenance(found: Candidate) -> dict[str, Any]:
    """Where a row comes from, for those who may ask; annotators still bear their names here."""
    turns: list[Answer | Ranked] = [*found.answers, *found.rankings]
    return {
        "project": found.work.project,
        "external_id": found.work.external_id,
        "prompt": found.work.id,
        "responses": [answer.id for answer in found.answers],
        "submissions": sorted({turn.submission for turn in turns if turn.submission}),
        "annotators": sorted({turn.annotator for turn in turns if turn.annotator}),
        "guidelines": sorted({turn.guidelines for turn in turns if turn.guidelines}),
    }


def gather(dataset: Dataset, selection: Selection, shelf: Shelf, beat: Beat) -> dict[str, Any]:
    """`counts` per split, `prompts`, `dropped` {reason: rows} (most first), and the figures.

    `beat` is called with the per cent of prompts read, after each chunk."""
    dropped: Counter[str] = Counter()
    for chunk in select(dataset, selection):
        kept = [found for found in chunk.found if not found.reason]
        dropped.update(found.reason for found in chunk.found if found.reason)
        shelf.put((found, provenance(found)) for found in kept)
        beat(100 * chunk.seen // max(chunk.total, 1))
    if doubles := shelf.drop_duplicates():
        dropped[DUPLICATE] += doubles
    return {
        "counts": shelf.counts(),
        "prompts": shelf.prompts(),
        "dropped": dict(sorted(dropped.items(), key=lambda item: (-item[1], item[0]))),
        **describe(shelf.lengths()),
    }
