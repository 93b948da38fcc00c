"""Layouts: how files spell prompts, answers and rankings. Pure: a row becomes records.

`recognise` tells the layout by the columns; `converter` gives the function that turns a row into
records, and raises Refused with the reason for a row that makes none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from annotation.errors import Refused
from annotation.layouts.answer_columns import convert_answer_columns, fits_answer_columns
from annotation.layouts.argilla import convert_records, convert_table, fits_records, fits_table
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
from annotation.layouts.curated import convert_curated, fits_curated
from annotation.layouts.documents import convert_document, fits_document
from annotation.layouts.feedback import convert_feedback, fits_feedback
from annotation.layouts.fields import Found, Row
from annotation.layouts.instructions import (
    convert_conversation,
    convert_instruction,
    fits_dolly,
    fits_instruction,
    fits_messages,
    fits_sharegpt,
)
from annotation.layouts.judged import (
    convert_llmbar,
    convert_scored,
    convert_thumb,
    fits_llmbar,
    fits_scored,
    fits_thumb,
)
from annotation.layouts.mapping import check_mapping, convert_mapped
from annotation.layouts.messages_of_trees import (
    convert_message,
    fits_messages_of_trees,
    gather_trees,
)
from annotation.layouts.tasks import (
    convert_instances,
    convert_pubmedqa,
    fits_instances,
    fits_pubmedqa,
)
from annotation.layouts.trees import convert_tree, fits_tree
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
    "oasst_trees": Layout("OASST: nested trees", fits_tree, convert_tree),
    "oasst_messages": Layout(
        "OASST: a message a line", fits_messages_of_trees, convert_message, gather_trees
    ),
    "argilla": Layout("Argilla: records.to_json", fits_records, convert_records),
    "argilla_table": Layout("Argilla: the table of to_datasets", fits_table, convert_table),
    "curated_dolly": Layout("Argilla's curated Dolly", fits_curated, convert_curated),
    "argilla_hub": Layout(
        "Argilla: a dataset on the Hub before version 2", fits_feedback, convert_feedback
    ),
    "scored": Layout("GPT-4-LLM comparisons", fits_scored, convert_scored),
    "pandalm": Layout("PandaLM: two responses, three raters", fits_pandalm, convert_pandalm),
    "ranked": Layout("Ranked candidates", fits_ranked, convert_ranked),
    "hh": Layout("HH-RLHF: chosen and rejected dialogues", fits_hh, convert_hh),
    "pairs": Layout("Prompt, chosen, rejected", fits_pairs, convert_pairs),
    "llmbar": Layout("LLMBar: two outputs and a label", fits_llmbar, convert_llmbar),
    "answer_columns": Layout(
        "Several answers to a prompt, a column each", fits_answer_columns, convert_answer_columns
    ),
    "thumbs": Layout("KTO: an answer and true or false", fits_thumb, convert_thumb),
    "self_instruct": Layout(
        "Self-instruct: tasks with instances", fits_instances, convert_instances
    ),
    "pubmedqa": Layout("PubMedQA", fits_pubmedqa, convert_pubmedqa),
    "sharegpt": Layout("ShareGPT conversations", fits_sharegpt, convert_conversation),
    "messages": Layout("OpenAI messages", fits_messages, convert_conversation),
    "dolly": Layout("Dolly: instruction, context, response", fits_dolly, convert_instruction),
    "instruction": Layout(
        "Instruction, input, response (Alpaca, GPTeacher)", fits_instruction, convert_instruction
    ),
    "text": Layout("Documents: a text", fits_document, convert_document),
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
