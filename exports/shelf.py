"""Where rows wait to be sorted: a temporary SQLite file, so that memory does not grow with rows."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson

from exports.splits import SPLITS
from exports.work import Candidate

_TABLE = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
PRAGMA cache_size = -16000;
CREATE TABLE rows (
    key BLOB, digest BLOB, split INTEGER, prompt INTEGER, length INTEGER, other INTEGER,
    row BLOB, provenance BLOB
);
"""


@dataclass(frozen=True, slots=True)
class Shelved:
    row: dict[str, Any]
    provenance: dict[str, Any]


def row_key(project: UUID, external_id: str, digest: bytes) -> bytes:
    """What rows are sorted by: the same in any database, whatever the order of arrival."""
    return uuid5(project, f"{external_id}\x1f{digest.hex()}").bytes


def content_digest(row: dict[str, Any]) -> bytes:
    """Of what a model would learn from: the margin, which is an opinion on it, is left out."""
    content = {name: value for name, value in row.items() if name != "margin"}
    return blake2b(orjson.dumps(content), digest_size=16).digest()


class Shelf:
    """Put rows in any order, drop the duplicates, read them sorted. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.executescript(_TABLE)

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def put(self, rows: Iterable[tuple[Candidate, dict[str, Any]]]) -> None:
        """Rows that have no reason to be dropped, each with its provenance."""
        self._base.execute("BEGIN")
        self._base.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._line(found, provenance) for found, provenance in rows),
        )
        self._base.execute("COMMIT")

    @staticmethod
    def _line(found: Candidate, provenance: dict[str, Any]) -> tuple[Any, ...]:
        digest = content_digest(found.row)
        return (
            row_key(found.work.project_uuid, found.work.external_id, digest),
            digest,
            SPLITS.index(found.split),
            found.work.id,
            found.length,
            found.other,
            orjson.dumps(found.row),
            orjson.dumps(provenance),
        )

    def drop_duplicates(self) -> int:
        """Of equal rows the first in sorting order stays, of those of one prompt the one with the
        lowest margin, whichever came first; returns how many went."""
        self._base.execute("CREATE INDEX equal_rows ON rows (digest, key)")
        return self._base.execute(
            "DELETE FROM rows WHERE rowid IN (SELECT rowid FROM ("
            "SELECT rowid, ROW_NUMBER() OVER (PARTITION BY digest ORDER BY key, row) AS place"
            " FROM rows"
            ") WHERE place > 1)"
        ).rowcount

    def counts(self) -> dict[str, int]:
        found = dict(self._base.execute("SELECT split, COUNT(*) FROM rows GROUP BY split"))
        return {name: found.get(place, 0) for place, name in enumerate(SPLITS)}

    def prompts(self) -> int:
        return int(self._base.execute("SELECT COUNT(DISTINCT prompt) FROM rows").fetchone()[0])

    def lengths(self) -> Iterator[tuple[int, int | None]]:
        """Characters of each answer, and of the rejected one beside it."""
        yield from self._base.execute("SELECT length, other FROM rows")

    def read(self, split: str, limit: int = -1) -> Iterator[Shelved]:
        """The split's rows, sorted; at most `limit` of them (-1: all)."""
        lines = self._base.execute(
            "SELECT row, provenance FROM rows WHERE split = ? ORDER BY key LIMIT ?",
            (SPLITS.index(split), limit),
        )
        for row, provenance in lines:
            yield Shelved(orjson.loads(row), orjson.loads(provenance))
