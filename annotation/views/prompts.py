"""The prompts of a project: the list, and what may be changed in one of them."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, ordering, prompt_list
from annotation import prompts as acts
from annotation.errors import Refused
from annotation.forms.prompts import PromptForm
from annotation.models import Project, Prompt, Role, Stage
from annotation.rounds import WORKED
from annotation.text import row_number

_PLACES = {"1": "now first in the queue", "0": "in the usual place", "-1": "now last in the queue"}


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Prompt:
    """Rows of an import that is not done are nobody's yet."""
    rows = Prompt.objects.live().select_related("project__workspace", "parent")
    return access.fetch(request, rows, at_least, pk=pk)


def _project(request: HttpRequest, pk: int, at_least: Role) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


@login_required
@require_GET
def prompts(request: HttpRequest, pk: int) -> HttpResponse:
    """?q= searches, ?show= filters, ?after= and ?before= page by id."""
    project = _project(request, pk, Role.REVIEWER)
    page = prompt_list.page(
        project=project,
        search=request.GET.get("q", "").strip(),
        show=request.GET.get("show", ""),
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
    )
    context = {"project": project, "page": page, "shows": prompt_list.SHOWS}
    if request.role >= Role.LEAD and page.show != "retired":  # type: ignore[attr-defined]
        queues = project.stages.filter(kind__in=WORKED).exclude(state=Stage.State.IMPORTED)
        context["queues"] = queues.order_by("position")
    return render(request, "annotation/prompts.html", context)


@login_required
@require_POST
def prompts_priority(request: HttpRequest, pk: int) -> HttpResponse:
    """Put the ticked prompts, or all that match (`all`), first or last in a stage's queue."""
    project = _project(request, pk, Role.LEAD)
    sent = request.POST
    search, show = sent.get("q", "").strip(), sent.get("show", "")
    back = f"{reverse('annotation:prompts', args=[pk])}?{urlencode({'q': search, 'show': show})}"
    stage = project.stages.filter(pk=row_number(sent.get("stage", "")) or 0).first()
    if sent.get("all"):
        ids = prompt_list.chosen(project, search, show, ordering.MOST_PROMPTS)
    else:
        given = [row_number(each) for each in sent.getlist("prompt")]
        ids = list(
            project.prompts.filter(pk__in=[n for n in given if n]).values_list("pk", flat=True)
        )
    if stage is None or sent.get("priority") not in _PLACES or not ids:
        messages.error(request, "Tick some prompts, and choose a stage and a place in it.")
        return redirect(back)
    try:
        moved = ordering.prioritise(stage, ids, int(sent["priority"]))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(back)
    said = f"{moved:,} item{'' if moved == 1 else 's'} of {stage} {_PLACES[sent['priority']]}."
    if rest := len(ids) - moved:
        said += f" {rest:,} of the prompts {'has' if rest == 1 else 'have'} nothing open there."
    messages.success(request, said)
    return redirect(back)


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
            changed = ", ".join(form.changed_data)
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
    acts.unretire(prompt=found)
    activity.note(request.user, "prompt restored", found)  # type: ignore[arg-type]
    messages.success(request, "The prompt is back in its queues.")
    return redirect("annotation:prompt", pk)
