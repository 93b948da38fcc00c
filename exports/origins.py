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

Bits = NDArray[np.uint64]
Numbers = NDArray[np.int64]


def licences(rows: Iterator[tuple[Numbers, Numbers, Numbers]]) -> list[dict[str, Any]]:
    """Per set of licences, how many rows came under it, most first:
    `{"licences": [{"licence", "homepage"}], "imported": bool, "rows": n}`.

    `rows`: batches of prompt ids, of all their responses' ids, and where each row's responses
    begin and end. A row carries the licences of the imports that its prompt and its responses came
    with; `imported` is false where none did; an import of which nobody said one has `""`."""
    known = [("", "")]
    of_import: dict[int, int] = {}
    for pk, licence, homepage in Import.objects.values_list("pk", "licence", "homepage"):
        pair = (licence.strip(), homepage.strip())
        if pair not in known:
            known.append(pair)
        of_import[pk] = min(known.index(pair), 63)
    counts: Counter[int] = Counter()
    for prompts, responses, offsets in rows:
        marks = _bits(Prompt, prompts, of_import)
        answers = np.concatenate([_bits(Response, responses, of_import), np.zeros(1, np.uint64)])
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
                for place, (licence, homepage) in enumerate(known[:64])
                if mask >> place & 1
            ],
            "imported": mask > 0,
            "rows": many,
        }
        for mask, many in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _bits(model: Any, ids: Numbers, of_import: dict[int, int]) -> Bits:
    """For each id a bit for its import's licence; none for what came with no import."""
    found = np.zeros(len(ids), np.uint64)
    if not of_import or not len(ids):
        return found
    distinct, back = np.unique(ids, return_inverse=True)
    bits = np.zeros(len(distinct), np.uint64)
    for first in range(0, len(distinct), IDS):
        some = distinct[first : first + IDS].tolist()
        rows = model.objects.filter(pk__in=some, batch__isnull=False).values_list("pk", "batch")
        for pk, batch in rows:
            bits[np.searchsorted(distinct, pk)] = 1 << of_import.get(batch, 0)
    return bits[back.reshape(-1)]


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
