"""A model answers a project's prompts: which ones, the run that does it, the answers' way in."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from annotation import importing, queue
from annotation.errors import Refused
from annotation.models import Origin, Project, Prompt, Response, User
from annotation.records import Answer, Record
from exports.formats import PROMPT_TEMPLATE, conversation
from training import runs
from training.inputs import Given, model_name
from training.models import Run

AT_ONCE = 1_000  # ids a query: databases have a limit, SQLite's may be 32,766


def author_of(model: Given) -> str:
    """The name under which a model's answers stand: "run 12 · SFT on Support v1"."""
    return model_name(model)[:200]


def unanswered(project: Project, author: str) -> "QuerySet[Prompt]":
    """The prompts that this model has not answered; ranked ones too: they open a next round."""
    answered = Response.objects.filter(
        prompt__project=project, origin=Origin.MODEL, author_name=author, withdrawn=None
    )
    prompts = Prompt.objects.live().filter(project=project, retired=None)
    return prompts.exclude(messages=[]).exclude(pk__in=answered.values("prompt")).order_by("pk")


def prompt_template(model: Given) -> str:
    """How context was put to the model when it was trained, as its snapshot says."""
    if isinstance(model, Run):
        for row in model.inputs.filter(snapshot__isnull=False).select_related("snapshot"):
            if row.snapshot and row.snapshot.selection.get("prompt_template"):
                return str(row.snapshot.selection["prompt_template"])
    return PROMPT_TEMPLATE


def queue_answers(
    *,
    project: Project,
    model: Given,
    user: User | None,
    limit: int | None = None,
    config: dict[str, Any] | None = None,
) -> Run:
    """A run that answers the project's prompts, at most `limit` of them.

    Raises Refused where there is nothing to answer or the model may not be used here."""
    author, template = author_of(model), prompt_template(model)
    prompts = unanswered(project, author)
    rows = prompts[:limit] if limit else prompts
    path = Path(settings.RUN_ROOT) / "prompts" / f"{uuid.uuid4().hex}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for prompt in rows.iterator(chunk_size=500):
            turns = conversation(prompt.messages, prompt.system, prompt.context, template)
            line = {"key": str(prompt.pk), "messages": turns}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    try:
        if not count:
            raise Refused(f"{author} has answered every prompt of {project.name}.")
        return runs.create_run(
            workspace=project.workspace,
            recipe="answer",
            config=config or {},
            inputs={"model": model, "prompts": path},
            user=user,
            name=f"Answers for {project.name} by {author}",
        )
    except Exception:
        path.unlink()
        raise


def _answers(run: Run) -> Iterator[tuple[int, str]]:
    """(prompt's id, text) a line of artifact/answers.jsonl; lines that say nothing are left out."""
    with (run.artifact / "answers.jsonl").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            row = json.loads(line)
            text = str(row.get("text") or "").replace("\0", "").strip()
            if text and str(row.get("key", "")).isdigit():
                yield int(row["key"]), text


def model_of(run: Run) -> Given:
    """The model that an answer run speaks for."""
    rows = {row.name: row for row in run.inputs.select_related("source")}
    row = rows.get("init") or rows["model"]
    return row.source or row.path


def _prompts(run: Run, keys: list[int]) -> dict[int, Prompt]:
    """Those of the prompts that are in the run's workspace and in use."""
    rows = Prompt.objects.live().filter(project__workspace=run.workspace, retired=None)
    rows = rows.select_related("project").defer("messages", "system", "context", "tools")
    found: dict[int, Prompt] = {}
    for start in range(0, len(keys), AT_ONCE):
        found |= rows.in_bulk(keys[start : start + AT_ONCE])
    return found


def deliver(run: Run) -> dict[str, Any]:
    """Bring the answers of a finished answer run into its project; the importer's report.

    Done twice, it adds nothing: an equal answer of the same origin is not doubled. Raises
    Refused, ValueError or OSError where the answers cannot be read or taken in."""
    texts = dict(_answers(run))
    if not texts:
        raise Refused("the model wrote no answer with any text")
    prompts = _prompts(run, list(texts))
    if not prompts:
        raise Refused("their prompts are gone")
    project = next(iter(prompts.values())).project
    author = author_of(model_of(run))
    records = [
        Record(
            external_id=prompt.external_id,
            answers=[
                Answer(
                    text=texts[pk],
                    author_name=author,
                    origin=Origin.MODEL,
                    metadata={"run": run.pk},
                )
            ],
        )
        for pk, prompt in prompts.items()
        if prompt.project_id == project.pk
    ]
    report = importing.add_records(
        project=project, records=records, source=f"run {run.pk}", user=run.created_by
    )
    queue.answers_arrived([pk for pk, prompt in prompts.items()])
    return {
        "project": project.pk,
        "answers": report["responses"],
        "prompts": len(records),
        "refused": report["refused"][:20],
    }
