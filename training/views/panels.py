"""What other pages show of training: runs under way, the Train panel, answers by a model."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Erasure, Project, Role, User
from exports import withdrawal
from exports.models import Dataset, Snapshot
from training import answers, preflight_report, preflights, reports, results, runs, withdrawn
from training.answer_forms import ProjectAnswerForm
from training.forms import ABOUT, RlhfForm, StartForm
from training.models import Run
from training.recipes.configs import RECIPES, ConfigError

RLHF_KINDS = ("sft", "preference", "prompts")


def _dataset(request: HttpRequest, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _note(user: User, what: str, run: Run) -> None:
    """Into the workspace's activity."""
    activity.note(user, what, run, run.recipe, reverse("training:run", args=[run.pk]))


def gone(request: HttpRequest, url: str) -> HttpResponse:
    """Off to the page, whether htmx asked or a browser."""
    return HttpResponseClientRedirect(url) if request.headers.get("HX-Request") else redirect(url)


@login_required
@require_GET
def home_panel(request: HttpRequest, slug: str) -> HttpResponse:
    """Runs under way in the workspace, polled while there are any."""
    workspace = access.workspace(request, slug, Role.LEAD)
    under_way = workspace.runs.exclude(state__in=Run.ENDED).order_by("pk")
    context = {"runs": [reports.line(run) for run in under_way], "slug": slug}
    return render(request, "training/_home_panel.html", context)


def _recipes(dataset: Dataset) -> list[str]:
    """What can be done with the dataset: its kind's recipes, and an evaluation."""
    return [name for name, recipe in RECIPES.items() if recipe.dataset in (dataset.kind, "any")]


def _chosen(request: HttpRequest, dataset: Dataset) -> str:
    """The recipe that is asked for; the kind's first where none is."""
    recipes = _recipes(dataset)
    asked = request.POST.get("recipe") or request.GET.get("recipe")
    return asked if asked in recipes else recipes[0]


def _panel(
    request: HttpRequest,
    dataset: Dataset,
    *,
    form: StartForm | None = None,
    rlhf: RlhfForm | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    form = form or StartForm(recipe=_chosen(request, dataset), dataset=dataset)
    used = Run.objects.filter(inputs__snapshot__dataset=dataset).order_by("-pk")
    training, evaluations = used.exclude(recipe="evaluate"), used.filter(recipe="evaluate")
    context = {
        "dataset": dataset,
        "form": form,
        "title": RECIPES[form.recipe].title,
        "about": ABOUT.get(form.recipe, ""),
        "recipes": [(name, RECIPES[name].title) for name in _recipes(dataset)],
        "rlhf": rlhf or RlhfForm(dataset=dataset) if dataset.kind in RLHF_KINDS else None,
        "rlhf_open": rlhf is not None,
        "runs": [reports.line(run) for run in training[:6]],
        "evaluations": results.side_by_side(evaluations[:12]),
        "converting": Run.objects.filter(recipe="convert").exclude(state__in=Run.ENDED).first(),
        **more,
    }
    return render(request, "training/_dataset_panel.html", context, status=status)


@login_required
@require_GET
def dataset_panel(request: HttpRequest, pk: int) -> HttpResponse:
    return _panel(request, _dataset(request, pk))


def _form(request: HttpRequest, dataset: Dataset) -> StartForm:
    """The recipe's form with what was sent."""
    return StartForm(request.POST, recipe=_chosen(request, dataset), dataset=dataset)


def _found(dataset: Dataset, form: StartForm, *, probe: bool = False) -> dict[str, Any] | None:
    return preflights.preflight(
        probe=probe,
        workspace=dataset.workspace,
        recipe=form.recipe,
        config=form.cleaned_data["config"],
        inputs=form.inputs(),
    )


@login_required
@require_POST
def preflight(request: HttpRequest, pk: int) -> HttpResponse:
    """Look before anything is started, and try two steps where that is asked; the result stands in
    the panel."""
    dataset = _dataset(request, pk)
    form = _form(request, dataset)
    if not form.is_valid():
        return _panel(request, dataset, form=form, status=422)
    try:
        found = _found(dataset, form, probe="probe" in request.POST)
    except Refused as error:
        return _panel(request, dataset, refusal=str(error), form=form, status=422)
    later = "" if found else "An input is a run that still works: it looks when that one is done."
    report = preflight_report.shown(found) if found else None
    return _panel(request, dataset, form=form, report=report, later=later)


@login_required
@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """Start the recipe; a refusal of the preflight blocks it."""
    dataset = _dataset(request, pk)
    found = None
    form = _form(request, dataset)
    if not form.is_valid():
        return _panel(request, dataset, form=form, status=422)
    try:
        found = _found(dataset, form)
        preflights.refuse_if_refused(found)
        run = runs.create_run(
            workspace=dataset.workspace,
            recipe=form.recipe,
            config=form.cleaned_data["config"],
            inputs=form.inputs(),
            user=_person(request),
        )
    except Refused as error:
        report = preflight_report.shown(found) if found else None
        shown = "" if report else str(error)
        return _panel(request, dataset, form=form, refusal=shown, report=report, status=422)
    _note(_person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))


def _look_at_first_two(dataset: Dataset, form: RlhfForm) -> None:
    """Raises Refused with what the preflight refuses of SFT or the reward run. PPO's looks when
    both have ended."""
    given = form.cleaned_data
    for recipe, snapshot in (("sft", given["sft"]), ("reward", given["preference"])):
        found = preflights.preflight(
            workspace=dataset.workspace,
            recipe=recipe,
            config=runs.preset_values(recipe, given["preset"]),
            inputs={"model": given["model"], "snapshot": snapshot},
        )
        try:
            preflights.refuse_if_refused(found)
        except Refused as error:
            raise Refused(f"{RECIPES[recipe].title}: {error}") from None


@login_required
@require_POST
def rlhf(request: HttpRequest, pk: int) -> HttpResponse:
    """The RLHF button: SFT, reward model and PPO, in order."""
    dataset = _dataset(request, pk)
    form = RlhfForm(request.POST, dataset=dataset)
    if not form.is_valid():
        return _panel(request, dataset, rlhf=form, status=422)
    try:
        _look_at_first_two(dataset, form)
        *before, last = runs.queue_rlhf(
            workspace=dataset.workspace, user=_person(request), **form.arguments()
        )
    except (Refused, ConfigError) as error:
        form.add_error(None, str(error))
        return _panel(request, dataset, rlhf=form, status=422)
    for run in [*before, last]:
        _note(_person(request), "run started", run)
    return gone(request, reverse("training:run", args=[last.pk]))


@login_required
@require_POST
def get_model(request: HttpRequest, slug: str) -> HttpResponse:
    """Make the small real model usable as a base."""
    workspace = access.workspace(request, slug, Role.LEAD)
    run = runs.get_model(workspace=workspace, user=_person(request))
    if run.workspace_id != workspace.pk:
        return gone(request, reverse("training:runs", args=[slug]))
    _note(_person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))


@login_required
@require_GET
def snapshot_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """On a snapshot's page: the runs and models that learned from it."""
    rows = Snapshot.objects.select_related("dataset__workspace")
    snapshot = access.fetch(request, rows, Role.LEAD, pk=pk)
    context = {
        "touched": [
            each for each in withdrawn.touched([snapshot]) if each.run.recipe != "evaluate"
        ],
        "snapshot": snapshot,
        "evaluations": results.side_by_side(results.evaluations_on(snapshot)[:12]),
    }
    return render(request, "training/_touched_panel.html", context)


@login_required
@require_GET
def erasure_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """On an erasure's page: the runs and models that learned from what it withdrew."""
    rows = Erasure.objects.select_related("workspace")
    erasure = access.fetch(request, rows, Role.OWNER, pk=pk)
    withdrawal.sweep(erasure.workspace)
    context = {"touched": withdrawn.touched(withdrawal.withdrawn_by(erasure)), "erasure": erasure}
    return render(request, "training/_touched_panel.html", context)


@login_required
@require_GET
def project_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """Answers by a model, on the project's page."""
    project = access.fetch(request, Project.objects.select_related("workspace"), Role.LEAD, pk=pk)
    return _project_panel(request, project, ProjectAnswerForm(workspace=project.workspace))


def _project_panel(
    request: HttpRequest, project: Project, form: ProjectAnswerForm, status: int = 200
) -> HttpResponse:
    prompts = project.prompts.live().filter(retired=None).exclude(messages=[])
    context = {"project": project, "form": form, "prompts": prompts.count()}
    return render(request, "training/_project_panel.html", context, status=status)


@login_required
@require_POST
def project_answer(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a finished model answer the project's prompts."""
    project = access.fetch(request, Project.objects.select_related("workspace"), Role.LEAD, pk=pk)
    form = ProjectAnswerForm(request.POST, workspace=project.workspace)
    if not form.is_valid():
        return _project_panel(request, project, form, status=422)
    try:
        run = answers.queue_answers(project=project, user=_person(request), **form.cleaned_data)
    except Refused as error:
        form.add_error(None, str(error))
        return _project_panel(request, project, form, status=422)
    _note(_person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))
