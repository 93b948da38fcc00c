"""CSV and TSV, with whatever separator, and Parquet."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from annotation.readers.json_files import Foreign, Found
from annotation.readers.streams import (
    RATIO_FLOOR,
    Limits,
    ReadError,
    from_cp1252,
    in_words,
    lines,
    size_of,
)

SEPARATORS = ",;\t|"
NUMBERED = "column {}"  # what the columns of a table without a header are called
PROSE = 6  # words of a cell, from which on it is hardly a column's name
NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)*")
# A batch is as many rows as fit into this if each held the largest value that its column may.
BATCH_BYTES = 512 * 1024**2


def read_csv(
    stream: io.BufferedReader, limits: Limits, foreign: Foreign, no_header: bool = False
) -> Iterator[Found]:
    """`no_header`: the first line is a row, and the columns are named by their numbers."""
    text = _text(stream, limits, foreign)
    first = next(text, "")
    separator = max(SEPARATORS, key=lambda mark: outside_quotes(first, mark))
    csv.field_size_limit(limits.row_bytes)
    reader = csv.reader(_again(first, text), delimiter=separator, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ReadError(_why_csv(error, line, limits), line) from None
        if cells is None:
            return
        if not header:
            header = numbered(len(cells)) if no_header else _header(cells)
            if not no_header:
                continue
        if not any(cells):
            continue
        elif len(cells) != len(header):
            what = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            first_line = "first line" if no_header else "header"
            yield line, f"has {what}; the {first_line} has {len(header)}"
        else:
            yield line, {name: cell for name, cell in zip(header, cells, strict=True) if name}


def _text(stream: io.BufferedReader, limits: Limits, foreign: Foreign) -> Iterator[str]:
    for number, line in lines(stream, limits):
        if line is None:
            raise ReadError(
                f"Line {number} is longer than {in_words(limits.row_bytes)} "
                "(IMPORT_MAX_ROW_BYTES).",
                number,
            )
        try:
            yield line.decode() + "\n"
        except UnicodeDecodeError:
            text = from_cp1252(line)
            if text is None:
                raise ReadError(
                    f"Line {number} is neither UTF-8 nor Windows-1252.", number
                ) from None
            foreign.add(number)
            yield text + "\n"


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])


def numbered(count: int) -> list[str]:
    return [NUMBERED.format(number) for number in range(1, count + 1)]


def looks_like_row(cells: Iterable[str]) -> bool:
    """Whether what stands as a table's header is rather its first row: a number, a sentence."""
    return any(
        NUMBER.fullmatch(cell.strip())
        or len(cell.split()) >= PROSE
        or cell.rstrip().endswith((".", "?", "!"))
        for cell in cells
    )


def _header(cells: list[str]) -> list[str]:
    """Column names: without white space around them, in lower case."""
    header = [cell.strip().casefold() for cell in cells]
    for name, count in Counter(header).items():
        if name and count > 1:
            raise ReadError(
                f"The header names the column “{name}” twice: rename one, or put a line of names "
                "above it if it is a row.",
                1,
            )
    return header


def _why_csv(error: csv.Error, line: int, limits: Limits) -> str:
    if "field limit" in str(error):
        return (
            f"A quote opens in the row of line {line} and does not close within "
            f"{in_words(limits.row_bytes)} (IMPORT_MAX_ROW_BYTES)."
        )
    return f"In the row of line {line} a quote opens and does not close where the cell ends."


def read_parquet(file: BinaryIO, limits: Limits) -> Iterator[Found]:
    size = size_of(file)
    try:
        table = parquet.ParquetFile(file)
        meta = table.metadata
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if meta.num_rows > limits.rows:
            raise ReadError(
                f"The file has {meta.num_rows:,} rows; {limits.rows:,} is the limit "
                "(IMPORT_MAX_ROWS)."
            )
        if unpacked > limits.bytes:
            raise ReadError(
                f"The file unpacks to more than {in_words(limits.bytes)} (IMPORT_MAX_BYTES): "
                "split it."
            )
        if unpacked > max(RATIO_FLOOR, limits.ratio * size):
            raise ReadError(
                f"The file unpacks to more than {limits.ratio} times its size "
                "(IMPORT_MAX_RATIO), as a decompression bomb does."
            )
        largest = max(
            (
                group.column(place).total_uncompressed_size
                for group in groups
                for place in range(group.num_columns)
            ),
            default=1,
        )
        rows = min(max(BATCH_BYTES // max(largest, 1), 1), 1000)
        number = 0
        for batch in table.iter_batches(batch_size=rows):
            for row in batch.to_pylist():
                number += 1
                yield number, {str(key): value for key, value in row.items()}
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ReadError(f"The Parquet file is not whole or not readable ({reason}).") from None


def plain(value: Any) -> Any:
    """A value of a table as JSON has it: dates and decimals as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
