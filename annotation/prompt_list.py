"""A project's prompts by keyset: the last page costs what the first does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Min

from annotation import search, search_index
from annotation.errors import Refused
from annotation.models import Project, Prompt, Response
from annotation.prompt_filters import SHOWS, STATES, Filters
from annotation.prompt_walk import walk
from annotation.text import row_number

__all__ = ["SHOWS", "SIZE", "STATES", "Filters", "Page", "chosen", "page"]

SIZE = 50
SECONDS = 0.14  # that one request looks for prompts that fit
LONGEST = 8.0  # seconds, where a lead does something with all that match


@dataclass(frozen=True)
class Page:
    """`rows`: prompts with `answer_count`; `after`, `before`: cursors to page on from, None where
    there is no more. `reached`: not all was looked at yet, go on from here in the same direction;
    `share`: the percentage of the project that lies behind it. `waiting`: prompts that came in
    lately and that a search does not find yet, so many at least if there are `more_waiting`."""

    rows: list[Any]
    after: str | None
    before: str | None
    backwards: bool
    reached: str | None = None
    share: int = 0
    waiting: int = 0
    more_waiting: bool = False


def chosen(project: Project, filters: Filters, most: int) -> list[int]:
    """The ids of all that a page's search and filters match; one more than `most` if there are.

    Raises Refused where looking takes too long for one request, and while a search would miss what
    has just come in."""
    found = walk(project, filters, start="", backwards=False, want=most + 1, seconds=LONGEST)
    if _waiting(project, filters)[0]:
        raise Refused(
            "Prompts have just come in that the search does not find yet, so that all that match "
            "cannot be told. Try again in a moment, or tick prompts."
        )
    if found.reached is not None and len(found.places) <= most:
        raise Refused(
            "Finding all that match takes too long here. Narrow the search by words, by a stage "
            "with its state, or by an annotator; or tick prompts."
        )
    return list(dict.fromkeys(pk for _, pk in found.places))


def _waiting(project: Project, filters: Filters) -> tuple[int, bool]:
    has_words = bool(search.parse(filters.q).chunks)
    return search_index.waiting(project.pk) if has_words else (0, False)


def page(*, project: Project, filters: Filters, after: str, before: str, shown: int = 0) -> Page:
    """One page; what is no cursor pages from the start. `shown`: rows of this page that an earlier
    part of the same walk found."""
    backwards, start = bool(_cursor(before)), _cursor(before) or _cursor(after)
    want = max(SIZE - shown, 1)
    found = walk(project, filters, start=start, backwards=backwards, want=want + 1, seconds=SECONDS)
    places = found.places[:want]
    # A full page that ran out of time goes on as the next page.
    more = len(found.places) > want or (found.reached is not None and len(places) == want)
    waiting = _waiting(project, filters)
    cursors = [cursor for cursor, _ in places]
    if backwards:
        cursors.reverse()
    if not more and found.reached is not None:
        share = _share(project, found.reached, backwards)
        rows = _rows(places, backwards)
        return Page(rows, None, None, backwards, found.reached, share, *waiting)
    has_next = bool(cursors) and (backwards or more)
    has_previous = bool(cursors) and (more if backwards else bool(start))
    return Page(
        _rows(places, backwards),
        cursors[-1] if has_next else None,
        cursors[0] if has_previous else None,
        backwards,
        None,
        0,
        *waiting,
    )


def _cursor(text: str) -> str:
    """A prompt's number, or "disagreement-prompt"; "" for anything else."""
    parts = text.split("-")
    return text if len(parts) <= 2 and all(row_number(part) is not None for part in parts) else ""


def _rows(places: Sequence[tuple[str, int]], backwards: bool) -> list[Any]:
    cursors = {pk: cursor for cursor, pk in places}
    found = Prompt.objects.in_bulk(list(cursors))
    ids = reversed(cursors) if backwards else iter(cursors)
    rows: list[Any] = [found[pk] for pk in ids if pk in found]
    for row in rows:
        value, dash, _ = cursors[row.pk].partition("-")
        row.disagreement = int(value) if dash else None
    _count_answers(rows)
    return rows


def _share(project: Project, reached: str, backwards: bool) -> int:
    """By the prompts' numbers: counting a million of them would take longer than looking."""
    if "-" in reached:
        return 0
    # One at a time: asked for both at once, SQLite reads all that lies between them.
    prompts = Prompt.objects.filter(project=project)
    low = prompts.aggregate(low=Min("pk"))["low"] or 0
    high = prompts.aggregate(high=Max("pk"))["high"] or 0
    share = 100 * (int(reached) - low) // max(high - low, 1)
    return min(max(100 - share if backwards else share, 0), 99)


def _count_answers(prompts: list[Any]) -> None:
    ids = [prompt.pk for prompt in prompts]
    rows = Response.objects.live().filter(prompt__in=ids, withdrawn=None)
    counts = dict(rows.values_list("prompt").annotate(Count("pk")))
    for prompt in prompts:
        prompt.answer_count = counts.get(prompt.pk, 0)
