"""Where a snapshot's rows come from: who worked on them and when, and under which licences they
came in. Reads provenance.parquet in batches, and of the database ids and dates only."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from django.db.models import Max, Min
from numpy.typing import NDArray

from annotation.models import Import, Prompt, Response, Submission
from exports import diff_columns, files

IDS = 500  # in one question to the database
WORKERS = 50  # shares of people that are told
MOST_LICENCES = 63  # with their pages; a bit of 64 is left for ...
OTHERS = "one of many others"

Bits = NDArray[np.uint64]
Numbers = NDArray[np.int64]


def licences(rows: Iterator[tuple[Numbers, Numbers, Numbers]]) -> list[dict[str, Any]]:
    """Per set of licences, how many rows came under it, most first:
    `{"licences": [{"licence", "homepage"}], "imported": bool, "rows": n}`.

    `rows`: batches of prompt ids, of all their responses' ids, and where each row's responses
    begin and end. A row carries the licences of the imports that its prompt and its responses came
    with; `imported` is false where none did; an import of which nobody said one has `""`."""
    told = _Licences()
    counts: Counter[int] = Counter()
    for prompts, responses, offsets in rows:
        marks = told.bits(Prompt, prompts)
        answers = np.concatenate([told.bits(Response, responses), np.zeros(1, np.uint64)])
        filled = offsets[1:] > offsets[:-1]
        if filled.any():
            # Of neighbours without a gap each stretch ends where the next one begins.
            found = np.bitwise_or.reduceat(answers, offsets[:-1][filled])
            marks[filled] |= found
        for mask, many in zip(*np.unique(marks, return_counts=True), strict=True):
            counts[int(mask)] += int(many)
    return [
        {
            "licences": [
                {"licence": licence, "homepage": homepage}
                for place, (licence, homepage) in enumerate(told.pairs)
                if mask >> place & 1
            ],
            "imported": mask > 0,
            "rows": many,
        }
        for mask, many in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


class _Licences:
    """The licences met, a bit each; what comes after the 63rd is told under one name."""

    def __init__(self) -> None:
        self.pairs = [("", "")]
        self._of_import: dict[int, int] = {}

    def bits(self, model: Any, ids: Numbers) -> Bits:
        """For each id a bit for its import's licence; none for what came with no import."""
        distinct, back = np.unique(ids, return_inverse=True)
        bits = np.zeros(len(distinct), np.uint64)
        for first in range(0, len(distinct), IDS):
            some = distinct[first : first + IDS].tolist()
            rows = model.objects.filter(pk__in=some, batch__isnull=False).values_list("pk", "batch")
            found = dict(rows)
            self._meet(set(found.values()) - set(self._of_import))
            for pk, batch in found.items():
                bits[np.searchsorted(distinct, pk)] = 1 << self._of_import[batch]
        return bits[back.reshape(-1)]

    def _meet(self, imports: set[int]) -> None:
        rows = Import.objects.filter(pk__in=imports).order_by("pk")
        for pk, licence, homepage in rows.values_list("pk", "licence", "homepage"):
            pair = (licence.strip(), homepage.strip())
            if pair not in self.pairs and len(self.pairs) >= MOST_LICENCES:
                pair = (OTHERS, "")
            if pair not in self.pairs:
                self.pairs.append(pair)
            self._of_import[pk] = self.pairs.index(pair)


def describe(directory: Path) -> dict[str, Any]:
    """Figures for the card: rows by project, annotators and how much each did (pseudonyms, as the
    file has them), guideline versions, the first and the last day of the work, licences."""
    projects: Counter[str] = Counter()
    people: Counter[str] = Counter()
    guidelines: Counter[str] = Counter()
    days: list[Any] = []
    found = licences(_walk(directory, projects, people, guidelines, days))
    shares = sorted(people.items(), key=lambda item: (-item[1], item[0]))
    return {
        "projects": dict(sorted(projects.items(), key=lambda item: (-item[1], item[0]))),
        "annotators": len(people),
        "work": dict(shares[:WORKERS]),
        "guidelines": dict(sorted(guidelines.items())),
        "work_from": min(days).date().isoformat() if days else "",
        "work_to": max(days).date().isoformat() if days else "",
        "licences": found,
    }


def _walk(
    directory: Path,
    projects: Counter[str],
    people: Counter[str],
    guidelines: Counter[str],
    days: list[Any],
) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Batches for `licences`, while the rest is counted."""
    wanted = ["project", "prompt", "responses", "submissions", "annotators", "guidelines"]
    for batch in diff_columns.provenance(directory, wanted):
        names = batch["project"].to_pylist()
        projects.update(names)
        people.update(diff_columns.lists(batch["annotators"])[0].to_pylist())
        numbers, offsets = diff_columns.lists(batch["guidelines"])
        held = numbers.to_pylist()
        for name, low, high in zip(names, offsets[:-1], offsets[1:], strict=True):
            guidelines.update(f"{name} v{number}" for number in held[low:high])
        _days(batch["submissions"], days)
        answers, ends = diff_columns.lists(batch["responses"])
        prompts = np.array(batch["prompt"].to_pylist(), np.int64)
        yield prompts, np.array(answers.to_pylist(), np.int64), ends.astype(np.int64)


def _days(submissions: pa.ListArray, days: list[Any]) -> None:
    """The first and the last day on which one of these was handed in."""
    ids = np.unique(np.array(diff_columns.lists(submissions)[0].to_pylist(), np.int64))
    for first in range(0, len(ids), IDS):
        some = Submission.objects.filter(pk__in=ids[first : first + IDS].tolist())
        ends = some.aggregate(low=Min("submitted"), high=Max("submitted"))
        days += [day for day in (ends["low"], ends["high"]) if day is not None]
    if days:
        days[:] = [min(days), max(days)]


def labels(directory: Path) -> dict[str, int]:
    """Rows by label, most first; empty for kinds without one."""
    if "label" not in files.columns(directory):
        return {}
    counts: Counter[str] = Counter()
    words = {True: "good", False: "bad"}
    for _, batch in diff_columns.data(directory, ["label"]):
        counts.update(words.get(label, str(label)) for label in batch["label"].to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
