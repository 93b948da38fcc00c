"""From a file to records: its layout, its rows converted and checked, its first rows shown."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.core.files.storage import default_storage

from annotation import folder_rows
from annotation.folder_rows import FolderFile, FolderSource
from annotation.layouts import converter, gatherer, recognise
from annotation.layouts.fields import Found
from annotation.models import Import
from annotation.readers import ReadError, Source, open_source
from annotation.records import Record, Refused, check

SAMPLE = 50  # rows by which a layout is recognised
SHOWN = 20
PREVIEW_ROWS = 2_000
PREVIEW_SECONDS = 2.0
REACHED = 500  # rows between two words on how far the file is read

# A line, and its records or the reason why there are none. No records: they came with another line.
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
        elif import_row.path.endswith(f"/{folder_rows.NAME}"):
            file = cast(BinaryIO, FolderFile(import_row.path))
        else:
            file = cast(BinaryIO, default_storage.open(import_row.path, "rb"))
    except OSError as error:
        raise ReadError(f"The file cannot be opened ({error.strerror or error}).") from None
    with file:
        yield file


def source_of(file: BinaryIO, no_header: bool = False) -> Source | FolderSource:
    """The rows of what `opened` gave. Raises ReadError."""
    if not isinstance(file, FolderFile):
        return open_source(file, no_header=no_header)
    if no_header:
        raise ReadError("Only a single table can be without a header, and not a directory's files.")
    return file.source()


def guess(file: BinaryIO, no_header: bool = False) -> tuple[str, list[str]]:
    """(layout or nothing, the columns of the first row). Raises ReadError."""
    sample: list[dict[str, Any]] = []
    file.seek(0)
    for number, (_, row) in enumerate(source_of(file, no_header).rows()):
        if isinstance(row, dict):
            sample.append(row)
        if len(sample) == SAMPLE or number >= PREVIEW_ROWS:
            break
    return recognise(sample), [str(name)[:80] for name in (sample[0] if sample else {})][:40]


def parsed(
    import_row: Import,
    note: TakeNote,
    *,
    reached: Callable[[int], None] | None = None,
    first: int | None = None,
) -> Iterator[Parsed]:
    """Every row of the file (or its `first` rows), converted and checked. Raises ReadError.

    `reached` is told now and then how many bytes of the file, as it lies on disk, are read."""
    gather = None if import_row.mapping else gatherer(import_row.layout)
    convert = None if gather else converter(import_row.layout, import_row.mapping)
    with opened(import_row) as file:
        source = source_of(file, import_row.no_header)
        rows = cast(Iterator[Found], source.rows())
        if reached is not None:
            rows = _watched(rows, file, reached)
        if gather is not None:
            found = gather(islice(rows, first), note, first)
        else:
            assert convert is not None
            found = _one_by_one(islice(rows, first), convert, note)
        yield from source.labelled(found) if isinstance(source, FolderSource) else found
        for where, text in source.notes:
            note(where, text)


def _watched(
    rows: Iterator[Found], file: BinaryIO, reached: Callable[[int], None]
) -> Iterator[Found]:
    for number, found in enumerate(rows, 1):
        yield found
        if number % REACHED == 0:
            reached(file.tell())


def _one_by_one(rows: Iterator[Found], convert: Any, note: TakeNote) -> Iterator[Parsed]:
    for line, row in rows:
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


def preview(import_row: Import) -> Preview:
    """The first rows as they would come in. Reads no more than a page may wait for."""
    found = Preview(import_row.layout)
    deadline = time.monotonic() + PREVIEW_SECONDS
    notes: list[dict[str, Any]] = []
    try:
        with opened(import_row) as file:
            _, found.columns = guess(file, import_row.no_header)
        if not import_row.layout and not import_row.mapping:
            found.error = no_layout(found.columns)
            with opened(import_row) as file:
                for line, row in islice(source_of(file, import_row.no_header).rows(), SAMPLE):
                    if isinstance(row, str):
                        found.refused.append({"line": line, "reason": row})
            found.rows = len(found.refused)
            return found
        for line, records in parsed(
            import_row,
            lambda at, text: notes.append({"line": at, "note": text}),
            first=PREVIEW_ROWS + 1,
        ):
            found.rows += 1
            if isinstance(records, str):
                found.refused.append({"line": line, "reason": records})
            elif records and len(found.shown) < SHOWN:
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
        "answer; in a table, the first line names the columns, unless you say that it is a row."
    )
