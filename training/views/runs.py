"""Runs: the list, one run's page and what can be done to it. Pages read rows only."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Role, User
from training import answers, reports, withdrawn
from training import runs as acts
from training.forms import AnswerForm
from training.models import Run

PER_PAGE = 50


def _run(request: HttpRequest, pk: int) -> Run:
    rows = Run.objects.select_related("workspace", "created_by")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


@login_required
@require_GET
def runs(request: HttpRequest, slug: str) -> HttpResponse:
    """Newest first; polled while one of them is under way."""
    workspace = access.workspace(request, slug, Role.LEAD)
    page = Paginator(workspace.runs.order_by("-pk"), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [reports.line(run) for run in page],
        "live": any(not run.has_ended for run in page),
    }
    partial = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "training/_runs.html" if partial else "training/runs.html", context)


@login_required
@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    found = _run(request, pk)
    context = {
        **reports.page(found),
        "answer_form": AnswerForm(workspace=found.workspace) if reports.can_answer(found) else None,
        "resumable": found.has_ended and not acts.why_not_resumable(found),
        "withdrawn": withdrawn.behind(found),
    }
    return render(request, "training/run.html", context)


@login_required
@require_GET
def run_live(request: HttpRequest, pk: int) -> HttpResponse:
    """What moves while the run works. Once it has ended the page is loaded anew."""
    found = _run(request, pk)
    response = render(request, "training/_run_live.html", reports.page(found))
    if found.has_ended:
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_GET
def run_log(request: HttpRequest, pk: int) -> HttpResponse:
    found = _run(request, pk)
    return render(request, "training/_run_log.html", {"run": found, "log": reports.log_tail(found)})


def _note(request: HttpRequest, what: str, run: Run) -> None:
    page = reverse("training:run", args=[run.pk])
    activity.note(request.user, what, run, run.recipe, page)  # type: ignore[arg-type]


@login_required
@require_POST
def run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    found = _run(request, pk)
    try:
        acts.cancel(found, by=str(request.user))
        _note(request, "run cancelled", found)
        messages.info(request, "It stops as soon as it has saved a checkpoint."
                      if not found.has_ended else "It is cancelled.")  # fmt: skip
    except Refused as error:
        messages.error(request, str(error))
    return redirect("training:run", pk)


@login_required
@require_POST
def run_resume(request: HttpRequest, pk: int) -> HttpResponse:
    found = _run(request, pk)
    try:
        acts.resume(found, by=str(request.user))
        _note(request, "run resumed", found)
        messages.success(request, "It is queued again.")
    except Refused as error:
        messages.error(request, str(error))
    return redirect("training:run", pk)


@login_required
@require_POST
def run_answer(request: HttpRequest, pk: int) -> HttpResponse:
    """Let this run's model answer the prompts of a project."""
    found = _run(request, pk)
    form = AnswerForm(request.POST, workspace=found.workspace)
    assert isinstance(request.user, User)
    if form.is_valid():
        try:
            made = answers.queue_answers(model=found, user=request.user, **form.cleaned_data)
            _note(request, "run started", made)
            return redirect("training:run", made.pk)
        except Refused as error:
            form.add_error(None, str(error))
    context = {**reports.page(found), "answer_form": form, "resumable": False}
    return render(request, "training/run.html", context, status=400)
