"""A project: what is in it, how far along it is, its settings."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, board, board_page
from annotation import projects as acts
from annotation.errors import Refused
from annotation.forms.projects import ProjectForm, ProjectSettingsForm
from annotation.models import Import, Project, Role, Stage
from annotation.views.home import UNDER_WAY


def _fetch(request: HttpRequest, pk: int, at_least: Role = Role.ANNOTATOR) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


@login_required
@require_http_methods(["GET", "POST"])
def project_new(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.LEAD)
    form = ProjectForm(request.POST or None)
    if form.is_valid():
        try:
            project = acts.create_project(
                workspace=workspace,
                author=request.user,  # type: ignore[arg-type]
                **form.cleaned_data,
            )
        except Refused as refusal:
            form.add_error("name", str(refusal))
        else:
            activity.note(request.user, "project made", project)  # type: ignore[arg-type]
            messages.success(request, f"{project} is there. It needs prompts and a stage.")
            return redirect("annotation:project", project.pk)
    return render(request, "annotation/project_new.html", {"form": form})


@login_required
@require_GET
def project(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    context = {
        **_board(request, found, board.board(found)),
        "guideline": found.guidelines,
        "people": found.workspace.memberships.filter(is_active=True).count(),
        "imported_work": found.stages.filter(state=Stage.State.IMPORTED).order_by("pk").first(),
        "imports": Import.objects.filter(project=found, state__in=UNDER_WAY),
    }
    return render(request, "annotation/project.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def project_board(request: HttpRequest, pk: int) -> HttpResponse:
    """The board alone: GET is asked again until it is counted, POST has it counted anew."""
    if request.method == "POST":
        found = _fetch(request, pk, Role.LEAD)
        board.board(found, force=True)
        messages.info(request, "Being counted: the page shows it as soon as it is done.")
        return redirect("annotation:project", pk)
    found = _fetch(request, pk)
    context = _board(request, found, board.board(found))
    return render(request, "annotation/_board.html", context)


def _board(request: HttpRequest, found: Project, counts: board.Counts) -> dict[str, Any]:
    """What everybody sees of the stages, and what only reviewers and leads do."""
    role: Role = request.role  # type: ignore[attr-defined]
    stages = list(found.stages.exclude(state=Stage.State.IMPORTED).order_by("position", "pk"))
    lines = board_page.lines(stages, counts, role)
    context: dict[str, Any] = {
        "project": found,
        "counts": counts,
        "prompts": counts.prompts,
        "stages": lines,
        "submitted": sum(line.progress["submitted"] for line in lines if line.progress),
    }
    if role >= Role.LEAD:
        pace = board_page.pace(counts)
        context |= {
            "chart": board_page.chart(pace),
            "newest_first": pace[::-1],
            "whole": board_page.whole(lines),
            "assumes": board_page.assumes(lines),
            "workers": (workers := board_page.people(found, stages, counts)),
            "idle": any(worker.said == "idle" for worker in workers),
        }
    return context


@login_required
@require_http_methods(["GET", "POST"])
def project_settings(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    form = ProjectSettingsForm(request.POST or None, instance=found)
    if form.is_valid():
        acts.update_project(project=found, **form.cleaned_data)
        changed = activity.changed(form)
        activity.note(request.user, "project edited", found, changed)  # type: ignore[arg-type]
        messages.success(request, "Saved.")
        return redirect("annotation:project", pk)
    return render(request, "annotation/project_settings.html", {"project": found, "form": form})


@login_required
@require_POST
def project_archive(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    acts.archive(project=found)
    activity.note(request.user, "project archived", found)  # type: ignore[arg-type]
    messages.success(request, f"{found} is archived. Nothing is deleted; you can bring it back.")
    return redirect("annotation:workspace", found.workspace.slug)


@login_required
@require_POST
def project_restore(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    acts.restore(project=found)
    activity.note(request.user, "project restored", found)  # type: ignore[arg-type]
    messages.success(request, f"{found} is back.")
    return redirect("annotation:project", pk)
