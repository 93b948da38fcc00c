"""A dataset's live selection: what it says, checked against the workspace, and read as rows.

Reading goes through the prompts in ranges of ids, so that memory does not grow with the project.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Max, Sum, TextField
from django.db.models.functions import Cast, Length

from annotation.models import (
    Adjudication,
    Gold,
    Item,
    Prompt,
    Ranking,
    Response,
    Review,
    Stage,
    Submission,
    Workspace,
)
from exports import questions, raters, reading, text_rules
from exports.models import Dataset
from exports.reading import Wanted
from exports.rows import candidates
from exports.rules import Selection, SelectionError, check_kind, numbers, parse, to_json
from exports.work import Candidate

__all__ = ["Chunk", "Selection", "SelectionError", "check", "data_version", "read", "select"]


@dataclass(frozen=True)
class Chunk:
    """The candidates of some prompts. `seen` of `total` prompts are behind us."""

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
    if not errors:
        projects = list(workspace.projects.filter(slug__in=selection.projects))
        errors |= questions.problems(kind, selection, projects)
        errors |= _unknown(workspace, selection)
    if errors:
        raise SelectionError(errors)
    # Sorted, so that the order in which they were ticked does not count.
    return replace(selection, projects=tuple(sorted(selection.projects)))


def _unknown(workspace: Workspace, selection: Selection) -> dict[str, str]:
    """What the selection names and is not there, by field."""
    errors = {}
    foreign = set(numbers(selection.weights)) - set(selection.projects)
    if foreign:
        errors["weights"] = f"{', '.join(sorted(foreign))}: not among the chosen projects"
    for name in selection.not_in:
        if (wrong := text_rules.unguarded(workspace, name)) is not None:
            errors["not_in"] = wrong
    return errors


def read(dataset: Dataset) -> Selection:
    """The dataset's selection. Raises SelectionError where it can no longer be served."""
    check_kind(dataset.kind)
    return check(dataset.workspace, dataset.kind, dataset.selection)


def select(
    dataset: Dataset, selection: Selection | None = None, alive: Callable[[], None] = lambda: None
) -> Iterator[Chunk]:
    """All that the selection makes of the data: rows, and dropped rows with their reason. `alive`
    is called often before the first of them, while annotators are measured."""
    selection = selection or read(dataset)
    workspace = dataset.workspace
    projects = list(workspace.projects.filter(slug__in=selection.projects).order_by("slug"))
    total = Prompt.objects.live().filter(project__in=projects).count()
    seen, wanted = 0, Wanted.of(dataset.kind, selection)
    known = raters.known(selection, projects, alive)
    for project in projects:
        for works in reading.works(project, selection, wanted):
            found = [
                candidate
                for work in works
                for candidate in candidates(dataset.kind, work, selection, workspace.salt, known)
            ]
            seen += len(works)
            yield Chunk(found, seen, total)


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
            metadata=Sum(Length(Cast("metadata", TextField()))),
        )
    ]
    guarded = [text_rules.mark(dataset.workspace, name) for name in selection.not_in]
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
        items = Item.objects.filter(stage__project__in=projects, disagreement__isnull=False)
        parts.append(items.aggregate(n=Count("id"), apart=Sum("disagreement")))
        if raters.sources(selection):  # what a word weighs hangs on gold
            gold = Gold.objects.filter(item__stage__project__in=projects)
            parts.append(gold.aggregate(n=Count("id"), last=Max("id")))
    rules = to_json(dataset.kind, selection)
    return repr((rules, guarded, [sorted(part.items()) for part in parts]))
