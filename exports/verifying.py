"""Is a frozen version what it says? Its files are hashed and read again, and its rules are run over
today's data. Writes nothing but a temporary folder."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from annotation.text import root_key
from exports import diff, diff_columns, files, formats, manifest
from exports.gathering import gather
from exports.models import Dataset, Snapshot
from exports.selection import SelectionError, read
from exports.shelf import Shelf
from exports.splits import SPLITS

Beat = Callable[[str, int], None]  # what is being done, and its per cent
WRONG = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


@dataclass
class Derived:
    """What the stored rules give today. `diff`: from the frozen files to it, where they differ;
    `reason`: why it could not be made or told."""

    sha256: str = ""
    diff: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def check_files(
    directory: Path, sha256: str = "", beat: Beat = lambda *_: None, sealed: str = ""
) -> list[str]:
    """What is wrong with the files, in words; nothing where they are as they were frozen.
    `sha256`, `sealed`: what the snapshot's row says of the data and of the manifest, where there is
    one."""
    path = directory / "snapshot.json"
    try:
        facts = json.loads(path.read_text("utf-8"))
        said, hashes, counts = facts["sha256"], dict(facts["files"]), dict(facts["counts"])
        beside = dict(facts.get("beside", {}))  # since they are hashed, too
        columns, kind = facts["columns"], facts["kind"]
        masked = facts["selection"].get("personal") == "mask"
    except WRONG as error:
        return [f"{path} cannot be read as a snapshot's facts ({error})."]
    wrong = []
    if sha256 and said != sha256:
        wrong.append(f"snapshot.json says sha256 {said}, the snapshot's row {sha256}.")
    for place, (name, due) in enumerate(sorted((hashes | beside).items())):
        beat("hashing", 100 * place // (len(hashes) + len(beside)))
        if not (directory / name).is_file():
            wrong.append(f"{name} is missing.")
        elif (now := files.hash_file(directory / name)) != due:
            wrong.append(f"{name} has changed: its sha256 is {now}, not {due}.")
    wrong += manifest.check(directory, hashes | beside, sealed)
    there = {found.relative_to(directory).as_posix() for found in (directory / "data").glob("*")}
    wrong += [f"{name} was not frozen with it." for name in sorted(there - set(hashes))]
    if not wrong and files.hash_data(directory)[0] != said:
        wrong.append("snapshot.json's sha256 is not that of the files it lists.")
    if wrong:
        return wrong
    try:
        beat("reading", 0)
        wrong = _shape(directory, columns, counts)
        if not wrong:
            wrong = _sources(directory, counts) + _roots(directory, kind, masked, beat)
    except WRONG as error:
        wrong.append(f"A file cannot be read: {error}.")
    return wrong


def check_counts(directory: Path, counts: dict[str, int]) -> list[str]:
    """Has each split as many rows as the snapshot's row says?"""
    ends = diff_columns.ends(directory).tolist()
    held = {split: ends[n + 1] - ends[n] for n, split in enumerate(SPLITS)}
    return [
        f"{split} has {held[split]:,} rows, the snapshot's row says {counts[split]:,}."
        for split in SPLITS
        if held[split] != counts[split]
    ]


def _shape(directory: Path, columns: list[str], counts: dict[str, int]) -> list[str]:
    """Columns and counts of the data against what was noted."""
    wrong = []
    for split in SPLITS:
        with pq.ParquetFile(directory / files.data_path(split)) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
        if names != columns:
            wrong.append(f"{split} has the columns {', '.join(names)}, not {', '.join(columns)}.")
        if rows != counts[split]:
            wrong.append(f"{split} has {rows:,} rows, not {counts[split]:,}.")
    return wrong


def _sources(directory: Path, counts: dict[str, int]) -> list[str]:
    """Is there one line of provenance a row, in the rows' order, and are the keys sorted?"""
    keyed = diff_columns.has_keys(directory)
    seen, last = dict.fromkeys(SPLITS, 0), ("", b"")
    for batch in diff_columns.provenance(directory, ["split", "row", *(["key"] if keyed else [])]):
        keys = batch["key"].to_pylist() if keyed else [b""] * len(batch)
        lines = zip(batch["split"].to_pylist(), batch["row"].to_pylist(), keys, strict=True)
        for split, row, key in lines:
            if row != seen[split]:
                due = f"{split} row {row:,} stands where {seen[split]:,} is due"
                return [f"provenance.parquet: {due}."]
            if keyed and last[0] == split and key <= last[1]:
                return [f"{split} is not sorted by key: row {row:,} comes too late."]
            seen[split], last = row + 1, (split, key)
    return [
        f"provenance.parquet tells of {seen[split]:,} rows of {split}, which has {counts[split]:,}."
        for split in SPLITS
        if seen[split] != counts[split]
    ]


def _roots(directory: Path, kind: str, masked: bool, beat: Beat) -> list[str]:
    """Conversations that begin alike in two splits. Where personal data are masked, two that differ
    may read alike, so nothing is said of them; documents go by their external_id."""
    if masked:
        return []
    plain = kind in formats.PLAIN
    marks: list[Any] = []
    places: list[Any] = []
    if plain:
        for batch in diff_columns.provenance(directory, ["split", "project", "external_id"]):
            names = zip(batch["project"].to_pylist(), batch["external_id"].to_pylist(), strict=True)
            marks.append(np.array([hash(name) for name in names], np.int64))
            places.append(np.array([SPLITS.index(s) for s in batch["split"].to_pylist()], np.int8))
    else:
        ends = diff_columns.ends(directory)
        for first, batch in diff_columns.data(directory, ["prompt"]):
            found = [hash(root_key(turns)) for turns in batch["prompt"].to_pylist()]
            marks.append(np.array(found, np.int64))
            split = int(np.searchsorted(ends[1:-1], first, side="right"))
            places.append(np.full(len(found), split, np.int8))
            beat("reading", 100 * first // max(int(ends[-1]), 1))
    if not marks:
        return []
    mark, place = np.concatenate(marks), np.concatenate(places)
    order = np.lexsort((place, mark))
    mark, place = mark[order], place[order]
    torn = np.unique(mark[1:][(mark[1:] == mark[:-1]) & (place[1:] != place[:-1])])
    what = "document" if plain else "conversation"
    many = "s stand" if len(torn) > 1 else " stands"
    return [f"{len(torn):,} {what}{many} in more than one split."] if len(torn) else []


def derive(snapshot: Snapshot, beat: Beat = lambda *_: None) -> Derived:
    """Run the stored rules over today's data, into a temporary folder, and compare."""
    dataset = snapshot.dataset
    then = Dataset(workspace=dataset.workspace, kind=dataset.kind, selection=snapshot.selection)
    with tempfile.TemporaryDirectory(prefix="annotune-verify-") as folder:
        directory = Path(folder) / "snapshot"
        directory.mkdir()
        try:
            selection = read(then)
            with Shelf(Path(folder)) as shelf:
                gather(
                    then, selection, shelf, lambda share: beat("making it anew", share * 9 // 10)
                )
                schema = formats.schema(dataset.kind, margin=selection.margin != "none")
                # Who annotated is in no data file, so nobody needs a pseudonym here.
                files.write(directory, shelf, schema, lambda name: name, lambda _: None)
        except SelectionError as error:
            return Derived(reason=f"its rules no longer fit the workspace: {error}")
        sha256, _ = files.hash_data(directory)
        if sha256 == snapshot.sha256:
            return Derived(sha256)
        beat("comparing", 0)
        try:
            found = diff.compare(Path(snapshot.path), directory, lambda n: beat("comparing", n))
        except WRONG as error:
            return Derived(sha256, reason=f"the two could not be compared: {error}")
        return Derived(sha256, found.summary())


def say(told: dict[str, Any]) -> list[str]:
    """A summary of diff.py in lines: how many rows, and why."""
    lines = []
    for kind in diff.KINDS:
        part = told[kind]
        if part["rows"]:
            lines.append(f"{part['rows']:,} {kind}")
            lines += [f"  {rows:,}: {why}" for why, rows in part["why"].items()]
    return lines
