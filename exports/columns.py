"""Columns as the readers of many rows ask for them, and the key by which an annotator goes."""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left

_FIRST, _LAST = -7_000_001, -7_000_002  # ids that no row has: where a range's ends are put in
_TOGETHER = 2_000  # rows fetched at a time


def key_of(user: int | None, name: str) -> str:
    """Who, before the pseudonym: "user 12", or "name X" for imported work; nothing where nobody is
    known."""
    return f"user {user}" if user else f"name {name}" if name else ""


def as_text(name: str) -> Cast:
    """A JSON column as its text: the ORM's reading of JSON costs more than all the rest."""
    return Cast(name, TextField())


def day_of(name: str) -> Left:
    """The day of a point in time (UTC), as 2026-11-21."""
    return Left(Cast(name, TextField()), 10)


class Ranged:
    """Columns of the rows whose `id_of` lies in a range, asked for one range after another. The
    ORM puts the question into SQL once: for a thousand rows that costs as much as the answer. Of
    more than `most` rows the first are told.

    Values come as the database has them, so ask for text, numbers and nulls only: SQLite's truth
    values are 0 and 1."""

    def __init__(self, rows: "QuerySet[Any, Any]", id_of: str, most: int | None = None) -> None:
        asked = rows.filter(**{f"{id_of}__gte": _FIRST, f"{id_of}__lte": _LAST})[:most]
        self._connection = connections[asked.db]
        try:
            self._sql, self._params = asked.query.sql_with_params()
        except EmptyResultSet:  # no row can be meant
            self._sql, self._params = "", ()

    def between(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """The rows from `first` to `last`, both included."""
        if not self._sql:
            return
        ends = {_FIRST: first, _LAST: last}
        with self._connection.cursor() as cursor:
            cursor.execute(
                self._sql, [ends.get(one, one) if type(one) is int else one for one in self._params]
            )
            while rows := cursor.fetchmany(_TOGETHER):
                yield from rows
