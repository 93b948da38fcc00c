"""Benchmarks: uploaded test sets whose texts no training row may hold. The only writer of them.

A file of any layout that the importer knows becomes a list of texts: of each prompt its last turn,
and each answer. They lie below BENCHMARK_ROOT, a JSON string a line."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction

from annotation.errors import Refused
from annotation.import_files import display_name
from annotation.layouts import converter, recognise
from annotation.models import User, Workspace
from annotation.parsing import no_layout
from annotation.readers import ReadError, open_source
from annotation.records import Record
from exports.models import Benchmark, Dataset

SAMPLE = 50  # rows by which the layout is recognised
MOST = 200_000  # texts: it is read while somebody waits


def add(*, workspace: Workspace, name: str, upload: Any, user: User | None) -> Benchmark:
    """Read an upload into a benchmark. Raises Refused: what is wrong with the name or the file."""
    name = " ".join(name.replace("\0", " ").split())
    if not name or len(name) > 100:
        raise Refused("Give it a name of at most 100 characters.", field="name")
    if workspace.benchmarks.filter(name=name).exists():
        raise Refused(f"There is a benchmark “{name}” already.", field="name")
    folder = Path(settings.BENCHMARK_ROOT) / workspace.slug
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.jsonl"
    count, digest = 0, hashlib.sha256()
    try:
        with path.open("wb") as out:
            for text in _texts_of(upload):
                line = orjson.dumps(text) + b"\n"
                out.write(line)
                digest.update(line)
                count += 1
        if not count:
            raise Refused("The file holds no texts.", field="file")
        with transaction.atomic():
            return Benchmark.objects.create(
                workspace=workspace,
                name=name,
                filename=display_name(getattr(upload, "name", "") or ""),
                path=str(path.relative_to(settings.BENCHMARK_ROOT)),
                texts=count,
                sha256=digest.hexdigest(),
                created_by=user,
            )
    except IntegrityError:
        path.unlink(missing_ok=True)
        raise Refused(f"There is a benchmark “{name}” already.", field="name") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def texts(benchmark: Benchmark) -> Iterator[str]:
    """Its texts, in the file's order. Raises Refused where its file is gone."""
    try:
        with _path(benchmark).open("rb") as lines:
            for line in lines:
                yield orjson.loads(line)
    except OSError:
        raise Refused(
            f"The texts of the benchmark “{benchmark}” are gone; delete it and upload it again."
        ) from None


def delete(*, benchmark: Benchmark) -> None:
    """Raises Refused while a dataset's rule names it."""
    if naming := used_by(benchmark):
        raise Refused(
            f"“{benchmark}” keeps {', '.join(f'“{one}”' for one in naming)} apart from its texts; "
            "take it out of those rules first."
        )
    path = _path(benchmark)
    benchmark.delete()
    path.unlink(missing_ok=True)


def used_by(benchmark: Benchmark) -> list[Dataset]:
    """The datasets whose rules name it."""
    called = f"benchmark {benchmark.name}"
    rows = Dataset.objects.filter(workspace=benchmark.workspace_id).order_by("name")
    return [row for row in rows if called in row.selection.get("not_in", [])]


def _path(benchmark: Benchmark) -> Path:
    return Path(settings.BENCHMARK_ROOT) / benchmark.path


def _texts_of(file: BinaryIO) -> Iterator[str]:
    """Raises Refused where the file cannot be read, no layout fits it, or it holds too much."""
    try:
        sample = _sample(file)
        layout = recognise(sample)
        if not layout:
            raise Refused(no_layout([str(name)[:80] for name in sample[0]][:40] if sample else []))
        convert = converter(layout, {})
        file.seek(0)
        count = 0
        for _, row in open_source(file).rows():
            if not isinstance(row, dict):
                continue
            try:
                records = convert(row, lambda _: None)
            except Refused:  # a row that makes no prompt has nothing that could leak
                continue
            for text in (text for record in records for text in _spoken(record)):
                count += 1
                if count > MOST:
                    raise Refused(f"A benchmark has at most {MOST:,} texts; this file has more.")
                yield text
    except ReadError as error:
        raise Refused(str(error), field="file") from None
    except Refused as refusal:
        raise Refused(str(refusal), field="file") from None


def _sample(file: BinaryIO) -> list[dict[str, Any]]:
    file.seek(0, os.SEEK_SET)
    found: list[dict[str, Any]] = []
    for _, row in open_source(file).rows():
        if isinstance(row, dict):
            found.append(row)
        if len(found) == SAMPLE:
            break
    return found


def _spoken(record: Record) -> Iterator[str]:
    last = record.messages[-1].get("content") if record.messages else ""
    if isinstance(last, str) and last.strip():
        yield last
    for answer in record.answers:
        if answer.text.strip():
            yield answer.text
