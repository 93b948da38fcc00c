"""The annotator's work: claim and show, submit and show the next, draft, skip, flag, undo."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import (
    access,
    desk,
    flagged,
    guidelines,
    markdown,
    queue,
    submissions,
    work_form,
    work_page,
)
from annotation.desk import Desk
from annotation.errors import Refused
from annotation.models import Submission

DEADLOCK = "40P01"  # PostgreSQL's code
LATE = (
    "Your time on that item had run out and others have done it. What you wrote is kept as late "
    "work: you and the leads can see it, and it does not count."
)


def _desk(request: HttpRequest, pk: int) -> Desk:
    """The person at this stage, as access.fetch would have it. A stranger gets 404."""
    found = desk.find(pk, request.user)  # type: ignore[arg-type]
    if found is None or found.role is None:
        raise Http404
    access.seat(request, found.stage.project.workspace, found.role)
    return found


def _submission(request: HttpRequest, seated: Desk) -> Submission:
    """The turn that the form is about. Another person's is no turn of yours: 404."""
    given = request.POST.get("submission", "")
    if not given.isdecimal() or len(given) > 18:
        raise BadRequest("The form does not say which submission it is about.")
    submission = queue.turn(seated.stage, seated.user, int(given))
    if submission is None:
        raise Http404
    return submission


def _holds(stored: Any, sent: Any) -> bool:
    """What was sent is in what is stored, space at the ends of texts aside."""
    if isinstance(sent, dict):
        there = stored if isinstance(stored, dict) else {}
        return all(_holds(there.get(key), value) for key, value in sent.items())
    if isinstance(sent, str) and isinstance(stored or "", str):
        return (stored or "").strip() == sent.strip()
    return bool(stored == sent)


def _number(request: HttpRequest, name: str) -> int:
    given = request.POST.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 10 else 0


def _page(
    request: HttpRequest,
    seated: Desk,
    submission: Submission | None,
    status: int = 200,
    **notices: Any,
) -> HttpResponse:
    """The work of this submission, or what to do when there is none: a fragment for htmx."""
    context = work_page.context(seated, submission, **notices)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "annotation/_work.html", context, status=status)
    context["guidelines"] = work_page.guidelines(seated.stage, seated)
    return render(request, "annotation/work.html", context, status=status)


def _next(request: HttpRequest, seated: Desk, **notices: Any) -> HttpResponse:
    """After an act: the next item in the same answer; without script and news, a redirect."""
    if not request.htmx and not notices:  # type: ignore[attr-defined]
        return redirect("annotation:work", seated.stage.pk)
    return _claim(request, seated, **notices)


def _claim(request: HttpRequest, seated: Desk, **notices: Any) -> HttpResponse:
    """The next item; before it, where the project asks so, the guidelines that are new to them."""
    if version := guidelines.to_confirm(seated):
        asked = work_page.to_read(seated, version)
        return _page(request, seated, None, to_read=asked, **notices)
    return _page(request, seated, queue.claim(seated.stage, seated.user, seated), **notices)


def _submit(request: HttpRequest, submission: Submission, content: dict[str, Any]) -> Submission:
    """Once more where PostgreSQL ended a deadlock at our cost: somebody retires the prompt or adds
    answers to it at the same moment."""
    for again in (True, False):
        try:
            return submissions.submit(
                submission=submission,
                user=request.user,  # type: ignore[arg-type]
                content=content,
                version=_number(request, "version"),
                active_seconds=_number(request, "seconds"),
            )
        except OperationalError as error:
            if not again or getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    raise AssertionError("unreachable")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def work(request: HttpRequest, pk: int) -> HttpResponse:
    seated = _desk(request, pk)
    if request.method == "GET":
        return _claim(request, seated)
    submission = _submission(request, seated)
    content = work_form.content_from(request.POST, submission)
    try:
        work_form.check_touched(submission, content)
        submission = _submit(request, submission, content)
    except submissions.Stale as stale:
        submission.version = stale.version
        return _page(
            request, seated, submission, 409, typed=content, conflict=stale.stored, problem=stale
        )
    except submissions.Finished as finished:
        submission.refresh_from_db()
        if _holds(submission.draft, content):  # the answer to the first of two was lost on its way
            return _next(request, seated)
        texts = (content.get(name) for name in ("text", "better", "reason"))
        return _next(request, seated, problem=finished, unused=next(filter(None, texts), ""))
    except Refused as refused:
        return _page(request, seated, submission, 422, typed=content, problem=refused)
    if submission.state == Submission.State.LATE:
        return _next(request, seated, problem=LATE)
    seated.count_submitted()
    return _next(request, seated, **_news(request, seated, submission))


def _news(request: HttpRequest, seated: Desk, submission: Submission) -> dict[str, Any]:
    """The guidelines anew where the page still shows an older version than the one that the
    submission recorded: seen without a query."""
    shown = _number(request, "guidelines")
    if not request.htmx or not shown or submission.guidelines_id == shown:  # type: ignore[attr-defined]
        return {}
    return {"guidelines": work_page.guidelines(seated.stage, seated)}


@login_required
@require_POST
def work_draft(request: HttpRequest, pk: int) -> JsonResponse:
    """Autosave. 200 {version}; 409 {error, version, stored} if another tab was quicker. Of what is
    stored the texts only: the numbers of answers would say which of them are older."""
    seated = _desk(request, pk)
    submission = _submission(request, seated)
    try:
        submission = submissions.save_draft(
            submission=submission,
            user=seated.user,
            content=work_form.content_from(request.POST, submission),
            version=_number(request, "version"),
            active_seconds=_number(request, "seconds"),
        )
    except submissions.Stale as stale:
        texts = {part: text for part, text in stale.stored.items() if isinstance(text, str)}
        answer = {"error": str(stale), "version": stale.version, "stored": texts}
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
    seated = _desk(request, pk)
    submission = _submission(request, seated)
    try:
        submissions.skip(
            submission=submission,
            user=seated.user,
            reason=request.POST.get("reason", ""),
            note=request.POST.get("note", ""),
        )
    except submissions.Finished:
        return _next(request, seated)
    except Refused as refused:
        return _page(request, seated, submission, 422, problem=refused)
    return _next(request, seated)


@login_required
@require_POST
def work_flag(request: HttpRequest, pk: int) -> HttpResponse:
    """On the lead's list, or off it again, as the page says: what it showed may be old by now, and
    who flags an item that another has flagged meanwhile takes no flag off."""
    seated = _desk(request, pk)
    turn = _submission(request, seated)
    flagged.press(turn=turn, user=seated.user, on=bool(request.POST.get("on")))
    if request.htmx:  # type: ignore[attr-defined]
        context = {"item": turn.item, "submission": turn, "stage": seated.stage}
        return render(request, "annotation/_work_flag.html", context)
    return redirect("annotation:work", pk)


@login_required
@require_POST
def work_undo(request: HttpRequest, pk: int) -> HttpResponse:
    seated = _desk(request, pk)
    if seated.refusal:  # what is taken back could not be shown, nor handed in again, after a reload
        return _next(request, seated)
    try:
        submission = submissions.undo(stage=seated.stage, user=seated.user)
    except Refused as refused:
        return _next(request, seated, problem=refused)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("annotation:work", pk)  # what was touched last is shown first
    taken_back = queue.turn(seated.stage, seated.user, submission.pk)
    return _page(request, desk.at(seated.stage, seated.user), taken_back, undone=True)


@login_required
@require_POST
def work_preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The text as the reader will see it."""
    _desk(request, pk)
    return HttpResponse(markdown.render(request.POST.get("text", "")))
