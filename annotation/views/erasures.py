"""Erasure, for owners: what would go, a confirmation typed by hand, and the record of what went."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from annotation import access, activity, erasing
from annotation.errors import Refused
from annotation.forms.erasures import ErasePersonForm, ErasePromptForm
from annotation.models import Erasure, Membership, Prompt, Role, Workspace
from annotation.people import Actor

PER_PAGE = 50


def _actor(request: HttpRequest) -> Actor:
    return Actor(user=request.user, role=request.role)  # type: ignore[arg-type, attr-defined]


def _done(request: HttpRequest, erasure: Erasure, workspace: Workspace, what: str) -> HttpResponse:
    page = reverse("annotation:erasure", args=[erasure.pk])
    activity.record(
        workspace=workspace,
        actor=request.user,  # type: ignore[arg-type]
        what=f"erased {what}",
        subject=f"erasure {erasure.pk}",
        path=page,
    )
    messages.success(request, "Erased. Below is what else held it.")
    return redirect(page)


@login_required
@require_http_methods(["GET", "POST"])
def erase_person(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Membership.objects.select_related("workspace", "user")
    member = access.fetch(request, rows, Role.OWNER, pk=pk)
    form = ErasePersonForm(request.POST or None, wanted=member.user.email)
    if form.is_valid():
        try:
            erasure = erasing.erase_person(
                membership=member,
                by=_actor(request),
                names=form.cleaned_data["names"],
                reason=form.cleaned_data["reason"],
            )
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return _done(request, erasure, member.workspace, "a person")
    found = erasing.of_person(member.workspace, member.user)
    context = {"member": member, "form": form, "found": found, **_counts(found)}
    status = 400 if form.errors else 200
    return render(request, "annotation/erase_person.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def erase_prompt(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Prompt.objects.live().select_related("project__workspace", "parent")
    prompt = access.fetch(request, rows, Role.OWNER, pk=pk)
    form = ErasePromptForm(request.POST or None, wanted=prompt.external_id)
    if form.is_valid():
        erasure = erasing.erase_prompt(
            prompt=prompt,
            by=_actor(request),
            reason=form.cleaned_data["reason"],
            blank_id=form.cleaned_data["blank_id"],
        )
        return _done(request, erasure, prompt.workspace, "a prompt")
    found = erasing.of_prompt(prompt)
    context = {"prompt": prompt, "project": prompt.project, "form": form, "found": found}
    status = 400 if form.errors else 200
    return render(request, "annotation/erase_prompt.html", context | _counts(found), status=status)


def _counts(found: "erasing.Found | Erasure") -> dict[str, Any]:
    return {
        "counts": {
            "prompts": len(found.prompts),
            "responses": len(found.responses),
            "submissions": len(found.submissions),
        },
        "imports": erasing.imports_of(found),
    }


@login_required
@require_GET
def erasures(request: HttpRequest, slug: str) -> HttpResponse:
    workspace = access.workspace(request, slug, Role.OWNER)
    rows = workspace.erasures.select_related("author").order_by("-pk")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "annotation/erasures.html", {"page": page})


@login_required
@require_GET
def erasure(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Erasure.objects.select_related("workspace", "author")
    found = access.fetch(request, rows, Role.OWNER, pk=pk)
    return render(request, "annotation/erasure.html", {"erasure": found, **_counts(found)})
