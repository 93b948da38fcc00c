"""The rows of a chunk, built and written: what `batches` decided becomes tuples and INSERTs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from annotation.bulk import as_json, as_time, insert, reserve
from annotation.models import Import, Item, Prompt, Ranking, Response, Stage, Submission
from annotation.records import Answer, RankingIn, Record
from annotation.text import digest

# A ranking and its order over replies.
Ranked = tuple[RankingIn, "list[list[Reply]]"]
# (rater, its order as tuples of response keys), for each rater of an item.
Key = tuple[str, int]
Signature = frozenset[tuple[str, tuple[tuple[Key, ...], ...]]]


@dataclass(slots=True)
class Row:
    """A record of the file: where it stood, and the prompts that it unfolds into."""

    line: int | None
    records: list[Record]


@dataclass(slots=True, eq=False)
class Reply:
    """A response, there or to be made (pk 0)."""

    text: str
    pk: int = 0
    corrects: "Reply | None" = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return ("there", self.pk) if self.pk else ("new", id(self))


@dataclass(slots=True, eq=False)
class Place:
    """A prompt, there or to be made (pk 0)."""

    external_id: str
    fingerprint: str
    metadata: dict[str, Any]
    # Digest of what a change of the prompt would change; of one that is made here its record, as
    # the digest is hardly ever asked for.
    known: "str | Record"
    pk: int = 0
    mine: bool = True  # made by this import
    document: bool = False
    root: "Place | None" = None
    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    # The items that are there: what names the comparison in its source, and its rankings.
    signatures: list[tuple[str, Signature]] = field(default_factory=list)
    round: int = 0  # the last one in the stage of imported rankings

    @property
    def is_erased(self) -> bool:
        return self.fingerprint.startswith("erased")

    @property
    def content(self) -> str:
        if not isinstance(self.known, str):
            self.known = content_digest(self.known)
        return self.known


def content_digest(record: Record) -> str:
    rest = orjson.dumps([record.messages, record.tools], option=orjson.OPT_SORT_KEYS)
    return digest(record.system, record.context, rest.decode())


@dataclass(slots=True)
class Work:
    """What a chunk of rows comes to, before anything of it is written."""

    # A prompt, its record, its root key and the answer that it continues.
    prompts: list[tuple[Place, Record, str, Reply | None]] = field(default_factory=list)
    replies: list[tuple[Reply, Place, Answer, str, str]] = field(default_factory=list)
    items: list[tuple[Place, int, str, list[Reply], list[Ranked]]] = field(default_factory=list)


def prompts_named(project: int, ids: set[str], marks: set[str]) -> list[int]:
    """Prompts that are there under one of the ids or with one of the fingerprints."""
    sqlite = connection.vendor == "sqlite"
    # In this order SQLite takes no list of the values of its own: four times as quick as IN.
    some = "json_each(%s) named CROSS JOIN" if sqlite else "unnest(%s::text[]) named(value) JOIN"
    sql = " UNION ALL ".join(
        f"SELECT p.id FROM {some} annotation_prompt p "
        f"ON p.project_id = %s AND p.{column} = named.value"
        for column in ("external_id", "fingerprint")
    )
    named: list[Any] = [as_json(list(each)) if sqlite else list(each) for each in (ids, marks)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [named[0], project, named[1], project])
        return list({row[0] for row in cursor.fetchall()})


def insert_work(
    import_row: Import, work: Work, stage: Stage | None, alive: Callable[[], None]
) -> float:
    """Draw the ids, then write all of it in one transaction. `stage` holds imported rankings;
    `alive` is called in the transaction. Returns the seconds that others had to wait for it."""
    for (place, *_), pk in zip(work.prompts, reserve(Prompt, len(work.prompts)), strict=True):
        place.pk = pk
    for (reply, *_), pk in zip(work.replies, reserve(Response, len(work.replies)), strict=True):
        reply.pk = pk
    prompts, responses = list(_prompts(import_row, work)), list(_responses(import_row, work))
    items: Rows = []
    submissions: Rows = []
    rankings: Rows = []
    if work.items and stage is not None:
        items, submissions, rankings = _rankings(import_row, work, stage.pk)
    with transaction.atomic():
        began = time.monotonic()
        alive()
        insert(Prompt, PROMPT.split(), prompts)
        insert(Response, RESPONSE.split(), responses)
        insert(Item, ITEM.split(), items)
        insert(Submission, SUBMISSION.split(), submissions)
        insert(Ranking, RANKING.split(), rankings)
    return time.monotonic() - began


Rows = list[tuple[Any, ...]]
# Nothing is drafted in an imported submission: there stands what its source calls the comparison.
COMPARISON = "comparison"
PROMPT = (
    "id project external_id messages system context tools metadata parent root fingerprint "
    "root_key retired batch created"
)
RESPONSE = (
    "id prompt text origin author author_name corrects submission withdrawn fingerprint metadata "
    "batch created"
)
ITEM = "id stage prompt round candidates lane position needed taken done skips open flagged"
SUBMISSION = (
    "id item stage user rater origin batch state shown claimed_until draft version messages system "
    "context unchanged skip_reason skip_note guidelines active_seconds created submitted"
)
RANKING = "id submission order strength withdrawn created"


def _prompts(import_row: Import, work: Work) -> Iterator[tuple[Any, ...]]:
    project, batch, now = import_row.project_id, import_row.pk, as_time(timezone.now())
    for place, record, root, parent in work.prompts:
        yield (
            place.pk,
            project,
            place.external_id,
            as_json(record.messages),
            record.system,
            record.context,
            None if record.tools is None else as_json(record.tools),
            as_json(record.metadata) if record.metadata else "{}",
            parent.pk if parent else None,
            place.root.pk if place.root else None,
            place.fingerprint,
            root,
            None,
            batch,
            now,
        )


def _responses(import_row: Import, work: Work) -> Iterator[tuple[Any, ...]]:
    batch, now = import_row.pk, as_time(timezone.now())
    for reply, place, answer, origin, mark in work.replies:
        yield (
            (reply.pk, place.pk, answer.text, origin, None, answer.author_name)
            + (reply.corrects.pk if reply.corrects else None, None, None)
            + (mark, as_json(answer.metadata) if answer.metadata else "{}", batch, now)
        )


def _rankings(import_row: Import, work: Work, stage: int) -> tuple[Rows, Rows, Rows]:
    """An item a row of the file, done by its raters: one submission and ranking each."""
    items: Rows = []
    submissions: Rows = []
    rankings: Rows = []
    batch, now, state = import_row.pk, as_time(timezone.now()), Submission.State.SUBMITTED.value
    turns = sum(len(ranked) for *_, ranked in work.items)
    submission_ids = iter(reserve(Submission, turns))
    ranking_ids = iter(reserve(Ranking, turns))
    item_ids = reserve(Item, len(work.items))
    for item, (place, number, name, shown, ranked) in zip(item_ids, work.items, strict=True):
        ids = as_json([reply.pk for reply in shown])
        draft = as_json({COMPARISON: name} if name else {})
        raters = len(ranked)
        items.append(
            (item, stage, place.pk, number, ids, 0, item)
            + (raters, raters, raters, 0, False, False)
        )
        for ranking, order in ranked:
            turn = next(submission_ids)
            submissions.append(
                (turn, item, stage, None, ranking.rater, "import", batch, state, ids)
                + (None, draft, 0, None, None, None, False, "", "", None, 0, now, now)
            )
            placed = as_json([[reply.pk for reply in group] for group in order])
            rankings.append((next(ranking_ids), turn, placed, ranking.strength, None, now))
    return items, submissions, rankings
