"""The review inbox: one submission after the other, accepted, returned with a comment, or fixed."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation import access, comments, review_page, reviewing, work_form, work_page
from annotation.errors import Refused
from annotation.models import Role, Stage, Submission, User
from annotation.text import row_number

SAID = {"accept": "Accepted.", "return": "Returned.", "fix": "Fixed."}
MEANWHILE = "{} came first and decided meanwhile. This is how it stands now: nothing was changed."


def _stage(request: HttpRequest, pk: int) -> Stage:
    rows = Stage.objects.select_related("project__workspace")
    return access.fetch(request, rows, Role.REVIEWER, pk=pk)


def _turn(request: HttpRequest, pk: int) -> Submission:
    """Anybody's work but one's own, and not while one is working on the same."""
    rows = Submission.objects.live().select_related("item__prompt", "user", "suggestion")
    rows = rows.select_related("stage__project__workspace")
    turn = access.fetch(request, rows, Role.REVIEWER, pk=pk)
    user: User = request.user  # type: ignore[assignment]
    if turn.user_id == user.pk:
        raise PermissionDenied("This is your own work: somebody else reviews it.")
    if review_page.holds(user, turn.item_id):
        raise PermissionDenied(review_page.HOLDS)
    return turn


def _page(
    request: HttpRequest, stage: Stage, turn: Submission | None, status: int = 200, **notices: Any
) -> HttpResponse:
    """The submission, or what to do when none waits: a fragment for htmx."""
    user: User = request.user  # type: ignore[assignment]
    context: dict[str, Any] = {
        "stage": stage,
        "project": stage.project,
        "turn": turn,
        "left": review_page.waiting(stage, user),
        "most": reviewing.MOST,
        "back": request.session.get(f"reviewed:{stage.pk}"),
        **notices,
    }
    if turn is None:
        others = reviewing.waiting(stage.workspace, user)
        context["others"] = [(other, n) for other, n in others if other.pk != stage.pk]
    else:
        review_page.look(turn.pk, user)
        reviews = review_page.reviews_of(turn)
        before, after = review_page.neighbours(stage, user, turn.pk)
        content = review_page.content_of(turn, reviews)
        context |= work_page.editor(turn, typed=content) | {
            "project": stage.project,
            "instructions_html": "",
            "original_html": "",
            "judged": review_page.judged(turn, content),
            "reviews": reviews,
            "decided": next((r for r in reversed(reviews)), None),
            "before": before,
            "after": after,
            "comments": comments.of(turn.item.prompt),
            "others": turn.item.submissions.exclude(pk=turn.pk).filter(
                state__in=[Submission.State.SUBMITTED, Submission.State.LATE]
            ),
        }
    template = "annotation/_review.html"
    if not request.htmx:  # type: ignore[attr-defined]
        template = "annotation/review.html"
        context["guidelines"] = work_page.guidelines(stage)
    return render(request, template, context, status=status)


def _next(request: HttpRequest, turn: Submission, said: str) -> HttpResponse:
    """After a decision: the next one in the same answer; without script a redirect to it."""
    request.session[f"reviewed:{turn.stage_id}"] = turn.pk
    _, after = review_page.neighbours(turn.stage, request.user, turn.pk)  # type: ignore[arg-type]
    here = reverse("annotation:review", args=[turn.stage_id])
    address = f"{here}?submission={after}" if after else here
    if not request.htmx:  # type: ignore[attr-defined]
        messages.success(request, said)
        return redirect(address)
    response = _page(request, turn.stage, _turn(request, after) if after else None, said=said)
    response["HX-Replace-Url"] = address
    return response


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """GET ?submission= shows that one, else the oldest that waits. POST decides: `decision` is
    accept or return."""
    stage = _stage(request, pk)
    if request.method == "POST":
        return _decide(request, stage)
    asked = row_number(request.GET.get("submission", ""))
    found = asked or review_page.first(stage, request.user)  # type: ignore[arg-type]
    if found is None:
        return _page(request, stage, None)
    turn = _turn(request, found)
    if turn.stage_id != stage.pk:
        return redirect(f"{reverse('annotation:review', args=[turn.stage_id])}?submission={found}")
    return _page(request, stage, turn)


def _decide(request: HttpRequest, stage: Stage) -> HttpResponse:
    number = row_number(request.POST.get("submission", ""))
    if number is None:
        raise BadRequest("The form does not say which submission it is about.")
    turn = _turn(request, number)
    decision, comment = request.POST.get("decision", ""), request.POST.get("comment", "")
    user: User = request.user  # type: ignore[assignment]
    version = row_number(request.POST.get("version", ""))
    try:
        _check_met(request, turn)
        if decision == "accept":
            reviewing.accept(submission=turn, reviewer=user, comment=comment, version=version)
        elif decision == "return":
            reviewing.send_back(submission=turn, reviewer=user, comment=comment, version=version)
        else:
            raise Refused("Accept it, return it, or fix it.")
    except Refused as refused:
        return _page(
            request, stage, _turn(request, turn.pk), 422, problem=str(refused), typed=comment
        )
    return _next(request, turn, SAID[decision])


def _check_met(request: HttpRequest, turn: Submission) -> None:
    """Raises Refused if another reviewer has decided since the page was made: `seen` is the number
    of the newest review that it showed."""
    newest = turn.reviews.select_related("reviewer").order_by("-pk").first()
    if newest and newest.pk != row_number(request.POST.get("seen", "")):
        raise Refused(MEANWHILE.format(newest.reviewer or "Somebody"))


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def review_fix(request: HttpRequest, pk: int) -> HttpResponse:
    """The work in the editor that its author had; what is sent counts in its place."""
    turn = _turn(request, pk)
    typed = review_page.content_of(turn, review_page.reviews_of(turn))
    if request.method == "GET":
        return _editor(request, turn, typed)
    typed = work_form.content_from(request.POST, turn)
    try:
        _check_met(request, turn)
        reviewing.fix(
            submission=turn,
            reviewer=request.user,  # type: ignore[arg-type]
            content=typed,
            comment=request.POST.get("comment", ""),
            version=row_number(request.POST.get("version", "")),
        )
    except Refused as refused:
        return _editor(request, _turn(request, pk), typed, refused)
    return _next(request, turn, SAID["fix"])


def _editor(
    request: HttpRequest, turn: Submission, typed: dict[str, Any], problem: Refused | None = None
) -> HttpResponse:
    stage = turn.stage
    context = work_page.editor(turn, typed=typed, problem=problem) | {
        "action": reverse("annotation:review_fix", args=[turn.pk]),
        "cancel": f"{reverse('annotation:review', args=[stage.pk])}?submission={turn.pk}",
        "title": f"Fix the work of {turn.user}",
        "verb": "Fix it",
        "kept": f"fix:{turn.pk}",
        "version": turn.version,
        "seen": turn.reviews.order_by("-pk").values_list("pk", flat=True).first() or "",
        "note_name": "comment",
        "note_label": f"A word to {turn.user}",
        "note": request.POST.get("comment", ""),
        "problem": problem,
        "guidelines": work_page.guidelines(stage),
    }
    status = 422 if problem else 200
    return render(request, "annotation/editor.html", context, status=status)
