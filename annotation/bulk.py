"""Many rows at once, past the ORM's per-object cost: ids drawn ahead, plain INSERTs.

Ids are drawn before the rows are built, so that rows may point to one another and the transaction
holds nothing but the writing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import Any

import orjson
from django.db import connection, models, transaction

# A statement of SQLite's sets up a journal of its own where the table has a trigger: rows share it.
ROWS_A_STATEMENT = 50
ROOM = {"cache_size": -16_000, "wal_autocheckpoint": 8_000}  # kB, and pages of 4 kB


def reserve(model: type[models.Model], count: int) -> list[int]:
    """`count` ids of the model's table that no one else will get."""
    if not count:
        return []
    table = model._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
                [table, count],
            )
            return [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s RETURNING seq",
            [count, table],
        )
        row = cursor.fetchone()
        if row is None:
            cursor.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, count]
            )
        last = row[0] if row else count
    return list(range(last - count + 1, last + 1))


def insert(model: type[models.Model], fields: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    """Add the rows: INSERTs of many rows on SQLite, COPY on PostgreSQL. `fields` are attribute
    names; JSON values come as text (see `as_json`). Fields that are not named get their default."""
    if not rows:
        return
    quote = connection.ops.quote_name
    named: list[Any] = [model._meta.get_field(name) for name in fields]
    writable = [field for field in model._meta.concrete_fields if not field.primary_key]
    others = [field for field in writable if field not in named]
    rest = tuple(field.get_db_prep_save(field.get_default(), connection) for field in others)
    columns = ", ".join(quote(field.column) for field in [*named, *others])
    into = f"{quote(model._meta.db_table)} ({columns})"
    whole = [row + rest for row in rows] if rest else rows
    # Past Django's cursor: it rewrites every mark of every statement.
    with connection.cursor(), connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            _copy(into, whole)
        else:
            _insert_by_statements(into, whole)


def _copy(into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert_by_statements(into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    marks = f"({', '.join('?' * len(rows[0]))})"
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        part = rows[start : start + ROWS_A_STATEMENT]
        connection.connection.execute(
            f"INSERT INTO {into} VALUES {', '.join([marks] * len(part))}",
            tuple(chain.from_iterable(part)),
        )


@contextmanager
def room_to_write() -> Iterator[None]:
    """SQLite: pages of indexes that are written over and over stay in memory (16 MB of them), and
    are copied into the database seldom."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        usual = [(name, cursor.execute(f"PRAGMA {name}").fetchone()[0]) for name in ROOM]
        for name, value in ROOM.items():
            cursor.execute(f"PRAGMA {name} = {value}").fetchall()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for name, value in usual:
                cursor.execute(f"PRAGMA {name} = {value}").fetchall()


def delete(model: type[models.Model], ids: Sequence[int]) -> None:
    """DELETE without Django's collector: the caller knows what points here."""
    if ids:
        model._base_manager.filter(pk__in=ids)._raw_delete(connection.alias)


def as_json(value: Any) -> str:
    """What a JSON column takes. Raises TypeError for what is no JSON."""
    return orjson.dumps(value).decode()


def as_time(moment: datetime) -> Any:
    """What a date-time column takes."""
    return connection.ops.adapt_datetimefield_value(moment)
