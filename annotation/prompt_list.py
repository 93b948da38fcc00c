"""A project's prompts by keyset: the last page costs what the first does."""

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotation.models import Project, Prompt, Response
from annotation.text import row_number

SIZE = 50
SHOWS = [
    ("", "in use"),
    ("unanswered", "without an answer"),
    ("answered", "with answers"),
    ("retired", "retired"),
]


@dataclass(frozen=True)
class Page:
    """`rows`: prompts with `answer_count`; ids to page on from, None where there is no more."""

    rows: list[Any]
    search: str
    show: str
    after: int | None
    before: int | None


def matching(prompts: "QuerySet[Prompt]", search: str) -> "QuerySet[Prompt]":
    """Prompts with the text in a turn, the system message, the context or the id.

    Turns are JSON, in which one database keeps é as \\u00e9: both spellings are looked for."""
    spelt = json.dumps(search)[1:-1]
    return prompts.filter(
        Q(messages__icontains=search)
        | Q(messages__icontains=spelt)
        | Q(system__icontains=search)
        | Q(context__icontains=search)
        | Q(external_id__icontains=search)
    )


def _shown(project: Project, show: str) -> "QuerySet[Prompt]":
    answers = Response.objects.live().filter(prompt=OuterRef("pk"), withdrawn=None)
    prompts = Prompt.objects.live().filter(project=project, retired__isnull=show != "retired")
    if show == "unanswered":
        return prompts.exclude(Exists(answers))
    if show == "answered":
        return prompts.filter(Exists(answers))
    return prompts


def chosen(project: Project, search: str, show: str, most: int) -> list[int]:
    """The ids of all that a page's search and filter match; one more than `most` if there are."""
    prompts = _searched(project, search, show if show in dict(SHOWS) else "")
    return list(prompts.order_by("pk").values_list("pk", flat=True)[: most + 1])


def _searched(project: Project, search: str, show: str) -> "QuerySet[Prompt]":
    prompts = _shown(project, show)
    search = search.replace("\0", "")  # which PostgreSQL does not take
    return matching(prompts, search) if search else prompts


def page(*, project: Project, search: str, show: str, after: str, before: str) -> Page:
    """One page in order of arrival; what is no number pages from the start."""
    show = show if show in dict(SHOWS) else ""
    search = search.replace("\0", "")
    prompts = _searched(project, search, show)
    end, start = row_number(before), row_number(after)
    backwards = end is not None
    if backwards:
        rows = list(prompts.filter(pk__lt=end).order_by("-pk")[: SIZE + 1])
    else:
        rows = list(prompts.filter(pk__gt=start or 0).order_by("pk")[: SIZE + 1])
    more = len(rows) > SIZE
    rows = rows[:SIZE]
    if backwards:
        rows.reverse()
    _count_answers(rows)
    has_next = bool(rows) and (backwards or more)
    has_previous = bool(rows) and (more if backwards else start is not None)
    return Page(
        rows=rows,
        search=search,
        show=show,
        after=rows[-1].pk if has_next else None,
        before=rows[0].pk if has_previous else None,
    )


def _count_answers(prompts: list[Any]) -> None:
    ids = [prompt.pk for prompt in prompts]
    rows = Response.objects.live().filter(prompt__in=ids, withdrawn=None)
    counts = dict(rows.values_list("prompt").annotate(Count("pk")))
    for prompt in prompts:
        prompt.answer_count = counts.get(prompt.pk, 0)
