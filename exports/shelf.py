"""Where rows wait to be compared and sorted: on disk, so that memory does not grow with rows. What
is dropped lies there too, with its reason.

Two files. `rows.marks` is what rows are compared, sorted and counted by: a record of one length a
row, so that a row is found by its number and a column is read as numpy's. `rows.texts` is what they
say, one after another as JSON, and where each came from."""

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha1
from itertools import repeat
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple, Self
from uuid import UUID

import numpy as np
import orjson

from annotation.text import normalise
from exports.splits import SPLITS
from exports.work import DUPLICATE, Answer, Candidate, Ranked, Rated

MARKS, TEXTS = "rows.marks", "rows.texts"
NONE = -1


class Mark(NamedTuple):
    """A row's record."""

    id: int
    key: bytes  # zeros where no row was made,
    digest: bytes  # as here
    prompt: int
    place: int  # where its texts begin
    size: int  # bytes of the row, nothing where none was made
    told: int  # bytes of its provenance, right behind
    length: int
    other: int
    split: int  # a place in SPLITS, or NONE
    project: int  # a number of the shelf's, as source and reason are
    source: int
    twin: int  # the row that stays of two that say the same
    reason: int  # 0: it is kept

    def packed(self) -> bytes:
        """As it lies in the file."""
        return _MARK.pack(*self)


_MARK = Struct("<i 16s 16s q q 9i")
_TEXT, _LONG, _INT = ">u8", "<i8", "<i4"
_RECORD = np.dtype(
    [
        ("id", _INT), ("key", _TEXT), ("key_end", _TEXT), ("digest", _TEXT), ("digest_end", _TEXT),
        ("prompt", _LONG), ("place", _LONG), *((name, _INT) for name in Mark._fields[5:]),
    ]
)  # fmt: skip
_FATE = Struct("<2i")  # the last two: what dropping a row changes
_AT_ONCE = 10_000  # records that are read together
_FAR = 100  # records: to read as many costs more than to ask for one by itself
_MANY = 50_000  # rows whose records are in memory together
_TOGETHER = 500  # rows whose texts are,
_SPAN = 4 * 2**20  # and bytes of them where they lie side by side
Ids = Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]
Records = np.ndarray[Any, Any]


class Line(NamedTuple):
    """A row as it lies there: `row` and `provenance` are JSON."""

    id: int
    key: bytes
    row: bytes
    provenance: bytes


class Shelved(NamedTuple):
    key: bytes
    row: dict[str, Any]
    provenance: dict[str, Any]


class Source(NamedTuple):
    """What many rows have in common of where they come from; `imports` are ids of imports."""

    project: str
    imports: tuple[int, ...]
    guidelines: tuple[int, ...]
    first_day: str  # of the work done here, as 2026-11-21; nothing where none was
    last_day: str


def row_key(project: UUID, external_id: str, digest: bytes) -> bytes:
    """What rows are sorted by, the same in any database and whatever the order of arrival: the
    bytes of uuid5(project, external_id and digest), without the object."""
    name = f"{external_id}\x1f{digest.hex()}".encode()
    key = bytearray(sha1(project.bytes + name, usedforsecurity=False).digest()[:16])
    key[6] = key[6] & 0x0F | 0x50
    key[8] = key[8] & 0x3F | 0x80
    return bytes(key)


def content_digest(row: dict[str, Any]) -> bytes:
    """Of what a model would learn from: the margin, which is an opinion on it, is left out."""
    content = {name: value for name, value in row.items() if name != "margin"}
    return blake2b(orjson.dumps(content), digest_size=16).digest()


def same_digest(row: dict[str, Any]) -> bytes:
    """Equal for rows that say the same: as `content_digest`, the texts normalised."""
    same = {name: _normal(value) for name, value in row.items() if name != "margin"}
    return blake2b(orjson.dumps(same), digest_size=16).digest()


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return [turn | {"content": normalise(turn["content"])} for turn in value]
    return normalise(value) if isinstance(value, str) else value


_ODD, _EDGE = b"o", b"e"
# A backslash: a line's end, or a quotation mark within a text. Edges: blanks and the marks around.
_SIGNS = bytes(
    (_ODD if sign > 127 or sign == ord("\\") else _EDGE if sign in b' "' else b".")[0]
    for sign in range(256)
)


def is_normal(row: bytes) -> bool:
    """Of a row as JSON: do its texts surely stand there as `normalise` would leave them? Most do
    that are one paragraph; to ask is quicker than to take them apart."""
    signs = row.translate(_SIGNS)
    return _ODD not in signs and _EDGE + _EDGE not in signs


def origin(found: Candidate) -> tuple[dict[str, Any], Source]:
    """Where a row comes from: in full for those who may ask (annotators still bear their names
    here), and what it has in common with others."""
    work = found.work
    submissions, annotators, guidelines, days = [], [], [], []
    imports = [work.batch] if work.batch else []
    imports += [answer.batch for answer in found.answers if answer.batch]
    turns: Iterable[Answer | Ranked | Rated] = (
        [*found.answers, *found.rankings, *found.rated]
        if found.rankings or found.rated
        else found.answers
    )
    for turn in turns:
        if turn.submission:
            submissions.append(turn.submission)
            if turn.day:
                days.append(turn.day)
        if turn.annotator:
            annotators.append(turn.annotator)
        if turn.guidelines:
            guidelines.append(turn.guidelines)
    versions = _distinct(guidelines)
    return {
        "project": work.project,
        "external_id": work.external_id,
        "prompt": work.id,
        "responses": [answer.id for answer in found.answers],
        "submissions": _distinct(submissions),
        "annotators": _distinct(annotators),
        "guidelines": versions,
    }, Source(
        work.project,
        tuple(_distinct(imports)),
        tuple(versions),
        min(days) if days else "",
        max(days) if days else "",
    )


def _distinct(values: list[Any]) -> list[Any]:
    return sorted(set(values)) if len(values) > 1 else values


class File:
    """Bytes written one after the other and read by their place. Safe to share between threads."""

    def __init__(self, path: Path, mode: str) -> None:
        """`mode`: "xb" for a new file, "rb" to read one. Raises OSError."""
        self._file = path.open(mode + "+" if "x" in mode else mode, buffering=0)
        self.end = 0

    def add(self, text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.end += len(text)

    def change(self, place: int, text: bytes) -> None:
        os.pwrite(self._file.fileno(), text, place)

    def read(self, place: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, place)

    def close(self) -> None:
        self._file.close()


class Rows:
    """The files of a shelf, read by the numbers of rows. A context manager."""

    def __init__(self, folder: Path, mode: str = "rb") -> None:
        """Raises OSError where they are not there."""
        self._marks = File(folder / MARKS, mode)
        self._texts = File(folder / TEXTS, mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._marks.close()
        self._texts.close()

    def mark(self, pk: int) -> Mark:
        return Mark._make(_MARK.unpack(self._mark(pk)))

    def _mark(self, pk: int) -> bytes:
        return self._marks.read((pk - 1) * _MARK.size, _MARK.size)

    def line(self, mark: Mark) -> Line:
        text = self._texts.read(mark.place, mark.size + mark.told)
        return Line(mark.id, mark.key, text[: mark.size], text[mark.size :])


def read_marks(folder: Path) -> Records:
    """Every row's record, in order of arrival. Raises OSError where they are not there."""
    return np.fromfile(folder / MARKS, _RECORD)


class Shelf(Rows):
    """Put rows in any order, drop some for a reason, read the others sorted. The files stay where
    they are, in a folder that is there. Rows are numbered from 1 as they come."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "xb")
        self._reasons = {"": 0}
        self._projects: dict[str, int] = {}
        self._sources: dict[Source, int] = {}
        self._last = 0
        self._places: np.ndarray[Any, np.dtype[np.int32]] | None = None

    def put(self, found: Sequence[Candidate]) -> None:
        marks: list[bytes] = []
        texts: list[bytes] = []
        place = self._texts.end
        for each in found:
            self._last += 1
            row = key = digest = b""
            if not each.reason:
                row = orjson.dumps(each.row)
                plain = "margin" not in each.row
                own = blake2b(row, digest_size=16).digest() if plain else content_digest(each.row)
                key = row_key(each.work.project_uuid, each.work.external_id, own)
                digest = own if is_normal(row) else same_digest(each.row)
            about, common = origin(each)
            told = orjson.dumps(about)
            marks.append(
                _MARK.pack(
                    self._last,
                    key,
                    digest,
                    each.work.id,
                    place,
                    len(row),
                    len(told),
                    each.length,
                    NONE if each.other is None else each.other,
                    SPLITS.index(each.split) if each.split else NONE,
                    self._projects.setdefault(each.work.project, len(self._projects)),
                    self._sources.setdefault(common, len(self._sources)),
                    0,
                    self._reasons.setdefault(each.reason, len(self._reasons)),
                )
            )
            texts += (row, told)
            place += len(row) + len(told)
        self._texts.add(b"".join(texts))
        self._marks.add(b"".join(marks))
        self._places = None

    def drop(self, ids: Iterable[int], reason: str, twins: Iterable[int] = repeat(0)) -> None:
        """Leave these rows out. `twins`: which row stays for each."""
        code = self._reasons.setdefault(reason, len(self._reasons))
        for pk, twin in zip(ids, twins, strict=False):
            self._marks.change(int(pk) * _MARK.size - _FATE.size, _FATE.pack(twin, code))
        self._places = None

    def drop_duplicates(self) -> None:
        """Of rows that say the same the first in sorting order stays; of those of one prompt the
        one whose content sorts first, whichever came first."""
        ids, begins = self.column("id"), self.column("digest")
        order = np.argsort(begins, kind="stable")
        ids, begins = ids[order], begins[order]
        gone: dict[int, int] = {}
        for start, end in _runs(begins[1:] == begins[:-1]):
            alike: dict[bytes, list[int]] = {}
            for pk in ids[start:end].tolist():
                alike.setdefault(self.mark(pk).digest, []).append(pk)
            for same in alike.values():
                stays = min(same, key=self._rank)
                gone |= {pk: stays for pk in same if pk != stays}
        if gone:
            self.drop(gone, DUPLICATE, gone.values())

    def _rank(self, pk: int) -> tuple[bytes, bytes]:
        line = self.line(self.mark(pk))
        return line.key, line.row

    def _records(self) -> Iterator[Records]:
        for start in range(0, self._last, _AT_ONCE):
            yield self._block(start)

    def _block(self, start: int) -> Records:
        """The records from this place on."""
        return np.frombuffer(self._marks.read(start * _MARK.size, _AT_ONCE * _MARK.size), _RECORD)

    def column(self, name: str, every: bool = False) -> Records:
        """A mark of the kept rows, or of every row, in order of arrival. Of a key and a digest it
        is the first half; `key_end` and `digest_end` are the others."""
        kind = _RECORD[name].newbyteorder("=")
        parts = [np.empty(0, kind)]
        for records in self._records():
            values = records[name].astype(kind)
            parts.append(values if every else values[records["reason"] == 0])
        return np.concatenate(parts)

    def kept(self, *names: str) -> Records:
        """These marks of the kept rows in sorting order, as columns of a structured array."""
        if self._places is None:
            order = np.lexsort((self.column("key_end"), self.column("key")))
            self._places = np.empty(len(order), np.int32)
            self._places[order] = np.arange(len(order), dtype=np.int32)
        # A column at a time and each value to its place: what is sorted is in memory once.
        found = np.empty(len(self._places), [(name, _RECORD[name]) for name in names])
        for name in names:
            found[name][self._places] = self.column(name)
        return found

    def read(self, ids: Ids) -> Iterator[Shelved]:
        """These rows, in the order asked for."""
        for line in self.lines(ids):
            yield Shelved(line.key, orjson.loads(line.row), orjson.loads(line.provenance))

    def lines(self, ids: Ids) -> Iterator[Line]:
        """The same, as they lie there."""
        for start in range(0, len(ids), _MANY):
            some = self._records_of(np.asarray(ids[start : start + _MANY]))
            keys = np.column_stack([some["key"], some["key_end"]]).astype(_TEXT).tobytes()
            marks = (some[name].tolist() for name in ("id", "place", "size", "told"))
            for at, (pk, place, size, told) in enumerate(zip(*marks, strict=True)):
                text = self._texts.read(place, size + told)
                yield Line(pk, keys[16 * at : 16 * at + 16], text[:size], text[size:])

    def contents(self, ids: Ids) -> Iterator[dict[str, Any]]:
        """What these rows say, in the order asked for; quickest in their order of arrival."""
        for start in range(0, len(ids), _TOGETHER):
            some = self._records_of(np.asarray(ids[start : start + _TOGETHER]))
            places, ends = some["place"], some["place"] + some["size"]
            first, size = int(places[0]), int(ends[-1] - places[0])
            if 0 < size <= _SPAN and bool((places[1:] > places[:-1]).all()):
                block = memoryview(self._texts.read(first, size))
                starts = (places - first).tolist()
                for place, end in zip(starts, (ends - first).tolist(), strict=True):
                    yield orjson.loads(block[place:end])
            else:
                for place, length in zip(places.tolist(), some["size"].tolist(), strict=True):
                    yield orjson.loads(self._texts.read(place, length))

    def _records_of(self, ids: np.ndarray[Any, Any]) -> Records:
        """The records of these rows, in the order asked for. Far apart they are read one by one,
        else in blocks, of which less is wanted than read."""
        if np.ptp(ids) > _FAR * len(ids):
            return np.frombuffer(b"".join(map(self._mark, ids.tolist())), _RECORD)
        order = np.argsort(ids)
        places = ids[order] - 1
        found = np.empty(len(ids), _RECORD)
        for start in range(int(places[0]), int(places[-1]) + 1, _AT_ONCE):
            of, to = np.searchsorted(places, [start, start + _AT_ONCE])
            found[order[of:to]] = self._block(start)[places[of:to] - start]
        return found

    def dropped(self) -> Iterator[tuple[str, bytes]]:
        """(reason, provenance as JSON) of each row that was left out, in order of arrival."""
        reasons = list(self._reasons)
        for records in self._records():
            lost = records[records["reason"] > 0]
            for reason, place, told in zip(
                lost["reason"].tolist(),
                (lost["place"] + lost["size"]).tolist(),
                lost["told"].tolist(),
                strict=True,
            ):
                yield reasons[reason], self._texts.read(place, told)

    def sources(self) -> list[tuple[Source, int]]:
        """Where the kept rows come from, and how many of each."""
        counts = np.bincount(self.column("source"), minlength=len(self._sources)).tolist()
        return [(source, n) for source, n in zip(self._sources, counts, strict=True) if n]

    def ids(self, split: str) -> np.ndarray[Any, Any]:
        """The kept rows of a split, sorted."""
        rows = self.kept("id", "split")
        return np.asarray(rows["id"][rows["split"] == SPLITS.index(split)])

    def counts(self) -> dict[str, int]:
        found = np.bincount(self.column("split"), minlength=len(SPLITS))
        return {name: int(found[place]) for place, name in enumerate(SPLITS)}

    def prompts(self) -> int:
        found = np.sort(self.column("prompt"))  # unique() would take five times as much memory
        return int(np.count_nonzero(found[1:] != found[:-1])) + bool(len(found))

    def projects(self) -> list[str]:
        """The names of the numbers in `project`."""
        return list(self._projects)

    def words(self) -> list[str]:
        """The words of the numbers in `reason`, "" for 0."""
        return list(self._reasons)

    def reasons(self) -> dict[str, int]:
        """{reason: rows left out}, most first."""
        counts = np.bincount(self.column("reason", every=True), minlength=1).tolist()
        found = {word: n for word, n in zip(self._reasons, counts, strict=False) if word and n}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _runs(same: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of equal neighbours; `same[i]`: i and i + 1 are equal."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(end) + 1
