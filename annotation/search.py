"""Full-text search of prompts: what was typed, as a query of the database's index."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from annotation.search_index import MARKS, TABLE

# Scripts written without blanks between words: an index of words is of no use to them.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_CHUNK = re.compile(r'"([^"]*)"?|(\S+)')
SHORTEST_PREFIX = 3  # letters: below that too much begins with it
# PostgreSQL reads its index whole for a query: above this many rows it is quicker to walk.
MOST_READ_WHOLE = 20_000


@dataclass(frozen=True)
class Query:
    """`chunks`: words and phrases, all of which a prompt must have; the last may be a beginning.
    Without chunks `text` is looked for letter by letter."""

    text: str
    chunks: tuple[str, ...] = ()
    prefix: bool = False

    def __bool__(self) -> bool:
        return bool(self.text)


def parse(typed: str) -> Query:
    """Words in any order, "a phrase in quotes", the beginning of the last word. What has no words,
    and what is in a script without blanks, is looked for as it stands."""
    text = " ".join(typed.replace("\0", "").encode("utf-8", "replace").decode().split())
    if _UNSPACED.search(text):
        return Query(text.strip('"'))
    found = [(phrase or word, bool(word)) for phrase, word in _CHUNK.findall(text)]
    chunks = [(chunk, bare) for chunk, bare in found if any(map(str.isalnum, chunk))]
    if not chunks:
        return Query(text)
    last, bare = chunks[-1]
    tail = re.split(r"[\W_]", last)[-1]
    return Query(text, tuple(chunk for chunk, _ in chunks), bare and len(tail) >= SHORTEST_PREFIX)


def by_letters(query: Query) -> Q:
    """Prompts with the text in a turn, the system message, the context or the id: no index.

    Turns are JSON, in which one database keeps é as \\u00e9: both spellings are looked for."""
    text = query.text
    spelt = json.dumps(text)[1:-1]
    return (
        Q(messages__icontains=text)
        | Q(messages__icontains=spelt)
        | Q(system__icontains=text)
        | Q(context__icontains=text)
        | Q(external_id__icontains=text)
    )


def by_words(project: int, query: Query) -> Q:
    """Has the words, as a condition on each prompt: where the index does not give the order.

    PostgreSQL: each word stands in the text, which is quick to see; whether it stands there as a
    word is not, and is asked last."""
    if connection.vendor == "sqlite":
        sql = f"EXISTS (SELECT 1 FROM {TABLE} WHERE {TABLE} MATCH %s "
        sql += f"AND {TABLE}.rowid = annotation_prompt.id)"
        return Q(RawSQL(sql, [_fts5(project, query)], output_field=BooleanField()))
    condition, values = _tsquery(project, query)
    has = Q(RawSQL(condition, values, output_field=BooleanField()))
    for word in re.findall(r"[^\W_]+", " ".join(query.chunks)):
        has &= (
            Q(messages__icontains=word)
            | Q(system__icontains=word)
            | Q(context__icontains=word)
            | Q(external_id__icontains=word)
        )
    return has


def is_rare(project: int, query: Query) -> bool:
    """SQLite's index is read in the order of its rows, so any word will do. PostgreSQL's is read
    whole: its planner says how much that is."""
    if connection.vendor == "sqlite":
        return True
    condition, values = _tsquery(project, query)
    return estimate(f"SELECT 1 FROM annotation_prompt WHERE {condition}", values) <= MOST_READ_WHOLE


def estimate(sql: str, values: list[Any]) -> int:
    """The rows that PostgreSQL's planner expects, from its statistics."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        plan = cursor.fetchone()[0]
    return int((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]["Plan Rows"])


def found(project: int, query: Query, start: int | None, backwards: bool, most: int) -> list[int]:
    """Ids of prompts that the index names, from `start` on (exclusive), `most` of them at most."""
    sqlite = connection.vendor == "sqlite"
    row = "rowid" if sqlite else "id"
    if sqlite:
        values: list[Any] = [_fts5(project, query)]
        source = f"{TABLE} WHERE {TABLE} MATCH %s"
    else:
        condition, values = _tsquery(project, query)
        source = f"annotation_prompt WHERE {condition}"
    if start is not None:
        source += f" AND {row} {'<' if backwards else '>'} %s"
        values.append(start)
    order = f"ORDER BY {row} {'DESC' if backwards else 'ASC'} LIMIT {most}"
    if not sqlite:  # else the planner may walk the table in this order and read every text
        source = f"(SELECT id FROM {source} OFFSET 0) named"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {row} FROM {source} {order}", values)
        return [each[0] for each in cursor.fetchall()]


def _fts5(project: int, query: Query) -> str:
    """A query in FTS5's language; within quotes nothing has a meaning of its own."""
    words = ['"' + chunk.replace('"', " ") + '"' for chunk in query.chunks]
    if query.prefix:
        words[-1] += " *"
    return f'{{project}} : "p{project}" AND {{body}} : ({" AND ".join(words)})'


def _tsquery(project: int, query: Query) -> tuple[str, list[Any]]:
    """A condition on annotation_prompt, and its values."""
    parted = str.maketrans(MARKS, " " * len(MARKS))
    chunks: list[Any] = [chunk.translate(parted) for chunk in query.chunks]
    parts = ["phraseto_tsquery('pg_catalog.simple', %s)"] * len(chunks)
    if query.prefix:
        parts[-1] = f"(nullif({parts[-1]}::text, '') || ':*')::tsquery"
    fields = ("project_id", "messages", "system", "context", "external_id")
    words = f"{TABLE}({', '.join(f'annotation_prompt.{field}' for field in fields)})"
    # A lexeme is quoted, and the whole is a literal: three quotes.
    own = f"'''={int(project)}'''::tsquery"
    return f"{words} @@ ({own} && {' && '.join(parts)})", chunks
