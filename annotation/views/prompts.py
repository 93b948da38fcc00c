"""A prompt by hand: adding, editing, retiring."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access, activity
from annotation import prompts as acts
from annotation.errors import Refused
from annotation.forms.prompts import PromptForm
from annotation.models import Project, Prompt, Role
from annotation.text import row_number


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Prompt:
    """Rows of an import that is not done are nobody's yet."""
    rows = Prompt.objects.live().select_related("project__workspace", "parent")
    return access.fetch(request, rows, at_least, pk=pk)


def _project(request: HttpRequest, pk: int, at_least: Role) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


@login_required
@require_http_methods(["GET", "POST"])
def prompt_new(request: HttpRequest, pk: int) -> HttpResponse:
    project = _project(request, pk, Role.LEAD)
    form = PromptForm(request.POST or None)
    if form.is_valid():
        try:
            prompt = acts.add_prompt(
                project=project, external_id=form.cleaned_data["external_id"], **form.content()
            )
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            activity.note(request.user, "prompt added", prompt)  # type: ignore[arg-type]
            messages.success(request, "The prompt is there, and in the queues that it fits.")
            return redirect("annotation:prompt", prompt.pk)
    return render(request, "annotation/prompt_new.html", {"project": project, "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def prompt_edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    form = PromptForm(request.POST or None, prompt=found)
    if form.is_valid():
        try:
            acts.edit_prompt(prompt=found, **form.content())
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            changed = activity.changed(form)
            activity.note(request.user, "prompt edited", found, changed)  # type: ignore[arg-type]
            messages.success(request, "Saved.")
            return redirect("annotation:prompt", pk)
    context = {
        "prompt": found,
        "project": found.project,
        "form": form,
        "worked_on": acts.is_worked_on(found),
    }
    return render(request, "annotation/prompt_edit.html", context)


@login_required
@require_POST
def prompt_retire(request: HttpRequest, pk: int) -> HttpResponse:
    """From a stage's list of flagged items (`stage` in the form) one goes back there."""
    found = _fetch(request, pk, Role.LEAD)
    acts.retire(prompt=found)
    activity.note(request.user, "prompt retired", found)  # type: ignore[arg-type]
    messages.success(request, "Retired: out of every queue. What was done on it stays.")
    if stage := row_number(request.POST.get("stage", "")):
        return redirect("annotation:stage", stage)
    return redirect("annotation:prompt", pk)


@login_required
@require_POST
def prompt_restore(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    try:
        acts.unretire(prompt=found)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("annotation:prompt", pk)
    activity.note(request.user, "prompt restored", found)  # type: ignore[arg-type]
    messages.success(request, "The prompt is back in its queues.")
    return redirect("annotation:prompt", pk)
