"""Who has read which version of a project's guidelines: the only writer of readings."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from annotation.desk import Desk
from annotation.errors import Refused
from annotation.models import GuidelineReading, GuidelineVersion, Project, Role, User


@dataclass(frozen=True)
class Reader:
    """A member and what they said to have read: the newest version and when, if any."""

    user: User
    role: str
    number: int | None
    when: datetime | None


def confirm(*, version: GuidelineVersion, user: User) -> None:
    """The person has read this version and understood it. Refused if a newer one is in force; a
    second click changes nothing."""
    newest = version.project.guidelines
    if newest is not None and newest.pk != version.pk:
        raise Refused(
            f"Version {newest.number} came into force meanwhile: read that one. "
            "What is new in it is marked."
        )
    try:
        with transaction.atomic():
            GuidelineReading.objects.get_or_create(version=version, user=user)
    except IntegrityError:  # two clicks at once
        pass


def last_read(project: Project, user: User) -> int | None:
    """The newest version that the person has confirmed, by its number."""
    rows = GuidelineReading.objects.filter(version__project=project, user=user)
    found: int | None = (
        rows.order_by("-version__number").values_list("version__number", flat=True).first()
    )
    return found


def has_read(version: GuidelineVersion, user: User) -> bool:
    return GuidelineReading.objects.filter(version=version, user=user).exists()


def to_confirm(seated: Desk) -> GuidelineVersion | None:
    """The version that the person must confirm before their next item; none where the project does
    not ask (that costs no query), where there are no guidelines, or where they did."""
    project = seated.stage.project
    if not project.confirm_guidelines or seated.refusal:
        return None
    newest = project.guidelines
    return None if newest is None or has_read(newest, seated.user) else newest


def is_new_to(version: GuidelineVersion, seated: Desk) -> bool:
    """The version came after the person began here, and they have not said that they read it."""
    if version.number == 1 or seated.seat is None or seated.seat.created >= version.created:
        return False
    return not has_read(version, seated.user)


def readers(project: Project) -> list[Reader]:
    """The active members, those who have read the least first."""
    read: dict[int, tuple[int, datetime]] = {}
    rows = GuidelineReading.objects.filter(version__project=project).order_by("version__number")
    for user, number, when in rows.values_list("user", "version__number", "created"):
        read[user] = (number, when)
    members = project.workspace.memberships.filter(is_active=True, user__is_active=True)
    found = [
        Reader(
            user=member.user,
            role=Role(member.role).label,
            number=read.get(member.user_id, (None, None))[0],
            when=read.get(member.user_id, (None, None))[1],
        )
        for member in members.select_related("user").order_by("user__name", "pk")
    ]
    return sorted(found, key=lambda reader: reader.number or 0)
