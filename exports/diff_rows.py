"""The texts behind a comparison of two frozen versions, read from their files when they are asked
for: nothing of them is kept beside it. Pure of Django."""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
from numpy.typing import NDArray

from annotation.word_diff import word_diff
from exports import diff_columns as columns
from exports import files
from exports.diff import CHANGED, KINDS, REMOVED, Diff, split_of
from exports.splits import SPLITS

LONG = 4_000  # characters of a text that a page shows
Steps = list[tuple[str, str]]


def rows_at(directory: Path, wanted: list[int]) -> dict[int, dict[str, Any]]:
    """Some rows by number, counted through the splits, with split, project and external_id."""
    found: dict[int, dict[str, Any]] = {}
    ends = columns.ends(directory).tolist()
    for split, (low, high) in zip(SPLITS, pairwise(ends), strict=True):
        mine = [row for row in wanted if low <= row < high]
        path = directory / files.data_path(split)
        for row, values in _picked(path, [row - low for row in mine]):
            found[low + row] = {"split": split, **values}
    for row, values in _picked(directory / "provenance.parquet", wanted):
        names = ("project", "external_id")
        found[row] = {**found[row], **{name: values[name] for name in names}}
    return found


def _picked(path: Path, rows: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file at these places; only their row groups are read."""
    if not rows:
        return
    with pq.ParquetFile(path, pre_buffer=False) as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            mine = [row for row in rows if first <= row < first + size]
            if mine:
                held = file.read_row_group(group)
                for row in mine:
                    yield row, held.slice(row - first, 1).to_pylist()[0]
            first += size


def samples(
    old: Path, new: Path, diff: Diff, kind: str, why: str, count: int
) -> list[dict[str, Any]]:
    """The first rows of a kind (and, where it is given, of a reason): project, external_id, splits,
    why, and the texts as steps of a word diff."""
    mine = diff.kind == KINDS.index(kind)
    if why:
        mine &= diff.why == (diff.words.index(why) if why in diff.words else -1)
    chosen = np.flatnonzero(mine)[:count]
    before = rows_at(old, [n for n in diff.old[chosen].tolist() if n >= 0])
    after = rows_at(new, [n for n in diff.new[chosen].tolist() if n >= 0])
    found = []
    for line in chosen.tolist():
        one, two = before.get(int(diff.old[line])), after.get(int(diff.new[line]))
        row = two or one or {}
        found.append(
            {
                "project": row["project"],
                "external_id": row["external_id"],
                "splits": [side["split"] for side in (one, two) if side],
                "why": diff.words[diff.why[line]],
                "texts": list(_texts(one, two)),
            }
        )
    return found


def _texts(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[tuple[str, Steps]]:
    for name in after or before or {}:
        if name in ("split", "project", "external_id"):
            continue
        if before is None or after is None:
            alone = before or after or {}
            yield name, [("same", text_of(alone.get(name))[:LONG])]
        else:
            texts = (text_of(side.get(name))[:LONG] for side in (before, after))
            yield name, word_diff(*texts)


def text_of(value: Any) -> str:
    """A column's value as one text: a conversation with the role before each turn but a lone
    answer's."""
    if not isinstance(value, list):
        return "" if value is None else str(value)
    if len(value) == 1 and value[0]["role"] == "assistant":
        return str(value[0]["content"])
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in value)


def lines(old: Path, new: Path, diff: Diff) -> Iterator[bytes]:
    """The whole difference, a JSON object a line: change, why, project, external_id, and under
    `old` and `new` the row as it was and is, with its split."""
    with tempfile.TemporaryDirectory(prefix="annotune-diff-") as folder:
        base = sqlite3.connect(Path(folder) / "rows.sqlite3", isolation_level=None)
        base.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        base.execute("CREATE TABLE rows (line INTEGER PRIMARY KEY, row BLOB)")
        # Of a changed row the old side waits there until the new one comes by.
        pairs = np.flatnonzero(diff.kind == KINDS.index(CHANGED))
        base.execute("BEGIN")
        for line, row in _walk(old, diff.old, pairs):
            base.execute("INSERT INTO rows VALUES (?, ?)", (line, orjson.dumps(row)))
        base.execute("COMMIT")
        for place, kind in enumerate(KINDS):
            mine = np.flatnonzero(diff.kind == place)
            side, numbers = (old, diff.old) if kind == REMOVED else (new, diff.new)
            for line, row in _walk(side, numbers, mine):
                who = {name: row.pop(name) for name in ("project", "external_id")}
                told = {"change": kind, "why": diff.words[diff.why[line]], **who}
                if kind == CHANGED:
                    held = base.execute("SELECT row FROM rows WHERE line = ?", (line,)).fetchone()
                    was = orjson.loads(held[0])
                    told["old"] = {k: v for k, v in was.items() if k not in who}
                told["old" if kind == REMOVED else "new"] = row
                yield orjson.dumps(told) + b"\n"
        base.close()


def _walk(
    directory: Path, numbers: NDArray[Any], chosen: NDArray[Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of the lines `chosen`, in the order of the files, a batch in memory at a time."""
    if not len(chosen):
        return
    order = chosen[np.argsort(numbers[chosen], kind="stable")]
    wanted = numbers[order]
    ends = columns.ends(directory).tolist()
    sources = _lines(directory, wanted)
    for first, batch in columns.data(directory, files.columns(directory)):
        low, high = np.searchsorted(wanted, [first, first + len(batch)])
        if low == high:
            continue
        held = batch.to_pylist() if high - low > len(batch) // 4 else None
        for place in range(low, high):
            at = int(wanted[place]) - first
            row = held[at] if held else batch.slice(at, 1).to_pylist()[0]
            split = SPLITS[int(split_of(wanted[place : place + 1], ends)[0])]
            project, external_id = next(sources)
            yield int(order[place]), {
                "project": project, "external_id": external_id, "split": split, **row
            }  # fmt: skip


def _lines(directory: Path, wanted: NDArray[Any]) -> Iterator[tuple[str, str]]:
    """Project and external_id of the rows `wanted`, which are sorted."""
    first = 0
    for batch in columns.provenance(directory, ["project", "external_id"]):
        low, high = np.searchsorted(wanted, [first, first + len(batch)])
        if high > low:
            projects, names = batch["project"].to_pylist(), batch["external_id"].to_pylist()
            for row in (wanted[low:high] - first).tolist():
                yield projects[row], names[row]
        first += len(batch)
