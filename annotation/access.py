"""Permission is how you fetch: a stranger gets 404, the wrong role 403. Below every view."""

from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from annotation.models import Membership, Role, User, Workspace

T = TypeVar("T", bound=Model)


def role_in(user: User, workspace: Workspace) -> Role | None:
    """The user's role in the workspace; none for a stranger."""
    role = (
        Membership.objects.filter(workspace=workspace, user=user.pk, is_active=True)
        .values_list("role", flat=True)
        .first()
    )
    return Role(role) if role else None


def enter(request: HttpRequest, workspace: Workspace, at_least: Role = Role.ANNOTATOR) -> None:
    """Set `request.workspace` and `request.role`.

    Raises Http404 to strangers and PermissionDenied to members of a lower role."""
    role = role_in(request.user, workspace)  # type: ignore[arg-type]
    if role is None:
        raise Http404
    if role < at_least:
        raise PermissionDenied(f"This needs the role {at_least.label}; yours is {role.label}.")
    seat(request, workspace, role)


def seat(request: HttpRequest, workspace: Workspace, role: Role) -> None:
    """The frame of the page knows where its reader is, and as what."""
    request.workspace, request.role = workspace, role  # type: ignore[attr-defined]


def fetch(
    request: HttpRequest,
    rows: "QuerySet[T] | type[T]",
    at_least: Role = Role.ANNOTATOR,
    **lookup: Any,
) -> T:
    """The row, if the user may have it: its `workspace` says who may.

    Pass a queryset with the select_related that the view needs; it must reach the workspace."""
    row = get_object_or_404(rows, **lookup)
    enter(request, row.workspace, at_least)  # type: ignore[attr-defined]
    return row


def workspace(request: HttpRequest, slug: str, at_least: Role = Role.ANNOTATOR) -> Workspace:
    return fetch(request, Workspace, at_least, slug=slug)


def mine(user: User) -> "QuerySet[Workspace]":
    """The workspaces that the user belongs to."""
    return Workspace.objects.filter(memberships__user=user, memberships__is_active=True)
