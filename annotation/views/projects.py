"""A project: what is in it, how far along it is, its guidelines and settings."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, markdown, progress
from annotation import projects as acts
from annotation.errors import Refused
from annotation.forms.projects import GuidelinesForm, ProjectForm, ProjectSettingsForm
from annotation.models import Import, Project, Role, Stage
from annotation.text import row_number
from annotation.views.home import UNDER_WAY, overview


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
            messages.success(request, f"{project} is there. It needs prompts and a stage.")
            return redirect("annotation:project", project.pk)
    return render(request, "annotation/project_new.html", {"form": form})


@login_required
@require_GET
def project(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    stages = overview([found])[0]["stages"]
    context = {
        "project": found,
        "guideline": found.guidelines,
        "prompts": progress.prompts_in(found),
        "people": found.workspace.memberships.filter(is_active=True).count(),
        "stages": stages,
        "submitted": sum(row["progress"]["submitted"] for row in stages),
        "imported_work": found.stages.filter(state=Stage.State.IMPORTED).exists(),
        "imports": Import.objects.filter(project=found, state__in=UNDER_WAY),
    }
    return render(request, "annotation/project.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def project_settings(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    form = ProjectSettingsForm(request.POST or None, instance=found)
    if form.is_valid():
        acts.update_project(project=found, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("annotation:project", pk)
    return render(request, "annotation/project_settings.html", {"project": found, "form": form})


@login_required
@require_POST
def project_archive(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    acts.archive(project=found)
    messages.success(request, f"{found} is archived. Nothing is deleted; you can bring it back.")
    return redirect("annotation:workspace", found.workspace.slug)


@login_required
@require_POST
def project_restore(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    acts.restore(project=found)
    messages.success(request, f"{found} is back.")
    return redirect("annotation:project", pk)


@login_required
@require_GET
def guidelines(request: HttpRequest, pk: int) -> HttpResponse:
    """The version in force, or the one asked for with ?version=N."""
    found = _fetch(request, pk)
    versions = found.guideline_versions.select_related("author").order_by("-number")
    number = row_number(request.GET.get("version", ""))
    shown = versions.first() if number is None else get_object_or_404(versions, number=number)
    html = markdown.render(shown.text) if shown else ""
    context = {"project": found, "versions": versions, "shown": shown, "html": html}
    return render(request, "annotation/guidelines.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def guidelines_edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    newest = found.guidelines
    form = GuidelinesForm(request.POST or None, initial={"text": newest.text if newest else ""})
    if form.is_valid():
        version = acts.add_guidelines(
            project=found,
            author=request.user,  # type: ignore[arg-type]
            **form.cleaned_data,
        )
        if newest and version.number == newest.number:
            messages.info(request, "Nothing was changed, so there is no new version.")
        else:
            messages.success(request, f"Version {version.number} is in force.")
        return redirect("annotation:guidelines", pk)
    return render(request, "annotation/guidelines_edit.html", {"project": found, "form": form})
