"""A snapshot's files: Parquet that is the same bytes for the same rows, and its hash."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from exports import formats
from exports.shelf import Shelf, Shelved
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
) -> None:
    """`data/*.parquet`, one file a split, empty ones too, and beside them `provenance.parquet` and
    `dropped.parquet`, which says of what was left out why."""
    (directory / "data").mkdir(parents=True)
    with _open(directory / "provenance.parquet", PROVENANCE) as sources:
        written = 0
        for split in SPLITS:
            with _open(directory / data_path(split), schema) as data:
                for first, batch in _batches(shelf.read(shelf.ids(split))):
                    rows = [shelved.row for shelved in batch]
                    data.write_table(formats.table(rows, schema), ROW_GROUP)
                    lines = _sources(batch, split, first, pseudonym)
                    sources.write_table(pa.Table.from_pydict(lines, PROVENANCE), ROW_GROUP)
                    written += len(batch)
                    beat(written)
    with _open(directory / "dropped.parquet", DROPPED) as out:
        for _, lost in _batches(shelf.dropped()):
            columns: dict[str, list[Any]] = {
                name: [origin[name] for _, origin in lost] for name in DROPPED.names[:-1]
            }
            columns["reason"] = [reason for reason, _ in lost]
            out.write_table(pa.Table.from_pydict(columns, DROPPED), ROW_GROUP)


def _sources(
    batch: list[Shelved], split: str, first: int, pseudonym: Callable[[str], str]
) -> dict[str, list[Any]]:
    """The columns of `provenance.parquet`, for rows of a split from number `first` on."""
    origins = [shelved.provenance for shelved in batch]
    columns = {
        name: [origin[name] for origin in origins]
        for name in ("project", "external_id", "prompt", "responses", "submissions", "guidelines")
    }
    return columns | {
        "split": [split] * len(batch),
        "row": list(range(first, first + len(batch))),
        "annotators": [[pseudonym(name) for name in origin["annotators"]] for origin in origins],
        "key": [shelved.key for shelved in batch],
    }


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
    """The rows of a snapshot with their split, a batch in memory at a time."""
    for split in splits:
        path = directory / data_path(split)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1_000):
                for row in batch.to_pylist():
                    yield {"split": split, **row}


def columns(directory: Path) -> list[str]:
    names: list[str] = pq.read_schema(directory / data_path("train")).names
    return names
