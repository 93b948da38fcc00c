"""Datasets: the list, a new one, its page (what its rules give), its rules, and freezing."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Exists, Max, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Project, Role
from annotation.text import row_number
from exports import (
    charts,
    chat,
    names,
    personal,
    previews,
    raters,
    rule_words,
    rulesets,
    samples,
    snapshots,
    told,
)
from exports import datasets as acts
from exports.figures import most_first
from exports.formats import KINDS
from exports.forms import DatasetForm
from exports.models import Dataset, Preview, Snapshot
from exports.rules import SelectionError, parse

LANGUAGES = 6  # the commonest


def _fetch(request: HttpRequest, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace", "follows__ruleset")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


def _note(request: HttpRequest, what: str, dataset: Dataset, detail: str = "") -> None:
    path = reverse("exports:dataset", args=[dataset.pk])
    activity.note(request.user, what, dataset, detail, path)  # type: ignore[arg-type]


@login_required
@require_GET
def datasets(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.LEAD)
    found = _with_latest(list(workspace.datasets.order_by("-pk")))
    return render(request, "exports/datasets.html", {"datasets": found})


@login_required
@require_http_methods(["GET", "POST"])
def dataset_new(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.LEAD)
    first = {"projects": request.GET.getlist("project")} if "project" in request.GET else {}
    form = DatasetForm(request.POST or None, workspace=workspace, initial=first)
    if form.is_valid():
        kind = form.cleaned_data["kind"]
        try:
            dataset = acts.create(
                workspace=workspace,
                name=form.cleaned_data["name"],
                kind=kind,
                values=form.values(kind),
                user=request.user,  # type: ignore[arg-type]
            )
        except SelectionError as error:
            form.refuse(error)
        else:
            _note(request, "dataset made", dataset)
            messages.success(request, f"{dataset} is there. Look at what the rules give.")
            return redirect("exports:dataset", dataset.pk)
    return render(request, "exports/dataset_new.html", {"form": form})


@login_required
@require_http_methods(["GET", "POST"])
def dataset_edit(request: HttpRequest, pk: int) -> HttpResponse:
    dataset = _fetch(request, pk)
    form = DatasetForm(request.POST or None, workspace=dataset.workspace, dataset=dataset)
    if form.is_valid():
        name, values = form.cleaned_data["name"], form.values(dataset.kind)
        try:
            left = acts.change(dataset=dataset, name=name, values=values)
        except SelectionError as error:
            form.refuse(error)
        else:
            _note(request, "dataset edited", dataset, activity.changed(form))
            gone = (
                f" It follows the rules {left} no longer, because its own differ." if left else ""
            )
            messages.success(request, f"Saved. Frozen versions stay as they are.{gone}")
            return redirect("exports:dataset", pk)
    return render(request, "exports/dataset_edit.html", {"dataset": dataset, "form": form})


@login_required
@require_GET
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    slugs = found.selection.get("projects", [])
    context = {
        "dataset": found,
        "projects": Project.objects.filter(workspace=found.workspace, slug__in=slugs),
        "latest": latest(found),
        "next": (found.snapshots.aggregate(last=Max("number"))["last"] or 0) + 1,
        "about": KINDS[found.kind][0],
        "newer": rulesets.newer(found),
        "by_weight": _by_weight(found),
        "agreement": _agreement(found),
        **_figures(request, found, previews.refresh(dataset=found)),
        **_versions(found),
    }
    return render(request, "exports/dataset.html", context)


@login_required
@require_GET
def figures(request: HttpRequest, pk: int) -> HttpResponse:
    """What the rules give, as a fragment that asks again until it is known."""
    found = _fetch(request, pk)
    context = {"dataset": found, **_figures(request, found, previews.refresh(dataset=found))}
    return render(request, "exports/_figures.html", context)


@login_required
@require_GET
def weights(request: HttpRequest, pk: int) -> HttpResponse:
    """What each annotator's word weighs in the dataset and why, as a fragment that asks again until
    a look has measured it."""
    found = _fetch(request, pk)
    preview = previews.refresh(dataset=found)
    told = preview.result.get("weights")
    known = told is not None and preview.result.get("selection") == found.selection
    if not known and preview.state == "done":  # a look from before weights were kept
        preview = previews.refresh(dataset=found, force=True)
    context: dict[str, Any] = {"dataset": found, "busy": not known}
    if known:
        people = names.people(who for who, _, _ in told)
        # The sentence begins with the weight, which has a column of its own here.
        context["told"] = [
            (people.get(who, who), weight, why.partition(": ")[2]) for who, weight, why in told
        ]
    elif preview.state == "failed":
        context |= {"busy": False, "reason": preview.reason}
    return render(request, "exports/_weights.html", context)


@login_required
@require_POST
def dataset_count(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    previews.refresh(dataset=found, force=True)
    return redirect("exports:dataset", pk)


@login_required
@require_GET
def versions(request: HttpRequest, pk: int) -> HttpResponse:
    """The table of snapshots, as a fragment that asks again while one is being frozen."""
    found = _fetch(request, pk)
    context = {"dataset": found, **_versions(found)}
    response = render(request, "exports/_versions.html", context)
    if not context["freezing"]:  # the page's head and its panels have something new to say
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_POST
def dataset_freeze(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    try:
        number = row_number(request.POST.get("number", ""))
        user: Any = request.user
        snapshot = snapshots.request(dataset=found, user=user, number=number)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        _note(request, "dataset frozen", found, f"version {snapshot.number}")
        messages.success(request, f"{snapshot} is being frozen.")
    return redirect("exports:dataset", pk)


@login_required
@require_GET
def project_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """The datasets that draw on a project: a panel on the project's page."""
    rows = Project.objects.select_related("workspace")
    project = access.fetch(request, rows, Role.LEAD, pk=pk)
    mine = [
        row
        for row in project.workspace.datasets.order_by("-pk")
        if project.slug in row.selection.get("projects", [])
    ]
    context = {"project": project, "datasets": _with_latest(mine)}
    return render(request, "exports/_project_panel.html", context)


def latest(dataset: Dataset) -> Snapshot | None:
    ready = dataset.snapshots.filter(state=Snapshot.State.READY)
    return ready.order_by("-number").first()


def _with_latest(datasets: list[Dataset]) -> list[dict[str, Any]]:
    """Each dataset with its newest snapshot that can be trained on, all in one query."""
    ready = Snapshot.objects.filter(dataset__in=datasets, state=Snapshot.State.READY)
    newer = ready.filter(dataset=OuterRef("dataset"), number__gt=OuterRef("number"))
    newest = {row.dataset_id: row for row in ready.exclude(Exists(newer))}
    return [{"dataset": row, "latest": newest.get(row.pk)} for row in datasets]


def _versions(dataset: Dataset) -> dict[str, Any]:
    rows = list(dataset.snapshots.order_by("-number")[:20])
    busy = (Snapshot.State.QUEUED, Snapshot.State.FREEZING)
    return {"snapshots": rows, "freezing": any(row.state in busy for row in rows)}


def _by_weight(dataset: Dataset) -> bool:
    """Whether its rules weigh annotators."""
    try:
        return bool(raters.sources(parse(dataset.kind, dataset.selection)))
    except SelectionError:  # its page says so elsewhere
        return False


def _agreement(dataset: Dataset) -> list[dict[str, Any]]:
    """How far annotators agree on what its rows are made of."""
    try:
        return told.agreement(dataset, parse(dataset.kind, dataset.selection))
    except SelectionError:  # its page says so elsewhere
        return []


def _figures(request: HttpRequest, dataset: Dataset, preview: Preview) -> dict[str, Any]:
    """The last look: shown with its age, also while a new one is under way."""
    template = request.GET.get("template", "chatml")
    template = template if template in chat.TEMPLATES else "chatml"
    result = preview.result if "counts" in preview.result else {}
    rows = result.get("samples", [])
    asked = request.GET.get("row", "")
    place = int(asked[:6]) % len(rows) if rows and asked.isascii() and asked.isdigit() else 0
    context: dict[str, Any] = {
        "preview": preview,
        "busy": preview.state in previews.BUSY,
        "result": result,
        "template": template,
        "templates": list(chat.TEMPLATES),
        "unit": {"preference": "pairs", "prompts": "prompts"}.get(dataset.kind, "rows"),
        "rules": rule_words.active(dataset.kind, dataset.selection, result.get("dropped", {})),
    }
    if result:
        context["reasons"] = [
            (reason, count, urlencode({"show": "dropped", "reason": reason}))
            for reason, count in most_first(result["dropped"])
        ]
        for rule in context["rules"]:
            context.setdefault("left_by", []).append(
                (rule, urlencode([("show", "dropped"), *(("reason", r) for r in rule.reasons)]))
            )
        if "masked" in result:
            context["masked"] = personal.in_rows(result["masked"])
        context["kept"] = sum(result["counts"].values())
        context["left_out"] = sum(result["dropped"].values())
        context["chart"] = charts.histogram(result["lengths"])
        spoken = most_first(result.get("languages", {}))
        context["languages"] = [
            (names.language(code) if code else "not sure", count, urlencode({"language": code}))
            for code, count in spoken[:LANGUAGES]
        ]
        context["languages_more"] = max(0, len(spoken) - LANGUAGES)
    if rows:
        sample = rows[place]
        context |= {
            "sample": sample,
            "place": place,
            "following": (place + 1) % len(rows),
            "rendered": samples.render(dataset.kind, sample["row"], template),
            "caption": samples.CAPTIONS[dataset.kind],
        }
    return context
