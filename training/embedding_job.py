"""What the process that embeds is given, and what it says: prompts, texts and erasures, read."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.utils import timezone

from annotation.models import Erasure, Project, Prompt
from training.embedder import Embedder
from training.events import clean
from training.recipes.run_dir import write_json
from training.vectors import KEYS, among, mark_of

MARGIN = timedelta(minutes=1)  # between the clocks of two machines
TEXT = 8_000  # characters of a turn; a model of this kind reads some 1,000 of them
AT_ONCE = 500  # prompts a query


def time_of(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def live(project: Project) -> Any:
    """The prompts that have a last turn and are in use."""
    rows = Prompt.objects.live().filter(project=project, retired=None)
    return rows.exclude(fingerprint="")  # documents have none


def keys_now(project: Project) -> np.ndarray:
    """The keys of the prompts as they are now, sorted."""
    return _keys(live(project))


def keys_of(project: Project, ids: set[int]) -> np.ndarray:
    """The same of some prompts."""
    some = sorted(ids)
    parts = [
        _keys(live(project).filter(pk__in=some[start : start + AT_ONCE]))
        for start in range(0, len(some), AT_ONCE)
    ]
    return np.concatenate([np.empty(0, KEYS), *parts])


def _keys(prompts: Any) -> np.ndarray:
    rows = prompts.order_by("pk").values_list("pk", "fingerprint")
    marks = ((pk, mark_of(fingerprint)) for pk, fingerprint in rows.iterator(chunk_size=10_000))
    keys = np.fromiter(marks, KEYS)
    return keys[keys["mark"] != 0]


def spec_of(job: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((job / "spec.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def erasures(project: Project, since: datetime) -> list[list[Any]]:
    """[number, time] of those in the workspace since. One that comes to its end has a new time."""
    rows = Erasure.objects.filter(workspace=project.workspace_id, created__gte=since - MARGIN)
    return [[pk, at.isoformat()] for pk, at in rows.order_by("pk").values_list("pk", "created")]


def erased(project: Project, erasures: list[list[Any]]) -> set[int]:
    """The prompts of the project whose text these erased."""
    rows = Erasure.objects.filter(pk__in=[pk for pk, _ in erasures])
    ids = sorted({pk for prompts in rows.values_list("prompts", flat=True) for pk in prompts})
    found: set[int] = set()
    for start in range(0, len(ids), AT_ONCE):
        some = Prompt.objects.filter(pk__in=ids[start : start + AT_ONCE], project=project)
        found.update(some.values_list("pk", flat=True))
    return found


def holds_erased(project: Project, job: Path) -> bool:
    """May its texts hold what was erased since they were written? A half-written one may."""
    spec = spec_of(job)
    if not spec:
        return job.exists()
    now = erasures(project, time_of(spec.get("began")))
    return bool(erased(project, [each for each in now if each not in spec.get("erasures", [])]))


def write_job(
    project: Project,
    job: Path,
    model: Embedder,
    there: np.ndarray | None,
    beat: Callable[[], None],
) -> None:
    """The texts of what is not `there` yet; spec.json comes last and says that they are whole."""
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir(parents=True)
    began = timezone.now()
    spec: dict[str, Any] = {"config": {}, "model": model.tag, "began": began.isoformat()}
    spec["erasures"] = erasures(project, began)
    spec["inputs"] = [
        {"name": "model", "kind": "model", "path": str(model.path), "sha256": ""},
        {"name": "texts", "kind": "prompts", "path": "texts.jsonl", "sha256": ""},
    ]
    new = keys_now(project)
    if there is not None:
        new = new[~among(new, there)]
    with (job / "texts.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, len(new), AT_ONCE):
            beat()
            for pk, mark, text in _texts(new[start : start + AT_ONCE]):
                file.write(json.dumps({"id": pk, "mark": mark, "text": text}) + "\n")
    write_json(job / "spec.json", spec)


def _texts(keys: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """(id, mark, last turn) of the prompts that are still what their key says."""
    marks = dict(keys.tolist())
    rows = Prompt.objects.filter(pk__in=marks).only("pk", "fingerprint", "messages")
    for prompt in rows.order_by("pk"):
        text = prompt.question.strip()[:TEXT]
        if text and mark_of(prompt.fingerprint) == marks[prompt.pk]:
            yield prompt.pk, marks[prompt.pk], text


def progress(job: Path) -> dict[str, Any]:
    """How far it says that it is; numbers only, whatever stands in its file."""
    try:
        with (job / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            lines = file.read().split(b"\n")
        last = clean(json.loads(lines[-2]))
        done, total, left = last["step"], last["total"], last["seconds_left"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    if not (isinstance(done, int) and isinstance(total, int)):
        return {}
    seconds = left if isinstance(left, int | float) else None
    return {"progress": done, "total": total, "left": seconds}


def result(job: Path) -> dict[str, Any]:
    try:
        found = clean(json.loads((job / "result.json").read_bytes()[: 1024**2]))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
