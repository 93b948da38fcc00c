"""Layouts: how files spell prompts, answers and rankings. Pure: a row becomes records.

`recognise` tells the layout by the columns; `converter` gives the function that turns a row into
records, and raises Refused with the reason for a row that makes none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from annotation.errors import Refused
from annotation.layouts.comparisons import (
    convert_hh,
    convert_pairs,
    convert_pandalm,
    convert_ranked,
    fits_hh,
    fits_pairs,
    fits_pandalm,
    fits_ranked,
)
from annotation.layouts.fields import Found, Row
from annotation.layouts.instructions import (
    convert_conversation,
    convert_instruction,
    fits_dolly,
    fits_instruction,
    fits_messages,
    fits_sharegpt,
)
from annotation.layouts.mapping import check_mapping, convert_mapped
from annotation.records import Note, Record

__all__ = ["LAYOUTS", "Layout", "check_mapping", "converter", "gatherer", "recognise"]

Convert = Callable[[Row, Note], list[Record]]
# Of rows that belong together: the rows, how to note, and after how many rows they were cut off.
Gather = Callable[
    [Iterable[Found], Callable[[int | None, str], None], int | None],
    Iterator[tuple[int | None, "list[Record] | str"]],
]


@dataclass(frozen=True)
class Layout:
    title: str
    fits: Callable[[Row], bool]
    convert: Convert
    gather: Gather | None = None  # instead of `convert`, where a prompt stands on several lines


# From the most particular to the most general: of layouts that fit equally well, the first wins.
LAYOUTS = {
    "pandalm": Layout("PandaLM: two responses, three raters", fits_pandalm, convert_pandalm),
    "ranked": Layout("Ranked candidates", fits_ranked, convert_ranked),
    "hh": Layout("HH-RLHF: chosen and rejected dialogues", fits_hh, convert_hh),
    "pairs": Layout("Prompt, chosen, rejected", fits_pairs, convert_pairs),
    "sharegpt": Layout("ShareGPT conversations", fits_sharegpt, convert_conversation),
    "messages": Layout("OpenAI messages", fits_messages, convert_conversation),
    "dolly": Layout("Dolly: instruction, context, response", fits_dolly, convert_instruction),
    "instruction": Layout(
        "Instruction, input, response (Alpaca, GPTeacher)", fits_instruction, convert_instruction
    ),
}
MAPPING = "mapping"


def recognise(rows: Sequence[Row]) -> str:
    """The layout that fits most of the rows, at least half of them; empty if none does."""
    votes = {name: sum(layout.fits(row) for row in rows) for name, layout in LAYOUTS.items()}
    best = max(LAYOUTS, key=lambda name: votes[name])
    return best if rows and votes[best] * 2 >= len(rows) else ""


def converter(layout: str, mapping: Mapping[str, str]) -> Convert:
    """The function that converts a row. Raises Refused for a layout or a mapping that is none."""
    if mapping:
        check_mapping(mapping)
        return partial(convert_mapped, mapping)
    if layout not in LAYOUTS:
        raise Refused(f"“{layout}” is no layout: use {', '.join(LAYOUTS)}, or map the columns.")
    return LAYOUTS[layout].convert


def gatherer(layout: str) -> Gather | None:
    """The function for all rows of a layout whose prompts stand on several lines; else none."""
    return LAYOUTS[layout].gather if layout in LAYOUTS else None
