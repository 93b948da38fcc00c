"""Remarks on a prompt: by reviewers and leads on its page, by annotators from their work."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from annotation import access, comments
from annotation.errors import Refused
from annotation.models import Comment, Prompt, Role, Submission


def _back(request: HttpRequest, otherwise: str) -> str:
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    return wanted if safe else otherwise


def _shown_to(request: HttpRequest, prompt: Prompt) -> str:
    """Where this person sees the prompt; annotators only those that they have worked on."""
    if request.role >= Role.REVIEWER:  # type: ignore[attr-defined]
        return reverse("annotation:prompt", args=[prompt.pk])
    turn = Submission.objects.filter(item__prompt=prompt, user=request.user.pk).first()
    if turn is None:
        raise PermissionDenied("You have not worked on this prompt.")
    return reverse("annotation:turn", args=[turn.pk])


@login_required
@require_POST
def comment_new(request: HttpRequest, pk: int) -> HttpResponse:
    """`comment` in the form. From the work page (htmx) the answer says so in its place."""
    prompt = access.fetch(
        request, Prompt.objects.live().select_related("project__workspace"), pk=pk
    )
    back = _back(request, _shown_to(request, prompt))
    typed = request.POST.get("comment", "")
    try:
        comments.add(prompt=prompt, author=request.user, text=typed)  # type: ignore[arg-type]
    except Refused as refused:
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponse(str(refused), status=422, content_type="text/plain")
        context = {"prompt": prompt, "typed": typed, "problem": refused, "next": back}
        return render(request, "annotation/comment.html", context, status=422)
    said = "Your comment is with the reviewers and leads."
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(said, content_type="text/plain")
    messages.success(request, said)
    return redirect(back)


@login_required
@require_POST
def comment_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Comment.objects.select_related("prompt__project__workspace")
    comment = access.fetch(request, rows, pk=pk)
    if comment.author_id != request.user.pk:
        raise PermissionDenied("Only its author takes a comment back.")
    back = _back(request, _shown_to(request, comment.prompt))
    try:
        comments.withdraw(comment=comment, author=request.user)  # type: ignore[arg-type]
        messages.success(request, "Taken back.")
    except Refused as refused:
        messages.error(request, str(refused))
    return redirect(back)
