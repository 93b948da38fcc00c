"""Where rows wait to be compared and sorted: on disk, so that memory does not grow with rows. What
is dropped lies there too, with its reason.

What rows are compared and sorted by is a table of SQLite's. What they say is the file beside it,
one row after another as JSON, and where each came from: written once and read by its place, for
half of what a table would cost."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha1
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import orjson

from annotation.text import normalise
from exports.splits import SPLITS
from exports.work import DUPLICATE, Answer, Candidate, Ranked, Rated

_TABLE = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key BLOB, digest BLOB, split INTEGER, prompt INTEGER, project INTEGER,
    length INTEGER, other INTEGER, reason INTEGER, source INTEGER,
    place INTEGER, size INTEGER, told INTEGER
);
CREATE TABLE reasons (id INTEGER PRIMARY KEY, text TEXT);
"""
_COLUMNS = np.dtype(
    [("id", "i4"), ("prompt", "i8"), ("project", "i2"), ("length", "i4"), ("other", "i4"),
     ("split", "i1")]
)  # fmt: skip
_TOGETHER = 500  # rows that one statement reads by their ids,
_AT_ONCE = 10_000  # and that are taken from one that reads all
_SPAN = 4 * 2**20  # bytes that are read at once where rows lie side by side
Ids = Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]


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


def is_normal(row: bytes) -> bool:
    """Do the texts of a row, as JSON, surely stand there as `normalise` would leave them? Most do
    that are one paragraph; to ask is quicker than to take them apart."""
    return (
        row.isascii()
        and b"  " not in row
        and b"\\" not in row  # a line's end, or a quotation mark before a blank
        and b'" ' not in row
        and b' "' not in row
    )


def origin(found: Candidate) -> tuple[dict[str, Any], Source]:
    """Where a row comes from: in full for those who may ask (annotators still bear their names
    here), and what it has in common with others."""
    work = found.work
    responses, submissions, annotators, guidelines = [], [], [], []
    imports = [work.batch] if work.batch else []
    days = []
    for answer in found.answers:
        responses.append(answer.id)
        if answer.batch:
            imports.append(answer.batch)
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
        "responses": responses,
        "submissions": _distinct(submissions),
        "annotators": _distinct(annotators),
        "guidelines": versions,
    }, Source(
        work.project,
        tuple(_distinct(imports)),
        tuple(versions),
        min(days, default=""),
        max(days, default=""),
    )


def _distinct(values: list[Any]) -> list[Any]:
    return sorted(set(values)) if len(values) > 1 else values


def texts_of(path: Path) -> Path:
    """The file of texts beside a shelf's table."""
    return path.with_suffix(".texts")


class Texts:
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

    def read(self, place: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, place)

    def close(self) -> None:
        self._file.close()


class Shelf:
    """Put rows in any order, drop some for a reason, read the others sorted. A context manager;
    the file stays where it is. Rows are numbered from 1 as they come."""

    def __init__(self, path: Path) -> None:
        self._texts = Texts(texts_of(path), "xb")
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.executescript(_TABLE)
        self._reasons = {"": 0}
        self._projects: dict[str, int] = {}
        self._sources: dict[Source, int] = {}
        self._last = 0
        self._sorted: np.ndarray[Any, Any] | None = None

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()
        self._texts.close()

    def put(self, rows: Iterable[Candidate]) -> None:
        marks: list[tuple[Any, ...]] = []
        texts: list[bytes] = []
        place = self._texts.end
        for found in rows:
            self._last += 1
            key = digest = None
            row = b""
            if not found.reason:
                row = orjson.dumps(found.row)
                plain = "margin" not in found.row
                own = blake2b(row, digest_size=16).digest() if plain else content_digest(found.row)
                key = row_key(found.work.project_uuid, found.work.external_id, own)
                digest = own if is_normal(row) else same_digest(found.row)
            about, common = origin(found)
            told = orjson.dumps(about)
            marks.append(
                (
                    self._last,
                    key,
                    digest,
                    SPLITS.index(found.split) if found.split else -1,
                    found.work.id,
                    self._projects.setdefault(found.work.project, len(self._projects)),
                    found.length,
                    found.other,
                    self._code(found.reason),
                    self._sources.setdefault(common, len(self._sources)),
                    place,
                    len(row),
                    len(told),
                )
            )
            texts += (row, told)
            place += len(row) + len(told)
        self._texts.add(b"".join(texts))
        self._base.execute("BEGIN")
        self._base.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 13)})", marks)
        self._base.execute("COMMIT")
        self._sorted = None

    def _code(self, reason: str) -> int:
        if reason not in self._reasons:
            self._reasons[reason] = len(self._reasons)
            self._base.execute("INSERT INTO reasons VALUES (?, ?)", (self._reasons[reason], reason))
        return self._reasons[reason]

    def drop(self, ids: Iterable[int], reason: str) -> None:
        """Leave these rows out."""
        code = self._code(reason)
        self._base.execute("BEGIN")
        self._base.executemany(
            f"UPDATE rows SET reason = {code} WHERE id = ?", ((int(pk),) for pk in ids)
        )
        self._base.execute("COMMIT")
        self._sorted = None

    def drop_duplicates(self) -> None:
        """Of rows that say the same the first in sorting order stays; of those of one prompt the
        one whose content sorts first, whichever came first."""
        digests, ids = self._marks("digest")
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        digests, ids = digests[order], ids[order]
        same = (digests[1:] == digests[:-1]).all(axis=1)
        gone: list[int] = []
        for start, end in _runs(same):
            alike = [int(pk) for pk in ids[start:end]]
            stays = min(alike, key=self._place)
            gone += [pk for pk in alike if pk != stays]
        if gone:
            self.drop(gone, DUPLICATE)

    def _place(self, pk: int) -> tuple[bytes, bytes]:
        (line,) = self.lines([pk])
        return line.key, line.row

    def _marks(self, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """A column of 16 bytes as two numbers that sort as it does, of the kept rows by their ids,
        and the ids."""
        many = self._base.execute("SELECT COUNT(*) FROM rows WHERE reason = 0").fetchone()[0]
        marks, ids = np.empty((many, 2), np.uint64), np.empty(many, np.int64)
        lines = self._base.execute(f"SELECT id, {column} FROM rows WHERE reason = 0 ORDER BY id")
        start = 0
        while batch := lines.fetchmany(_AT_ONCE):
            end = start + len(batch)
            raw = np.frombuffer(b"".join(line[1] for line in batch), ">u8")
            marks[start:end] = raw.reshape(-1, 2)
            ids[start:end] = [line[0] for line in batch]
            start = end
        return marks, ids

    def kept(self) -> np.ndarray[Any, Any]:
        """The kept rows in sorting order: `id`, `split` (place in SPLITS), `prompt`, `project` (a
        number), `length` and `other` (-1: none), as columns of a structured array."""
        if self._sorted is None:
            keys, _ = self._marks("key")
            places = np.empty(len(keys), np.int32)
            places[np.lexsort((keys[:, 1], keys[:, 0]))] = np.arange(len(keys), dtype=np.int32)
            del keys
            lines = self._base.execute(
                "SELECT id, prompt, project, length, ifnull(other, -1), split FROM rows "
                "WHERE reason = 0 ORDER BY id"
            )
            # Each line goes to its place at once: a copy in another order would be as much again.
            rows, start = np.empty(len(places), _COLUMNS), 0
            while batch := lines.fetchmany(_AT_ONCE):
                end = start + len(batch)
                rows[places[start:end]] = np.array(batch, _COLUMNS)
                start = end
            self._sorted = rows
        return self._sorted

    def read(self, ids: Ids) -> Iterator[Shelved]:
        """These rows, in the order asked for."""
        for line in self.lines(ids):
            yield Shelved(line.key, orjson.loads(line.row), orjson.loads(line.provenance))

    def lines(self, ids: Ids) -> Iterator[Line]:
        """The same, as they lie there."""
        for some in self._some(ids):
            for pk, key, place, size, told in some:
                text = self._texts.read(place, size + told)
                yield Line(pk, key, text[:size], text[size:])

    def contents(self, ids: Ids) -> Iterator[dict[str, Any]]:
        """What these rows say, in the order asked for; quickest in their order of arrival."""
        for some in self._some(ids):
            first, last = some[0][2], some[-1][2] + some[-1][3]
            if 0 < last - first <= _SPAN and all(a[2] < b[2] for a, b in pairwise(some)):
                block = memoryview(self._texts.read(first, last - first))
                yield from (
                    orjson.loads(block[place - first : place - first + size])
                    for _, _, place, size, _ in some
                )
            else:
                yield from (
                    orjson.loads(self._texts.read(place, size)) for _, _, place, size, _ in some
                )

    def _some(self, ids: Ids) -> Iterator[list[tuple[int, bytes, int, int, int]]]:
        """(id, key, where its texts lie: place, bytes of the row and of its provenance), some rows
        at a time, in the order asked for."""
        for start in range(0, len(ids), _TOGETHER):
            asked = np.asarray(ids[start : start + _TOGETHER]).tolist()
            found = {
                line[0]: line
                for line in self._base.execute(
                    "SELECT id, key, place, size, told FROM rows "
                    f"WHERE id IN ({','.join(map(str, asked))})"
                )
            }
            yield [found[pk] for pk in asked]

    def dropped(self) -> Iterator[tuple[str, bytes]]:
        """(reason, provenance as JSON) of each row that was left out, in order of arrival."""
        lines = self._base.execute(
            "SELECT text, place + size, told FROM rows JOIN reasons ON reasons.id = reason "
            "ORDER BY rows.id"
        )
        for reason, place, told in lines:
            yield reason, self._texts.read(place, told)

    def sources(self) -> list[tuple[Source, int]]:
        """Where the kept rows come from, and how many of each."""
        counts = dict(
            self._base.execute("SELECT source, COUNT(*) FROM rows WHERE reason = 0 GROUP BY source")
        )
        return [(source, counts[code]) for source, code in self._sources.items() if code in counts]

    def ids(self, split: str) -> np.ndarray[Any, Any]:
        """The kept rows of a split, sorted."""
        rows = self.kept()
        return np.asarray(rows["id"][rows["split"] == SPLITS.index(split)])

    def counts(self) -> dict[str, int]:
        found = np.bincount(self.kept()["split"], minlength=len(SPLITS))
        return {name: int(found[place]) for place, name in enumerate(SPLITS)}

    def prompts(self) -> int:
        return len(np.unique(self.kept()["prompt"]))

    def projects(self) -> list[str]:
        """The names of the numbers in `kept()`."""
        return list(self._projects)

    def reasons(self) -> dict[str, int]:
        """{reason: rows left out}, most first."""
        lines = self._base.execute(
            "SELECT text, COUNT(*) FROM rows JOIN reasons ON reasons.id = reason GROUP BY text "
            "ORDER BY 2 DESC, 1"
        )
        return dict(lines.fetchall())

    def find_twins(self) -> None:
        """An index, so that pages find the row that was kept of two that say the same."""
        self._base.execute("CREATE INDEX rows_digest ON rows (digest) WHERE reason = 0")

    def verdicts(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
        """Of every row in order of arrival its reason's number and its split's, and the words of
        the reasons ("" for 0, which is kept)."""
        lines = self._base.execute("SELECT reason, split FROM rows ORDER BY id")
        both = np.fromiter(lines, np.dtype([("reason", np.int32), ("split", np.int32)]), self._last)
        return both["reason"], both["split"], list(self._reasons)


def _runs(same: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of equal neighbours; `same[i]`: i and i + 1 are equal."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(end) + 1
