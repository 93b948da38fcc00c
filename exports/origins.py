"""Where a snapshot's rows come from: who worked on them and when, and under which licences they
came in. Told from what the shelf counted; of the database the imports are asked for only."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annotation.models import Import
from exports import diff_columns, files
from exports.shelf import Source

WORKERS = 50  # shares of people that are told
MOST_LICENCES = 63  # with their pages; what comes after them is told under one name
OTHERS = "one of many others"


def describe(sources: Iterable[tuple[Source, int]], people: Mapping[str, int]) -> dict[str, Any]:
    """Figures for the card: rows by project, annotators and how much each did, guideline versions,
    the first and the last day of the work, licences. `people`: rows by pseudonym."""
    projects: Counter[str] = Counter()
    guidelines: Counter[str] = Counter()
    imports: Counter[tuple[int, ...]] = Counter()
    days: set[str] = set()
    for source, rows in sources:
        projects[source.project] += rows
        guidelines.update({f"{source.project} v{number}": rows for number in source.guidelines})
        imports[source.imports] += rows
        days |= {source.first_day, source.last_day} - {""}
    shares = sorted(people.items(), key=lambda item: (-item[1], item[0]))
    return {
        "projects": dict(sorted(projects.items(), key=lambda item: (-item[1], item[0]))),
        "annotators": len(people),
        "work": dict(shares[:WORKERS]),
        "guidelines": dict(sorted(guidelines.items())),
        "work_from": min(days, default=""),
        "work_to": max(days, default=""),
        "licences": licences(imports),
    }


def licences(imports: Mapping[tuple[int, ...], int]) -> list[dict[str, Any]]:
    """Per set of licences, how many rows came under it, most first:
    `{"licences": [{"licence", "homepage"}], "imported": bool, "rows": n}`.

    `imports`: rows by the imports that their prompts and responses came with. A row carries the
    licences of them all; `imported` is false where there are none; an import of which nobody said
    one has `""`."""
    known = Import.objects.filter(pk__in={pk for pks in imports for pk in pks}).order_by("pk")
    pairs, place_of = [("", "")], {}
    for pk, licence, homepage in known.values_list("pk", "licence", "homepage"):
        pair = (licence.strip(), homepage.strip())
        if pair not in pairs and len(pairs) >= MOST_LICENCES:
            pair = (OTHERS, "")
        if pair not in pairs:
            pairs.append(pair)
        place_of[pk] = pairs.index(pair)
    counts: Counter[tuple[int, ...]] = Counter()
    for pks, rows in imports.items():
        counts[tuple(sorted({place_of[pk] for pk in pks}))] += rows
    return [
        {
            "licences": [
                {"licence": licence, "homepage": homepage}
                for licence, homepage in (pairs[place] for place in places)
            ],
            "imported": bool(places),
            "rows": rows,
        }
        for places, rows in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def labels(directory: Path) -> dict[str, int]:
    """Rows by label, most first; empty for kinds without one."""
    if "label" not in files.columns(directory):
        return {}
    counts: Counter[str] = Counter()
    words = {True: "good", False: "bad"}
    for _, batch in diff_columns.data(directory, ["label"]):
        counts.update(words.get(label, str(label)) for label in batch["label"].to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
