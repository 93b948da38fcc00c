"""The list of a project's prompts: search, filters, and what is done to many at once."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from annotation import access, activity, label_words, prompt_list, undoing
from annotation.errors import Refused
from annotation.forms import bulk
from annotation.models import Action, Project, Role
from annotation.prompt_filters import SHOWS, STATES, Filters
from annotation.text import row_number

ACTIONS = 50  # recent acts on their page


def _project(request: HttpRequest, pk: int, at_least: Role) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


@login_required
@require_GET
def prompts(request: HttpRequest, pk: int) -> HttpResponse:
    """?q= and the filters of prompt_filters.py narrow, ?after= and ?before= page. ?part= is how
    many rows of this page are there already: the answer is the rest, as a fragment."""
    project = _project(request, pk, Role.REVIEWER)
    filters = Filters.read(request.GET)
    if filters.label:
        filters = replace(filters, label=label_words.meant(project, filters.label))
    part = row_number(request.GET.get("part", ""))
    page = prompt_list.page(
        project=project,
        filters=filters,
        after=request.GET.get("after", ""),
        before=request.GET.get("before", ""),
        shown=part or 0,
    )
    queues = bulk.queues(project)
    leads = request.role >= Role.LEAD  # type: ignore[attr-defined]
    context: dict[str, Any] = {"project": project, "page": page, "filters": filters}
    context |= {"part": part, "shown": (part or 0) + len(page.rows), "leads": leads}
    # A page in parts: where it began, and whether anything lies before it.
    edge = request.GET.get("edge", "")
    context["edge"] = edge or (page.rows and _edge(page)) or ""
    context["inner"] = bool(request.GET.get("inner")) if part is not None else _is_inner(request)
    context |= {"earlier": page.before, "later": page.after}
    if part is not None:
        context |= _pages(page, context["edge"], context["inner"])
    if part is not None and request.htmx:  # type: ignore[attr-defined]
        return render(request, "annotation/_prompts_part.html", context)
    context |= {
        "shows": SHOWS,
        "states": STATES,
        "queues": queues,
        "chips": _chips(project, filters),
    }
    context["stages"] = project.stages.order_by("position", "pk")
    members = project.workspace.memberships.select_related("user").order_by("user__name")
    context["members"] = members
    context["labels"] = label_words.offered(project)
    context["acts"] = bulk.ON_RETIRED if filters.show == "retired" else bulk.ACTS
    done = row_number(request.GET.get("acted", ""))
    if leads and done is not None:
        context["acted"] = project.actions.filter(pk=done).first()
    return render(request, "annotation/prompts.html", context)


def _pages(page: prompt_list.Page, edge: str, inner: bool) -> dict[str, str | None]:
    """Where the pages before and after one that came in parts begin; it began at `edge`."""
    if page.backwards:
        return {"earlier": page.before, "later": edge or None}
    return {"earlier": edge if inner and edge else None, "later": page.after}


def _edge(page: prompt_list.Page) -> str:
    """The first row of the page, in the direction in which it is walked."""
    row = page.rows[-1 if page.backwards else 0]
    value = row.disagreement
    return f"{row.pk}" if value is None else f"{value}-{row.pk}"


def _is_inner(request: HttpRequest) -> bool:
    return bool(request.GET.get("after") or request.GET.get("before"))


def _chips(project: Project, filters: Filters) -> list[tuple[str, str]]:
    """(what it says, the address without it) for each filter in force."""
    said = {
        "state": dict(STATES).get(filters.state, ""),
        "metadata": filters.metadata,
        "label": filters.label,
        "rater": filters.rater,
        "disagreement": f"disagreement from {filters.disagreement}",
        "order": "most disagreement first",
    }
    if filters.stage:
        stage = project.stages.filter(pk=int(filters.stage)).first()
        said["stage"] = f"in {stage}" if stage else "in an unknown stage"
    if filters.annotator:
        member = project.workspace.memberships.filter(user=int(filters.annotator)).first()
        said["annotator"] = f"by {member.user}" if member else "by an unknown person"
    return [(text, filters.without(name)) for name, text in said.items() if getattr(filters, name)]


@login_required
@require_POST
def prompts_act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do `act` with the ticked prompts, or with all that match; the list says how to undo it."""
    project = _project(request, pk, Role.LEAD)
    query = bulk.where(request.POST).query
    address = reverse("annotation:prompts", args=[pk]) + "?" + query
    back = row_number(request.POST.get("back", ""))  # the prompt's own page
    if back is not None:
        query, address = "", reverse("annotation:prompt", args=[back]) + "?"
    try:
        action = bulk.carry_out(project, request.POST, request.user)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(address)
    _record(request, action, action.get_kind_display().lower(), action.said)
    return redirect(f"{address}{'&' if query else ''}acted={action.pk}")


@login_required
@require_GET
def project_actions(request: HttpRequest, pk: int) -> HttpResponse:
    """What was done to many prompts at once lately, each with its undo."""
    project = _project(request, pk, Role.LEAD)
    acts = project.actions.select_related("author", "stage").order_by("-pk")[:ACTIONS]
    return render(request, "annotation/actions.html", {"project": project, "acts": acts})


@login_required
@require_POST
def action_undo(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Action.objects.select_related("project__workspace", "stage")
    action = access.fetch(request, rows, Role.LEAD, pk=pk)
    try:
        said = undoing.undo(action=action, author=request.user)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"Undone: {action.said}. {said}")
        _record(request, action, "undone", f"{action.said}. {said}")
    where = request.POST.get("where")
    if where is not None:
        return redirect(
            f"{reverse('annotation:prompts', args=[action.project_id])}?"
            + bulk.where(request.POST).query
        )
    return redirect("annotation:project_actions", action.project_id)


def _record(request: HttpRequest, action: Action, what: str, detail: str) -> None:
    activity.record(
        workspace=action.workspace,
        actor=request.user,  # type: ignore[arg-type]
        what=f"prompts: {what}",
        subject=action.project.name,
        path=reverse("annotation:project_actions", args=[action.project_id]),
        project=action.project,
        detail=detail,
    )
