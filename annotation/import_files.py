"""The file of an import: where it lies, how it is opened, what its first rows look like."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.core.files.storage import default_storage

from annotation.layouts import converter, recognise
from annotation.models import Import
from annotation.readers import ReadError, open_source
from annotation.records import Record, Refused, check

SAMPLE = 50  # rows by which a layout is recognised
SHOWN = 20
PREVIEW_ROWS = 2_000
PREVIEW_SECONDS = 2.0

# A line, and its records or the reason why there are none.
Parsed = tuple[int | None, "list[Record] | str"]
TakeNote = Callable[[int | None, str], None]


@dataclass
class Preview:
    """What the first rows come to. `complete`: the whole file was looked at; `error`: the file
    cannot be read on."""

    layout: str
    columns: list[str] = field(default_factory=list)
    shown: list[tuple[int | None, list[Record]]] = field(default_factory=list)
    rows: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False
    error: str = ""

    @property
    def good(self) -> int:
        return self.rows - len(self.refused)


@contextmanager
def opened(import_row: Import) -> Iterator[BinaryIO]:
    """The file: below the uploads, or at the absolute path that a command named."""
    try:
        if Path(import_row.path).is_absolute():
            file = cast(BinaryIO, open(import_row.path, "rb"))  # noqa: SIM115
        else:
            file = cast(BinaryIO, default_storage.open(import_row.path, "rb"))
    except OSError as error:
        raise ReadError(f"The file cannot be opened ({error.strerror or error}).") from None
    with file:
        yield file


def store(import_row: Import, upload: Any) -> str:
    """Keep an upload under a name of ours; its own name is only ever shown."""
    return default_storage.save(f"imports/{import_row.pk}/upload", upload)


def drop(import_row: Import) -> None:
    """Delete the upload; files that a command named are not ours."""
    if import_row.path and not Path(import_row.path).is_absolute():
        default_storage.delete(import_row.path)


def display_name(name: str) -> str:
    """A file's name without folders and control characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:255] or "file"


def guess(file: BinaryIO) -> tuple[str, list[str]]:
    """(layout or nothing, the columns of the first row). Raises ReadError."""
    sample: list[dict[str, Any]] = []
    file.seek(0)
    for number, (_, row) in enumerate(open_source(file).rows()):
        if isinstance(row, dict):
            sample.append(row)
        if len(sample) == SAMPLE or number >= PREVIEW_ROWS:
            break
    return recognise(sample), [str(name)[:80] for name in (sample[0] if sample else {})][:40]


def parsed(import_row: Import, note: TakeNote) -> Iterator[Parsed]:
    """Every row of the file, converted and checked. Raises ReadError."""
    convert = converter(import_row.layout, import_row.mapping)
    with opened(import_row) as file:
        source = open_source(file)
        for line, row in source.rows():
            if isinstance(row, str):
                yield line, row
                continue
            said: list[str] = []
            try:
                records = convert(row, said.append)
                check(records, said.append)
            except Refused as refusal:
                yield line, str(refusal)
                continue
            for text in said:
                note(line, text)
            yield line, records
        for where, text in source.notes:
            note(where, text)


def preview(import_row: Import) -> Preview:
    """The first rows as they would come in. Reads no more than a page may wait for."""
    found = Preview(import_row.layout)
    deadline = time.monotonic() + PREVIEW_SECONDS
    notes: list[dict[str, Any]] = []
    try:
        with opened(import_row) as file:
            _, found.columns = guess(file)
        if not import_row.layout and not import_row.mapping:
            found.error = no_layout(found.columns)
            return found
        for line, records in parsed(
            import_row, lambda at, text: notes.append({"line": at, "note": text})
        ):
            found.rows += 1
            if isinstance(records, str):
                found.refused.append({"line": line, "reason": records})
            elif len(found.shown) < SHOWN:
                found.shown.append((line, records))
            if found.rows >= PREVIEW_ROWS or time.monotonic() > deadline:
                break
        else:
            found.complete = True
    except Refused as refusal:
        found.error = str(refusal)
    found.notes = notes
    return found


def no_layout(columns: list[str]) -> str:
    names = ", ".join(f"“{name}”" for name in columns) or "none"
    return (
        f"No layout fits the columns {names}. Say which column holds the prompt, which the "
        "response; in a table, the first line must name the columns."
    )
