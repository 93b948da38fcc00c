"""A snapshot's rows in other shapes, streamed: memory does not grow with rows. Pure of Django."""

import csv
import io
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from annotation.refusals import cell
from exports import files, formats
from exports.splits import SPLITS

FORMATS: dict[str, tuple[str, str]] = {
    "parquet": ("zip", "application/zip"),
    "jsonl": ("jsonl", "application/x-ndjson"),
    "csv": ("csv", "text/csv; charset=utf-8"),
}
_PIECE = 1024 * 1024


def _batches(rows: Iterator[Any], size: int = 500) -> Iterator[list[Any]]:
    while batch := list(islice(rows, size)):
        yield batch


def jsonl(directory: Path, splits: tuple[str, ...] = SPLITS) -> Iterator[bytes]:
    """A row a line; of one split without, of several with a `split` key."""
    for batch in _batches(files.read_rows(directory, splits)):
        if len(splits) == 1:
            batch = [{k: v for k, v in row.items() if k != "split"} for row in batch]
        yield b"".join(orjson.dumps(row) + b"\n" for row in batch)


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return cell(value) if isinstance(value, str) else value


def table(directory: Path, kind: str, splits: tuple[str, ...] = SPLITS) -> Iterator[bytes]:
    """CSV with a header, a row a line (cells may hold newlines), UTF-8."""
    margin = "margin" in files.columns(directory)
    names = formats.flat_columns(kind, margin=margin)
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    for batch in _batches(files.read_rows(directory, splits)):
        for row in batch:
            cells = {"split": row["split"], **formats.flat(kind, row, _dump)}
            writer.writerow({name: safe_cell(cell) for name, cell in cells.items()})
        yield _drain(out)
    yield _drain(out)


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _drain(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


class _Pipe(io.RawIOBase):
    """Where a zip file is written to that nobody keeps: what came in is taken out again."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.held.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data, self.held = b"".join(self.held), []
        return data


def archive(directory: Path, name: str) -> Iterator[bytes]:
    """The directory as a zip, stored as it is (Parquet is compressed already)."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as out:
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            inside = f"{name}/{path.relative_to(directory).as_posix()}"
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, out.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield pipe.take()
    yield pipe.take()
