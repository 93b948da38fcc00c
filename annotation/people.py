"""Who is in a workspace: the only writer of workspaces, memberships and invitations."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.contrib.auth.tokens import default_token_generator
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.text import slugify

from annotation.errors import Refused
from annotation.models import ApiToken, Invitation, Membership, Role, User, Workspace
from annotation.models.people import hash_secret

INVITATION_DAYS = 14

T = TypeVar("T")


@dataclass(frozen=True)
class Actor:
    """Who acts, and with which role; the shell acts as an owner without a user."""

    user: User | None
    role: Role


SHELL = Actor(user=None, role=Role.OWNER)


def free_slug(name: str, taken: "set[str]", fallback: str, length: int = 50) -> str:
    """A slug of the name that is not in `taken`: "support-desk", then "support-desk-2" ..."""
    base = slugify(name)[: length - 4].strip("-_") or fallback
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def with_free_slug(
    make: Callable[[str], T],
    rows: "QuerySet[Any]",
    name: str,
    slug: str | None,
    fallback: str,
    length: int = 50,
) -> T | None:
    """What `make` makes of a slug that none of `rows` has: the given one, else one of the name.

    None if the given one is taken. Two who make one of the same name at once get one each: where
    the database refuses the second, it tries the next."""
    for _ in range(20):
        taken = set(rows.values_list("slug", flat=True))
        if slug in taken:
            return None
        try:
            with transaction.atomic():
                return make(slug or free_slug(name, taken, fallback, length))
        except IntegrityError:
            continue
    raise Refused(f"Many make a {fallback} of this name at once: try again.")


@transaction.atomic
def create_workspace(*, name: str, owner: User | None, slug: str | None = None) -> Workspace:
    """A workspace with its first owner; none for a shell, where `invite` makes one.

    Raises Refused if the given slug is taken."""

    def make(free: str) -> Workspace:
        return Workspace.objects.create(name=name, slug=free, salt=f"annotune:{free}")

    workspace = with_free_slug(make, Workspace.objects.all(), name, slug, "workspace")
    if workspace is None:
        raise Refused(f"The short name “{slug}” is taken: choose another one.")
    if owner is not None:
        Membership.objects.create(workspace=workspace, user=owner, role=Role.OWNER)
    return workspace


@transaction.atomic
def add_member(*, workspace: Workspace, user: User, role: Role) -> Membership:
    """The person becomes a member; a member keeps the higher of the two roles.

    One who was deactivated comes back with this role: what they were is an owner's to give."""
    membership, created = Membership.objects.get_or_create(
        workspace=workspace, user=user, defaults={"role": role}
    )
    if not created:
        membership.role = max(membership.role, role) if membership.is_active else role
        membership.is_active = True
        membership.save(update_fields=["role", "is_active"])
    return membership


def may_invite(by: Role, role: Role) -> bool:
    """Owners invite anyone; leads invite annotators and reviewers."""
    return by == Role.OWNER or (by == Role.LEAD and role < Role.LEAD)


@transaction.atomic
def invite(*, workspace: Workspace, email: str, role: Role, by: Actor) -> tuple[Invitation, str]:
    """An open invitation and its link's path, which is shown once: only its hash is kept.

    An earlier open invitation of the same address is revoked, so that one link is good at a time.
    Raises Refused if `by` may not, or if the person is a member already."""
    email = email.strip().lower()
    if not may_invite(by.role, role):
        raise Refused(f"Only an owner may invite with the role {role.label}.")
    if Membership.objects.filter(workspace=workspace, user__email=email, is_active=True).exists():
        raise Refused(f"{email} is a member already: change the role in the list of people.")
    now = timezone.now()
    workspace.invitations.filter(email=email, accepted=None, revoked=None).update(revoked=now)
    secret = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        workspace=workspace,
        email=email,
        role=role,
        secret_hash=hash_secret(secret),
        created_by=by.user,
        expires=now + timedelta(days=INVITATION_DAYS),
    )
    return invitation, reverse("annotation:invitation", args=[secret])


def find_invitation(secret: str) -> Invitation | None:
    """The invitation behind a link, open or not."""
    invitations = Invitation.objects.select_related("workspace", "created_by")
    return invitations.filter(secret_hash=hash_secret(secret)).first()


def why_closed(invitation: Invitation) -> str:
    """Why the link opens nothing, in words; "" while it is open."""
    if invitation.accepted:
        return "This invitation has been used. Log in instead."
    if invitation.revoked:
        return "This invitation was withdrawn. Ask whoever sent it for a new one."
    if invitation.expires <= timezone.now():
        return f"This invitation expired after {INVITATION_DAYS} days. Ask for a new one."
    return ""


def _use(invitation: Invitation) -> None:
    """Marks it used; exactly one caller gets through, the others are refused."""
    now = timezone.now()
    open_ones = Invitation.objects.filter(
        pk=invitation.pk, accepted=None, revoked=None, expires__gt=now
    )
    if open_ones.update(accepted=now) != 1:
        invitation.refresh_from_db()
        raise Refused(why_closed(invitation) or "This invitation has been used. Log in instead.")


@transaction.atomic
def accept(*, invitation: Invitation, user: User) -> Membership:
    """An existing person takes the invitation up. It is meant for its address only."""
    if user.email != invitation.email:
        raise Refused(
            f"This invitation is for {invitation.email}, and you are logged in as {user.email}. "
            "Log out and open the link again."
        )
    _use(invitation)
    return add_member(workspace=invitation.workspace, user=user, role=Role(invitation.role))


@transaction.atomic
def accept_as_new(*, invitation: Invitation, name: str, password: str) -> User:
    """A new person takes the invitation up, with a name and a password that they choose."""
    _use(invitation)
    try:
        with transaction.atomic():
            user = User.objects.create_user(invitation.email, name, password)
    except IntegrityError:
        raise Refused(
            f"{invitation.email} has an account: log in and open the link again."
        ) from None
    add_member(workspace=invitation.workspace, user=user, role=Role(invitation.role))
    return user


@transaction.atomic
def revoke(*, invitation: Invitation, by: Actor) -> None:
    """The link opens nothing any more. Raises Refused if it was used, or `by` may not."""
    if not may_invite(by.role, Role(invitation.role)):
        raise Refused(
            f"Only an owner may withdraw an invitation as {invitation.get_role_display()}."
        )
    rows = Invitation.objects.filter(pk=invitation.pk, accepted=None, revoked=None)
    if not rows.update(revoked=timezone.now()):
        raise Refused("This invitation was used or withdrawn already.")


def _keep_an_owner(membership: Membership) -> None:
    """Raises Refused if the workspace would be left without an active owner."""
    others = Membership.objects.select_for_update().filter(
        workspace=membership.workspace_id, role=Role.OWNER, is_active=True, user__is_active=True
    )
    if membership.role == Role.OWNER and not [m for m in others if m.pk != membership.pk]:
        raise Refused(f"{membership.user} is the last owner: make somebody else an owner first.")


def may_manage(by: Role, membership: Membership) -> bool:
    """Owners manage all; leads manage annotators and reviewers."""
    return may_invite(by, Role(membership.role))


@transaction.atomic
def change_role(*, membership: Membership, role: Role, by: Actor) -> None:
    """Raises Refused if `by` may not, or if the last owner would be gone."""
    if not may_manage(by.role, membership) or not may_invite(by.role, role):
        raise Refused("Only owners give or take the roles lead and owner.")
    if role != Role.OWNER:
        _keep_an_owner(membership)
    membership.role = role
    membership.save(update_fields=["role"])


@transaction.atomic
def deactivate(*, membership: Membership, by: Actor) -> None:
    """The person is out; what they did stays. Raises Refused for the last owner."""
    if not may_manage(by.role, membership):
        raise Refused("Only owners may deactivate a lead or an owner.")
    _keep_an_owner(membership)
    membership.is_active = False
    membership.save(update_fields=["is_active"])


@transaction.atomic
def reactivate(*, membership: Membership, by: Actor) -> None:
    if not may_manage(by.role, membership):
        raise Refused("Only owners may bring back a lead or an owner.")
    if not membership.user.is_active:
        raise Refused(f"The account of {membership.user} is closed: invite the person anew.")
    membership.is_active = True
    membership.save(update_fields=["is_active"])


def reset_path(*, membership: Membership, by: Actor) -> str:
    """The path at which the member sets a new password, once; it dies when it is used.

    Raises Refused unless `by` is an owner, or if an owner of another workspace would be exposed:
    whoever holds the link gets into everything that the person can reach."""
    if by.role != Role.OWNER:
        raise Refused("Only an owner may make a link that resets a password.")
    elsewhere = Membership.objects.filter(user=membership.user_id, is_active=True).exclude(
        workspace=membership.workspace_id
    )
    if by.user is not None and (membership.user.is_superuser or elsewhere.exists()):
        raise Refused(
            f"{membership.user} also belongs to other workspaces, which the link would open too: "
            "ask them to use “Forgot your password?” on the login page, or the operator."
        )
    uid = urlsafe_base64_encode(force_bytes(membership.user_id))
    token = default_token_generator.make_token(membership.user)
    return reverse("password_reset_confirm", args=[uid, token])


def revoke_token(*, token: ApiToken) -> None:
    """The token opens nothing any more; its row stays, as a trace."""
    ApiToken.objects.filter(pk=token.pk, revoked=None).update(revoked=timezone.now())
