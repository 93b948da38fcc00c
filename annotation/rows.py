"""Rows read and written by statements that are put together once.

The ORM compiles each query anew: two thirds of what a turn at work cost. These few functions keep
its models, field by field, and leave out the compiling; they serve what runs at every turn."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from django.db import connection
from django.db.models import Model

Convert = Callable[[Any], Any]


def read(sql: str, values: Mapping[str, Any], **models: type[Model]) -> list[tuple[Any, ...]]:
    """The instances of each row. In `sql`, "{p}" stands for the columns of `p=Prompt`, whose table
    goes by that name in the statement; the order of `models` is that in the statement. What is
    selected after them comes after them.

    A model whose primary key is null (an outer join) gives None."""
    shapes = [_shape(model, alias) for alias, model in models.items()]
    text = sql.format(**{alias: shape[0] for alias, shape in zip(models, shapes, strict=True)})
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        rows = cursor.fetchall()
    return [_instances(row, models, shapes) for row in rows]


def insert(row: Model) -> None:
    """`row.save()` of a new row, without its signals; sets the primary key."""
    sql, fields = _insertion(type(row))
    values = [f.get_db_prep_save(f.pre_save(row, add=True), connection) for f in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row.pk = cursor.fetchone()[0]
    row._state.adding = False
    row._state.db = connection.alias


@cache
def _shape(model: type[Model], alias: str) -> tuple[str, list[str], list[tuple[int, Convert]]]:
    """(columns for the statement, names of the fields, which value to convert how)."""
    fields: list[Any] = list(model._meta.concrete_fields)
    quote = connection.ops.quote_name
    columns = ", ".join(f"{alias}.{quote(field.column)}" for field in fields)
    converts: list[tuple[int, Convert]] = []
    for place, field in enumerate(fields):
        column = field.get_col(model._meta.db_table)
        both = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
        converts += [(place, partial(_convert, convert, column)) for convert in both]
    return columns, [field.attname for field in fields], converts


def _convert(convert: Callable[..., Any], column: Any, value: Any) -> Any:
    return convert(value, column, connection)


def _instances(
    row: Sequence[Any], models: Mapping[str, type[Model]], shapes: Sequence[Any]
) -> tuple[Any, ...]:
    found: list[Any] = []
    start = 0
    for model, (_, names, converts) in zip(models.values(), shapes, strict=True):
        values = list(row[start : start + len(names)])
        start += len(names)
        if values[0] is None:
            found.append(None)
            continue
        for place, convert in converts:
            values[place] = convert(values[place])
        found.append(model.from_db(connection.alias, names, values))
    return (*found, *row[start:])


@cache
def _insertion(model: type[Model]) -> tuple[str, list[Any]]:
    fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id", fields
