"""A snapshot's columns as numbers that two versions can be compared by. Pure of Django.

Hashes are of 64 bits and hold within one process; of a million rows two differ in 3 of 100 million
comparisons by chance alone."""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from exports import files
from exports.splits import SPLITS

Hashes = NDArray[np.uint64]
BATCH, RELEASED = 5_000, 25_000  # rows


def _mixed(values: Hashes) -> Hashes:
    """Each number spread over all 64 bits (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _of_texts(texts: pa.Array) -> Hashes:
    hashes = np.fromiter((hash(text) for text in texts.to_pylist()), np.int64, len(texts))
    return hashes.view(np.uint64)


def _summed(values: Hashes, offsets: NDArray[Any]) -> Hashes:
    """The sum over each list, modulo 2**64."""
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
    return sums[offsets[1:]] - sums[offsets[:-1]]


def lists(column: pa.ListArray) -> tuple[Any, NDArray[Any]]:
    """What the lists hold, one after the other, and where each begins and ends. A null is empty.

    Nothing here calls a kernel of pyarrow's: to load them takes 40 MiB."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    held = column.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    return held, offsets - offsets[0]


def hashed(column: pa.Array) -> Hashes:
    """A number for each value of a data column: a conversation, a text, a label, a margin."""
    if pa.types.is_list(column.type):
        turns, offsets = lists(column)
        each = _of_texts(turns.field("content")) ^ _mixed(_of_texts(turns.field("role")))
        within = np.arange(len(each)) - np.repeat(offsets[:-1], np.diff(offsets))
        return _summed(_mixed(each + _mixed(within.astype(np.uint64) + np.uint64(1))), offsets)
    return _of_texts(column)


def identities(batch: pa.RecordBatch) -> Hashes:
    """Which work a line of provenance.parquet or dropped.parquet stands for: the project, the
    prompt's external_id, and its responses in whatever order."""
    names = zip(batch["project"].to_pylist(), batch["external_id"].to_pylist(), strict=True)
    who = np.fromiter((hash(pair) for pair in names), np.int64, len(batch)).view(np.uint64)
    ids, offsets = lists(batch["responses"])
    numbers = np.frombuffer(ids.buffers()[1] or b"", np.uint64)[ids.offset :][: len(ids)]
    return _mixed(who + _summed(_mixed(numbers), offsets))


def provenance(directory: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """In the order of the rows: train, validation, test. Raises OSError and pa.ArrowInvalid for
    a file that cannot be read."""
    with pq.ParquetFile(directory / "provenance.parquet", pre_buffer=False) as file:
        for place, batch in enumerate(file.iter_batches(BATCH, columns=columns, use_threads=False)):
            yield batch
            if place % (RELEASED // BATCH) == 0:
                pa.default_memory_pool().release_unused()


def has_keys(directory: Path) -> bool:
    return "key" in pq.read_schema(directory / "provenance.parquet").names


def keys(directory: Path, *, stored: bool) -> Iterator[tuple[Hashes, Hashes]]:
    """The two halves of each row's key, in the order of the rows. `stored`: as the file has it;
    else made anew from what the row says, for snapshots older than the column."""
    if stored:
        for batch in provenance(directory, ["key"]):
            held = batch.column(0)
            raw = np.frombuffer(held.buffers()[1], np.uint8)[held.offset * 16 :][: len(held) * 16]
            halves = raw.view(np.dtype(">u8")).reshape(-1, 2).astype(np.uint64)
            yield halves[:, 0], halves[:, 1]
        return
    rows = files.read_rows(directory)
    for batch in provenance(directory, ["project", "external_id"]):
        digests = bytearray()
        for line in batch.to_pylist():
            row = {name: v for name, v in next(rows).items() if name not in ("split", "margin")}
            text = f"{line['project']}\x1f{line['external_id']}\x1f".encode()
            digests += blake2b(text + orjson.dumps(row), digest_size=16).digest()
        halves = np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)
        yield halves[:, 0], halves[:, 1]


def ends(directory: Path) -> NDArray[np.int64]:
    """Where the splits begin and end when the rows are counted through: [0, train, …, all]."""
    counts = [pq.read_metadata(directory / files.data_path(split)).num_rows for split in SPLITS]
    return np.cumsum([0, *counts])


def data(directory: Path, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of the data, each with its first row's number, counted through the splits."""
    first = 0
    for split in SPLITS:
        with pq.ParquetFile(
            directory / files.data_path(split), buffer_size=65536, pre_buffer=False
        ) as file:
            for batch in file.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
                yield first, batch
                first += len(batch)
                if first % RELEASED < len(batch):  # else the pool keeps what it ever held
                    pa.default_memory_pool().release_unused()


def column_of(directory: Path, name: str, wanted: NDArray[Any]) -> Hashes:
    """The hashes of a data column at the rows `wanted`, in that order."""
    order = np.argsort(wanted, kind="stable")
    found, done = np.zeros(len(wanted), np.uint64), 0
    for first, batch in data(directory, [name]):
        upto = int(np.searchsorted(wanted, first + len(batch), sorter=order))
        if upto > done:
            mine = order[done:upto]
            found[mine] = hashed(batch.column(0))[wanted[mine] - first]
            done = upto
    return found
