"""What the explorer's page shows of a look: facets with their counts, the rows that were found."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from annotation.models import Prompt, Response, Workspace
from annotation.word_diff import word_diff
from exports import charts, names, row_texts
from exports.explorer import GROUPS, SIZE, Facet, Look, LookRow
from exports.filters import LIMIT, SHOWS, Filters
from exports.models import Dataset
from exports.splits import SPLITS
from exports.work import DUPLICATE

TERMS = 8  # terms of a facet that are shown at once
MOST = 30  # and after a click
EPOCH = date(1970, 1, 1)
GONE = "no longer there"


@dataclass(frozen=True)
class Term:
    label: str
    count: int
    share: int  # per cent of the facet's largest
    on: bool
    query: str


@dataclass(frozen=True)
class FacetView:
    """`bars`: a histogram; `low`, `high`: what the range's fields hold; `hidden`: the other
    filters, for the range's form."""

    facet: Facet
    on: bool
    terms: list[Term] = field(default_factory=list)
    more: list[Term] = field(default_factory=list)
    left: int = 0
    bars: dict[str, Any] | None = None
    low: str = ""
    high: str = ""
    hidden: list[tuple[str, str]] = field(default_factory=list)
    clear: str = ""


@dataclass(frozen=True)
class Shown:
    """A row of the list. `kept`: of a duplicate, the row that was kept instead; `phrase`: what was
    searched for, marked in its texts."""

    row: LookRow
    texts: list[tuple[str, str]]
    split: str
    who: str
    kept: int | None = None
    phrase: str = ""

    @property
    def short(self) -> list[tuple[str, row_texts.Pieces]]:
        return [(title, row_texts.excerpt(text, self.phrase)) for title, text in self.texts]

    @property
    def full(self) -> list[tuple[str, row_texts.Pieces, int]]:
        """The last: how often the phrase stands there."""
        every = [(title, row_texts.pieced(text, self.phrase)) for title, text in self.texts]
        return [(title, pieces, sum(hit for _, hit in pieces)) for title, pieces in every]

    @property
    def twin(self) -> bool:
        """Whether a kept row says much the same."""
        return self.row.reason == DUPLICATE or self.row.reason.startswith("near-duplicate")


def facets(look: Look, filters: Filters, named: names.Names) -> list[FacetView]:
    """Those that tell rows apart, and those that narrow."""
    counts = look.counts(filters)
    found = []
    for facet in look.facets:
        if facet.name == "reason" and filters.show == "kept":
            continue
        on = facet.name in filters.active()
        if facet.type == "terms":
            view = _terms(look, filters, facet, counts[facet.name], named)
            if on or len(view.terms) > 1:
                found.append(view)
        elif on or any(counts[facet.name]) and _tells_apart(facet, counts[facet.name]):
            found.append(_bars(look, filters, facet, counts[facet.name]))
    return found


def _tells_apart(facet: Facet, counts: list[int]) -> bool:
    """A single day is none to choose; lengths of a single bar can still be narrowed."""
    return facet.type != "day" or len(counts) > 1


def _terms(
    look: Look, filters: Filters, facet: Facet, counts: list[int], named: names.Names
) -> FacetView:
    _, values = look.terms(facet.name)
    chosen = filters.terms.get(facet.name, frozenset())
    there = [(count, value) for count, value in zip(counts, values, strict=True) if count]
    there += [(0, value) for value in chosen if value not in {value for _, value in there}]
    if facet.name == "reason":
        there = [(count, value) for count, value in there if value or filters.show == "all"]
    there.sort(key=lambda pair: (pair[1] not in chosen, -pair[0], pair[1]))
    largest = max((count for count, _ in there), default=1) or 1
    terms = [
        Term(
            named(facet.name, value),
            count,
            max(1, round(100 * count / largest)) if count else 0,
            value in chosen,
            filters.toggled(facet.name, value).query(),
        )
        for count, value in there[:MOST]
    ]
    shown = max(TERMS, len(chosen))
    return FacetView(
        facet, bool(chosen), terms[:shown], terms[shown:], max(0, len(there) - MOST),
        clear=filters.without(facet.name).query(),
    )  # fmt: skip


def _bars(look: Look, filters: Filters, facet: Facet, counts: list[int]) -> FacetView:
    _, edges = look.bins(facet.name)
    low, high = filters.ranges.get(facet.name, (None, None))
    ends = [edge - 1 for edge in edges[1:]] + [None]
    spoken = _day if facet.type == "day" else _number
    bars = [
        charts.Step(
            f"{spoken(edge)} to {spoken(end)}" if end is not None else f"from {spoken(edge)}",
            count,
            filters.within(facet.name, edge, end).query(),
            # Chosen is what lies in the range in full.
            (low is not None or high is not None)
            and edge >= (low if low is not None else -LIMIT)
            and (end if end is not None else LIMIT) <= (high if high is not None else LIMIT),
        )
        for edge, end, count in zip(edges, ends, counts, strict=True)
    ]
    return FacetView(
        facet,
        facet.name in filters.ranges,
        bars=charts.steps(bars, [spoken(edges[0]), bars[-1].label]),
        low="" if low is None else _day(low) if facet.type == "day" else str(low),
        high="" if high is None else _day(high) if facet.type == "day" else str(high),
        hidden=filters.pairs(but=facet.name),
        clear=filters.without(facet.name).query(),
    )


def chips(look: Look, filters: Filters, named: names.Names) -> list[tuple[str, str]]:
    """The filters in force: (what it says, the address without it)."""
    titles = {facet.name: facet.title for facet in look.facets}
    found = []
    if filters.phrase:
        found.append((f"“{filters.phrase}”", replace(filters, phrase="").query()))
    for name in sorted(filters.terms):
        for value in sorted(filters.terms[name]):
            text = f"{titles[name]}: {named(name, value)}"
            found.append((text, filters.toggled(name, value).query()))
    for name in sorted(filters.ranges):
        spoken = _day if look.types[name] == "day" else _number
        low, high = (None if n is None else spoken(n) for n in filters.ranges[name])
        span = f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"
        found.append((f"{titles[name]}: {span}", filters.without(name).query()))
    return found


def rows(look: Look, dataset: Dataset, filters: Filters, page: int) -> list[Shown]:
    """A page of what was found, in order of arrival."""
    ids = look.page(filters, page)
    return _shown(dataset, look.read(ids), filters.phrase) if ids else []


def one(look: Look, dataset: Dataset, pk: int, phrase: str = "") -> Shown | None:
    """A single row, its texts in full; none if the look has no such row."""
    found = look.read([pk])
    if not found:
        return None
    return replace(_shown(dataset, found, phrase)[0], kept=_kept(look, found[pk]))


def groups(
    look: Look, dataset: Dataset, filters: Filters, page: int
) -> tuple[int, list[list[dict[str, Any]]]]:
    """(how many groups, a page of them): each row with its texts, and how they differ from those
    of the kept one, which stands first."""
    total, found = look.groups(filters, page)
    every = look.read(pk for members in found for pk in members) if found else {}
    shown = {one.row.id: one for one in _shown(dataset, every, filters.phrase)}
    return total, [
        [_beside(shown[members[0]], shown[pk]) for pk in members if pk in shown]
        for members in found
        if members[0] in shown
    ]


def beside_kept(look: Look, dataset: Dataset, shown: Shown) -> list[dict[str, Any]]:
    """A duplicate beside the row that was kept, with a word diff; empty where there is none."""
    kept = shown.kept and one(look, dataset, shown.kept, shown.phrase)
    return [_beside(kept, kept), _beside(kept, shown)] if kept else []


def pages(total: int, page: int, size: int) -> dict[str, Any]:
    """For the line below a list."""
    last = max(1, -(-total // size))
    return {
        "page": page,
        "first": min(total, (page - 1) * size + 1),
        "final": min(total, page * size),
        "previous": page - 1 if page > 1 else None,
        "next": page + 1 if page < last else None,
        "last": last,
    }


def _beside(kept: Shown, other: Shown) -> dict[str, Any]:
    """`kept`'s texts and how `other`'s differ from them, part by part."""
    before = dict(kept.texts)
    diffs = [(title, word_diff(before.get(title, ""), text)) for title, text in other.texts]
    steps = [(title, row_texts.pieced_steps(diff, other.phrase)) for title, diff in diffs]
    return {"shown": other, "first": kept is other, "steps": steps}


def _shown(dataset: Dataset, found: dict[int, LookRow], phrase: str) -> list[Shown]:
    missing = [row for row in found.values() if row.row is None]
    stored = _stored(dataset.workspace, missing) if missing else {}
    people = names.people(key for row in found.values() for key in row.provenance["annotators"])
    return [
        Shown(
            row,
            stored[row.id] if row.row is None else row_texts.texts(dataset.kind, row.row),
            SPLITS[row.split] if 0 <= row.split < len(SPLITS) else "",
            ", ".join(people.get(key, key) for key in row.provenance["annotators"]),
            phrase=phrase,
        )
        for row in found.values()
    ]


def _kept(look: Look, row: LookRow) -> int | None:
    if not row.reason:
        return None
    kept = look.kept_twin(row.id) if row.reason == DUPLICATE else look.group_of(row.id)
    return kept if kept != row.id else None


def _stored(workspace: Workspace, rows: Iterable[LookRow]) -> dict[int, row_texts.Texts]:
    """The texts of rows that were left out before they were made."""
    rows = list(rows)
    asked = Prompt.objects.filter(project__workspace=workspace).in_bulk([r.prompt for r in rows])
    ids = {pk for row in rows for pk in row.provenance["responses"]}
    answers = Response.objects.filter(prompt__project__workspace=workspace).in_bulk(list(ids))
    found = {}
    for row in rows:
        prompt = asked.get(row.prompt)
        texts = [("prompt", row_texts.said(prompt.messages) if prompt else GONE)]
        for pk in row.provenance["responses"]:
            texts.append(("answer", answers[pk].text if pk in answers else GONE))
        found[row.id] = texts
    return found


def _number(number: int) -> str:
    return f"{number:,}"


def _day(number: int) -> str:
    """A day's number since 1970 as its date."""
    try:
        return (EPOCH + timedelta(days=number)).isoformat()
    except OverflowError:
        return str(number)


__all__ = ["GROUPS", "SHOWS", "SIZE", "chips", "facets", "groups", "one", "pages", "rows"]
