"""The first page, what waits for whom, and a workspace's projects."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from annotation import access, queue
from annotation.models import Import, Project, Role, Stage, Submission, Workspace

UNDER_WAY = [Import.State.QUEUED, Import.State.RUNNING]


def overview(projects: list[Project]) -> list[dict[str, Any]]:
    """For each project: its stages, each with its progress, and how far they are together."""
    rows = []
    for project in projects:
        stages: list[dict[str, Any]] = [
            {"stage": stage, "progress": queue.progress(stage)}
            for stage in project.stages.exclude(state=Stage.State.IMPORTED).order_by("position")
        ]
        done = sum(row["progress"]["done"] for row in stages)
        total = sum(row["progress"]["items"] for row in stages)
        rows.append({"project": project, "stages": stages, "done": done, "total": total})
    return rows


def _projects(workspace: Workspace, archived: bool = False) -> list[Project]:
    live = Q(prompts__retired=None) & (Q(prompts__batch=None) | Q(prompts__batch__state="done"))
    rows = workspace.projects.filter(archived__isnull=not archived)
    return list(rows.annotate(prompt_count=Count("prompts", filter=live)).order_by("name"))


def _current(request: HttpRequest, workspaces: list[Workspace]) -> Workspace:
    """The workspace asked for, else the one last looked at, else the first."""
    wanted = request.GET.get("workspace") or request.session.get("workspace")
    return next((each for each in workspaces if each.slug == wanted), workspaces[0])


def _where_they_were(
    request: HttpRequest, waiting: list[tuple[Stage, int]]
) -> tuple[Stage, int] | None:
    """The stage that the person worked in last, if work waits there; else the first that waits.

    None for a lead who never took a turn: they come for the projects."""
    turns = Submission.objects.filter(user=request.user.pk)
    last = turns.order_by("-pk").values_list("stage", flat=True).first()
    if last is None and request.role >= Role.LEAD:  # type: ignore[attr-defined]
        return None
    return next((row for row in waiting if row[0].pk == last), waiting[0] if waiting else None)


@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    workspaces = list(access.mine(request.user).order_by("name"))  # type: ignore[arg-type]
    if not workspaces:
        return redirect("annotation:workspace_new")
    current = _current(request, workspaces)
    access.enter(request, current)
    request.session["workspace"] = current.slug
    waiting = queue.waiting_for(request.user)  # type: ignore[arg-type]
    context: dict[str, Any] = {
        "workspaces": workspaces,
        "waiting": waiting,
        "continue": _where_they_were(request, waiting),
    }
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
        "archived": _projects(found, archived=True),
        "people": found.memberships.filter(is_active=True).count(),
    }
    return render(request, "annotation/workspace.html", context)
