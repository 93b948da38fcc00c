"""What datasets share: rules under a name, with versions, and benchmarks."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Role
from exports import benchmarks, rulesets
from exports.forms import BenchmarkForm, NameForm, RulesetForm
from exports.models import Benchmark, Dataset, Ruleset, RulesetVersion
from exports.rules import SelectionError


def _dataset(request: HttpRequest, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace", "follows__ruleset")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


def _ruleset(request: HttpRequest, pk: int) -> Ruleset:
    return access.fetch(request, Ruleset.objects.select_related("workspace"), Role.LEAD, pk=pk)


def _note(request: HttpRequest, what: str, thing: object, detail: str, path: str) -> None:
    activity.note(request.user, what, thing, detail, path)  # type: ignore[arg-type]


@login_required
@require_GET
def rulesets_page(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.LEAD)
    context = {"rulesets": rulesets.listed(workspace)}
    return render(request, "exports/rulesets.html", context)


@login_required
@require_GET
def ruleset(request: HttpRequest, pk: int) -> HttpResponse:
    found = _ruleset(request, pk)
    context = {"ruleset": found, "history": rulesets.history(found)}
    return render(request, "exports/ruleset.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def ruleset_edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = _ruleset(request, pk)
    last = rulesets.latest(found)
    stored = last.rules if last else {}
    form = RulesetForm(
        request.POST or None, workspace=found.workspace, kind=found.kind, stored=stored
    )
    if form.is_valid():
        try:
            version = rulesets.revise(
                ruleset=found,
                values=form.values(found.kind),
                user=request.user,  # type: ignore[arg-type]
            )
        except SelectionError as error:
            form.refuse(error)
        else:
            if version == last:
                messages.info(request, f"Nothing changed: {version} says the same.")
            else:
                path = reverse("exports:ruleset", args=[pk])
                _note(request, "rules edited", found, f"version {version.number}", path)
                messages.success(request, f"{version} is there. Datasets stay on theirs.")
            return redirect("exports:ruleset", pk)
    context = {"ruleset": found, "form": form, "next": last.number + 1 if last else 1}
    return render(request, "exports/ruleset_edit.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def rules_save(request: HttpRequest, pk: int) -> HttpResponse:
    """Save a dataset's rules under a name, or take others over: the page offers both."""
    dataset = _dataset(request, pk)
    form = NameForm(request.POST or None)
    if form.is_valid():
        try:
            version = rulesets.save(
                dataset=dataset,
                name=form.cleaned_data["name"],
                user=request.user,  # type: ignore[arg-type]
            )
        except Refused as refusal:
            form.add_error("name", str(refusal))
        else:
            path = reverse("exports:ruleset", args=[version.ruleset_id])
            _note(request, "rules saved", dataset, str(version), path)
            messages.success(request, f"The rules are {version}, and the dataset follows them.")
            return redirect("exports:dataset", pk)
    offered = [
        (version, rulesets.what_changes(dataset, version)) for version in rulesets.offered(dataset)
    ]
    context = {"dataset": dataset, "form": form, "offered": offered}
    return render(request, "exports/rules_shared.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def rules_use(request: HttpRequest, pk: int, version: int) -> HttpResponse:
    """What a dataset would take over from a version of shared rules; then does it."""
    dataset = _dataset(request, pk)
    rows = RulesetVersion.objects.filter(ruleset__workspace=dataset.workspace)
    found = rows.filter(ruleset__kind=dataset.kind, pk=version).select_related("ruleset").first()
    if found is None:
        messages.error(request, "Those rules are not there for this dataset.")
        return redirect("exports:dataset", pk)
    if request.method == "POST":
        try:
            rulesets.use(dataset=dataset, version=found)
        except (Refused, SelectionError) as refusal:
            messages.error(request, f"Not taken over: {refusal}")
        else:
            path = reverse("exports:dataset", args=[pk])
            _note(request, "rules taken over", dataset, str(found), path)
            messages.success(request, f"The dataset follows {found}. The page counts again.")
        return redirect("exports:dataset", pk)
    context = {
        "dataset": dataset,
        "version": found,
        "changes": rulesets.what_changes(dataset, found),
        "here": dataset.follows_id == found.pk,
    }
    return render(request, "exports/rules_use.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def benchmarks_page(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.LEAD)
    form = BenchmarkForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            made = benchmarks.add(
                workspace=workspace,
                name=form.cleaned_data["name"],
                upload=form.cleaned_data["file"],
                user=request.user,  # type: ignore[arg-type]
            )
        except Refused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        else:
            path = reverse("exports:benchmarks", args=[slug])
            _note(request, "benchmark uploaded", made, f"{made.texts} texts", path)
            messages.success(request, f"“{made}” is there: {made.texts:,} texts.")
            return redirect("exports:benchmarks", slug)
    rows = workspace.benchmarks.select_related("created_by").order_by("name")
    context = {"form": form, "benchmarks": [(row, benchmarks.used_by(row)) for row in rows]}
    return render(request, "exports/benchmarks.html", context)


@login_required
@require_POST
def benchmark_delete(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Benchmark.objects.select_related("workspace")
    found = access.fetch(request, rows, Role.LEAD, pk=pk)
    slug, name = found.workspace.slug, found.name
    path = reverse("exports:benchmarks", args=[slug])
    if request.POST.get("sure") != "yes":
        messages.error(request, f"“{name}” is still there: say that you are sure.")
        return redirect("exports:benchmarks", slug)
    try:
        benchmarks.delete(benchmark=found)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        _note(request, "benchmark deleted", found, name, path)
        messages.success(request, f"“{name}” is deleted.")
    return redirect("exports:benchmarks", slug)
