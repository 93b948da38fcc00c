"""The full-text index of prompts: what both databases keep of their own accord, row by row.

SQLite: an FTS5 table without content (it holds words and places, no second copy of the text). An
entry made by a trigger costs 65 us, one of many made together 20 us: so a trigger only notes the
number of a new or changed prompt. A search first takes in what is noted, if it is little; what an
import brings a worker takes in when the import is done, and the sweeper sends for one that was
lost. So no row is missed, whoever wrote it.
A later migration that makes SQLite rebuild `annotation_prompt` loses the triggers: it must call
`make` at its end; tests/annotation/test_search.py fails otherwise.
PostgreSQL: a GIN index over an expression, and one over the metadata."""

import logging
import time
from typing import Any

from celery import current_app
from django.db import connection, transaction

log = logging.getLogger("annotation.search")
TASK = "annotation.tasks.index_prompts"
A_SEARCH = 1_000  # prompts that a search takes in itself
SECONDS = 0.05  # that a transaction of the worker's should take: others wait for it
COUNTED = 10_000  # noted prompts looked at, to say how many are not searchable yet
TABLE = "annotation_prompt_words"
NOTED = "annotation_prompt_noted"
# Marks that PostgreSQL would keep within a word (hosts, paths, numbers, tags) part words there, as
# they do in SQLite: e-mail, a_b and 3.14 are two words each.
MARKS = "-_./:@&<+%=~"
# A tsvector holds a megabyte: this many characters of whatever script fit.
MOST_CHARACTERS = 200_000

_BODY = "SELECT group_concat(json_extract(value, '$.content'), ' ') FROM json_each({row}.messages)"
_WORDS = "'p' || {row}.project_id, ifnull((" + _BODY + "), '') || ' ' || {row}.system || ' ' || "
_WORDS += "{row}.context || ' ' || {row}.external_id"

_OLD = f"EXISTS (SELECT 1 FROM {NOTED} WHERE id = old.id)"
_TAKE = f"INSERT INTO {TABLE} ({TABLE}, rowid, project, body) "
_TAKE += f"SELECT 'delete', old.id, {_WORDS.format(row='old')} WHERE NOT {_OLD};"
_NOTE = f"INSERT INTO {NOTED} SELECT new.id WHERE NOT EXISTS "
_NOTE += f"(SELECT 1 FROM {NOTED} WHERE id = new.id);"
_FIELDS = "id, project_id, messages, system, context, external_id"

SQLITE = [
    # columnsize=0: lengths are only of use for ranking, and lists are in order of arrival.
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(project, body, content='', columnsize=0, "
    'tokenize="unicode61 remove_diacritics 0")',
    # Merge twice as many pieces at once: a quarter less work, and no slower to read.
    f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('automerge', 8)",
    f"INSERT INTO {TABLE} (rowid, project, body) "
    f"SELECT p.id, {_WORDS.format(row='p')} FROM annotation_prompt p ORDER BY p.id",
    f"CREATE TABLE {NOTED} (id integer PRIMARY KEY)",
    f"CREATE TRIGGER {TABLE}_added AFTER INSERT ON annotation_prompt BEGIN {_NOTE} END",
    f"CREATE TRIGGER {TABLE}_gone AFTER DELETE ON annotation_prompt "
    f"BEGIN {_TAKE} DELETE FROM {NOTED} WHERE id = old.id; END",
    f"CREATE TRIGGER {TABLE}_changed AFTER UPDATE OF {_FIELDS} ON annotation_prompt "
    f"BEGIN {_TAKE} {_NOTE} END",
]
SQLITE_GONE = [
    *(f"DROP TRIGGER IF EXISTS {TABLE}_{event}" for event in ("added", "gone", "changed")),
    f"DROP TABLE IF EXISTS {TABLE}",
    f"DROP TABLE IF EXISTS {NOTED}",
]
POSTGRESQL = [
    # The lexeme =12 says the project; no text can hold it. PL/pgSQL keeps its plans: a function
    # in SQL takes five times as long.
    f"""CREATE FUNCTION {TABLE}(
        project bigint, messages jsonb, system text, context text, external_id text
    ) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS $$
    BEGIN
        RETURN to_tsvector('pg_catalog.simple', translate(left(
            concat_ws(' ', (SELECT string_agg(turn ->> 'content', ' ')
                            FROM jsonb_array_elements(messages) turn),
                      system, context, external_id), {MOST_CHARACTERS}
        ), '{MARKS}', '{" " * len(MARKS)}')) || array_to_tsvector(ARRAY['=' || project]);
    END $$""",
    # What was added lately is read through, up to this many kB of it, until autovacuum (or the
    # row that fills it) sorts it in: so an import does not wait for that.
    f"CREATE INDEX {TABLE}_index ON annotation_prompt USING gin ("
    f"{TABLE}(project_id, messages, system, context, external_id)) "
    "WITH (gin_pending_list_limit = 32768)",
    "CREATE INDEX annotation_prompt_metadata ON annotation_prompt "
    "USING gin (metadata jsonb_path_ops)",
]
POSTGRESQL_GONE = [
    "DROP INDEX IF EXISTS annotation_prompt_metadata",
    f"DROP INDEX IF EXISTS {TABLE}_index",
    f"DROP FUNCTION IF EXISTS {TABLE}(bigint, jsonb, text, text, text)",
]


def make(cursor: Any, vendor: str) -> None:
    """Make the index anew over every prompt that is there."""
    drop(cursor, vendor)
    for statement in POSTGRESQL if vendor == "postgresql" else SQLITE:
        cursor.execute(statement)


def drop(cursor: Any, vendor: str) -> None:
    for statement in POSTGRESQL_GONE if vendor == "postgresql" else SQLITE_GONE:
        cursor.execute(statement)


def take_in(most: int = A_SEARCH) -> bool:
    """Put up to `most` noted prompts into the index. False: there are more, which a
    later call takes in."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {NOTED} ORDER BY id LIMIT {most + 1}")
        noted = [row[0] for row in cursor.fetchall()]
        if not noted:
            return True
        with transaction.atomic():
            cursor.execute(
                f"INSERT INTO {TABLE} (rowid, project, body) "
                f"SELECT p.id, {_WORDS.format(row='p')} FROM {NOTED} n "
                "JOIN annotation_prompt p ON p.id = n.id WHERE n.id <= %s ORDER BY n.id",
                [noted[:most][-1]],
            )
            cursor.execute(f"DELETE FROM {NOTED} WHERE id <= %s", [noted[:most][-1]])
    return len(noted) <= most


def take_in_few() -> None:
    """For a search: take in what is noted, unless it is so much that the search would wait."""
    if connection.vendor == "sqlite" and _noted(f"LIMIT 1 OFFSET {A_SEARCH}") is None:
        take_in(A_SEARCH)


def take_in_all() -> None:
    """Take in whatever is noted, by short transactions."""
    size, all_in = A_SEARCH, False
    while not all_in:
        began = time.monotonic()
        all_in = take_in(size)
        wanted = SECONDS / max(time.monotonic() - began, 0.001)
        size = max(int(size * min(max(wanted, 0.5), 2)), 100)


def waiting(project: int) -> tuple[int, bool]:
    """How many of the project's prompts are noted and not in the index yet; are there more?"""
    if connection.vendor != "sqlite" or _noted("LIMIT 1") is None:
        return 0, False
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT id FROM {NOTED} ORDER BY id DESC LIMIT {COUNTED}) n "
            "JOIN annotation_prompt p ON p.id = n.id LEFT JOIN annotation_import i "
            "ON i.id = p.batch_id WHERE p.project_id = %s AND ifnull(i.state, 'done') = 'done'",
            [project],
        )
        found = int(cursor.fetchone()[0])
    return found, found > 0 and _noted(f"LIMIT 1 OFFSET {COUNTED}") is not None


def _noted(which: str) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {NOTED} ORDER BY id {which}")
        row = cursor.fetchone()
    return row[0] if row else None


# The first noted prompt when the sweeper last looked. While a worker takes prompts in, it changes.
_seen: int | None = None


def sweep() -> None:
    """Send for a worker if prompts are noted and no worker is at it."""
    global _seen
    if connection.vendor != "sqlite":
        return
    first, before = _noted("LIMIT 1"), _seen
    _seen = first
    if first is not None and before in (None, first):
        send_for_more()


def send_for_more() -> None:
    """A worker takes in what is noted. A broker that is away costs a log line: the sweeper sends
    again."""
    if connection.vendor == "sqlite":
        transaction.on_commit(_send)


def _send() -> None:
    try:
        current_app.send_task(TASK, retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("index not sent for", extra={"error": str(error)})


def compact() -> None:
    """Rewrite SQLite's index so that words of erased text are in it no longer, not even as a
    deleted entry. Takes about as long as making it: for an erasure, not for every edit."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('optimize')")
