"""The rules about a row's own texts: language, boilerplate, personal data, and what a benchmark
holds already. They are asked of rows that no other rule has dropped, in this order."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.models import Workspace
from exports import benchmarks, boilerplate, files, language, personal
from exports.contamination import Grams
from exports.models import Benchmark, Snapshot
from exports.rules import Selection, SelectionError
from exports.work import Candidate


def turns(row: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Every turn of a conversational row, each once."""
    for value in row.values():
        if isinstance(value, list):
            yield from value


def said(row: dict[str, Any]) -> str:
    """What a model would learn to say: the answer, the better one of two; of rows without an
    answer the question or the document."""
    for name in ("completion", "chosen"):
        if name in row:
            return str(row[name][-1]["content"])
    return str(row["text"] if "text" in row else row["prompt"][-1]["content"])


def texts(row: dict[str, Any]) -> list[str]:
    """All that stands in the row."""
    plain = [row["text"]] if "text" in row else []
    return plain + [turn["content"] for turn in turns(row)]


class TextRules:
    """The rules of one selection. `alive` is called often while texts to keep apart from are read.
    Raises SelectionError where they are gone."""

    def __init__(
        self, workspace: Workspace, selection: Selection, alive: Callable[[], None] = lambda: None
    ) -> None:
        self.selection = selection
        self._steps: list[Callable[[Sequence[Candidate]], None]] = []
        if selection.languages or selection.unsure_language == "drop":
            self._steps.append(self._language)
        if selection.boilerplate:
            self._steps.append(self._boilerplate)
        if selection.personal != "keep":
            self._steps.append(self._personal)
        if selection.not_in:
            self._grams = [
                (name, guarded(workspace, name, selection, alive)) for name in selection.not_in
            ]
            self._steps.append(self._contamination)

    def apply(self, found: Sequence[Candidate]) -> None:
        """Drop candidates, each with its reason, and mask what is to be masked."""
        for step in self._steps:
            step([candidate for candidate in found if not candidate.reason])

    def _language(self, found: Sequence[Candidate]) -> None:
        wanted = self.selection.languages
        names = language.identify([said(candidate.row) for candidate in found])
        for candidate, name in zip(found, names, strict=True):
            if not name and self.selection.unsure_language == "drop":
                _drop(candidate, "not sure in which language")
            elif name and wanted and name not in wanted:
                _drop(candidate, f"in another language ({name})")

    def _boilerplate(self, found: Sequence[Candidate]) -> None:
        for candidate in found:
            if why := boilerplate.why(said(candidate.row)):
                _drop(candidate, f"boilerplate: {why}")

    def _personal(self, found: Sequence[Candidate]) -> None:
        kinds = self.selection.personal_kinds
        met: dict[int, set[str]] = {}  # rows may share a turn, in which nothing is found again
        for candidate in found:
            row = candidate.row
            if self.selection.personal == "drop":
                hits = {hit.kind for text in texts(row) for hit in personal.find(text, kinds)}
                if hits:
                    first = next(kind for kind in personal.KINDS if kind in hits)
                    _drop(candidate, f"holds personal data ({first})")
                continue
            hits = set()
            for turn in turns(row):
                if id(turn) not in met:
                    turn["content"], counts = personal.mask(turn["content"], kinds)
                    met[id(turn)] = set(counts)
                hits |= met[id(turn)]
            if "text" in row:
                row["text"], counts = personal.mask(row["text"], kinds)
                hits |= set(counts)
            candidate.masked = frozenset(hits)
            _measure(candidate)

    def _contamination(self, found: Sequence[Candidate]) -> None:
        for candidate in found:
            for name, grams in self._grams:
                if any(grams.hit(text) for text in texts(candidate.row)):
                    _drop(candidate, f"shares {self.selection.not_in_words} words with {name}")
                    break


class Masked:
    """In how many rows which personal data were masked: of every row as it comes, told of those
    that stay in the end."""

    def __init__(self) -> None:
        self._kinds: dict[frozenset[str], int] = {}
        self._rows = bytearray()  # each row's place in `_kinds`, of which there are at most 32

    def put(self, found: Sequence[Candidate]) -> None:
        known = self._kinds
        self._rows.extend(known.setdefault(each.masked, len(known)) for each in found)

    def count(self, reasons: NDArray[np.int32]) -> dict[str, int]:
        """{kind: rows}, those of no row left out. `reasons`: of every row, 0 where it is kept."""
        rows = np.bincount(np.frombuffer(self._rows, np.uint8)[reasons == 0], minlength=32)
        found = {
            kind: int(sum(rows[place] for kinds, place in self._kinds.items() if kind in kinds))
            for kind in personal.KINDS
        }
        return {kind: count for kind, count in found.items() if count}


def _measure(candidate: Candidate) -> None:
    """Lengths anew, of what is in the row now: figures and the balance of lengths go by them."""
    row = candidate.row
    if set(row) != {"prompt"}:  # whose length is the question's, and its turn may hold a context
        candidate.length = len(said(row))
    if "rejected" in row:
        candidate.other = len(row["rejected"][-1]["content"])


def _drop(candidate: Candidate, reason: str) -> None:
    candidate.reason, candidate.row = reason, None


def guarded(
    workspace: Workspace, name: str, selection: Selection, alive: Callable[[], None] = lambda: None
) -> Grams:
    """The word n-grams of a dataset's newest snapshot or of a benchmark.

    Raises SelectionError where it is not there."""
    grams = Grams(selection.not_in_words)
    for text in _guarded_texts(workspace, name):
        grams.add(text)
        alive()
    return grams


def _guarded_texts(workspace: Workspace, name: str) -> Iterator[str]:
    found = _guard(workspace, name)
    if isinstance(found, str):
        raise SelectionError({"not_in": found})
    if isinstance(found, Benchmark):
        yield from benchmarks.texts(found)
        return
    for row in files.read_rows(Path(found.path)):
        yield from texts(row)


def unguarded(workspace: Workspace, name: str) -> str | None:
    """Why there is nothing under the name to keep apart from, or None."""
    found = _guard(workspace, name)
    return found if isinstance(found, str) else None


def mark(workspace: Workspace, name: str) -> str:
    """Changes when the texts under the name do."""
    found = _guard(workspace, name)
    return found if isinstance(found, str) else found.sha256


def _guard(workspace: Workspace, name: str) -> Benchmark | Snapshot | str:
    sort, _, called = name.partition(" ")
    if sort == "benchmark":
        benchmark = workspace.benchmarks.filter(name=called).first()
        return benchmark or f"there is no benchmark “{called}” here"
    if sort != "dataset":
        return f"{name!r} is neither “dataset SLUG” nor “benchmark NAME”"
    ready = Snapshot.objects.filter(dataset__workspace=workspace, dataset__slug=called)
    newest = ready.filter(state=Snapshot.State.READY).order_by("-number").first()
    return newest or f"the dataset “{called}” has no frozen version to keep apart from"
