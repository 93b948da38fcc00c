"""Plain text: documents with blank lines between them, or one document a line."""

import csv
import io
import re
from collections.abc import Iterator

from annotation.readers.json_files import Foreign, Found
from annotation.readers.streams import CHUNK, Limits, from_cp1252, in_words, lines
from annotation.readers.tables import SEPARATORS, outside_quotes

BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
LOOKED_AT = 30  # records of a table
SAME = 0.8  # of them have as many cells as the first
# Names of columns by which a first line is a header, also where the lines below have other cells.
NAMES = {
    *("prompt", "instruction", "question", "input", "context", "system", "text", "id"),
    *("response", "output", "answer", "completion", "chosen", "rejected", "label", "category"),
}


def looks_like_table(head: bytes) -> bool:
    """Whether the first lines are a table's: a header that we know, or lines of as many cells."""
    if b"\0" in head:
        return True  # no text: the reader of tables says what it is
    text = head.decode("utf-8", "replace").lstrip("\ufeff")
    first, newline, rest = text.lstrip().partition("\n")
    mark = max(SEPARATORS, key=lambda one: outside_quotes(first, one))
    raw = first.split(mark)
    cells = [cell.strip(" \t\r\"'").casefold() for cell in raw]
    if NAMES & set(cells) and all(len(cell) < 60 for cell in cells):
        return True
    if len(cells) < 2:
        return False
    if all(cell and cell[0] != " " and len(cell) <= 40 and cell.count(" ") < 4 for cell in raw):
        return True
    if not rest.strip():
        return ". " not in first and len(first) < 200
    whole = text if len(head) < CHUNK else text[: text.rfind("\n")]
    counts = _counts(whole, mark)
    return len(counts) > 1 and counts[0] > 1 and counts.count(counts[0]) >= SAME * len(counts)


def _counts(text: str, mark: str) -> list[int]:
    """How many cells the first records have."""
    counts: list[int] = []
    try:
        for record in csv.reader(io.StringIO(text), delimiter=mark):
            if record:
                counts.append(len(record))
            if len(counts) == LOOKED_AT:
                break
    except csv.Error:
        return []
    return counts


def has_blank_lines(head: bytes) -> bool:
    return bool(BLANK_LINE.search(head.strip()))


def read_text(
    stream: io.BufferedReader, limits: Limits, foreign: Foreign, blocks: bool
) -> Iterator[Found]:
    """(first line of the document, {"text": the document}). `blocks`: blank lines divide them."""
    start, held, size = 0, list[str](), 0
    for number, line in lines(stream, limits):
        text = None if line is None else _decoded(line, number, foreign)
        if text is not None and not text.strip():
            if held:
                yield start, _document(held, size, limits)
            held, size = [], 0
            continue
        if line is None or text is None:
            reason = f"longer than {in_words(limits.row_bytes)} (IMPORT_MAX_ROW_BYTES)"
            yield number, f"is {reason if line is None else 'neither UTF-8 nor Windows-1252'}"
            continue
        if not blocks:
            yield number, {"text": text}
            continue
        start = start if held else number
        size += len(line) + 1
        if size <= limits.row_bytes + 1:
            held.append(text)
    if held:
        yield start, _document(held, size, limits)


def _document(held: list[str], size: int, limits: Limits) -> dict[str, str] | str:
    if size > limits.row_bytes + 1:
        return f"is longer than {in_words(limits.row_bytes)} (IMPORT_MAX_ROW_BYTES)"
    return {"text": "\n".join(held)}


def _decoded(line: bytes, number: int, foreign: Foreign) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        if (text := from_cp1252(line)) is not None:
            foreign.add(number)
        return text
