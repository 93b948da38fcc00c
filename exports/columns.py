"""Columns as the readers of many rows ask for them, and the key by which an annotator goes."""

from django.db.models import TextField
from django.db.models.functions import Cast, Left


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
