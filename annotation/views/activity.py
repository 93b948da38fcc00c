"""Who changed what in a workspace."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from annotation import access
from annotation.activity import newest
from annotation.models import Role
from annotation.text import row_number


@login_required
@require_GET
def activity(request: HttpRequest, slug: str) -> HttpResponse:
    """?project= shows one project's alone, ?before= goes back in time."""
    workspace = access.workspace(request, slug, Role.LEAD)
    projects = workspace.projects.order_by("name")
    project = row_number(request.GET.get("project", ""))
    rows, before = newest(workspace, project, row_number(request.GET.get("before", "")))
    context = {
        "rows": rows,
        "before": before,
        "projects": projects,
        "chosen": next((each for each in projects if each.pk == project), None),
        "first": not request.GET.get("before"),
    }
    return render(request, "annotation/activity.html", context)
