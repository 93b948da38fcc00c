"""A model answers a project's prompts: which ones, the run that does it, the answers' way in."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from annotation import importing, queue
from annotation.errors import Refused
from annotation.models import Origin, Project, Prompt, Response, User
from annotation.records import Answer, Record
from exports.formats import PROMPT_TEMPLATE, conversation
from training import runs
from training.inputs import Given, Unanswered, model_name
from training.models import Run

AT_ONCE = 1_000  # ids a query: databases have a limit, SQLite's may be 32,766
BATCH = 500  # prompts or answers between two words about how far it is
PATIENCE = 600.0  # seconds for which answers wait for another import into the project

# Says what is done, how much of it, and of how much; raises Refused where it is to end.
Tell = Callable[[str, int, int], None]


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
    author = author_of(model)
    if not unanswered(project, author).exists():
        raise Refused(f"{author} has answered every prompt of {project.name}.")
    return runs.create_run(
        workspace=project.workspace,
        recipe="answer",
        config=config or {},
        inputs={"model": model, "prompts": Unanswered(project, limit)},
        user=user,
        name=f"Answers for {project.name} by {author}",
    )


def write_prompts(run: Run, tell: Tell) -> None:
    """Write what the run is to answer, where it is not written yet. Half a file is none: one that
    was broken off is written anew. Raises Refused where nothing is left to answer."""
    row = run.inputs.select_related("project").filter(name="prompts").first()
    if row is None or row.project is None or Path(row.path).exists():
        return
    model, path = model_of(run), Path(row.path)
    author, template = author_of(model), prompt_template(model)
    prompts = unanswered(row.project, author)
    total = min(prompts.count(), row.limit or sys.maxsize)
    if not total:
        raise Refused(f"{author} has answered every prompt of {row.project.name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{run.attempt}")  # no other attempt's, should one wake up
    try:
        with part.open("w", encoding="utf-8") as file:
            for count, prompt in enumerate(prompts[:total].iterator(chunk_size=BATCH)):
                if count % BATCH == 0:
                    tell("writing the prompts", count, total)
                turns = conversation(prompt.messages, prompt.system, prompt.context, template)
                line = {"key": str(prompt.pk), "messages": turns}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    tell("", 0, total)  # what comes now is the trainer's


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


def deliver(run: Run, tell: Tell = lambda *_: None) -> dict[str, Any]:
    """Bring the answers of a finished answer run into its project; the importer's report.

    All of them or none, and done twice, it adds nothing: an equal answer of the same origin is not
    doubled. Raises Refused, ValueError or OSError where they cannot be read or taken in, and what
    `tell` raises."""
    texts = dict(_answers(run))
    if not texts:
        raise Refused("the model wrote no answer with any text")
    found = _prompts(run, list(texts))
    if not found:
        raise Refused("their prompts are gone")
    project = next(iter(found.values())).project
    prompts = [prompt for prompt in found.values() if prompt.project_id == project.pk]
    author = author_of(model_of(run))

    def records() -> Iterator[Record]:
        for count, prompt in enumerate(prompts):
            if count % BATCH == 0:
                tell("bringing the answers in", count, len(prompts))
            answer = Answer(
                text=texts[prompt.pk],
                author_name=author,
                origin=Origin.MODEL,
                metadata={"run": run.pk},
            )
            yield Record(external_id=prompt.external_id, answers=[answer])
        tell("bringing the answers in", len(prompts), len(prompts))

    until = time.monotonic() + PATIENCE
    while True:
        try:
            report = importing.add_records(
                project=project,
                records=records(),
                source=f"run {run.pk}",
                user=run.created_by,
                patience=2.0,
            )
            break
        except (
            importing.Busy
        ):  # by people, or by a worker that was killed at this, until it is swept away
            if time.monotonic() > until:
                raise
            tell("waiting for another import into the project", 0, len(prompts))
    queue.answers_arrived([prompt.pk for prompt in prompts])
    return {
        "project": project.pk,
        "answers": report["responses"],
        "prompts": len(prompts),
        "refused": report["refused"][:20],
    }
