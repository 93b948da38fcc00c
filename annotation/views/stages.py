"""A stage: how far along it is, who did what, what needs a lead's eye."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, board, leave, markdown, pace, ratings, review_page
from annotation import projects as acts
from annotation.errors import Refused
from annotation.flagged import flagged
from annotation.forms.projects import StageForm
from annotation.models import Project, Role, Stage

_STATES = {"open": "open again", "paused": "paused: nobody is given new work"}


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Stage:
    rows = Stage.objects.select_related("project__workspace")
    return access.fetch(request, rows, at_least, pk=pk)


@login_required
@require_http_methods(["GET", "POST"])
def stage_new(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Project.objects.select_related("workspace")
    project = access.fetch(request, rows, Role.LEAD, pk=pk)
    form = StageForm(request.POST or None, workspace=project.workspace)
    if form.is_valid():
        rates = form.cleaned_data["kind"] == Stage.Kind.RATE
        state = Stage.State.PAUSED if rates else Stage.State.OPEN
        try:
            stage = acts.create_stage(project=project, state=state, **form.changes())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            activity.note(request.user, "stage made", stage)  # type: ignore[arg-type]
            if rates:
                messages.info(request, f"{stage} is paused: write its questions, then open it.")
                return redirect("annotation:rubric_edit", stage.pk)
            messages.success(request, f"{stage} is open.")
            return redirect("annotation:project", pk)
    return render(request, "annotation/stage_new.html", {"project": project, "form": form})


@login_required
@require_GET
def stage(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.REVIEWER)
    seats = list(found.seats.select_related("user").order_by("-submitted", "user__name"))
    away = leave.away(found.workspace)
    for seat in seats:
        seat.away = away.get(seat.user_id, "")  # type: ignore[attr-defined]
    if request.role >= Role.LEAD:  # type: ignore[attr-defined]  # a person's pace is private
        paces = pace.here(found)
        for seat in seats:
            seat.here = paces.get(seat.user_id)  # type: ignore[attr-defined]
    counts = board.counts(found.project, [found])
    context = {
        "stage": found,
        "project": found.project,
        "progress": counts.of(found),
        "counts": counts,
        "html": markdown.render(found.instructions) if found.instructions else "",
        "seats": seats,
        "flagged": flagged(found),
        "ratings": ratings.report(found),
        "to_review": review_page.waiting(found, request.user),  # type: ignore[arg-type]
    }
    return render(request, "annotation/stage.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def stage_edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    form = StageForm(request.POST or None, instance=found, workspace=found.workspace)
    if form.is_valid():
        try:
            acts.update_stage(stage=found, **form.changes())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            changed = activity.changed(form)
            activity.note(request.user, "stage edited", found, changed)  # type: ignore[arg-type]
            messages.success(request, "Saved.")
            return redirect("annotation:stage", pk)
    context = {"stage": found, "project": found.project, "form": form}
    return render(request, "annotation/stage_edit.html", context)


@login_required
@require_POST
def stage_state(request: HttpRequest, pk: int) -> HttpResponse:
    """Open or pause: `state` in the form."""
    found = _fetch(request, pk, Role.LEAD)
    state = request.POST.get("state", "")
    if state not in _STATES:
        messages.error(request, "A stage is open or paused.")
        return redirect("annotation:stage", pk)
    try:
        acts.set_state(stage=found, state=state)
        what = "stage opened" if state == Stage.State.OPEN else "stage paused"
        activity.note(request.user, what, found)  # type: ignore[arg-type]
        messages.success(request, f"{found} is {_STATES[state]}.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:stage", pk)
