"""The explorer of a dataset: its rows by facets, one row in full, and a choice made a rule."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from annotation import access, activity
from annotation.models import Role
from exports import datasets as acts
from exports import explorer, explorer_page, facet_rules, names, previews, rule_words
from exports.explorer import Look, NoLook
from exports.filters import PHRASE, SHOWS, Filters
from exports.looks import SEVERAL
from exports.models import Dataset, Preview
from exports.rules import SelectionError

OLD = timedelta(minutes=5)  # who looks through rows wants them to stay; older ones are made anew
NEAR = "groups"  # the tab that shows near-duplicates side by side


def _fetch(request: HttpRequest, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace", "follows__ruleset")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


def _look(preview: Preview) -> Look | None:
    try:
        return explorer.open_look(preview.look)
    except NoLook:
        return None


def _asked(dataset: Dataset) -> Preview:
    """The preview; a new look is asked for where there is none, other rules hold or it is old."""
    preview = Preview.objects.filter(dataset=dataset, computed__gt=timezone.now() - OLD).first()
    if (
        preview
        and previews.is_there(preview)
        and preview.result.get("selection") == dataset.selection
    ):
        return preview
    return previews.refresh(dataset=dataset)


def _page(request: HttpRequest) -> int:
    asked = request.GET.get("page", "1")
    return max(1, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 1


@login_required
@require_GET
def explore(request: HttpRequest, pk: int) -> HttpResponse:
    dataset = _fetch(request, pk)
    preview = _asked(dataset)
    context: dict[str, Any] = {"dataset": dataset, **_age(dataset, preview)}
    if look := _look(preview):
        try:
            context |= _found(request, dataset, look)
        except NoLook:  # deleted between two reads: a newer one has taken its place
            return redirect(request.get_full_path())
    return render(request, "exports/explore.html", context)


def _found(request: HttpRequest, dataset: Dataset, look: Look) -> dict[str, Any]:
    filters = Filters.read(request.GET, look.types)
    near = request.GET.get("show") == NEAR
    filters = filters.showing("all") if near else filters
    number = _page(request)
    known = look.terms("annotator")[1] if "annotator" in look.types else []
    named = names.of(dataset.workspace, known)
    shown, offers = look.shown(filters), _offers(dataset, filters)
    titles = {facet.name: facet.title for facet in look.facets}
    context: dict[str, Any] = {
        "look": look,
        "filters": filters,
        "near": near,
        "tabs": [
            (
                text,
                shown[show],
                f"?{filters.showing(show).query()}",
                not near and show == filters.show,
            )
            for show, text in SHOWS.items()
        ],
        # What a search keeps of the address.
        "others": [*filters.pairs(but=PHRASE), *([("show", NEAR)] if near else [])],
        "near_query": f"?{filters.showing('kept').query(show=NEAR)}",
        "facets": explorer_page.facets(look, filters, named),
        "chips": explorer_page.chips(look, filters, named),
        "offers": offers,
        "silent": [
            (titles[facet], why)
            for facet, why in facet_rules.silent(dataset.kind, filters, offers).items()
        ],
        "query": filters.query(**({"show": NEAR} if near else {})),
    }
    if near:
        total, context["groups"] = explorer_page.groups(look, dataset, filters, number)
        context["pages"] = explorer_page.pages(total, number, explorer_page.GROUPS)
    else:
        total = shown[filters.show]
        context["rows"] = explorer_page.rows(look, dataset, filters, number)
        context["pages"] = explorer_page.pages(total, number, explorer_page.SIZE)
    return context | {"total": total}


@login_required
@require_GET
def explore_state(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a look is, as a fragment that asks again; a page that waited for one is reloaded."""
    dataset = _fetch(request, pk)
    preview = _asked(dataset)
    context = {"dataset": dataset, **_age(dataset, preview)}
    response = render(request, "exports/_look_state.html", context)
    if not context["busy"] and preview.look and request.GET.get("waits"):
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_GET
def explore_row(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    """One row in full, as a fragment: its texts, who and why, and the kept row beside it."""
    dataset = _fetch(request, pk)
    preview = Preview.objects.filter(dataset=dataset).first()
    look = _look(preview) if preview else None
    shown = None
    if look is not None and row <= look.rows:
        try:
            phrase = Filters.read(request.GET, {}).phrase
            shown = explorer_page.one(look, dataset, row, phrase)
        except NoLook:
            shown = None
    context: dict[str, Any] = {"dataset": dataset, "shown": shown}
    if look is not None and shown is not None:
        context["pair"] = explorer_page.beside_kept(look, dataset, shown)
    return render(request, "exports/_explore_row.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def explore_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """A choice of the explorer as a rule of the dataset: shown first, then saved."""
    dataset = _fetch(request, pk)
    preview = Preview.objects.filter(dataset=dataset).first()
    look = _look(preview) if preview else None
    if look is None:
        messages.error(request, "The look that this was chosen from is gone; look again.")
        return redirect("exports:dataset", pk)
    filters = Filters.read(request.GET, look.types)
    wanted = request.GET.get("facet"), request.GET.get("way")
    offer = next((o for o in _offers(dataset, filters) if (o.facet, o.way) == wanted), None)
    if offer is None:
        messages.error(request, "No rule says that. Choose a facet first.")
        return redirect("exports:explore", pk)
    if request.method == "POST":
        try:
            acts.change(dataset=dataset, name=dataset.name, values=dataset.selection | offer.values)
        except SelectionError as error:
            messages.error(request, f"Not saved: {error}.")
        else:
            path = reverse("exports:dataset", args=[pk])
            activity.note(request.user, "dataset edited", dataset, offer.label.lower(), path)  # type: ignore[arg-type]
            messages.success(request, "Saved as a rule. The page counts again.")
        return redirect("exports:dataset", pk)
    after = dataset.selection | offer.values
    mask = look.mask(
        Filters(terms=_one(filters.terms, offer.facet), ranges=_one(filters.ranges, offer.facet))
    )
    kept = int(look.kept.sum())
    stays = int(mask.sum()) if offer.way == "only" else kept - int(mask.sum())
    context = {
        "dataset": dataset,
        "offer": offer,
        "changes": rule_words.changes(dataset.kind, dataset.selection, after),
        "kept": kept,
        "stays": stays,
        "shared": look.shared(offer.facet, filters.terms[offer.facet])
        if offer.facet in SEVERAL
        else 0,
        "query": request.GET.urlencode(),
        "back": filters.query(),
    }
    return render(request, "exports/explore_rule.html", context)


def _offers(dataset: Dataset, filters: Filters) -> list[facet_rules.Offer]:
    stages = {name: number for number, name in names.stages(dataset.workspace).items()}
    return facet_rules.offers(dataset.kind, dataset.selection, filters, stages)


def _one(chosen: Any, facet: str) -> dict[str, Any]:
    return {facet: chosen[facet]} if facet in chosen else {}


def _age(dataset: Dataset, preview: Preview) -> dict[str, Any]:
    """How old the look is, whether other rules hold by now, and how far the next one is."""
    return {
        "preview": preview,
        "busy": preview.state in previews.BUSY,
        "other_rules": bool(preview.look)
        and preview.result.get("selection", dataset.selection) != dataset.selection,
    }
