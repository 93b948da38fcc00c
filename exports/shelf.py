"""Where rows wait to be compared and sorted: an SQLite file, so that memory does not grow with
rows. What is dropped lies there too, with its reason."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha1
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from annotation.text import normalise
from exports.splits import SPLITS
from exports.work import DUPLICATE, Answer, Candidate, Ranked, Rated

_TABLE = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, key BLOB, digest BLOB, split INTEGER, prompt INTEGER, project INTEGER,
    length INTEGER, other INTEGER, reason INTEGER, row BLOB, provenance BLOB
);
CREATE TABLE reasons (id INTEGER PRIMARY KEY, text TEXT);
"""
_COLUMNS = np.dtype(
    [("id", "i8"), ("prompt", "i8"), ("project", "i4"), ("length", "i4"), ("other", "i4"),
     ("split", "i1")]
)  # fmt: skip
_TOGETHER = 500  # rows that one statement reads
Ids = Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Shelved:
    key: bytes
    row: dict[str, Any]
    provenance: dict[str, Any]


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
    parts: list[str] = []
    for name, value in row.items():
        if isinstance(value, list):
            for turn in value:
                parts += (turn["role"], normalise(turn["content"]))
            parts.append("\x1e")
        elif name != "margin":
            parts += (normalise(value) if isinstance(value, str) else str(value), "\x1e")
    return blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


def provenance(found: Candidate) -> dict[str, Any]:
    """Where a row comes from, for those who may ask; annotators still bear their names here."""
    turns: list[Answer | Ranked | Rated] = [*found.answers, *found.rankings, *found.rated]
    return {
        "project": found.work.project,
        "external_id": found.work.external_id,
        "prompt": found.work.id,
        "responses": [answer.id for answer in found.answers],
        "submissions": sorted({turn.submission for turn in turns if turn.submission}),
        "annotators": sorted({turn.annotator for turn in turns if turn.annotator}),
        "guidelines": sorted({turn.guidelines for turn in turns if turn.guidelines}),
    }


class Shelf:
    """Put rows in any order, drop some for a reason, read the others sorted. A context manager;
    the file stays where it is. Rows are numbered from 1 as they come."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.executescript(_TABLE)
        self._reasons = {"": 0}
        self._projects: dict[str, int] = {}
        self._last = 0
        self._sorted: np.ndarray[Any, Any] | None = None

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def put(self, rows: Iterable[Candidate]) -> None:
        self._base.execute("BEGIN")
        self._base.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(self._line, rows)
        )
        self._base.execute("COMMIT")
        self._sorted = None

    def _line(self, found: Candidate) -> tuple[Any, ...]:
        self._last += 1
        key = digest = row = None
        if not found.reason:
            row = orjson.dumps(found.row)
            plain = "margin" not in found.row
            own = blake2b(row, digest_size=16).digest() if plain else content_digest(found.row)
            key = row_key(found.work.project_uuid, found.work.external_id, own)
            digest = same_digest(found.row)
        return (
            self._last,
            key,
            digest,
            SPLITS.index(found.split) if found.split else -1,
            found.work.id,
            self._projects.setdefault(found.work.project, len(self._projects)),
            found.length,
            found.other,
            self._code(found.reason),
            row,
            orjson.dumps(provenance(found)),
        )

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
        found = self._base.execute("SELECT key, row FROM rows WHERE id = ?", (pk,)).fetchone()
        return bytes(found[0]), bytes(found[1])

    def _marks(self, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """A column of 16 bytes as two numbers that sort as it does, of the kept rows by their ids,
        and the ids."""
        many = self._base.execute("SELECT COUNT(*) FROM rows WHERE reason = 0").fetchone()[0]
        marks, ids = np.empty((many, 2), np.uint64), np.empty(many, np.int64)
        lines = self._base.execute(f"SELECT id, {column} FROM rows WHERE reason = 0 ORDER BY id")
        start = 0
        while batch := lines.fetchmany(10_000):
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
            keys, ids = self._marks("key")
            order = np.lexsort((keys[:, 1], keys[:, 0]))
            del keys
            lines = self._base.execute(
                "SELECT id, prompt, project, length, ifnull(other, -1), split FROM rows "
                "WHERE reason = 0 ORDER BY id"
            )
            self._sorted = np.fromiter(lines, _COLUMNS, len(ids))[order]
        return self._sorted

    def read(self, ids: Ids) -> Iterator[Shelved]:
        """These rows, in the order asked for."""
        for start in range(0, len(ids), _TOGETHER):
            asked = [int(pk) for pk in ids[start : start + _TOGETHER]]
            found = {
                line[0]: line[1:]
                for line in self._base.execute(
                    "SELECT id, key, row, provenance FROM rows "
                    f"WHERE id IN ({','.join(map(str, asked))})"
                )
            }
            for pk in asked:
                key, row, origin = found[pk]
                yield Shelved(key, orjson.loads(row), orjson.loads(origin))

    def dropped(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(reason, provenance) of each row that was left out, in order of arrival."""
        lines = self._base.execute(
            "SELECT text, provenance FROM rows JOIN reasons ON reasons.id = reason ORDER BY rows.id"
        )
        for reason, origin in lines:
            yield reason, orjson.loads(origin)

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
