"""The first page, what waits for whom, and a workspace's projects."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from annotation import access, board, pace, queue, reviewing, turns
from annotation.models import Import, Project, Role, Seat, Stage, Submission, User, Workspace
from annotation.templatetags.turns import active

UNDER_WAY = [Import.State.QUEUED, Import.State.RUNNING]


def overview(projects: list[Project]) -> list[dict[str, Any]]:
    """For each project: its prompts and its stages, each with its progress. What is large and not
    counted yet is none."""
    rows = []
    for project in projects:
        stages = project.stages.exclude(state=Stage.State.IMPORTED).order_by("position", "pk")
        found = list(stages)
        counts = board.counts(project, found)
        rows.append(
            {
                "project": project,
                "prompts": counts.prompts,
                "counted": counts.counted,
                "stages": [{"stage": stage, "progress": counts.of(stage)} for stage in found],
            }
        )
    return rows


def _projects(workspace: Workspace, archived: bool = False) -> list[Project]:
    return list(workspace.projects.filter(archived__isnull=not archived).order_by("name"))


def _my_stages(
    workspace: Workspace, user: User, waiting: list[tuple[Stage, int]]
) -> list[dict[str, Any]]:
    """Where the person works or has worked in the workspace, and where work waits for them."""
    left = {stage.pk: (stage, count) for stage, count in waiting}
    seats = Seat.objects.filter(user=user, stage__project__workspace=workspace)
    rows: dict[int, dict[str, Any]] = {
        pk: {"stage": stage, "left": count} for pk, (stage, count) in left.items()
    }
    for seat in seats.filter(stage__project__archived=None).select_related("stage__project"):
        row = rows.setdefault(seat.stage_id, {"stage": seat.stage, "left": 0})
        row["seat"] = seat
    worked = [row for row in rows.values() if row["left"] or _did(row.get("seat"))]
    return sorted(worked, key=lambda row: (row["stage"].project.name, row["stage"].position))


def _did(seat: Seat | None) -> bool:
    return seat is not None and bool(seat.submitted or seat.skipped)


def _mine(workspace: Workspace, user: User, waiting: list[tuple[Stage, int]]) -> dict[str, Any]:
    """The person's own work: where, what came back, at which pace. Nothing for who has none."""
    stages = _my_stages(workspace, user, waiting)
    seated = [row["stage"] for row in stages if "seat" in row]
    if not seated:
        return {"my_stages": stages}
    mine = pace.mine(user)
    return {
        "my_stages": stages,
        "to_complete": turns.to_complete(seated, user),
        "returned": turns.returned(workspace, user),
        "expired": turns.came_back(workspace, user),
        "reopened": turns.reopened(workspace, user),
        "pace": mine,
        "charts": _charts(mine.days),
        "newest_first": mine.days[::-1],
    }


def _charts(days: list[pace.Day]) -> list[tuple[str, str, list[tuple[Any, Any, str]]]]:
    """(what, the most of it, [(bar, day, what it says)])."""
    series = [
        ("Items", [day.items for day in days], lambda n: f"{n} item{'' if n == 1 else 's'}"),
        ("Active time", [day.seconds for day in days], active),
    ]
    return [
        (
            what,
            said(max(values)),
            [
                (bar, day.date, said(value))
                for bar, day, value in zip(pace.bars(values), days, values, strict=True)
            ],
        )
        for what, values, said in series
    ]


def _current(request: HttpRequest, workspaces: list[Workspace]) -> Workspace:
    """The workspace asked for, else the one last looked at, else the first."""
    wanted = request.GET.get("workspace") or request.session.get("workspace")
    return next((each for each in workspaces if each.slug == wanted), workspaces[0])


def _where_they_were(
    request: HttpRequest, waiting: list[tuple[Stage, int]], returned: Iterable[Submission]
) -> tuple[Stage, int] | None:
    """The stage of what was returned to them; else the one that the person worked in last, if work
    waits there; else the first that waits.

    None for a lead who never took a turn: they come for the projects."""
    turns = Submission.objects.filter(user=request.user.pk)
    last = turns.order_by("-pk").values_list("stage", flat=True).first()
    if last is None and request.role >= Role.LEAD:  # type: ignore[attr-defined]
        return None
    wanted = [*(turn.stage_id for turn in returned), last]
    left = {stage.pk: (stage, count) for stage, count in waiting}
    found = next((left[pk] for pk in wanted if pk in left), None)
    return found or (waiting[0] if waiting else None)


@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    workspaces = list(access.mine(request.user).order_by("name"))  # type: ignore[arg-type]
    if not workspaces:
        return redirect("annotation:workspace_new")
    current = _current(request, workspaces)
    access.enter(request, current)
    request.session["workspace"] = current.slug
    user: User = request.user  # type: ignore[assignment]
    waiting = queue.waiting_for(user)
    mine = _mine(current, user, waiting)
    context: dict[str, Any] = {
        "workspaces": workspaces,
        "waiting": waiting,
        "continue": _where_they_were(request, waiting, mine.get("returned", ())),
        **mine,
    }
    if request.role >= Role.REVIEWER:  # type: ignore[attr-defined]
        context["reviews"] = reviewing.waiting(current, user)
    if request.role >= Role.LEAD:  # type: ignore[attr-defined]
        context["projects"] = overview(_projects(current))
        context["imports"] = Import.objects.filter(
            project__workspace=current, state__in=UNDER_WAY
        ).select_related("project")
        context["alone"] = not current.memberships.exclude(user=request.user.pk).exists()
    return render(request, "annotation/home.html", context)


@login_required
@require_GET
def workspace(request: HttpRequest, slug: str) -> HttpResponse:
    found = access.workspace(request, slug)
    request.session["workspace"] = found.slug
    context = {
        "projects": overview(_projects(found)),
        "archived": overview(_projects(found, archived=True)),
        "people": found.memberships.filter(is_active=True).count(),
    }
    return render(request, "annotation/workspace.html", context)
