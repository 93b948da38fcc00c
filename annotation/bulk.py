"""Many rows at once, past the ORM's per-object cost: ids drawn ahead, plain INSERTs.

Ids are drawn before the rows are built, so that rows may point to one another and the transaction
holds nothing but the writing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, models, transaction


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
    """INSERT the rows. `fields` are attribute names; JSON values come as text (see `as_json`).
    Fields that are not named get their default."""
    if not rows:
        return
    quote = connection.ops.quote_name
    named: list[Any] = [model._meta.get_field(name) for name in fields]
    writable = [field for field in model._meta.concrete_fields if not field.primary_key]
    others = [field for field in writable if field not in named]
    rest = tuple(field.get_db_prep_save(field.get_default(), connection) for field in others)
    columns = ", ".join(quote(field.column) for field in [*named, *others])
    marks = ", ".join(["%s"] * (len(named) + len(others)))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})",
            [row + rest for row in rows] if rest else rows,
        )


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
