"""The people of a workspace, and the door by which they come in."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, claims, leave
from annotation import people as acts
from annotation.errors import Refused
from annotation.forms.people import InviteForm, NewPersonForm, RoleForm, WorkspaceForm
from annotation.models import Invitation, Membership, Role, User, Workspace
from annotation.people import Actor


def _actor(request: HttpRequest) -> Actor:
    return Actor(user=request.user, role=request.role)  # type: ignore[arg-type, attr-defined]


def _page(request: HttpRequest, workspace: Workspace, **context: Any) -> HttpResponse:
    """The list; `link` in the context is a secret that is shown this once."""
    role: Role = request.role  # type: ignore[attr-defined]
    given = [each for each in Role if acts.may_invite(role, each)]
    members = workspace.memberships.select_related("user").order_by(
        "-is_active", "-role", "user__name"
    )
    holds = claims.counts(workspace, [member.user_id for member in members])
    rows = [
        {
            "member": member,
            "mine": acts.may_manage(role, member),
            "leave": leave.said(member),
            "away": leave.is_away(member),
            "holds": holds.get(member.user_id, 0),
        }
        for member in members
    ]
    invitations = workspace.invitations.filter(accepted=None, revoked=None).order_by("-pk")
    context.setdefault("form", InviteForm(roles=given))
    context |= {"rows": rows, "roles": given, "invitations": invitations}
    status = 400 if context["form"].errors else 200
    return render(request, "annotation/people.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def workspace_new(request: HttpRequest) -> HttpResponse:
    form = WorkspaceForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            workspace = acts.create_workspace(
                name=data["name"],
                owner=request.user,  # type: ignore[arg-type]
                slug=data["slug"] or None,
            )
        except Refused as refusal:
            form.add_error("slug", str(refusal))
        else:
            activity.note(request.user, "workspace made", workspace)  # type: ignore[arg-type]
            messages.success(request, f"{workspace} is there. Now make its first project.")
            return redirect("annotation:workspace", workspace.slug)
    return render(request, "annotation/workspace_new.html", {"form": form})


@login_required
@require_GET
def people(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, access.workspace(request, slug, Role.LEAD))


@login_required
@require_POST
@never_cache
def invite(request: HttpRequest, slug: str) -> HttpResponse:
    """Answers with the link in the page itself: it is not kept, so it cannot be redirected to."""
    workspace = access.workspace(request, slug, Role.LEAD)
    by = _actor(request)
    form = InviteForm(request.POST, roles=[r for r in Role if acts.may_invite(by.role, r)])
    if form.is_valid():
        try:
            invitation, path = acts.invite(workspace=workspace, by=by, **form.cleaned_data)
        except Refused as refusal:
            form.add_error("email", str(refusal))
        else:
            said = f"as {invitation.get_role_display()}"
            activity.note(request.user, "person invited", invitation, said)  # type: ignore[arg-type]
            link = request.build_absolute_uri(path)
            return _page(request, workspace, link=link, link_for=invitation)
    return _page(request, workspace, form=form)


@login_required
@require_POST
def invitation_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Invitation.objects.select_related("workspace")
    invitation = access.fetch(request, rows, Role.LEAD, pk=pk)
    try:
        acts.revoke(invitation=invitation, by=_actor(request))
        activity.note(request.user, "invitation withdrawn", invitation)  # type: ignore[arg-type]
        messages.success(request, f"The link for {invitation.email} opens nothing any more.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:people", invitation.workspace.slug)


def _member(request: HttpRequest, pk: int) -> Membership:
    rows = Membership.objects.select_related("workspace", "user")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


@login_required
@require_POST
def member_role(request: HttpRequest, pk: int) -> HttpResponse:
    member = _member(request, pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "There is no such role.")
        return redirect("annotation:people", member.workspace.slug)
    try:
        acts.change_role(membership=member, by=_actor(request), **form.cleaned_data)
        now = member.get_role_display()
        activity.note(request.user, "role changed", member, f"now {now}")  # type: ignore[arg-type]
        messages.success(request, f"{member.user} is {now} now.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:people", member.workspace.slug)


@login_required
@require_POST
@never_cache
def member_reset(request: HttpRequest, pk: int) -> HttpResponse:
    rows = Membership.objects.select_related("workspace", "user")
    member = access.fetch(request, rows, Role.OWNER, pk=pk)
    try:
        path = acts.reset_path(membership=member, by=_actor(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("annotation:people", member.workspace.slug)
    link = request.build_absolute_uri(path)
    activity.note(request.user, "password link made", member)  # type: ignore[arg-type]
    days = settings.PASSWORD_RESET_TIMEOUT // 86_400
    return _page(request, member.workspace, link=link, reset_for=member.user, days=days)


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters("password")
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Open to whoever holds the link: take the invitation up, as a new person or as oneself."""
    found = acts.find_invitation(secret)
    if found is None:
        raise Http404
    context: dict[str, Any] = {"invitation": found, "problem": acts.why_closed(found)}
    if context["problem"]:
        return render(request, "annotation/invitation.html", context, status=410)
    if request.user.is_authenticated:
        return _accept(request, found, request.user, context)
    if User.objects.filter(email=found.email).exists():
        context["login"] = f"{reverse('login')}?next={request.path}"
        return render(request, "annotation/invitation.html", context)
    form = NewPersonForm(request.POST or None, email=found.email)
    if form.is_valid():
        try:
            user = acts.accept_as_new(invitation=found, **form.cleaned_data)
        except Refused as refusal:
            context["problem"] = str(refusal)
            return render(request, "annotation/invitation.html", context, status=410)
        login(request, user, backend="annotation.login.Backend")
        messages.success(request, f"Welcome to {found.workspace}, {user.get_short_name()}.")
        return redirect("annotation:home")
    return render(request, "annotation/invitation.html", context | {"form": form})


def _accept(
    request: HttpRequest, invitation: Invitation, user: User, context: dict[str, Any]
) -> HttpResponse:
    if user.email != invitation.email:
        context["other"] = user.email
    elif request.method == "POST":
        try:
            acts.accept(invitation=invitation, user=user)
        except Refused as refusal:
            context["problem"] = str(refusal)
            return render(request, "annotation/invitation.html", context, status=410)
        messages.success(request, f"Welcome to {invitation.workspace}.")
        return redirect("annotation:home")
    return render(request, "annotation/invitation.html", context)
