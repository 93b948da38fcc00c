"""A snapshot's files: Parquet that is the same bytes for the same rows, and its hash."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import json

from exports.shelf import Line, Shelf
from exports.splits import SPLITS

ROW_GROUP = 5_000
PROVENANCE = pa.schema(
    [
        ("split", pa.string()),
        ("row", pa.int64()),
        ("project", pa.string()),
        ("external_id", pa.string()),
        ("prompt", pa.int64()),
        ("responses", pa.list_(pa.int64())),
        ("submissions", pa.list_(pa.int64())),
        ("annotators", pa.list_(pa.string())),
        ("guidelines", pa.list_(pa.int32())),
        ("key", pa.binary(16)),
    ]
)
DROPPED = pa.schema(
    [
        ("project", pa.string()),
        ("external_id", pa.string()),
        ("prompt", pa.int64()),
        ("responses", pa.list_(pa.int64())),
        ("reason", pa.string()),
    ]
)


def data_path(split: str) -> str:
    return f"data/{split}-00000-of-00001.parquet"


def _open(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Everything that decides bytes is said here, and nothing is left to a default of tomorrow.
    return pq.ParquetWriter(
        path,
        schema,
        version="2.6",
        compression="zstd",
        compression_level=3,
        data_page_size=1024 * 1024,
        use_dictionary=True,
        write_statistics=True,
    )


def write(
    directory: Path,
    shelf: Shelf,
    schema: pa.Schema,
    pseudonym: Callable[[str], str],
    beat: Callable[[int], None],
) -> "Counter[str]":
    """`data/*.parquet`, one file a split, empty ones too, and beside them `provenance.parquet` and
    `dropped.parquet`, which says of what was left out why. Returns on how many rows each annotator
    worked, by pseudonym."""
    people: Counter[str] = Counter()
    (directory / "data").mkdir(parents=True)
    with _open(directory / "provenance.parquet", PROVENANCE) as sources:
        written = 0
        for split in SPLITS:
            with _open(directory / data_path(split), schema) as data:
                for first, batch in _batches(shelf.lines(shelf.ids(split))):
                    data.write_table(_columns([line.row for line in batch], schema), ROW_GROUP)
                    told = _sources(batch, split, first, pseudonym, people)
                    sources.write_table(told, ROW_GROUP)
                    written += len(batch)
                    beat(written)
    with _open(directory / "dropped.parquet", DROPPED) as out:
        for _, lost in _batches(shelf.dropped()):
            reasons = _strings([reason for reason, _ in lost])
            known = pa.schema([field for field in DROPPED if field.name != "reason"])
            table = _columns([line for _, line in lost], known)
            out.write_table(table.append_column(DROPPED.field("reason"), reasons), ROW_GROUP)
    return people


def _columns(lines: list[bytes], schema: pa.Schema) -> pa.Table:
    """Rows of JSON as columns, by Arrow's own reader: Python's objects would cost five times as
    much. What the schema does not name is left out, what a row does not have is null."""
    together = b"\n".join(lines)
    return json.read_json(
        pa.BufferReader(together),
        json.ReadOptions(use_threads=False, block_size=len(together) + 1),
        json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def _sources(
    batch: list[Line],
    split: str,
    first: int,
    pseudonym: Callable[[str], str],
    people: "Counter[str]",
) -> pa.Table:
    """The lines of `provenance.parquet`, for rows of a split from number `first` on."""
    stored = {"split", "row", "key"}
    known = pa.schema([field for field in PROVENANCE if field.name not in stored])
    told = _columns([line.provenance for line in batch], known).combine_chunks()
    keys = pa.py_buffer(b"".join(line.key for line in batch))
    numbers = np.arange(first, first + len(batch), dtype=np.int64)
    columns = {name: told[name].chunk(0) for name in known.names} | {
        "split": _strings([split] * len(batch)),
        "row": pa.Array.from_buffers(pa.int64(), len(batch), [None, pa.py_buffer(numbers)]),
        "key": pa.Array.from_buffers(pa.binary(16), len(batch), [None, keys]),
    }
    named = columns["annotators"]
    names = Counter(everyone := named.values.to_pylist())
    shown = {name: pseudonym(name) for name in names}
    people.update({shown[name]: count for name, count in names.items()})
    pseudonyms = _strings([shown[name] for name in everyone])
    columns["annotators"] = pa.ListArray.from_arrays(named.offsets, pseudonyms)
    return pa.Table.from_arrays([columns[name] for name in PROVENANCE.names], schema=PROVENANCE)


def _strings(texts: list[str]) -> pa.Array:
    """Texts as a column, from their bytes: to take them from a list pyarrow would load pandas,
    which is 47 MiB."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


T = TypeVar("T")


def _batches(rows: Iterator[T]) -> Iterator[tuple[int, list[T]]]:
    first = 0
    while batch := list(islice(rows, ROW_GROUP)):
        yield first, batch
        first += len(batch)


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_data(directory: Path) -> tuple[str, dict[str, str]]:
    """The snapshot's sha256, and each data file's.

    It is taken over the sorted lines `sha256  path` of `data/*.parquet`, as `sha256sum` prints
    them: `(cd DIR && sha256sum data/*.parquet | sort | sha256sum)` gives the same."""
    found = {
        path.relative_to(directory).as_posix(): hash_file(path)
        for path in sorted((directory / "data").glob("*.parquet"))
    }
    lines = sorted(f"{digest}  {path}\n" for path, digest in found.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest(), found


def read_rows(directory: Path, splits: tuple[str, ...] = SPLITS) -> Iterator[dict[str, Any]]:
    """The rows of a snapshot with their split, a batch in memory at a time. (With `pre_buffer`,
    which is pyarrow's default, a file stays in memory as far as it was read.)"""
    for split in splits:
        path = directory / data_path(split)
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=1_000, use_threads=False):
                for row in batch.to_pylist():
                    yield {"split": split, **row}


def columns(directory: Path) -> list[str]:
    names: list[str] = pq.read_schema(directory / data_path("train")).names
    return names
