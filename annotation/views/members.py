"""One member: their leave, what they hold, and how they go without anything being lost."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from annotation import access, activity, claims, leave, leaving, zones
from annotation import people as acts
from annotation.errors import Refused
from annotation.forms.people import HandOverForm, LeaveForm
from annotation.models import Membership, Role
from annotation.people import Actor


def _fetch(request: HttpRequest, pk: int, at_least: Role = Role.LEAD) -> Membership:
    rows = Membership.objects.select_related("workspace", "user")
    return access.fetch(request, rows, at_least, pk=pk)


def _actor(request: HttpRequest) -> Actor:
    return Actor(user=request.user, role=request.role)  # type: ignore[arg-type, attr-defined]


def _record(request: HttpRequest, member: Membership, what: str, detail: str = "") -> None:
    activity.record(
        workspace=member.workspace,
        actor=request.user,  # type: ignore[arg-type]
        what=what,
        subject=str(member.user),
        path=reverse("annotation:member", args=[member.pk]),
        detail=detail,
    )


def _page(request: HttpRequest, member: Membership, **context: Any) -> HttpResponse:
    stages = claims.by_stage(member.workspace, member.user)
    context.setdefault("leave_form", LeaveForm(instance=member))
    context |= {
        "member": member,
        "mine": acts.may_manage(request.role, member),  # type: ignore[attr-defined]
        "leave": leave.said(member),
        "away": leave.is_away(member),
        "there": timezone.now().astimezone(zones.of(member.user)),
        "stages": stages,
        "holds": sum(items for _, items, _ in stages),
        "hand_over": HandOverForm(member=member, auto_id="hand_%s"),
        "going": HandOverForm(member=member, auto_id="going_%s"),
    }
    status = 400 if context["leave_form"].errors else 200
    return render(request, "annotation/member.html", context, status=status)


@login_required
@require_GET
def member(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _fetch(request, pk))


@login_required
@require_POST
def member_leave(request: HttpRequest, pk: int) -> HttpResponse:
    """Set by a lead, or by the person from their own account."""
    found = _fetch(request, pk, Role.ANNOTATOR)
    own = found.user_id == request.user.pk
    if not own and request.role < Role.LEAD:  # type: ignore[attr-defined]
        raise PermissionDenied("Leads set other people's leave.")
    from_account = own and "account" in request.POST
    form = LeaveForm(request.POST, instance=found, prefix=str(pk) if from_account else None)
    if form.is_valid():
        days = form.cleaned_data
        try:
            leave.set_leave(membership=found, first=days["away_from"], last=days["away_until"])
        except Refused as refusal:
            form.add_error(refusal.field, str(refusal))
    if form.errors:
        if from_account:
            wrong = [str(text) for texts in form.errors.values() for text in texts]
            messages.error(request, " ".join(wrong))
            return redirect("annotation:account")
        return _page(request, _fetch(request, pk), leave_form=form)
    said = leave.said(found) or "not away"
    messages.success(request, f"{found.user} is {said}.")
    _record(request, found, "leave set", said)
    return redirect("annotation:account") if from_account else redirect("annotation:member", pk)


def _chosen(request: HttpRequest, member: Membership) -> dict[str, Any] | None:
    """{"stage", "to"} of the form; none, and a message, for what is no choice."""
    form = HandOverForm(request.POST, member=member)
    if form.is_valid():
        return form.cleaned_data
    messages.error(request, "There is no such person or stage to choose.")
    return None


@login_required
@require_POST
def member_hand_over(request: HttpRequest, pk: int) -> HttpResponse:
    """`to` in the form: the person who gets what this one holds; empty: back to the queue."""
    found = _fetch(request, pk)
    chosen = _chosen(request, found)
    if chosen is not None:
        to, stage = chosen["to"], chosen["stage"]
        where: dict[str, Any] = {"workspace": found.workspace, "user": found.user, "stage": stage}
        try:
            if to is None:
                done = claims.release(by=_actor(request).user, **where)
            else:
                done = claims.move(to=to, by=_actor(request).user, **where)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"{done.said(to)} Drafts stay with {found.user}.")
            _record(request, found, "items handed over", done.said(to))
    return redirect("annotation:member", pk)


@login_required
@require_POST
def member_deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """`to` in the form: who takes over; empty: the queue."""
    found = _fetch(request, pk)
    chosen = _chosen(request, found)
    if chosen is None:
        return redirect("annotation:member", pk)
    to = chosen["to"]
    try:
        left = leaving.deactivate(membership=found, by=_actor(request), to=to)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        items = left.items.said(to) if left.items.moved or left.items.returned else ""
        messages.success(request, f"{found.user} is out. What they did stays. {items}".strip())
        if left.empty:
            names = ", ".join(left.empty)
            messages.warning(request, f"Nobody is chosen for {names} now: choose people there.")
        _record(request, found, "person deactivated", items)
    return redirect("annotation:people", found.workspace.slug)


@login_required
@require_POST
def member_reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    try:
        acts.reactivate(membership=found, by=_actor(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{found.user} is back.")
        _record(request, found, "person brought back")
    return redirect("annotation:people", found.workspace.slug)
