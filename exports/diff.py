"""What changed from one frozen version to another: rows added, removed and changed, and why.
Pure of Django. Memory grows by about 30 bytes a row, and by no text.

Two rows of one key say the same. Of the others, two that come from the same work (project, prompt
and responses) are one row that changed; what is then left was removed, or added."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from exports import diff_columns as columns
from exports.files import columns as names_of
from exports.splits import SPLITS

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
KINDS = (ADDED, REMOVED, CHANGED)
GONE = "its prompt, answer or work is no longer there, or the rules make no row of it"
NEW = "its prompt, answer or work was not there, or the rules made no row of it"
ELSEWHERE = "from a project of which the other version takes no rows"
BEFORE = "was left out before: "
SPLIT, SWAPPED = "split", "chosen and rejected changed places"
Numbers = NDArray[np.int32]
Beat = Callable[[int], None]


@dataclass(frozen=True)
class Diff:
    """Lines of what differs. `old`, `new`: the rows' numbers, counted through the splits, -1 for
    none; `why`: places in `words`. `ends`: where the splits of either side end."""

    kind: NDArray[np.int8]  # place in KINDS
    old: Numbers
    new: Numbers
    why: NDArray[np.int16]
    words: list[str]
    ends: tuple[list[int], list[int]]
    same: int

    def summary(self) -> dict[str, Any]:
        """Rows by kind and split (of a changed row the new one's), and by reason."""
        found: dict[str, Any] = {"same": self.same}
        for place, kind in enumerate(KINDS):
            mine = self.kind == place
            rows, ends = (self.old, self.ends[0]) if kind == REMOVED else (self.new, self.ends[1])
            splits = np.bincount(split_of(rows[mine], ends), minlength=len(SPLITS))
            reasons = Counter(dict(enumerate(np.bincount(self.why[mine]).tolist())))
            found[kind] = {
                "rows": int(mine.sum()),
                "splits": dict(zip(SPLITS, splits.tolist(), strict=True)),
                "why": {self.words[why]: n for why, n in reasons.most_common() if n},
            }
        return found


def split_of(rows: NDArray[Any], ends: list[int]) -> NDArray[Any]:
    """The place in SPLITS of rows counted through the splits."""
    return np.searchsorted(np.asarray(ends[1:-1]), rows, side="right")


@dataclass
class _Lines:
    """Grows line by line into a Diff."""

    words: dict[str, int] = field(default_factory=dict)
    parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)

    def word(self, text: str) -> int:
        return self.words.setdefault(text, len(self.words))

    def add(self, kind: str, old: Any, new: Any, why: NDArray[Any]) -> None:
        none = np.full(len(why), -1, np.int32)
        rows = (none if side is None else side.astype(np.int32) for side in (old, new))
        kinds = np.full(len(why), KINDS.index(kind), np.int8)
        self.parts.append((kinds, *rows, why.astype(np.int16)))

    def diff(self, ends: tuple[list[int], list[int]], same: int) -> Diff:
        kind, old, new, why = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        return Diff(kind, old, new, why, list(self.words), ends, same)


def compare(old: Path, new: Path, beat: Beat = lambda _: None) -> Diff:
    """From the directory `old` to `new`, snapshots of one kind. `beat` is called with the per cent
    done. Raises ValueError where their columns differ in more than the margin, and OSError or
    pa.ArrowInvalid where a file cannot be read."""
    shared = names_of(old)
    if (set(shared) ^ set(names_of(new))) - {"margin"}:
        raise ValueError("the two are of different kinds: their columns differ")
    sides = (columns.ends(old), columns.ends(new))
    ends = (sides[0].tolist(), sides[1].tolist())
    lines = _Lines()
    matched, loose_old, loose_new = _by_key(old, new)
    beat(40)
    moved = _moved(lines, matched, ends)
    moved |= _margins(lines, matched, old, new, moved)
    same = len(matched[0]) - int(moved.sum())
    del matched, moved
    marks_old, marks_new = (
        _marks(side, loose) for side, loose in ((old, loose_old), (new, loose_new))
    )
    _, in_old, in_new = np.intersect1d(marks_old, marks_new, return_indices=True)
    beat(70)
    _changed(lines, old, new, loose_old[in_old], loose_new[in_new], ends)
    beat(85)
    left_old, left_new = (
        np.delete(np.arange(len(marks)), taken)
        for marks, taken in ((marks_old, in_old), (marks_new, in_new))
    )
    why = _reasons(lines, new, marks_old[left_old], "", GONE)
    _elsewhere(lines, old, new, loose_old[left_old], why)
    lines.add(REMOVED, loose_old[left_old], None, why)
    why = _reasons(lines, old, marks_new[left_new], BEFORE, NEW)
    _elsewhere(lines, new, old, loose_new[left_new], why)
    lines.add(ADDED, None, loose_new[left_new], why)
    beat(100)
    return lines.diff(ends, same)


def _elsewhere(lines: _Lines, side: Path, other: Path, rows: Numbers, why: NDArray[Any]) -> None:
    """Say it of the rows whose project the other version does not take from. `rows`: sorted."""
    here, there = (_projects(directory) for directory in (side, other))
    if not len(rows) or not there or here <= there:
        return
    word, first = lines.word(ELSEWHERE), 0
    for batch in columns.provenance(side, ["project"]):
        low, high = np.searchsorted(rows, [first, first + len(batch)])
        names = batch.column(0).to_pylist() if high > low else []
        for place in range(low, high):
            if names[rows[place] - first] not in there:
                why[place] = word
        first += len(batch)


def _projects(directory: Path) -> set[str]:
    """Those that the rules of a snapshot take from; none of rows made anew by the same rules."""
    path = directory / "snapshot.json"
    return (
        set(json.loads(path.read_text("utf-8"))["selection"]["projects"])
        if path.exists()
        else set()
    )


def _by_key(old: Path, new: Path) -> tuple[tuple[Numbers, Numbers], Numbers, Numbers]:
    """Rows that say the same on both sides (their numbers there), and the others of each side."""
    stored = columns.has_keys(old) and columns.has_keys(new)
    high, low = _joined(columns.keys(old, stored=stored))
    order = np.argsort(high, kind="stable").astype(np.int32)
    high = high[order]
    pairs: list[tuple[Numbers, Numbers]] = []
    others, hit, first = [], np.zeros(len(order), bool), 0
    for other_high, other_low in columns.keys(new, stored=stored):
        numbers = np.arange(first, first + len(other_high), dtype=np.int32)
        first += len(numbers)
        at = np.searchsorted(high, other_high)
        at[at == len(high)] = 0
        there = order[at] if len(order) else at
        fits = np.zeros(len(at), bool)
        if len(order):
            fits = (high[at] == other_high) & (low[there] == other_low)
        pairs.append((there[fits].astype(np.int32), numbers[fits]))
        hit[there[fits]] = True
        others.append(numbers[~fits])
    empty = np.zeros(0, np.int32)
    matched = (
        np.concatenate([empty, *(pair[0] for pair in pairs)]),
        np.concatenate([empty, *(pair[1] for pair in pairs)]),
    )
    loose = np.flatnonzero(~hit).astype(np.int32)
    return matched, loose, np.concatenate([empty, *others])


def _joined(parts: Any) -> tuple[columns.Hashes, columns.Hashes]:
    halves = list(parts) or [(np.zeros(0, np.uint64),) * 2]
    return np.concatenate([h for h, _ in halves]), np.concatenate([low for _, low in halves])


def _moved(
    lines: _Lines, matched: tuple[Numbers, Numbers], ends: tuple[list[int], list[int]]
) -> NDArray[np.bool_]:
    """Rows that say the same in another split."""
    before, after = (split_of(rows, end) for rows, end in zip(matched, ends, strict=True))
    moved: NDArray[np.bool_] = before != after
    for one, other in {*zip(before[moved].tolist(), after[moved].tolist(), strict=True)}:
        mine = (before == one) & (after == other)
        why = lines.word(f"moved from {SPLITS[one]} to {SPLITS[other]}")
        lines.add(CHANGED, matched[0][mine], matched[1][mine], np.full(mine.sum(), why))
    return moved


def _margins(
    lines: _Lines,
    matched: tuple[Numbers, Numbers],
    old: Path,
    new: Path,
    but: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Rows that say the same with another margin; `but` for those that are told already."""
    if "margin" not in names_of(old) or "margin" not in names_of(new):
        return np.zeros(len(but), bool)
    before, after = (
        columns.column_of(side, "margin", rows)
        for side, rows in zip((old, new), matched, strict=True)
    )
    differ: NDArray[np.bool_] = (before != after) & ~but
    why = np.full(differ.sum(), lines.word("margin"))
    lines.add(CHANGED, matched[0][differ], matched[1][differ], why)
    return differ


def _marks(directory: Path, wanted: Numbers) -> columns.Hashes:
    """The identities of the rows `wanted`, which are sorted."""
    if not len(wanted):
        return np.zeros(0, np.uint64)
    found, first = [], 0
    for batch in columns.provenance(directory, ["project", "external_id", "responses"]):
        low, high = np.searchsorted(wanted, [first, first + len(batch)])
        if high > low:
            found.append(columns.identities(batch)[wanted[low:high] - first])
        first += len(batch)
    return np.concatenate(found)


def _changed(
    lines: _Lines,
    old: Path,
    new: Path,
    before: Numbers,
    after: Numbers,
    ends: tuple[list[int], list[int]],
) -> None:
    """Rows from the same work that say something else: which columns, and whether the split."""
    if not len(before):
        return
    names = [name for name in names_of(old) if name in names_of(new)]
    parts = np.zeros(len(before), np.int16)
    kept: dict[str, tuple[columns.Hashes, columns.Hashes]] = {}
    for place, name in enumerate(names):
        one, two = (
            columns.column_of(side, name, rows) for side, rows in ((old, before), (new, after))
        )
        parts |= (one != two).astype(np.int16) << place
        if name in ("chosen", "rejected"):
            kept[name] = one, two
    parts |= (split_of(before, ends[0]) != split_of(after, ends[1])).astype(np.int16) << len(names)
    if kept:
        (chosen, chosen_now), (rejected, rejected_now) = kept["chosen"], kept["rejected"]
        turned = (chosen == rejected_now) & (rejected == chosen_now)
        parts |= turned.astype(np.int16) << (len(names) + 1)
    for mask in np.unique(parts).tolist():
        mine = parts == mask
        why = lines.word(_words(mask, [*names, SPLIT]))
        lines.add(CHANGED, before[mine], after[mine], np.full(mine.sum(), why))


def _words(mask: int, names: list[str]) -> str:
    """ "prompt, split" of a set of bits, the last of them for answers that changed places."""
    found = [name for place, name in enumerate(names) if mask >> place & 1]
    if mask >> len(names) & 1:
        found = [name for name in found if name not in ("chosen", "rejected")] + [SWAPPED]
    return ", ".join(found) or "the order of its work"


def _reasons(
    lines: _Lines, other: Path, marks: columns.Hashes, before: str, otherwise: str
) -> NDArray[Any]:
    """Why each of these rows is not in `other`: as its dropped.parquet says, or `otherwise`."""
    why = np.full(len(marks), lines.word(otherwise))
    path = other / "dropped.parquet"
    if not len(marks) or not path.exists():
        return why
    order = np.argsort(marks)
    ordered = marks[order]
    with pq.ParquetFile(path, pre_buffer=False) as file:
        wanted = ["project", "external_id", "responses", "reason"]
        for batch in file.iter_batches(batch_size=columns.BATCH, columns=wanted, use_threads=False):
            found = columns.identities(batch)
            at = np.minimum(np.searchsorted(ordered, found), len(ordered) - 1)
            hits = np.flatnonzero(ordered[at] == found)
            if len(hits):
                reasons = batch["reason"].to_pylist()
                why[order[at[hits]]] = [lines.word(before + reasons[hit]) for hit in hits]
    return why
