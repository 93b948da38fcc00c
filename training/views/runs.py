"""Runs: the list, one run's page and what can be done to it. Pages read rows only."""

from typing import Any

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
from training.answer_forms import AnswerForm
from training.evaluate_form import EvaluateForm, can_be_measured
from training.models import Run
from training.planning import plan
from training.views import looking
from training.views.looking import Look, Verdict, answer
from training.views.panels import gone

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
        "rows": reports.lines(page),
        "live": any(not run.has_ended for run in page),
    }
    partial = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "training/_runs.html" if partial else "training/runs.html", context)


@login_required
@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    found = _run(request, pk)
    return _page(request, found)


def _page(
    request: HttpRequest,
    run: Run,
    *,
    answer_form: AnswerForm | None = None,
    evaluate_form: EvaluateForm | None = None,
    looks: list[Look] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The run's page, with the form that was sent, if one was, and what is known of it."""
    if answer_form is None and reports.can_answer(run):
        answer_form = AnswerForm(workspace=run.workspace)
    if evaluate_form is None and can_be_measured(run):
        evaluate_form = EvaluateForm(run=run)
    context = {
        **reports.page(run),
        "answer_form": answer_form,
        "evaluate_form": evaluate_form,
        "verdict": _verdict(evaluate_form, looks) if evaluate_form else None,
        "evaluate_open": evaluate_form is not None and evaluate_form.is_bound,
        "resumable": run.has_ended and not acts.why_not_resumable(run),
        "withdrawn": withdrawn.behind(run),
    }
    return render(request, "training/run.html", context, status=status)


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
    return _page(request, found, answer_form=form, status=400)


@login_required
@require_POST
def run_evaluate(request: HttpRequest, pk: int) -> HttpResponse:
    """Measure this run's model, or a checkpoint of it, on a snapshot."""
    found = _run(request, pk)
    if not can_be_measured(found):
        messages.error(request, f"Run {found.pk} has left no model to measure.")
        return redirect("training:run", pk)
    form = EvaluateForm(request.POST, run=found)
    assert isinstance(request.user, User)
    if not form.is_valid():
        return _page(request, found, evaluate_form=form, status=422)
    verdict = _verdict(form)
    try:
        verdict.looks = looking.looks([plan(**_asked(form))])
        if not verdict.start():
            return _page(request, found, evaluate_form=form, looks=verdict.looks)
        made = acts.create_run(**_asked(form), user=request.user)
    except Refused as error:
        if not verdict.refuses:
            form.add_error(None, str(error))
        return _page(request, found, evaluate_form=form, looks=verdict.looks, status=422)
    _note(request, "run started", made)
    return gone(request, reverse("training:run", args=[made.pk]))


@login_required
@require_POST
def run_preflight(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a look at the evaluation; with `known`, only say what is known of it."""
    found = _run(request, pk)
    form = EvaluateForm(request.POST, run=found)
    only_known = "known" in request.POST
    verdict = _verdict(form)
    if form.is_valid():
        try:
            verdict.looks = looking.looks([plan(**_asked(form))])
            if not only_known:
                verdict.ask(again="again" in request.POST)
        except Refused as error:
            form.add_error(None, str(error))
    if only_known:
        return answer(request, verdict)
    status = 422 if form.errors else 200
    return _page(request, found, evaluate_form=form, looks=verdict.looks, status=status)


def _verdict(form: EvaluateForm, looks: list[Look] | None = None) -> Verdict:
    url = reverse("training:run_preflight", args=[form.run.pk])
    return Verdict(url, "Evaluate", looks or [], is_new=not form.is_bound)


def _asked(form: EvaluateForm) -> dict[str, Any]:
    """What a valid form asks for, as `plan` and `create_run` take it."""
    return {
        "workspace": form.run.workspace,
        "recipe": "evaluate",
        "config": form.cleaned_data["config"],
        "inputs": form.inputs(),
    }
