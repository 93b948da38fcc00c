"""An item's page: everybody's work side by side, the lead's decision, and gold."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import (
    access,
    activity,
    adjudication,
    comments,
    gold,
    item_page,
    review_page,
    work_form,
    work_page,
)
from annotation.errors import Refused
from annotation.models import Item, Role, User
from annotation.prompt_page import conversation
from annotation.text import row_number


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Item:
    rows = Item.objects.select_related("stage__project__workspace", "prompt", "gold")
    item = access.fetch(request, rows, at_least, pk=pk)
    if review_page.holds(request.user, item.pk):  # type: ignore[arg-type]
        raise PermissionDenied(review_page.HOLDS)
    return item


@login_required
@never_cache
@require_GET
def item(request: HttpRequest, pk: int) -> HttpResponse:
    """?against= says what the texts are compared with: a submission's number, or the original."""
    return _page(request, _fetch(request, pk, Role.REVIEWER))


def _page(request: HttpRequest, found: Item, status: int = 200, **typed: Any) -> HttpResponse:
    page = item_page.page(found, request.GET.get("against", ""))
    context = {
        "item": found,
        "stage": found.stage,
        "project": found.stage.project,
        "prompt": found.prompt,
        "turns": conversation(found.prompt),
        "page": page,
        "own_words": item_page.decided_by(page, found),
        "gold": getattr(found, "gold", None),
        "known": item_page.known_answer(found),
        "may_be_gold": item_page.may_be_gold(found),
        "did_it": any(column.turn.user_id == request.user.pk for column in page.columns),
        "comments": comments.of(found.prompt),
        **typed,
    }
    return render(request, "annotation/item.html", context, status=status)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def item_adjudicate(request: HttpRequest, pk: int) -> HttpResponse:
    """GET: the editor for a decision in the lead's own words (?from= begins with a submission's).
    POST with `submission`: that one is chosen; without: what the editor says."""
    found = _fetch(request, pk, Role.LEAD)
    begun = item_page.blank(found, request.user, _begin(request, found))  # type: ignore[arg-type]
    if request.method == "GET":
        return _editor(request, found, begun.draft)
    user: User = request.user  # type: ignore[assignment]
    note, chosen = request.POST.get("note", ""), request.POST.get("submission", "")
    if row_number(chosen):
        turn = get_object_or_404(found.submissions.live(), pk=row_number(chosen))
        try:
            adjudication.adjudicate(item=found, author=user, submission=turn, note=note)
        except Refused as refused:
            return _page(request, found, 422, problem=refused, note=note)
        return _decided(request, found, f"Decided: {turn.user or turn.rater}'s stands.")
    content = work_form.content_from(request.POST, begun)
    try:
        adjudication.adjudicate(item=found, author=user, content=content, note=note)
    except Refused as refused:
        return _editor(request, found, content, refused)
    return _decided(request, found, "Decided in your own words.")


def _decided(request: HttpRequest, found: Item, said: str) -> HttpResponse:
    address = reverse("annotation:item", args=[found.pk])
    stage = found.stage
    activity.record(
        workspace=stage.workspace,
        actor=request.user,  # type: ignore[arg-type]
        what="item decided",
        subject=found.prompt.question or found.prompt.external_id,
        path=address,
        project=stage.project,
        detail=said,
    )
    messages.success(request, said)
    return redirect(address)


def _begin(request: HttpRequest, found: Item) -> dict[str, Any]:
    """What an editor begins with: the work of ?from=, else the decision in the lead's own words."""
    turn = found.submissions.filter(pk=row_number(request.GET.get("from", "")) or 0).first()
    if turn is not None:
        content = review_page.content_of(turn, review_page.reviews_of(turn))
        if content.get("strength") and turn.shown[:1] != found.candidates[:1]:
            content["strength"] = -content["strength"]  # it is said of the first that is shown
        return content
    decision = adjudication.in_force(found)
    return dict(decision.content) if decision else {}


def _editor(
    request: HttpRequest, found: Item, typed: dict[str, Any], problem: Refused | None = None
) -> HttpResponse:
    context = {
        "action": reverse("annotation:item_adjudicate", args=[found.pk]),
        "title": "Decide in your own words",
        "verb": "Decide",
        "kept": f"decide:{found.pk}",
        "note_label": "Why, for reviewers and leads",
    }
    return _edit(request, found, typed, problem, context)


def _edit(
    request: HttpRequest,
    found: Item,
    typed: dict[str, Any],
    problem: Refused | None,
    words: dict[str, str],
) -> HttpResponse:
    begun = item_page.blank(found, request.user, typed)  # type: ignore[arg-type]
    context = work_page.editor(begun, typed=typed, problem=problem) | {
        "cancel": reverse("annotation:item", args=[found.pk]),
        "note_name": "note",
        "note": request.POST.get("note", ""),
        "problem": problem,
        "guidelines": work_page.guidelines(found.stage),
        **words,
    }
    return render(request, "annotation/editor.html", context, status=422 if problem else 200)


@login_required
@require_POST
def item_undecide(request: HttpRequest, pk: int) -> HttpResponse:
    """The decision is taken back: all submissions count again."""
    found = _fetch(request, pk, Role.LEAD)
    try:
        adjudication.withdraw(item=found, author=request.user)  # type: ignore[arg-type]
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("annotation:item", pk)
    return _decided(request, found, "The decision is taken back: all that was handed in counts.")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def item_gold(request: HttpRequest, pk: int) -> HttpResponse:
    """The editor for the known answer (?from= begins with a submission's); POST makes it gold."""
    found = _fetch(request, pk, Role.LEAD)
    known = getattr(found, "gold", None)
    found.stage.tags, found.stage.better_answer = [], False  # nobody is judged by those: not asked
    typed = dict(known.content) if known else _begin(request, found)
    if request.method == "GET" and not item_page.may_be_gold(found):
        messages.error(request, "A text has no one right answer: gold needs ranks or a rubric.")
        return redirect("annotation:item", pk)
    problem = None
    if request.method == "POST":
        begun = item_page.blank(found, request.user, {})  # type: ignore[arg-type]
        typed = work_form.content_from(request.POST, begun)
        try:
            gold.make_gold(
                item=found,
                content=typed,
                author=request.user,  # type: ignore[arg-type]
                note=request.POST.get("note", ""),
            )
        except Refused as refused:
            problem = refused
        else:
            return _decided(request, found, "It is gold now: hidden in the queue, once for each.")
    words = {
        "action": reverse("annotation:item_gold", args=[pk]),
        "title": "The known answer",
        "verb": "Make it gold",
        "kept": f"gold:{pk}",
        "note_label": "Why this is right, for the leads",
    }
    return _edit(request, found, typed, problem, words)


@login_required
@require_POST
def item_gold_end(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, Role.LEAD)
    try:
        gold.end_gold(item=found)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("annotation:item", pk)
    return _decided(request, found, "An ordinary item again.")
