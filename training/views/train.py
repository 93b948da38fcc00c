"""The Train panel of a dataset's page: a recipe, or the three of RLHF, looked at and started."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.errors import Refused
from annotation.models import Role
from exports.models import Dataset
from training import reports, results, runs
from training.forms import ABOUT, RlhfForm, StartForm
from training.models import Run
from training.planning import Plan, plan
from training.recipes.configs import RECIPES, ConfigError
from training.views import looking
from training.views.looking import Look, Verdict, answer
from training.views.panels import gone, note, person

RLHF_KINDS = ("sft", "preference", "prompts")


def _dataset(request: HttpRequest, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


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
    looks: list[Look] | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    """`looks`: what is known of what `rlhf`, or else `form`, says; none where it says nothing."""
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
        "verdict": _verdict(dataset, form, None if rlhf else looks),
        "rlhf_verdict": _rlhf_verdict(dataset, rlhf, looks if rlhf else None),
        "runs": reports.lines(training[:6]),
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


def _asked(dataset: Dataset, form: StartForm) -> dict[str, Any]:
    """What a valid form asks for, as `plan` and `create_run` take it."""
    return {
        "workspace": dataset.workspace,
        "recipe": form.recipe,
        "config": form.cleaned_data["config"],
        "inputs": form.inputs(),
    }


def _verdict(dataset: Dataset, form: StartForm, looks: list[Look] | None = None) -> Verdict:
    url = reverse("training:preflight", args=[dataset.pk])
    return Verdict(url, "Start", looks or [], prefix=form.recipe, is_new=not form.is_bound)


@login_required
@require_POST
def preflight(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a look at what would be started, and for two steps where they are wanted; with
    `known`, only say what is known of it."""
    dataset = _dataset(request, pk)
    form = _form(request, dataset)
    only_known = "known" in request.POST
    if not form.is_valid():
        if only_known:
            return answer(request, _verdict(dataset, form))
        return _panel(request, dataset, form=form, status=422)
    try:
        verdict = _verdict(dataset, form, looking.looks([plan(**_asked(dataset, form))]))
        if only_known:
            return answer(request, verdict)
        verdict.ask(probe="probe" in request.POST, again="again" in request.POST)
    except Refused as error:
        if only_known:
            return answer(request, _verdict(dataset, form))
        return _panel(request, dataset, refusal=str(error), form=form, status=422)
    return _panel(request, dataset, form=form, looks=verdict.looks)


@login_required
@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """Start the recipe, if a preflight of just this has passed; else one is asked for."""
    dataset = _dataset(request, pk)
    form = _form(request, dataset)
    if not form.is_valid():
        return _panel(request, dataset, form=form, status=422)
    verdict = _verdict(dataset, form)
    try:
        verdict.looks = looking.looks([plan(**_asked(dataset, form))])
        if not verdict.start():
            return _panel(request, dataset, form=form, looks=verdict.looks)
        run = runs.create_run(**_asked(dataset, form), user=person(request))
    except Refused as error:
        shown = "" if verdict.refuses else str(error)
        return _panel(request, dataset, form=form, refusal=shown, looks=verdict.looks, status=422)
    note(person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))


def _rlhf_verdict(
    dataset: Dataset, form: RlhfForm | None, looks: list[Look] | None = None
) -> Verdict:
    url = reverse("training:rlhf_preflight", args=[dataset.pk])
    return Verdict(url, "Queue the three", looks or [], is_new=not (form and form.is_bound))


def _first_two(dataset: Dataset, form: RlhfForm) -> list[Plan]:
    """SFT and the reward run as they would be. PPO's inputs are those two: there is nothing to look
    at yet."""
    given = form.cleaned_data
    return [
        plan(
            workspace=dataset.workspace,
            recipe=recipe,
            config=runs.preset_values(recipe, given["preset"]),
            inputs={"model": given["model"], "snapshot": given[name]},
        )
        for recipe, name in (("sft", "sft"), ("reward", "preference"))
    ]


@login_required
@require_POST
def rlhf_preflight(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a look at SFT and the reward run; with `known`, only say what is known of them."""
    dataset = _dataset(request, pk)
    form = RlhfForm(request.POST, dataset=dataset)
    only_known = "known" in request.POST
    verdict = _rlhf_verdict(dataset, form)
    if form.is_valid():
        try:
            verdict.looks = looking.looks(_first_two(dataset, form))
            if not only_known:
                verdict.ask(again="again" in request.POST)
        except (Refused, ConfigError) as error:
            form.add_error(None, str(error))
    if only_known:
        return answer(request, verdict)
    return _panel(
        request, dataset, rlhf=form, looks=verdict.looks, status=422 if form.errors else 200
    )


@login_required
@require_POST
def rlhf(request: HttpRequest, pk: int) -> HttpResponse:
    """The RLHF button: SFT, reward model and PPO, in order."""
    dataset = _dataset(request, pk)
    form = RlhfForm(request.POST, dataset=dataset)
    if not form.is_valid():
        return _panel(request, dataset, rlhf=form, status=422)
    verdict = _rlhf_verdict(dataset, form)
    try:
        verdict.looks = looking.looks(_first_two(dataset, form))
        if not verdict.start():
            return _panel(request, dataset, rlhf=form, looks=verdict.looks)
        *before, last = runs.queue_rlhf(
            workspace=dataset.workspace, user=person(request), **form.arguments()
        )
    except (Refused, ConfigError) as error:
        if not verdict.refuses:
            form.add_error(None, str(error))
        return _panel(request, dataset, rlhf=form, looks=verdict.looks, status=422)
    for run in [*before, last]:
        note(person(request), "run started", run)
    return gone(request, reverse("training:run", args=[last.pk]))
