"""A person's own account: name, password, tokens for programs."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import leave
from annotation import people as acts
from annotation.forms.people import AccountForm, LeaveForm, TokenForm
from annotation.models import ApiToken, Membership


def _page(request: HttpRequest, **context: Any) -> HttpResponse:
    context.setdefault("form", AccountForm(instance=request.user))
    context.setdefault("token_form", TokenForm())
    context["tokens"] = ApiToken.objects.filter(user=request.user.pk, revoked=None).order_by("-pk")
    context["leaves"] = [
        (member, leave.said(member), LeaveForm(instance=member, prefix=str(member.pk)))
        for member in Membership.objects.filter(user=request.user.pk, is_active=True)
        .select_related("workspace", "user")
        .order_by("pk")
    ]
    wrong = context["form"].errors or context["token_form"].errors
    return render(request, "annotation/account.html", context, status=400 if wrong else 200)


@login_required
@require_http_methods(["GET", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    form = AccountForm(request.POST, instance=request.user)
    if not form.is_valid():
        return _page(request, form=form)
    form.save()
    messages.success(request, "Saved.")
    return redirect("annotation:account")


@login_required
@require_POST
@never_cache
def token_issue(request: HttpRequest) -> HttpResponse:
    """Answers with the secret in the page itself: only its hash is kept."""
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, token_form=form)
    token, secret = ApiToken.issue(request.user, form.cleaned_data["name"])  # type: ignore[arg-type]
    return _page(request, secret=secret, new=token)


@login_required
@require_POST
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, user=request.user.pk)
    acts.revoke_token(token=token)
    messages.success(request, f"“{token.name}” opens nothing any more.")
    return redirect("annotation:account")
