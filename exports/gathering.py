"""One pass over a selection: its rows onto the shelf, the rules about rows beside other rows, and
figures of what is left."""

from collections.abc import Callable
from typing import Any

from exports import beside
from exports.figures import describe
from exports.looks import Facets
from exports.models import Dataset
from exports.selection import Selection, select
from exports.shelf import Shelf
from exports.text_rules import Masked, TextRules

Beat = Callable[[int], None]
READ, READ_NEAR = 70, 45  # per cent of the work that is reading; where near rows are looked for


def gather(
    dataset: Dataset,
    selection: Selection,
    shelf: Shelf,
    beat: Beat,
    facets: Facets | None = None,
) -> dict[str, Any]:
    """`counts` per split, `prompts`, `dropped` {reason: rows} (most first), `masked` {kind: rows}
    where personal data are to be, and the figures.

    `beat` is called with the per cent that is done, often."""
    # A worker that says nothing for a minute is given up: reading what rules go by takes long, too.
    rules = TextRules(dataset.workspace, selection, lambda: beat(0))
    masked = Masked()
    read = READ_NEAR if selection.near else READ
    for chunk in select(dataset, selection, lambda: beat(0)):
        rules.apply(chunk.found)
        shelf.put(chunk.found)
        masked.put(chunk.found)
        if facets is not None:
            facets.put(chunk.found)
        beat(read * chunk.seen // max(chunk.total, 1))
    groups = beside.apply(selection, shelf, lambda share: beat(read + (99 - read) * share // 100))
    if facets is not None:
        facets.finish(shelf, groups)
    told = {}
    if selection.personal == "mask":
        told["masked"] = masked.count(shelf.column("reason", every=True))
    return {
        "counts": shelf.counts(),
        "prompts": shelf.prompts(),
        "dropped": shelf.reasons(),
        **told,
        **describe(shelf.column("length"), shelf.column("other")),
    }
