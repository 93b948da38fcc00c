"""Going through a project's prompts for those that fit, in windows, until there are enough or the
time is up: so that a filter that no index answers holds up no page."""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet

from annotation import search, search_index
from annotation.models import Item, Project, Prompt
from annotation.prompt_filters import Filters, differing, has_metadata, matching, small_sets
from annotation.text import row_number

FIRST, WIDEST = 500, 16_000  # prompts in a window
FEW = 5_000  # of these ids are read and sorted at once
SLOW = 0.04  # seconds that a window should not take longer than

# (where a window ends, the prompt there), in the order asked for
Window = list[tuple[str, int]]
Source = Callable[[str, bool, int], Window]


@dataclass(frozen=True)
class Found:
    """`places`: (cursor, prompt id) in the order walked. `reached`: where to go on from; None: all
    were looked at."""

    places: Window
    reached: str | None


def walk(
    project: Project, filters: Filters, *, start: str, backwards: bool, want: int, seconds: float
) -> Found:
    """Prompts behind `start` (before it, if backwards; "": from the end that this begins at)."""
    began = time.monotonic()
    query = search.parse(filters.q)
    if query.chunks:
        search_index.take_in_few()
    source, prompts, allowed = _source(project, filters, query)
    fitting: Window = []
    size = FIRST
    while True:
        before = time.monotonic()
        window = source(start, backwards, size)
        ids = _fitting(prompts, [pk for _, pk in window if allowed is None or pk in allowed])
        fitting += [place for place in window if place[1] in ids]
        if len(fitting) >= want:
            return Found(fitting[:want], fitting[want - 1][0])
        if len(window) < size:
            return Found(fitting, None)
        start, now = window[-1][0], time.monotonic()
        if now - began + (now - before) > seconds:  # another like this would be too much
            return Found(fitting, start)
        size = min(size * 2, WIDEST) if now - before < SLOW / 2 else size
        size = max(size // 2, FIRST) if now - before > SLOW else size


def _fitting(prompts: "QuerySet[Prompt]", ids: list[int]) -> set[int]:
    """Which of these prompts fit. Neighbours are asked for by the range that they are."""
    if not ids:
        return set()
    low, high = min(ids), max(ids)
    if high - low < 2 * len(ids):
        prompts = prompts.filter(pk__gte=low, pk__lte=high)
    else:
        prompts = prompts.filter(pk__in=ids)
    return set(prompts.order_by().values_list("pk", flat=True))


def _source(
    project: Project, filters: Filters, query: search.Query
) -> "tuple[Source, QuerySet[Prompt], set[int] | None]":
    """What names the prompts to look at, the fewest that can be had in order; what each of them
    must be besides; and the only ones that need to be asked about, where they are known."""
    prompts = matching(project, filters)
    if query and not query.chunks:
        prompts = prompts.filter(search.by_letters(query))
    few = _few(project, filters)
    if filters.order:
        named = search.found(project.pk, query, None, False, FEW + 1) if query.chunks else None
        if named is not None and len(named) > FEW:
            prompts, named = prompts.filter(search.by_words(project.pk, query)), None
        return _by_disagreement(filters), prompts, _both(few, named)
    if query.chunks and search.is_rare(project.pk, query):
        return _by_words(project, query), prompts, _both(few, None)
    if query.chunks:
        prompts = prompts.filter(search.by_words(project.pk, query))
    return (_listed(few) if few is not None else _all(project)), prompts, None


def _both(one: list[int] | None, other: list[int] | None) -> set[int] | None:
    if one is None or other is None:
        left = one if other is None else other
        return None if left is None else set(left)
    return set(one) & set(other)


def _few(project: Project, filters: Filters) -> list[int] | None:
    """The prompts that may fit, sorted, where an index gives them and they are few."""
    for rows, prompt in small_sets(filters, FEW):
        # Are there too many? Asked of the index alone, without the way to the prompt.
        if not rows.order_by().values_list("pk")[FEW : FEW + 1].exists():
            return sorted(set(rows.order_by().values_list(prompt, flat=True)))
    if filters.metadata and "=" in filters.metadata and connection.vendor == "postgresql":
        rows = Prompt.objects.filter(has_metadata(filters.metadata)).values_list("pk", flat=True)
        sql, values = rows.query.sql_with_params()
        if search.estimate(sql, list(values)) <= FEW:
            ids = set(rows[: FEW + 1])
            return sorted(ids) if len(ids) <= FEW else None
    return None


def _all(project: Project) -> Source:
    def window(start: str, backwards: bool, size: int) -> Window:
        prompts = Prompt.objects.filter(project=project)
        place = row_number(start)
        if place is not None:
            prompts = prompts.filter(**{"pk__lt" if backwards else "pk__gt": place})
        prompts = prompts.order_by("-pk" if backwards else "pk")
        return [(str(pk), pk) for pk in prompts.values_list("pk", flat=True)[:size]]

    return window


def _by_words(project: Project, query: search.Query) -> Source:
    def window(start: str, backwards: bool, size: int) -> Window:
        ids = search.found(project.pk, query, row_number(start), backwards, size)
        return [(str(pk), pk) for pk in ids]

    return window


def _listed(ids: list[int]) -> Source:
    def window(start: str, backwards: bool, size: int) -> Window:
        place = row_number(start)
        if backwards:
            end = len(ids) if place is None else bisect_left(ids, place)
            part = ids[max(end - size, 0) : end][::-1]
        else:
            begin = 0 if place is None else bisect_right(ids, place)
            part = ids[begin : begin + size]
        return [(str(pk), pk) for pk in part]

    return window


def _by_disagreement(filters: Filters) -> Source:
    """The highest first. A cursor is "disagreement-prompt"; a prompt of several rounds may come up
    once for each."""

    def window(start: str, backwards: bool, size: int) -> Window:
        items = differing(Item.objects.filter(stage=int(filters.stage)))
        if filters.disagreement:
            items = items.filter(disagreement__gte=int(filters.disagreement))
        value, place = (row_number(part) for part in (*start.split("-"), "")[:2])
        if value is not None and place is not None:
            # One range and what is left out of it: an OR would not be answered by the index.
            way, other = ("gte", "lte") if backwards else ("lte", "gte")
            items = items.filter(**{f"disagreement__{way}": value}).exclude(
                **{"disagreement": value, f"prompt__{other}": place}
            )
        order = ("disagreement", "prompt") if backwards else ("-disagreement", "-prompt")
        rows = items.order_by(*order).values_list("disagreement", "prompt")[:size]
        return [(f"{disagreement}-{prompt}", prompt) for disagreement, prompt in rows]

    return window
