"""A look: what a dataset's rules make of the data today, row by row, in files that its pages read.

A directory of LOOK_ROOT: `rows.marks` and `rows.texts` (the shelf), `facets.arrow` (a column a
facet, a line a row in order of arrival, uncompressed: pages map it into memory; a list a row where
rows are of several people or stages, [null] of nobody) and `look.json`. The only writer of these
directories; previews.py says which of them a dataset shows."""

import json
import shutil
import time
from array import array
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from django.conf import settings

from annotation.models import Stage
from exports import language, text_rules
from exports.models import Dataset, Preview
from exports.shelf import Shelf
from exports.splits import SPLITS
from exports.work import Answer, Candidate, Ranked, Rated

TERMS = {
    "project": "Project",
    "stage": "Stage",
    "annotator": "Annotator",
    "origin": "Answer",
    "language": "Language",
    "review": "Review",
    "label": "Label",
}
NUMBERS = {
    "length": "Length of the answer",
    "other": "Length of the rejected answer",
    "prompt_length": "Length of the prompt",
    "agreement": "Agreement",
}
SEVERAL = ("stage", "annotator")  # a row counts under each of those who had a part in it
NONE = -1
METADATA = 12  # names of metadata that become facets, the first ones met ...
VALUES = 500  # ... and which have no more values than this,
FEW = 20  # nor more than half as many as rows, unless they are so few
DEAD = 3600.0  # seconds
EPOCH = date(1970, 1, 1).toordinal()


class _Terms:
    """A dictionary column being written: a number a row, and what the numbers mean."""

    def __init__(self, before: int = 0) -> None:
        self.codes = array("i", [NONE]) * before
        self.words: dict[str, int] = {}

    def add(self, word: str | None) -> None:
        self.codes.append(NONE if word is None else self.words.setdefault(word, len(self.words)))

    def is_facet(self) -> bool:
        """Values that come up again: no ids, no points in time."""
        many = len(self.codes) - self.codes.count(NONE)
        return 0 < len(self.words) <= min(VALUES, max(FEW, many // 2))

    def column(self) -> pa.Array:
        codes = np.frombuffer(self.codes, np.int32) if len(self.codes) else np.zeros(0, np.int32)
        return pa.DictionaryArray.from_arrays(
            pa.array(codes, pa.int32(), mask=codes == NONE), pa.array(list(self.words), pa.string())
        )


class _Several(_Terms):
    """The same with any number of words a row; where no row has two, it is written as the same."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = array("i", [0])

    def put(self, words: Iterable[str]) -> None:
        for word in dict.fromkeys(words) or (None,):
            self.add(word)
        self.ends.append(len(self.codes))

    def column(self) -> pa.Array:
        codes = super().column()
        if len(codes) == len(self.ends) - 1:
            return codes
        return pa.ListArray.from_arrays(pa.array(np.frombuffer(self.ends, np.int32)), codes)


class Facets:
    """The facets of every row, kept or not, gathered as rows come."""

    def __init__(self, dataset: Dataset, directory: Path) -> None:
        stages = Stage.objects.filter(project__workspace=dataset.workspace)
        self._stages = {stage.pk: f"{stage.project} / {stage}" for stage in
                        stages.select_related("project")}  # fmt: skip
        self._directory = directory
        self._terms = {name: _Terms() for name in TERMS if name not in SEVERAL}
        self._several = {name: _Several() for name in SEVERAL}
        self._numbers = {name: array("i") for name in (*NUMBERS, "day")}
        self._metadata: dict[str, _Terms] = {}
        self._rows = 0
        self.languages: dict[str, int] = {}  # of the kept rows, most first, once it is finished

    def put(self, found: Sequence[Candidate]) -> None:
        """The candidates of a chunk, in the order in which the shelf has them."""
        spoken = [_spoken(candidate) for candidate in found]
        names = language.identify(spoken)
        for candidate, name in zip(found, names, strict=True):
            self._put(candidate, name)

    def _put(self, found: Candidate, spoken: str) -> None:
        work = found.work
        judged: list[Ranked | Rated] = [*found.rankings, *found.rated]
        done: list[Answer | Ranked | Rated] = [*judged, *found.answers]
        known = [turn.agreement for turn in judged if turn.agreement is not None]
        days = [turn.day for turn in done if turn.day]
        asked = work.messages[-1].get("content") if work.messages else None
        terms = {
            "project": work.project,
            "origin": found.answers[0].kind if found.answers else None,
            "language": spoken,
            "review": next((turn.review for turn in done if turn.review), None),
            "label": found.label or None,
        }
        for name, word in terms.items():
            self._terms[name].add(word)
        stages = (self._stages.get(turn.stage or 0) for turn in done)
        self._several["stage"].put(stage for stage in stages if stage)
        self._several["annotator"].put(turn.annotator for turn in done if turn.annotator)
        numbers = {
            "length": found.length if found.answers or found.length else NONE,
            "other": NONE if found.other is None else found.other,
            "prompt_length": len(asked) if isinstance(asked, str) else NONE,
            "agreement": min(known, default=NONE),
            "day": date.fromisoformat(max(days)).toordinal() - EPOCH if days else NONE,
        }
        for name, number in numbers.items():
            self._numbers[name].append(number)
        self._put_metadata(work.metadata)
        self._rows += 1

    def _put_metadata(self, metadata: dict[str, Any]) -> None:
        for name in metadata:
            if name not in self._metadata and len(self._metadata) < METADATA:
                self._metadata[name] = _Terms(self._rows)
        for name, column in self._metadata.items():
            value = metadata.get(name)
            if len(column.words) > VALUES or value is None or isinstance(value, list | dict):
                column.add(None)
            else:
                column.add(value if isinstance(value, str) else json.dumps(value))

    def finish(self, shelf: Shelf, groups: dict[int, int]) -> None:
        """Write `facets.arrow` and `look.json`. `groups`: {a near-duplicate: the row that stays}"""
        reasons, splits = (shelf.column(name, every=True) for name in ("reason", "split"))
        self.languages = self._count_languages(reasons == 0)
        group = np.full(self._rows, NONE, np.int32)
        for gone, stays in groups.items():
            group[gone - 1] = group[stays - 1] = stays
        columns: dict[str, pa.Array] = {
            "reason": pa.DictionaryArray.from_arrays(
                pa.array(reasons, pa.int32()), pa.array(shelf.words(), pa.string())
            ),
            "split": pa.DictionaryArray.from_arrays(
                pa.array(splits, pa.int32(), mask=splits == NONE), pa.array(SPLITS, pa.string())
            ),
            "group": pa.array(group, pa.int32(), mask=group == NONE),
        }
        listed = [("reason", "Left out because", "terms"), ("split", "Split", "terms")]
        terms = self._terms | self._several
        for name, title in TERMS.items():
            if len(terms[name].words):
                columns[name] = terms[name].column()
                listed.append((name, title, "terms"))
        for name, title in (NUMBERS | {"day": "Day"}).items():
            values = np.frombuffer(self._numbers[name], np.int32) if self._rows else group
            if (values != NONE).any():
                columns[name] = pa.array(values, pa.int32(), mask=values == NONE)
                listed.append((name, title, "day" if name == "day" else "number"))
        for name, column in self._metadata.items():
            if column.is_facet():
                columns[f"metadata.{name}"] = column.column()
                listed.append((f"metadata.{name}", name, "terms"))
        table = pa.table(columns).combine_chunks()
        path = str(self._directory / "facets.arrow")
        with pa.OSFile(path, "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
        facts = {
            "rows": self._rows,
            "facets": [{"name": n, "title": t, "type": kind} for n, t, kind in listed],
        }
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (self._directory / "look.json").write_text(text + "\n", encoding="utf-8")

    def _count_languages(self, kept: np.ndarray[Any, Any]) -> dict[str, int]:
        column = self._terms["language"]
        codes = np.frombuffer(column.codes, np.int32) if self._rows else np.zeros(0, np.int32)
        counts = np.bincount(codes[kept], minlength=len(column.words)).tolist()
        found = {word: n for word, n in zip(column.words, counts, strict=True) if n}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _spoken(found: Candidate) -> str:
    """What the language is told from: of a dropped row, too."""
    if found.row is not None:
        return text_rules.said(found.row)
    if found.answers:
        return found.answers[0].text
    asked = found.work.messages[-1].get("content") if found.work.messages else ""
    return asked if isinstance(asked, str) else ""


def folder(dataset: Dataset) -> Path:
    """Where the looks of a dataset lie, one at a time but while one takes another's place."""
    return Path(settings.LOOK_ROOT) / dataset.workspace.slug / str(dataset.pk)


def tidy(dataset: Dataset) -> None:
    """Delete the looks that the dataset shows no longer; what is being written stays."""
    shown = Preview.objects.filter(dataset=dataset).values_list("look", flat=True).first()
    home = folder(dataset)
    for path in home.iterdir() if home.is_dir() else ():
        if str(path) != shown and not (path.name.startswith(".") and _written_lately(path)):
            shutil.rmtree(path, ignore_errors=True)


def _written_lately(work: Path) -> bool:
    """A look that nobody has added to for so long is a killed worker's."""
    last = max(path.stat().st_mtime for path in (work, *work.iterdir()))
    return time.time() - last < DEAD


def destroy(dataset: Dataset) -> None:
    """Delete every look of the dataset: after an erasure they hold what was erased."""
    shutil.rmtree(folder(dataset), ignore_errors=True)
