"""A dataset's live selection: what it says, checked against the workspace, and read as rows.

Reading goes through the prompts in ranges of ids, so that memory does not grow with the project.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Max, Q, Sum, TextField
from django.db.models.functions import Cast, Length

from annotation.models import (
    Adjudication,
    Import,
    Project,
    Prompt,
    Ranking,
    Response,
    Review,
    Stage,
    Submission,
    Workspace,
)
from exports.models import Dataset
from exports.rows import candidates
from exports.rules import Selection, SelectionError, check_kind, parse, to_json
from exports.work import Answer, Candidate, Ranked, Work

CHUNK = 500

__all__ = ["Chunk", "Selection", "SelectionError", "check", "data_version", "read", "select"]


@dataclass(frozen=True)
class Chunk:
    """The candidates of up to CHUNK prompts. `seen` of `total` prompts are behind us."""

    found: list[Candidate]
    seen: int
    total: int


def check(workspace: Workspace, kind: str, values: dict[str, Any]) -> Selection:
    """A selection that this workspace can serve.

    Raises SelectionError, naming each field: also for projects and stages that are not here."""
    selection = parse(kind, values)
    errors = {}
    known = dict(workspace.projects.values_list("slug", "pk"))
    if not selection.projects:
        errors["projects"] = "choose at least one project"
    elif missing := [slug for slug in selection.projects if slug not in known]:
        there = ", ".join(sorted(known)) or "none yet"
        errors["projects"] = f"no project {', '.join(missing)} here; there are {there}"
    elif selection.stages:
        pks = [known[slug] for slug in selection.projects]
        here = set(Stage.objects.filter(project__in=pks).values_list("pk", flat=True))
        if foreign := [str(pk) for pk in selection.stages if pk not in here]:
            errors["stages"] = f"{', '.join(foreign)}: not a stage of the chosen projects"
    if errors:
        raise SelectionError(errors)
    # Sorted, so that the order in which they were ticked does not count.
    return replace(selection, projects=tuple(sorted(selection.projects)))


def read(dataset: Dataset) -> Selection:
    """The dataset's selection. Raises SelectionError where it can no longer be served."""
    check_kind(dataset.kind)
    return check(dataset.workspace, dataset.kind, dataset.selection)


def select(dataset: Dataset, selection: Selection | None = None) -> Iterator[Chunk]:
    """All that the selection makes of the data: rows, and dropped rows with their reason."""
    selection = selection or read(dataset)
    workspace = dataset.workspace
    projects = list(workspace.projects.filter(slug__in=selection.projects).order_by("slug"))
    total = Prompt.objects.live().filter(project__in=projects).count()
    seen = 0
    for project in projects:
        for works in _works(project, selection, with_answers=dataset.kind != "prompts"):
            found = [
                candidate
                for work in works
                for candidate in candidates(dataset.kind, work, selection, workspace.salt)
            ]
            seen += len(works)
            yield Chunk(found, seen, total)


def _works(project: Project, selection: Selection, with_answers: bool) -> Iterator[list[Work]]:
    last = 0
    fields = ("id", "external_id", "messages", "root_key", "system", "context", "tools", "retired")
    prompts = Prompt.objects.live().filter(project=project).order_by("id")
    while rows := list(prompts.filter(id__gt=last).values(*fields)[:CHUNK]):
        last = rows[-1]["id"]
        works = [
            Work(
                project=project.slug,
                project_uuid=project.uuid,
                **{**row, "retired": row["retired"] is not None},
            )
            for row in rows
        ]
        if with_answers:
            ids = [row["id"] for row in rows]
            decided = _decided(ids)
            answers = _answers(ids, selection, decided)
            rankings = _rankings(ids, selection, decided)
            for work in works:
                work.answers, work.rankings = answers[work.id], rankings[work.id]
        yield works


def _decided(prompt_ids: list[int]) -> dict[int, Adjudication]:
    """{item: the lead's decision in force}: of what was made of the item, it alone counts."""
    rows = Adjudication.objects.filter(item__prompt__in=prompt_ids, withdrawn__isnull=True)
    return {row.item_id: row for row in rows.select_related("item")}


def _answers(
    prompt_ids: list[int], selection: Selection, decided: dict[int, Adjudication]
) -> dict[int, list[Answer]]:
    """The live responses of each prompt; in scope are those of the chosen stages' submitted work
    and, since they belong to no stage, those that came without a submission. A lead's own text
    belongs to the stage of the item that it decides."""
    found: dict[int, list[Answer]] = defaultdict(list)
    own = {row.response_id: row.item.stage_id for row in decided.values() if row.response_id}
    rows = (
        Response.objects.live()
        .filter(prompt__in=prompt_ids, withdrawn__isnull=True)
        .order_by("id")
        .values_list(
            "prompt_id",
            "id",
            "text",
            "origin",
            "corrects_id",
            "author_id",
            "submission_id",
            "submission__state",
            "submission__stage_id",
            "submission__item_id",
            "submission__user_id",
            "submission__rater",
            "submission__guidelines__number",
            "submission__messages",
            "submission__system",
            "submission__context",
        )
    )
    for prompt, pk, text, origin, corrects, author, *turn in rows.iterator():
        submission, state, stage, item, user, rater, guidelines, messages, system, context = turn
        stage = own.get(pk, stage)
        in_scope = (submission is None or state == Submission.State.SUBMITTED) and (
            stage is None or selection.stages is None or stage in selection.stages
        )
        decision = decided.get(item)
        found[prompt].append(
            Answer(
                id=pk,
                text=text,
                origin=origin,
                corrects=corrects,
                in_scope=in_scope,
                submission=submission,
                annotator=_annotator(user or author, rater or ""),
                guidelines=guidelines,
                messages=messages,
                system=system,
                context=context,
                passed_over=decision is not None and decision.submission_id != submission,
            )
        )
    return found


def _rankings(
    prompt_ids: list[int], selection: Selection, decided: dict[int, Adjudication]
) -> dict[int, list[Ranked]]:
    """The rankings in scope; of a decided item the chosen one, or the lead's own order."""
    found: dict[int, list[Ranked]] = defaultdict(list)
    unfinished = Import.objects.exclude(state=Import.State.DONE).values("pk")
    rankings = Ranking.objects.filter(
        Q(submission__batch__isnull=True) | ~Q(submission__batch__in=unfinished),
        submission__item__prompt__in=prompt_ids,
        submission__state=Submission.State.SUBMITTED,
        withdrawn__isnull=True,
    )
    if selection.stages is not None:
        rankings = rankings.filter(submission__stage__in=selection.stages)
    if not selection.include_imported:
        rankings = rankings.exclude(submission__origin="import")
    rows = rankings.order_by("id").values_list(
        "submission__item_id",
        "submission__item__prompt_id",
        "order",
        "strength",
        "all_bad",
        "submission_id",
        "submission__user_id",
        "submission__rater",
        "submission__guidelines__number",
    )
    for item, prompt, order, strength, all_bad, submission, user, rater, number in rows.iterator():
        if item in decided and decided[item].submission_id != submission:
            continue
        found[prompt].append(
            Ranked(
                order=order,
                strength=strength,
                submission=submission,
                annotator=_annotator(user, rater),
                guidelines=number,
                all_bad=all_bad,
            )
        )
    for decision in decided.values():
        about = decision.item
        if "order" in decision.content and (
            selection.stages is None or about.stage_id in selection.stages
        ):
            found[about.prompt_id].append(
                Ranked(
                    order=decision.content["order"],
                    strength=decision.content.get("strength"),
                    submission=None,
                    annotator=_annotator(decision.author_id, ""),
                    all_bad=bool(decision.content.get("all_bad")),
                )
            )
    return found


def _annotator(user: int | None, name: str) -> str:
    """Who, before the pseudonym; nothing where nobody is known."""
    return f"user {user}" if user else f"name {name}" if name else ""


def data_version(dataset: Dataset, selection: Selection) -> str:
    """Changes when the data below the selection does: counts, newest ids and lengths of texts."""
    projects = dataset.workspace.projects.filter(slug__in=selection.projects)
    prompts = Prompt.objects.live().filter(project__in=projects)
    parts: list[dict[str, Any]] = [
        prompts.aggregate(
            n=Count("id"),
            last=Max("id"),
            retired=Count("retired"),
            size=Sum(Length(Cast("messages", TextField())) + Length("system") + Length("context")),
        )
    ]
    if dataset.kind != "prompts":
        responses = Response.objects.live().filter(prompt__project__in=projects)
        turns = Submission.objects.live().filter(stage__project__in=projects)
        done = turns.filter(state=Submission.State.SUBMITTED)
        rankings = Ranking.objects.filter(submission__stage__project__in=projects)
        reviews = Review.objects.filter(submission__stage__project__in=projects)
        decisions = Adjudication.objects.filter(item__stage__project__in=projects)
        parts += [
            responses.aggregate(n=Count("id"), last=Max("id"), gone=Count("withdrawn")),
            done.aggregate(n=Count("id"), last=Max("submitted")),
            rankings.aggregate(n=Count("id"), last=Max("id"), gone=Count("withdrawn")),
            # A fix changes a ranking in its place; a decision changes what counts, and no row.
            reviews.aggregate(n=Count("id"), last=Max("id")),
            decisions.aggregate(n=Count("id"), last=Max("id"), gone=Count("withdrawn")),
        ]
    return repr((to_json(dataset.kind, selection), [sorted(part.items()) for part in parts]))
