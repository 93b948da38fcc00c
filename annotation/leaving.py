"""Somebody goes: out of the workspace, with nothing lost. What they did stays, what they held goes
to another person or back to the queue, where they were chosen to work somebody else can be."""

from dataclasses import dataclass

from django.db import transaction

from annotation import claims, people, projects
from annotation.claims import Moved
from annotation.models import Membership, Seat, Stage, User
from annotation.people import Actor


@dataclass(frozen=True)
class Left:
    """What became of the open items, and the stages in which nobody is chosen to work now."""

    items: Moved
    empty: list[str]


@transaction.atomic
def deactivate(*, membership: Membership, by: Actor, to: User | None = None) -> Left:
    """The person is out; `to` takes over what they hold and the stages that they were chosen for,
    else it all goes back to the queue. Brought back, they find their seats and drafts again.

    Raises Refused as `people.deactivate` and `claims.move` do."""
    workspace, user = membership.workspace, membership.user
    people.deactivate(membership=membership, by=by)
    if to is None:
        items = claims.release(workspace=workspace, user=user, by=by.user)
    else:
        projects.hand_seats_over(workspace=workspace, user=user, to=to)
        items = claims.move(workspace=workspace, user=user, to=to, by=by.user)
    return Left(items, _without_people(membership))


def _without_people(membership: Membership) -> list[str]:
    """Open stages for chosen people that had this one, and have nobody active any more."""
    stages = Stage.objects.filter(
        project__workspace=membership.workspace,
        project__archived=None,
        open_to_all=False,
        state=Stage.State.OPEN,
        seats__user=membership.user,
        seats__assigned=True,
    )
    active = membership.workspace.memberships.filter(is_active=True).values("user")
    others = Seat.objects.filter(assigned=True, user__in=active).values("stage")
    return [str(stage) for stage in stages.exclude(pk__in=others)]
