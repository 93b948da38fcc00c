"""Items that a lead gave to some people: `Item.people`, as conditions of raw SQL."""

from django.db import connection


def names(item: str, user: str) -> str:
    """The person is one of those named. `item`: the table or its alias; `user`: the placeholder."""
    if connection.vendor == "postgresql":
        return f"{item}.people @> to_jsonb({user}::bigint)"
    return f"EXISTS (SELECT 1 FROM json_each({item}.people) e WHERE e.value = {user})"


def is_for(item: str, user: str) -> str:
    """The item is for everybody, or for the person among others."""
    nobody = "'[]'::jsonb" if connection.vendor == "postgresql" else "'[]'"
    return f"({item}.people = {nobody} OR {names(item, user)})"
