"""A project's guidelines: read, compare versions, say that one is understood, edit."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, guideline_text
from annotation import guidelines as acts
from annotation import projects as project_acts
from annotation.errors import Refused
from annotation.forms.projects import GuidelinesForm
from annotation.models import GuidelineVersion, Project, Role
from annotation.text import row_number


def _fetch(request: HttpRequest, pk: int, at_least: Role = Role.ANNOTATOR) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


def _version(versions: list[GuidelineVersion], given: str) -> GuidelineVersion | None:
    """The version of that number, or 404; none where no number is given."""
    number = row_number(given)
    if number is None:
        return None
    found = next((version for version in versions if version.number == number), None)
    if found is None:
        raise Http404
    return found


@login_required
@require_GET
def guidelines(request: HttpRequest, pk: int) -> HttpResponse:
    """The version in force, or ?version=N; with ?against=M what changed since M."""
    found = _fetch(request, pk)
    versions = list(found.guideline_versions.select_related("author").order_by("-number"))
    newest = versions[0] if versions else None
    asked, against = request.GET.get("version", ""), request.GET.get("against", "")
    shown = _version(versions, asked) or newest
    context: dict[str, Any] = {
        "project": found,
        "versions": versions,
        "shown": shown,
        "in_force": newest is not None and shown == newest,
    }
    if shown is not None:
        read = acts.last_read(found, request.user)  # type: ignore[arg-type]
        context |= {
            "read": read,
            "to_read": shown == newest and read != shown.number,
            "earlier": [version for version in versions if version.number < shown.number],
        }
        if before := _version(versions, against):
            context["against"] = before
            context["steps"] = guideline_text.diff(before.text, shown.text)
        else:
            context["html"] = guideline_text.render(shown.text)
        if request.role >= Role.LEAD:  # type: ignore[attr-defined]
            context["readers"] = acts.readers(found)
    return render(request, "annotation/guidelines.html", context)


@login_required
@require_POST
def guidelines_read(request: HttpRequest, pk: int) -> HttpResponse:
    """“I have read and understood it”: `version` in the form, and the `stage` to go on in."""
    found = _fetch(request, pk)
    number, stage = (row_number(request.POST.get(name, "")) for name in ("version", "stage"))
    version = get_object_or_404(found.guideline_versions, number=number)
    try:
        acts.confirm(version=version, user=request.user)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.warning(request, str(refusal))
    else:
        if stage is None:
            messages.success(request, f"Noted: you have read version {version.number}.")
    if stage is not None and found.stages.filter(pk=stage).exists():
        return redirect("annotation:work", stage)
    return redirect("annotation:guidelines", pk)


@login_required
@require_http_methods(["GET", "POST"])
def guidelines_edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    newest = found.guidelines
    form = GuidelinesForm(request.POST or None, initial={"text": newest.text if newest else ""})
    if form.is_valid():
        version = project_acts.add_guidelines(
            project=found,
            author=request.user,  # type: ignore[arg-type]
            **form.cleaned_data,
        )
        if newest and version.number == newest.number:
            messages.info(request, "Nothing was changed, so there is no new version.")
            return redirect("annotation:guidelines", pk)
        messages.success(request, f"Version {version.number} is in force.")
        activity.record(
            workspace=found.workspace,
            project=found,
            actor=request.user,  # type: ignore[arg-type]
            what="guidelines edited",
            subject=f"{found}, version {version.number}",
            path=reverse("annotation:guidelines", args=[pk]),
        )
        return redirect("annotation:guidelines", pk)
    return render(request, "annotation/guidelines_edit.html", {"project": found, "form": form})
