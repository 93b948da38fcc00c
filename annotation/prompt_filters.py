"""What a list of prompts may be narrowed to, as conditions on a prompt. All may be combined."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from annotation.models import Item, Project, Prompt, Response, Submission
from annotation.text import row_number

SHOWS = [
    ("", "in use"),
    ("unanswered", "without an answer"),
    ("answered", "with answers"),
    ("retired", "retired"),
]
STATES = [
    ("open", "open"),
    ("done", "done"),
    ("in_hand", "in hand"),
    ("flagged", "flagged"),
    ("returned", "returned"),
    ("waiting", "waiting for review"),
    ("gold", "gold"),
    ("untouched", "untouched"),
]
_HELD = (Submission.State.CLAIMED, Submission.State.DRAFT)
_HANDED_IN = (Submission.State.SUBMITTED, Submission.State.LATE)


@dataclass(frozen=True)
class Filters:
    """As they stand in a page's address; empty: no such filter. `metadata` and `label` are typed
    as key=value; `annotator` is the number of a user, `rater` the name of an imported one."""

    q: str = ""
    show: str = ""
    stage: str = ""
    state: str = ""
    annotator: str = ""
    rater: str = ""
    metadata: str = ""
    label: str = ""
    disagreement: str = ""
    order: str = ""

    @classmethod
    def read(cls, sent: Any) -> Self:
        """From an address or a form; what cannot be meant is left out."""
        given = {f.name: sent.get(f.name, "").replace("\0", "").strip() for f in fields(cls)}
        for name in ("stage", "annotator", "disagreement"):
            if row_number(given[name]) is None:
                given[name] = ""
        for name, known in (("show", SHOWS), ("state", STATES)):
            if given[name] not in dict(known):
                given[name] = ""
        if given["order"] != "disagreement" or not given["stage"]:
            given["order"] = ""
        return cls(**given)

    @property
    def query(self) -> str:
        """The address's part after the question mark."""
        return urlencode({f.name: value for f in fields(self) if (value := getattr(self, f.name))})

    def without(self, name: str) -> str:
        """The same, less one filter."""
        return replace(self, **{name: ""}).query


def matching(project: Project, filters: Filters) -> "QuerySet[Prompt]":
    """The project's prompts that fit; the words of a search are not looked at."""
    prompts = Prompt.objects.live().filter(
        project=project, retired__isnull=filters.show != "retired"
    )
    answers = Response.objects.live().filter(prompt=OuterRef("pk"), withdrawn=None)
    if filters.show == "unanswered":
        prompts = prompts.filter(~Exists(answers))
    if filters.show == "answered":
        prompts = prompts.filter(Exists(answers))
    if filters.metadata:
        prompts = prompts.filter(has_metadata(filters.metadata))
    if (items := _items(filters, of_one=True)) is not None:
        prompts = prompts.filter(Exists(items.filter(prompt=OuterRef("pk"))))
    if filters.state == "untouched":
        begun = Item.objects.filter(Q(taken__gt=0) | Q(skips__gt=0), prompt=OuterRef("pk"))
        prompts = prompts.filter(~Exists(_in_stage(begun, filters)))
    if (turns := _turns(filters)) is not None:
        prompts = prompts.filter(Exists(turns.filter(item__prompt=OuterRef("pk"))))
    return prompts


def small_sets(filters: Filters, most: int) -> "list[tuple[QuerySet[Any], str]]":
    """Rows that a part of the filters names by an index, with the name of their prompt.

    Those of a partial index are left out where they are more than `most`."""
    sets: list[tuple[QuerySet[Any], str]] = []
    items, turns = _items(filters), _turns(filters, labelled=False)
    if filters.stage and (filters.state in ("flagged", "gold") or filters.disagreement):
        assert items is not None
        sets.append((items, "prompt"))
    if filters.stage and filters.state in _PARTIAL:
        if (held := _by_partial_index(filters, most)) is not None:
            sets.append((Item.objects.filter(pk__in=held), "prompt"))
    elif filters.annotator and turns is not None:
        sets.append((turns, "item__prompt"))
    return sets


# The work that a partial index holds: its name and its condition.
_HELD_INDEX = ("submission_expiring", "state IN ('claimed', 'draft')")
_PARTIAL = {
    "in_hand": _HELD_INDEX,
    "returned": _HELD_INDEX,
    "waiting": ("submission_to_review", "review = 'waiting' AND state = 'submitted'"),
}


def _by_partial_index(filters: Filters, most: int) -> list[int] | None:
    """Items; None where more than `most` submissions are to be looked at. SQLite takes a partial
    index only where its condition stands in so many words, and by its statistics not even then: it
    is told to."""
    index, condition = _PARTIAL[filters.state]
    hint = f"INDEXED BY {index}" if connection.vendor == "sqlite" else ""
    sql = f"SELECT item_id FROM annotation_submission {hint} WHERE stage_id = %s AND {condition}"
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT {most + 1}", [int(filters.stage)])
        items = [row[0] for row in cursor.fetchall()]
    return items if len(items) <= most else None


def differing(items: "QuerySet[Item]") -> "QuerySet[Item]":
    """Those of the index `item_disagreement`, whose condition SQLite wants to see in so many words:
    a value that comes with the query might be another one."""
    return items.filter(disagreement__gt=RawSQL("0", ()))


def _in_stage(items: "QuerySet[Item]", filters: Filters) -> "QuerySet[Item]":
    return items.filter(stage=int(filters.stage)) if filters.stage else items


def _items(filters: Filters, of_one: bool = False) -> "QuerySet[Item] | None":
    """The items that one of a prompt must be among; None where any prompt will do.

    `of_one`: to be asked prompt by prompt, where the index of disagreement would be read from one
    end to the other each time; of a sum no index is thought of."""
    state = filters.state
    by_item = state in ("open", "done", "flagged", "gold") or filters.disagreement
    if not by_item and not (filters.stage and state != "untouched"):
        return None
    items = _in_stage(Item.objects.all(), filters)
    if filters.disagreement and of_one:
        items = items.alias(apart=F("disagreement") + 0).filter(
            apart__gte=int(filters.disagreement)
        )
    elif filters.disagreement:
        items = differing(items).filter(disagreement__gte=int(filters.disagreement))
    if state == "open":
        return items.filter(open=True).exclude(lane=Item.GOLD_LANE)
    if state == "done":
        return items.filter(open=False, done__gte=F("needed"))
    if state == "flagged":
        return items.filter(flagged=True)
    if state == "gold":
        return items.filter(lane=Item.GOLD_LANE)
    return items


def _turns(filters: Filters, labelled: bool = True) -> "QuerySet[Submission] | None":
    """The submissions that one of a prompt's must be among. Annotator, label and the state of the
    work are about the same submission."""
    state = filters.state
    by_turn = state in ("in_hand", "returned", "waiting")
    if not by_turn and not (filters.annotator or filters.rater or filters.label):
        return None
    turns = Submission.objects.live()
    if filters.stage:
        turns = turns.filter(stage=int(filters.stage))
    if filters.annotator:
        turns = turns.filter(user=int(filters.annotator))
    if filters.rater:
        turns = turns.filter(user=None, rater=filters.rater)
    if filters.label and labelled:
        key, _, value = filters.label.partition("=")
        turns = turns.filter(_Says(F("ratings"), key=key.strip(), value=value.strip()))
    if state in ("in_hand", "returned"):
        turns = turns.filter(state__in=_HELD)
        return turns.filter(review=Submission.Review.RETURNED) if state == "returned" else turns
    if state == "waiting":
        return turns.filter(review=Submission.Review.WAITING, state=Submission.State.SUBMITTED)
    return turns.filter(state__in=_HANDED_IN)


def has_metadata(typed: str) -> Q:
    """key=value, the value as text; the value alone, or among several. A key alone: any value."""
    key, equals, value = (part.strip() for part in typed.partition("="))
    if not equals:
        return Q(metadata__has_key=key)
    if connection.vendor == "sqlite":
        return Q(_Says(F("metadata"), key=key, value=value))
    fits = Q()
    for meant in _meanings(value):
        fits |= Q(metadata__contains={key: meant}) | Q(metadata__contains={key: [meant]})
    return fits


def _meanings(value: str) -> list[Any]:
    """What was typed as text, and as the number or the truth value that it may be."""
    try:
        other = json.loads(value)
    except ValueError:
        return [value]
    return [value, other] if isinstance(other, int | float | bool) else [value]


class _Says(Func):
    """Does the JSON object hold the value under the key, alone, in a list or in an object?"""

    output_field = BooleanField()

    def __init__(self, document: Any, *, key: str, value: str) -> None:
        super().__init__(document)
        self.key, self.value = key, value

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, Any]:  # type: ignore[override]
        document, values = compiler.compile(self.source_expressions[0])
        if connection.vendor == "sqlite":
            sql = f"EXISTS (SELECT 1 FROM json_tree({document}, %s) WHERE CASE WHEN type IN "
            sql += "('true', 'false') THEN type ELSE CAST(atom AS text) END = %s)"
            return sql, (*values, "$." + json.dumps(self.key, ensure_ascii=False), self.value)
        path = "$.keyvalue() ? (@.key == $key).value.** ? (@ == $text || @ == $other)"
        variables = {"key": self.key, "text": self.value, "other": _meanings(self.value)[-1]}
        sql = f"jsonb_path_exists({document}, %s::jsonpath, %s::jsonb, true)"
        return sql, (*values, path, json.dumps(variables))
