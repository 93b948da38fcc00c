"""The annotator's work: claim and show, submit and show the next, draft, skip, flag, undo."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access, markdown, queue, submissions, work_page
from annotation.errors import Refused
from annotation.models import Stage, Submission, User

LATE = (
    "Your time on that item had run out and others have done it. What you wrote is kept as late "
    "work: you and the leads can see it, and it does not count."
)


def _stage(request: HttpRequest, pk: int) -> Stage:
    return access.fetch(request, Stage.objects.select_related("project__workspace"), pk=pk)


def _submission(request: HttpRequest, stage: Stage) -> Submission:
    """The turn that the form is about. Another person's is no turn of yours: 404."""
    given = request.POST.get("submission", "")
    if not given.isdecimal() or len(given) > 18:
        raise BadRequest("The form does not say which submission it is about.")
    rows = Submission.objects.select_related("item")
    submission = rows.filter(pk=given, stage=stage, user=request.user.pk).first()
    if submission is None:
        raise Http404
    submission.stage = stage
    return submission


def _number(request: HttpRequest, name: str) -> int:
    given = request.POST.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 10 else 0


def _page(
    request: HttpRequest,
    stage: Stage,
    submission: Submission | None,
    status: int = 200,
    **notices: Any,
) -> HttpResponse:
    """The work of this submission, or what to do when there is none: a fragment for htmx."""
    user: User = request.user  # type: ignore[assignment]
    context = work_page.context(stage, user, submission, **notices)
    if submission is None:
        context["refusal"] = queue.refusal(stage, user)
        context["waiting"] = [(s, n) for s, n in queue.waiting_for(user) if s.pk != stage.pk]
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "annotation/_work.html", context, status=status)
    context["guidelines"] = work_page.guidelines(stage)
    return render(request, "annotation/work.html", context, status=status)


def _next(request: HttpRequest, stage: Stage, **notices: Any) -> HttpResponse:
    """After an act: the next item in the same answer; without script and news, a redirect."""
    if not request.htmx and not notices:  # type: ignore[attr-defined]
        return redirect("annotation:work", stage.pk)
    user: User = request.user  # type: ignore[assignment]
    return _page(request, stage, queue.claim(stage, user), **notices)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def work(request: HttpRequest, pk: int) -> HttpResponse:
    stage = _stage(request, pk)
    user: User = request.user  # type: ignore[assignment]
    if request.method == "GET":
        return _page(request, stage, queue.claim(stage, user))
    submission = _submission(request, stage)
    content = work_page.content_from(request.POST, stage, submission)
    try:
        work_page.check_touched(stage, submission, content)
        submission = submissions.submit(
            submission=submission,
            user=user,
            content=content,
            version=_number(request, "version"),
            active_seconds=_number(request, "seconds"),
        )
    except submissions.Stale as stale:
        submission.version = stale.version
        return _page(
            request, stage, submission, 409, typed=content, conflict=stale.stored, problem=stale
        )
    except submissions.Finished as finished:
        submission.refresh_from_db()
        same = all(submission.draft.get(key) == value for key, value in content.items())
        if same:  # the answer to the first of two was lost on its way
            return _next(request, stage)
        return _next(request, stage, problem=finished, unused=content.get("text", ""))
    except Refused as refused:
        return _page(request, stage, submission, 422, typed=content, problem=refused)
    if submission.state == Submission.State.LATE:
        return _next(request, stage, problem=LATE)
    return _next(request, stage)


@login_required
@require_POST
def work_draft(request: HttpRequest, pk: int) -> JsonResponse:
    """Autosave. 200 {version}; 409 {error, version, stored} if another tab was quicker."""
    stage = _stage(request, pk)
    submission = _submission(request, stage)
    try:
        submission = submissions.save_draft(
            submission=submission,
            user=request.user,  # type: ignore[arg-type]
            content=work_page.content_from(request.POST, stage, submission),
            version=_number(request, "version"),
            active_seconds=_number(request, "seconds"),
        )
    except submissions.Stale as stale:
        answer = {"error": str(stale), "version": stale.version, "stored": stale.stored}
        return JsonResponse(answer, status=409)
    except submissions.Finished as finished:
        return JsonResponse({"error": str(finished), "finished": True}, status=409)
    except Refused as refused:
        return JsonResponse({"error": str(refused)}, status=400)
    expired = submission.state == Submission.State.EXPIRED
    return JsonResponse({"version": submission.version, "expired": expired})


@login_required
@require_POST
def work_skip(request: HttpRequest, pk: int) -> HttpResponse:
    stage = _stage(request, pk)
    submission = _submission(request, stage)
    try:
        submissions.skip(
            submission=submission,
            user=request.user,  # type: ignore[arg-type]
            reason=request.POST.get("reason", ""),
            note=request.POST.get("note", ""),
        )
    except submissions.Finished:
        return _next(request, stage)
    except Refused as refused:
        return _page(request, stage, submission, 422, problem=refused)
    return _next(request, stage)


@login_required
@require_POST
def work_flag(request: HttpRequest, pk: int) -> HttpResponse:
    """On the lead's list, or off it again."""
    stage = _stage(request, pk)
    submission = _submission(request, stage)
    item = submission.item
    item.flagged = not item.flagged
    queue.flag(item.pk, item.flagged)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "annotation/_work_flag.html", {"item": item, "stage": stage})
    return redirect("annotation:work", pk)


@login_required
@require_POST
def work_undo(request: HttpRequest, pk: int) -> HttpResponse:
    stage = _stage(request, pk)
    try:
        submission = submissions.undo(stage=stage, user=request.user)  # type: ignore[arg-type]
    except Refused as refused:
        return _next(request, stage, problem=refused)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("annotation:work", pk)  # what was touched last is shown first
    return _page(request, stage, submission, undone=True)


@login_required
@require_POST
def work_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The text as the reader will see it."""
    _stage(request, pk)
    return HttpResponse(markdown.render(request.POST.get("text", "")))
