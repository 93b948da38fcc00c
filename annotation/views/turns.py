"""My work: a person's turns in a stage, one of them with its history, and second thoughts."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import (
    access,
    comments,
    places,
    queue,
    review_page,
    submissions,
    turn_page,
    work_page,
)
from annotation import turns as reads
from annotation.errors import Refused
from annotation.models import Role, Stage, Submission, User
from annotation.prompt_page import conversation
from annotation.rubric import missing
from annotation.text import row_number
from annotation.work_form import LETTERS, field_of, ratings_from

State = Submission.State
NOT_YOURS = "This is another person's work: reviewers and leads may look at it."


def _fetch(request: HttpRequest, pk: int, *, own: bool = False) -> Submission:
    """One's own turn; a reviewer or lead may look at anybody's, but not act in it."""
    rows = Submission.objects.live().select_related("item__prompt", "user")
    rows = rows.select_related("stage__project__workspace", "suggestion")
    turn = access.fetch(request, rows, pk=pk)
    if turn.user_id != request.user.pk and (own or request.role < Role.REVIEWER):  # type: ignore[attr-defined]
        raise PermissionDenied(NOT_YOURS)
    if turn.user_id != request.user.pk and review_page.holds(request.user, turn.item_id):  # type: ignore[arg-type]
        raise PermissionDenied(review_page.HOLDS)
    return turn


def _sees_times(request: HttpRequest, person: int | None) -> bool:
    """How long somebody took is for themselves and for the leads."""
    return person == request.user.pk or request.role >= Role.LEAD  # type: ignore[attr-defined]


@login_required
@never_cache
@require_GET
def turns(request: HttpRequest, pk: int) -> HttpResponse:
    """?show= filters, ?after= pages on, ?user= is for reviewers and leads."""
    stage = access.fetch(request, Stage.objects.select_related("project__workspace"), pk=pk)
    person: User = request.user  # type: ignore[assignment]
    asked = row_number(request.GET.get("user", ""))
    if asked is not None and asked != request.user.pk:
        if request.role < Role.REVIEWER:  # type: ignore[attr-defined]
            raise PermissionDenied(NOT_YOURS)
        workers = stage.submissions.filter(user=asked).values("user")
        person = get_object_or_404(User, pk__in=workers)
    page = reads.page(
        stage, person, request.GET.get("show", ""), row_number(request.GET.get("after", ""))
    )
    context = {
        "stage": stage,
        "project": stage.project,
        "page": page,
        "person": person,
        "times": _sees_times(request, person.pk),
    }
    return render(request, "annotation/turns.html", context)


@login_required
@never_cache
@require_GET
def turn(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _fetch(request, pk))


def _page(
    request: HttpRequest,
    found: Submission,
    status: int = 200,
    ratings: Mapping[str, Any] | None = None,
    problem: Refused | None = None,
) -> HttpResponse:
    stage, prompt = found.stage, found.item.prompt
    handed_in = found.state in reads.HANDED_IN
    lacks = missing(stage.rubric, found.ratings, found.shown) if handed_in else []
    state, tone = reads.said_of(found)
    reviews = review_page.reviews_of(found)
    fixed = found.review == Submission.Review.FIXED
    counts = review_page.content_of(found, reviews) if fixed else {}
    context: dict[str, Any] = {
        "turn": found,
        "reviews": reviews,
        "fix": review_page.fixed_text(found, counts) if fixed else [],
        "fixed": turn_page.said(stage, found.shown, counts) if fixed else None,
        "my_comments": comments.of(prompt).filter(author=request.user.pk),
        "stage": stage,
        "project": stage.project,
        "prompt": prompt,
        "turns": conversation(prompt),
        "own": found.user_id == request.user.pk,
        "times": _sees_times(request, found.user_id),
        "state": state,
        "tone": tone,
        "shown": turn_page.shown(found),
        "content": turn_page.said(stage, found.shown, found.draft),
        "events": turn_page.timeline(found),
        "handed_in": handed_in,
        "lacks": len(lacks),
        "problem": problem if problem and not problem.field else None,
    }
    if lacks and context["own"]:
        context |= _questions(found, found.ratings if ratings is None else ratings, problem)
    return render(request, "annotation/turn.html", context, status=status)


def _asked(found: Submission) -> Stage:
    """The stage with those questions only that are still without an answer."""
    lacks = missing(found.stage.rubric, found.ratings, found.shown)
    stage = copy(found.stage)
    stage.rubric = [question for question in stage.rubric if question["key"] in lacks]
    return stage


def _questions(
    found: Submission, ratings: Mapping[str, Any], problem: Refused | None
) -> dict[str, Any]:
    """Those about the prompt, and (letter, those about that answer)."""
    stage, shown = _asked(found), found.shown
    fields = problem.fields if problem else {}
    errors = {field_of(field, shown): message for field, message in fields.items()}
    each = []
    if stage.kind != Stage.Kind.CORRECT:
        each = [
            (letter, work_page.questions_for(stage, found, ratings, errors, answer))
            for letter, answer in zip(LETTERS, shown, strict=False)
        ]
    return {
        "questions": work_page.questions_for(stage, found, ratings, errors),
        "of_answers": [(letter, questions) for letter, questions in each if questions],
    }


@login_required
@require_POST
def turn_reopen(request: HttpRequest, pk: int) -> HttpResponse:
    """Handed in or skipped: taken back. Begun or expired: held again. Then it is shown first."""
    found = _fetch(request, pk, own=True)
    user: User = request.user  # type: ignore[assignment]
    if refusal := queue.refusal(found.stage, user):
        messages.error(request, refusal)
        return redirect("annotation:turn", pk)
    try:
        if found.state in (State.CLAIMED, State.DRAFT, State.EXPIRED):
            places.resume(found)
        else:
            submissions.reopen(submission=found, user=user)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("annotation:turn", pk)
    return redirect("annotation:work", found.stage_id)


@login_required
@require_POST
def turn_complete(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk, own=True)
    ratings = ratings_from(request.POST, _asked(found), found.shown)
    try:
        submissions.complete(submission=found, user=request.user, ratings=ratings)  # type: ignore[arg-type]
    except Refused as refused:
        return _page(request, found, 422, {**found.ratings, **ratings}, refused)
    messages.success(request, "Complete again.")
    return redirect("annotation:turn", pk)
