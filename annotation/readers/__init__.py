"""Readers: a file as a stream of rows, in constant memory, within the operator's limits.

What a file is, is decided by its content and not by its name. `open_source(file)` raises ReadError
for a file that is none of ours; `Source.rows()` gives (line, row) and, for a row that is none,
(line, reason), and raises ReadError where the file itself breaks off. The line is the line of the
file for JSON Lines and CSV, and the row's number from 1 for the others."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from annotation.readers.json_files import OF_ONE_ROW, Foreign, Found, read_document, read_jsonl
from annotation.readers.plain_text import has_blank_lines, looks_like_table, read_text
from annotation.readers.streams import (
    CHUNK,
    GZIP,
    PARQUET,
    Gunzip,
    Limits,
    ReadError,
    as_utf8,
    in_words,
    refuse_archives,
    size_of,
)
from annotation.readers.tables import plain, read_csv, read_parquet

__all__ = ["Limits", "ReadError", "Source", "open_source"]

# Packed files up to this size are unpacked once when they are opened, to see that they are whole.
TESTED_WHOLE = 4 * 1024**2


class Source:
    """One reading of a file. `notes` is complete once the rows are read."""

    def __init__(self, file: BinaryIO, limits: Limits, no_header: bool = False) -> None:
        self.no_header = no_header
        self.limits = limits
        self.notes: list[tuple[int | None, str]] = []
        self._foreign = Foreign()
        self._packed: Gunzip | None = None
        self._blocks = False  # of a plain text: blank lines divide the documents
        self._file = file
        self.format = self._look()
        if no_header and self.format == "text":
            self.format = "csv"  # who says that its header is missing says that it is a table
        elif no_header and self.format != "csv":
            raise ReadError("Only a table (CSV, TSV) can be without a header: this file is none.")

    def rows(self) -> Iterator[Found]:
        """(line, row) or (line, why it is no row). Raises ReadError; once only."""
        count = 0
        for line, row in self._read():
            count += 1
            if count > self.limits.rows:
                raise ReadError(
                    f"The file has more than {self.limits.rows:,} rows (IMPORT_MAX_ROWS): "
                    "split it.",
                    line,
                )
            yield line, row
        if self.format == "text":
            how = "with blank lines between them" if self._blocks else "one a line"
            self.notes.append((None, f"read as plain text: {count:,} documents, {how}"))
        if self._foreign.count:
            self.notes.append((None, self._foreign.note()))
        if self._packed is not None and self._packed.note:
            self.notes.append((None, self._packed.note))
        if not count:
            raise ReadError(
                "The file has a header and no rows."
                if self.format == "csv" and not self.no_header
                else "The file holds no rows."
            )

    def _look(self) -> str:
        """What the file is; leaves the stream at its first row."""
        head = self._file.read(16)
        size = size_of(self._file)
        if not size:
            raise ReadError("The file is empty.")
        refuse_archives(head)
        if head.startswith(PARQUET):
            return "parquet"
        if head.startswith(GZIP):
            if size <= TESTED_WHOLE:
                _test(self._file, self.limits)
            self._packed = Gunzip(self._file, self.limits)
            stream: io.BufferedReader = io.BufferedReader(self._packed, CHUNK)
            self._refuse_inside(stream.peek(16))
        else:
            if size > self.limits.bytes:
                raise ReadError(
                    f"The file is larger than {in_words(self.limits.bytes)} (IMPORT_MAX_BYTES): "
                    "split it."
                )
            stream = io.BufferedReader(_Unclosed(self._file), CHUNK)
        self._stream = as_utf8(stream, self.notes)
        form = _text_format(self._stream)
        self._blocks = form == "text" and has_blank_lines(self._stream.peek(CHUNK))
        return form

    def _refuse_inside(self, head: bytes) -> None:
        if head.startswith(GZIP):
            raise ReadError("The file is compressed twice: unpack it once.")
        if head.startswith(PARQUET):
            raise ReadError("The file is a gzipped Parquet file: unpack it first.")
        refuse_archives(head, "The gzipped file holds")

    def _read(self) -> Iterator[Found]:
        if self.format == "jsonl":
            return read_jsonl(self._stream, self.limits, self._foreign)
        if self.format == "json":
            return read_document(self._stream, self.limits, self._foreign)
        if self.format == "csv":
            return read_csv(self._stream, self.limits, self._foreign, self.no_header)
        if self.format == "text":
            return read_text(self._stream, self.limits, self._foreign, self._blocks)
        return ((line, plain(row)) for line, row in read_parquet(self._file, self.limits))


def open_source(file: BinaryIO, limits: Limits | None = None, *, no_header: bool = False) -> Source:
    """A source over a seekable binary file, which stays the caller's to close. `no_header`: it is
    a table whose first line is a row."""
    return Source(file, limits or Limits.of_settings(), no_header)


class _Unclosed(io.RawIOBase):
    """Reads the caller's file without closing it at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _test(file: BinaryIO, limits: Limits) -> None:
    """Unpack a file once, to nowhere. Raises ReadError if it is damaged or a bomb."""
    packed = Gunzip(file, limits)
    while packed.read(CHUNK):
        pass
    file.seek(0)


def _text_format(stream: io.BufferedReader) -> str:
    """jsonl, json, csv or text, by the first characters."""
    head = stream.peek(CHUNK).lstrip()
    if not head:
        raise ReadError("The file holds nothing but white space.")
    if head.startswith(b"["):
        return "json"
    if not head.startswith(b"{"):
        return "csv" if looks_like_table(head) else "text"
    first, _, rest = head.partition(b"\n")
    try:
        row = orjson.loads(first)
    except orjson.JSONDecodeError:
        if rest.lstrip().startswith(b"{"):
            return "jsonl"
        # Cut by the window, or laid out over lines: an object whose first key holds more.
        return "json" if rest or _holds_more(first) else "jsonl"
    if rest.strip():
        return "jsonl"
    return "json" if _holds_rows(row) else "jsonl"


def _holds_more(first: bytes) -> bool:
    """Of a first line that is no JSON by itself: does its first key hold a list or an object?"""
    key, colon, value = first.partition(b":")
    return bool(colon) and value.lstrip()[:1] in (b"[", b"{")


def _holds_rows(row: dict[str, Any]) -> bool:
    """Of an object that is alone in its file: rows by key, or rows in a list, and no row itself."""
    key, value = next(iter(row.items()), ("", None))
    if isinstance(value, dict):
        return all(isinstance(inner, dict) for inner in row.values())
    return isinstance(value, list) and key not in OF_ONE_ROW
