"""Near-duplicate rows: MinHash finds candidates, the words themselves decide. Pure.

Broder 1997 for MinHash; bands as in Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
chapter 3. A part's shingles are told from another part's, so a row's Jaccard similarity is a
weighted mean of its parts' and never below the smallest: no row is missed for having parts."""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np
import rensa
from numpy.typing import NDArray

from exports.folding import fold, jaccard, shingles
from exports.windows import mix, shingle_hashes

Row = tuple[str, ...]
Read = Callable[[list[int]], list[Row]]
Progress = Callable[[int, int], None]  # rows looked at, of how many

PERMUTATIONS = 128
MISSED = 0.005  # of the pairs that are just as similar as the threshold
TRIED = 16  # kept rows that one row is compared with, those that share most with it first
_LISTED = 32  # kept rows that a bucket remembers: what all have says little of any
_SEED = 42
_BATCH = 300_000  # characters hashed at once, so that they stay in the processor's cache
_STEP = 5_000  # rows between two words on progress
_CACHE = 300_000  # shingles held


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows of each): the longest bands by which at most MISSED of the pairs at the
    threshold share none, and no more of them than that takes."""
    for rows in range(PERMUTATIONS, 0, -1):
        for count in range(1, PERMUTATIONS // rows + 1):
            if (1 - threshold**rows) ** count <= MISSED:
                return count, rows
    return PERMUTATIONS, 1


class Near:
    """Add all rows, in the order of preference, then ask for the groups.

    Two rows are nearly equal when every part of one has a Jaccard similarity of at least
    `threshold` (above 0, to 1) with the same part of the other. A row goes if it is nearly equal
    to an earlier one that is kept; so no chain leads from a text to one that is not like it."""

    def __init__(self, threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
        self.threshold = threshold
        self._bands, self._rows = bands(threshold)
        self._ids = array("q")
        self._buckets = [array("Q") for _ in range(self._bands)]

    def add(self, ids: Sequence[int], rows: Sequence[Row]) -> None:
        """The next rows; what comes of them does not depend on how many at a time."""
        if len(ids) != len(rows):
            raise ValueError(f"{len(ids)} ids for {len(rows)} rows")
        self._ids.extend(ids)
        start = size = 0
        for place, row in enumerate(rows):
            size += sum(map(len, row))
            if size > _BATCH:
                self._add(rows[start : place + 1])
                start, size = place + 1, 0
        if start < len(rows):
            self._add(rows[start:])

    def _add(self, rows: Sequence[Row]) -> None:
        digests = _digests(rows)
        for band, bucket in enumerate(self._buckets):
            key = np.zeros(len(rows), np.uint64)
            for column in range(band * self._rows, (band + 1) * self._rows):
                key += digests[:, column]
                mix(key)
            bucket.frombytes(key.tobytes())

    def groups(self, read: Read, progress: Progress | None = None) -> dict[int, int]:
        """{a row that goes: the kept row that it is nearly equal to}. `read` gives the texts of
        rows again, in the order of the ids."""
        numbers, buckets = _crowded(self._buckets, len(self._ids))
        kept = _Kept(buckets)
        compare = _Compare(self.threshold, self._ids, read)
        gone: dict[int, int] = {}
        for place, own in _places(numbers, progress):
            equal = compare.first(place, kept.likely(own))
            if equal is None:
                kept.put(place, own)
            else:
                gone[self._ids[place]] = self._ids[equal]
        return gone


class _Kept:
    """Which kept rows are in which bucket, by their places in the order of preference."""

    def __init__(self, buckets: int) -> None:
        self._first = array("i", [-1]) * buckets  # most have one, which needs no list
        self._more: dict[int, list[int]] = {}

    def put(self, place: int, buckets: list[int]) -> None:
        for bucket in buckets:
            if self._first[bucket] < 0:
                self._first[bucket] = place
            else:
                listed = self._more.setdefault(bucket, [])
                if len(listed) < _LISTED:
                    listed.append(place)

    def likely(self, buckets: list[int]) -> list[int]:
        """At most TRIED, the likeliest first: a bucket that few share tells more."""
        weights: dict[int, float] = {}
        for bucket in buckets:
            first = self._first[bucket]
            if first < 0:
                continue
            more = self._more.get(bucket, ())
            weight = 1 / (1 + len(more))
            for place in (first, *more):
                weights[place] = weights.get(place, 0.0) + weight
        if len(weights) < 2:
            return list(weights)
        return sorted(weights, key=lambda place: (-weights[place], place))[:TRIED]


class _Compare:
    """Reads rows again and compares them; the shingles of the last ones are held."""

    def __init__(self, threshold: float, ids: Sequence[int], read: Read) -> None:
        self._threshold, self._ids, self._read = threshold, ids, read
        self._held: OrderedDict[int, list[Set[object]]] = OrderedDict()
        self._size = 0

    def first(self, place: int, others: list[int]) -> int | None:
        """The first of the others that the row is nearly equal to."""
        for wanted in (others[:1], others[1:]):  # mostly it is the first: the rest is not read
            if wanted:
                own, *found = self._parts([place, *wanted])
                for other, parts in zip(wanted, found, strict=True):
                    if self._equal(own, parts):
                        return other
        return None

    def _equal(self, own: list[Set[object]], other: list[Set[object]]) -> bool:
        if len(own) != len(other):
            return False
        pairs = sorted(zip(own, other, strict=True), key=lambda pair: len(pair[0]))
        least = self._threshold
        # The sizes bound the similarity, and cost nothing.
        if any(min(len(a), len(b)) / max(len(a), len(b)) < least for a, b in pairs):
            return False
        return all(jaccard(a, b) >= least for a, b in pairs)

    def _parts(self, places: list[int]) -> list[list[Set[object]]]:
        missing = [place for place in places if place not in self._held]
        found: dict[int, list[Set[object]]] = {}
        if missing:
            rows = self._read([self._ids[place] for place in missing])
            for place, row in zip(missing, rows, strict=True):
                found[place] = [shingles(part) for part in row]
        for place in places:
            if place in self._held:
                found[place] = self._held[place]
                self._held.move_to_end(place)
            else:
                self._held[place] = found[place]
                self._size += sum(map(len, found[place]))
        while self._size > _CACHE and len(self._held) > 1:
            self._size -= sum(map(len, self._held.popitem(last=False)[1]))
        return [found[place] for place in places]


def _crowded(keys: "list[array[int]]", total: int) -> tuple[NDArray[np.int32], int]:
    """(for each band and row the number of its bucket, -1 where it is alone; how many numbers)."""
    numbers = np.full((len(keys), total), -1, np.int32)
    count = 0
    for band, column in enumerate(keys):
        values = np.frombuffer(column, np.uint64)
        order = np.argsort(values, kind="stable")
        values = values[order]
        same = values[1:] == values[:-1]
        shared = np.zeros(total, bool)
        shared[1:] |= same
        shared[:-1] |= same
        begins = shared.copy()
        begins[1:] &= ~same
        found = np.cumsum(begins)[shared] - 1 + count
        numbers[band, order[shared]] = found
        count += int(begins.sum())
    return numbers, count


def _places(
    numbers: NDArray[np.int32], progress: Progress | None
) -> Iterator[tuple[int, list[int]]]:
    """Each row that shares a bucket, in order, with its buckets."""
    total = numbers.shape[1]
    for start in range(0, total, _STEP):
        if progress is not None:
            progress(start, total)
        part = numbers[:, start : start + _STEP].T
        some = np.flatnonzero((part >= 0).any(axis=1))
        for place, row in zip(some.tolist(), part[some].tolist(), strict=True):
            yield start + place, [bucket for bucket in row if bucket >= 0]
    if progress is not None:
        progress(total, total)


def _digests(rows: Sequence[Row]) -> NDArray[np.uint64]:
    """MinHash of each row over the shingles of its parts, each marked with its part's place."""
    raw = [part for row in rows for part in row]
    places = np.fromiter((i for row in rows for i in range(len(row))), np.uint64, len(raw))
    found = shingle_hashes([fold(part) for part in raw], raw)
    marks = mix(places + np.uint64(1))
    hashes = found.hashes + np.repeat(marks, np.diff(found.offsets))
    mix(hashes)
    ends = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), out=ends[1:])
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, found.offsets[ends].astype(np.uint64), PERMUTATIONS, _SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(rows), PERMUTATIONS)
