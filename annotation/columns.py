"""The columns of an import's file, with values to know them by, and what their names suggest."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.models import Import
from annotation.parsing import opened, source_of
from annotation.readers import Source

ROWS = 50
MOST = 60  # columns
SAMPLES = 3
LENGTH = 80  # characters of a sample
ROWS_LOOKED_AT = 500  # where many are none

# By the words that public files use; the first of a field's names that a file has is taken.
NAMES = {
    "prompt": ("prompt", "question", "query", "instruction", "input", "user", "text", "q"),
    "response": ("response", "answer", "output", "completion", "reply", "target", "a"),
    "context": ("context", "passage", "document", "source"),
    "system": ("system", "system_prompt"),
    "chosen": ("chosen", "preferred", "better"),
    "rejected": ("rejected", "dispreferred", "worse"),
    "external_id": ("external_id", "id", "uuid", "prompt_id", "key"),
}


@dataclass
class Column:
    """`samples`: different values of the first rows, cut."""

    name: str
    samples: list[str] = field(default_factory=list)


def columns_of(import_row: Import) -> list[Column]:
    """In the order of the first row, then what later rows add. Raises ReadError."""
    found: dict[str, Column] = {}
    taken = 0
    with opened(import_row) as file:
        file.seek(0)
        for number, (_, row) in enumerate(source_of(file, import_row.no_header).rows(), 1):
            if isinstance(row, dict):
                taken += 1
                _add(found, row)
            if taken == ROWS or number >= ROWS_LOOKED_AT:
                break
    return list(found.values())


def is_table(import_row: Import) -> bool:
    """Whether its first line is a header, or may be said to be none. Raises ReadError."""
    with opened(import_row) as file:
        source = source_of(file, import_row.no_header)
        return isinstance(source, Source) and source.format == "csv"


def _add(found: dict[str, Column], row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if name not in found:
            if len(found) >= MOST:
                continue
            found[name] = Column(str(name))
        samples = found[name].samples
        if len(samples) < SAMPLES and (text := _cut(value)) and text not in samples:
            samples.append(text)


def _cut(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(_small(value), ensure_ascii=False)
    text = " ".join(text[: 4 * LENGTH].split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _small(value: Any) -> Any:
    """The beginning of a list or an object: no more than a sample shows."""
    if isinstance(value, list):
        return [_small(inner) for inner in value[:3]]
    if isinstance(value, dict):
        return {str(key): _small(inner) for key, inner in list(value.items())[:5]}
    return value[: 2 * LENGTH] if isinstance(value, str) else value


def suggested(columns: Iterable[Column]) -> dict[str, str]:
    """A mapping by the columns' names; empty where none is the prompt. The rest is metadata."""
    names = [column.name for column in columns]
    known = {_plain(name): name for name in reversed(names)}
    mapping: dict[str, str] = {}
    for role, words in NAMES.items():
        exact = [known[word] for word in words if word in known]
        # “best answer”, “response_1”: less sure, so only what is hardly anything else.
        like = [name for name in names if set(_plain(name).split("_")) & {*words[:3]}]
        free = [name for name in [*exact, *like] if name not in mapping.values()]
        if free and (exact or role in ("prompt", "response")):
            mapping[role] = free[0]
        if role == "response" and not exact and len(free) > 1:
            del mapping[role]
            mapping |= {f"response.{name}": name for name in free}
    pair = {"chosen", "rejected"} & set(mapping)
    if len(pair) == 2:
        mapping = {name: at for name, at in mapping.items() if name.split(".")[0] != "response"}
    elif pair:
        del mapping[pair.pop()]
    if "prompt" not in mapping:
        return {}
    rest = [name for name in names if name not in mapping.values()]
    return {**mapping, **{f"metadata.{name}": name for name in rest}}


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
