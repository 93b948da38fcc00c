"""Looking through what a dataset's rules give: filters and counts over the columns of a look.

A look (looks.py writes it) is a directory: the facets as memory-mapped columns, the texts in
files by row number. A count is one pass of numpy over a column, so a million rows take
milliseconds a facet; only the rows of one page are read as text. A look never changes."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from exports import bars, row_search
from exports.filters import LIMIT, Filters
from exports.shelf import NONE, Rows

SIZE = 25  # rows a page
GROUPS = 10  # groups a page
MEMBERS = 6  # rows that are shown of a group
OPEN = 4  # looks that a process keeps open
FOUND = 6  # findings that an open look remembers
MISSING = -LIMIT - 1  # where a number is not known

Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


class NoLook(Exception):
    """There is no look to read, or not any more."""


@dataclass(frozen=True)
class Facet:
    """`type`: terms (texts), number or day."""

    name: str
    title: str
    type: str


@dataclass(frozen=True)
class LookRow:
    """`row` is none where it was left out before it was made: its texts are in the database."""

    id: int
    split: int
    prompt: int
    length: int
    other: int | None
    reason: str
    row: dict[str, Any] | None
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What filters leave of a look: the rows' places from 0, and the counts."""

    places: Codes
    shown: dict[str, int]
    counts: dict[str, list[int]]


class Look:
    """One look, open. Safe to share between threads: its columns are only read."""

    def __init__(self, folder: Path) -> None:
        """Raises NoLook for a directory that is none."""
        self.folder = folder
        try:
            about = orjson.loads((folder / "look.json").read_bytes())
            source = pa.memory_map(str(folder / "facets.arrow"))
            self._table = pa.ipc.open_file(source).read_all().unify_dictionaries()
        except (OSError, orjson.JSONDecodeError, pa.ArrowInvalid) as error:
            raise NoLook(str(error)) from error
        self.rows: int = about["rows"]
        there = set(self._table.column_names)
        facets = [Facet(f["name"], f["title"], f["type"]) for f in about["facets"]]
        self.facets = [facet for facet in facets if facet.name in there and facet.name != "group"]
        self.types = {facet.name: facet.type for facet in self.facets}
        self._terms: dict[str, tuple[Codes, list[str]]] = {}
        self._begins: dict[str, Codes] = {}  # of lists, where each row's values begin
        self._bins: dict[str, tuple[Codes, list[int]]] = {}
        self._found: OrderedDict[tuple[tuple[str, str], ...], Found] = OrderedDict()
        self._holding: OrderedDict[str, Mask] = OrderedDict()
        self._lock = Lock()

    def terms(self, name: str) -> tuple[Codes, list[str]]:
        """(each row's code, or those of its list one after the other, the texts that codes stand
        for)."""
        if name not in self._terms:
            column = _one(self._table[name])
            if pa.types.is_list(column.type):
                self._begins[name] = column.offsets.to_numpy()
                column = column.values
            values = ["" if value is None else value for value in column.dictionary.to_pylist()]
            codes = column.indices
            if codes.null_count:
                values = values if "" in values else [*values, ""]
                codes = codes.fill_null(values.index(""))
            self._terms[name] = codes.to_numpy(zero_copy_only=False), values
        return self._terms[name]

    def numbers(self, name: str) -> Codes:
        """Each row's number; MISSING where there is none."""
        column = _one(self._table[name])
        column = column.fill_null(MISSING) if column.null_count else column
        found: Codes = column.to_numpy(zero_copy_only=False)
        return found

    def bins(self, name: str) -> tuple[Codes, list[int]]:
        """(each row's bar, the bars' lower edges); rows without a number have the bar past all."""
        if name not in self._bins:
            numbers = self.numbers(name)
            known = numbers[numbers != MISSING]
            edges = bars.edges(name, self.types[name], known)
            codes = np.searchsorted(np.array(edges), numbers, side="right").astype(np.int32) - 1
            codes[codes < 0] = len(edges)
            self._bins[name] = codes, edges
        return self._bins[name]

    @cached_property
    def kept(self) -> Mask:
        codes, values = self.terms("reason")
        return _any_of(codes, values, {""})

    def mask(self, filters: Filters, but: str = "") -> Mask:
        """Which rows the filters leave; `but`: a facet whose own filter is not asked."""
        found: Mask = np.ones(self.rows, dtype=np.bool_)
        if filters.show != "all":
            found = self.kept.copy() if filters.show == "kept" else ~self.kept
        for name, wanted in filters.terms.items():
            if name != but:
                found &= self._with_any(name, wanted)
        for name, (low, high) in filters.ranges.items():
            if name != but:
                numbers = self.numbers(name)
                found &= numbers >= (MISSING + 1 if low is None else low)
                if high is not None:
                    found &= numbers <= high
        if filters.phrase:
            found &= self._with_phrase(filters.phrase)
        return found

    def _with_phrase(self, phrase: str) -> Mask:
        """Which rows hold it; of the last few it is remembered, for every facet asks."""
        with self._lock:
            found = self._holding.pop(phrase, None)
        if found is None:
            try:
                found = row_search.holding(self.folder, phrase)
            except OSError as error:
                raise NoLook(str(error)) from error
        with self._lock:
            self._holding[phrase] = found
            while len(self._holding) > FOUND:
                self._holding.popitem(last=False)
        return found

    def find(self, filters: Filters) -> Found:
        """What the filters leave; of the last few it is remembered, for the next page of rows."""
        asked = tuple(filters.pairs())
        with self._lock:
            found = self._found.pop(asked, None)
        if found is None:
            whole = self.mask(filters.showing("all"))
            kept = whole & self.kept
            left = {"all": whole, "kept": kept}.get(filters.show)
            left = whole & ~kept if left is None else left
            total = int(np.count_nonzero(whole))
            of_kept = int(np.count_nonzero(kept))
            shown = {"kept": of_kept, "dropped": total - of_kept, "all": total}
            places = np.flatnonzero(left).astype(np.int32)
            found = Found(places, shown, self._counts(filters, places))
        with self._lock:
            self._found[asked] = found
            while len(self._found) > FOUND:
                self._found.popitem(last=False)
        return found

    def _with_any(self, name: str, wanted: Iterable[str]) -> Mask:
        """Which rows have one of the wanted values, be it one of several."""
        found = _any_of(*self.terms(name), wanted)
        if name in self._begins and self.rows:  # no list is empty, so each stretch is a row's
            found = np.logical_or.reduceat(found, self._begins[name][:-1])
        return found

    def shared(self, name: str, wanted: Iterable[str]) -> int:
        """How many kept rows have a wanted value and another one beside it."""
        own = self._with_any(name, wanted) & self.kept
        others = set(self.terms(name)[1]) - set(wanted)
        return int(np.count_nonzero(own & self._with_any(name, others)))

    def _counts(self, filters: Filters, places: Codes) -> dict[str, list[int]]:
        found = {}
        for facet in self.facets:
            codes, values = self._coded(facet)
            if facet.name in filters.active():
                codes = codes[self._spread(facet.name, self.mask(filters, but=facet.name))]
            elif len(places) < self.rows and facet.name in self._begins:
                some = np.zeros(self.rows, dtype=np.bool_)
                some[places] = True
                codes = codes[self._spread(facet.name, some)]
            elif len(places) < self.rows:
                codes = codes.take(places)
            found[facet.name] = np.bincount(codes, minlength=len(values))[: len(values)].tolist()
        return found

    def _spread(self, name: str, rows: Mask) -> Mask:
        """A mask of rows as one of the facet's codes, of which a row may have several."""
        begins = self._begins.get(name)
        return rows if begins is None else np.repeat(rows, np.diff(begins))

    def counts_of(self, name: str) -> dict[str, int]:
        """{term: rows} over all rows."""
        codes, values = self.terms(name)
        counts = np.bincount(codes, minlength=len(values)).tolist()
        return dict(zip(values, counts, strict=False))

    def counts(self, filters: Filters) -> dict[str, list[int]]:
        """{facet: how many rows each of its terms or bars has under the other facets' filters}."""
        return self.find(filters).counts

    def shown(self, filters: Filters) -> dict[str, int]:
        """How many rows there are kept, left out and in all under the filters."""
        return self.find(filters).shown

    def page(self, filters: Filters, number: int) -> list[int]:
        """The ids of a page of rows, in order of arrival; `number` counts from 1."""
        places = self.find(filters).places[(number - 1) * SIZE : number * SIZE]
        return [int(place) + 1 for place in places]

    def groups(self, filters: Filters, number: int) -> tuple[int, list[list[int]]]:
        """(how many groups of near-duplicates the filters touch, a page of them: ids, the kept row
        first, MEMBERS at most)."""
        if "group" not in self._table.column_names:
            return 0, []
        column = self.numbers("group")
        names = np.unique(column[self.mask(filters.showing("all")) & (column != MISSING)])
        found = []
        for group in names[(number - 1) * GROUPS : number * GROUPS]:
            members = (np.flatnonzero(column == group)[:MEMBERS] + 1).tolist()
            found.append([int(group), *(pk for pk in members if pk != group)][:MEMBERS])
        return len(names), found

    def group_of(self, pk: int) -> int | None:
        """The kept row of its near-duplicate group."""
        if "group" not in self._table.column_names:
            return None
        found: int | None = self._table["group"][pk - 1].as_py()
        return found

    def read(self, ids: Iterable[int]) -> dict[int, LookRow]:
        """The rows by id, those that are there. Raises NoLook where the files are gone."""
        with self._rows() as rows:
            return {pk: self._row(rows, pk) for pk in sorted(ids) if 0 < pk <= self.rows}

    def _row(self, rows: Rows, pk: int) -> LookRow:
        mark = rows.mark(pk)
        line = rows.line(mark)
        codes, reasons = self.terms("reason")
        return LookRow(
            pk,
            mark.split,
            mark.prompt,
            mark.length,
            None if mark.other == NONE else mark.other,
            reasons[codes[pk - 1]],
            orjson.loads(line.row) if line.row else None,
            orjson.loads(line.provenance),
        )

    def kept_twin(self, pk: int) -> int | None:
        """The kept row that says exactly the same as this one."""
        with self._rows() as rows:
            twin = rows.mark(pk).twin
        return twin if twin and self.kept[twin - 1] else None

    def _coded(self, facet: Facet) -> tuple[Codes, list[Any]]:
        return self.terms(facet.name) if facet.type == "terms" else self.bins(facet.name)

    def _rows(self) -> Rows:
        try:
            return Rows(self.folder)
        except OSError as error:
            raise NoLook(str(error)) from error


_open: OrderedDict[str, Look] = OrderedDict()
_lock = Lock()


def open_look(folder: str) -> Look:
    """The look in this directory, kept open among the last few. Raises NoLook."""
    if not folder:
        raise NoLook("none yet")
    with _lock:
        look = _open.pop(folder, None)
    if look is None or not (look.folder / "look.json").exists():
        look = Look(Path(folder))
    with _lock:
        _open[folder] = look
        while len(_open) > OPEN:
            _open.popitem(last=False)
    return look


def _one(column: pa.ChunkedArray) -> Any:
    """As one array: the mapped one itself, where the file has but one batch."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _any_of(codes: Codes, values: list[str], wanted: Iterable[str]) -> Mask:
    wanted = set(wanted)
    table = np.array([value in wanted for value in values] or [False], dtype=np.bool_)
    found: Mask = table[codes]
    return found
