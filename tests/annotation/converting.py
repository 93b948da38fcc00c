"""A row through its layout, as the importer puts it: recognised, converted and checked."""

from typing import Any

import pytest

from annotation.errors import Refused
from annotation.layouts import converter, gatherer, recognise
from annotation.records import Record, check


def convert(
    row: dict[str, Any], layout: str = "", mapping: Any = None
) -> tuple[list[Record], list[str]]:
    """(records, notes)"""
    notes: list[str] = []
    layout = layout or recognise([row])
    records = converter("" if mapping else layout, mapping or {})(row, notes.append)
    check(records, notes.append)
    return records, notes


def refused(row: dict[str, Any], layout: str = "", mapping: Any = None) -> str:
    """The reason."""
    with pytest.raises(Refused) as error:
        convert(row, layout, mapping)
    return str(error.value)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def model(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def gathered(
    rows: list[Any], limit: int | None = None
) -> tuple[dict[int | None, Any], list[tuple[int | None, str]]]:
    """({line: records or reason}, notes) of rows that make prompts together."""
    gather = gatherer(recognise(rows))
    assert gather is not None
    notes: list[tuple[int | None, str]] = []
    given = gather(enumerate(rows, 1), lambda line, text: notes.append((line, text)), limit)
    return dict(given), notes
