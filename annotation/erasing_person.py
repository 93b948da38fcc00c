"""The person of an erasure: their reviews and remarks, their name wherever it stands as text, and
their account. Called by erasing.py."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F, Model, Q, QuerySet, TextField, Value
from django.db.models.functions import Coalesce, Now, Replace
from django.utils import timezone

from annotation import erasing_rows
from annotation.models import (
    Action,
    Activity,
    Adjudication,
    ApiToken,
    Comment,
    Erasure,
    Gold,
    GuidelineReading,
    GuidelineVersion,
    Import,
    Invitation,
    Measurement,
    Membership,
    Response,
    Review,
    Seat,
    Submission,
    SubmissionVersion,
    User,
    Workspace,
)

SOMEBODY = "somebody"
SHORT = 3  # a name of fewer letters is in too many words to be replaced within sentences


def is_elsewhere(membership: Membership) -> bool:
    """The account is in other workspaces too, active or not: it is not this owner's to close."""
    others = Membership.objects.filter(user=membership.user_id).exclude(pk=membership.pk)
    return others.exists()


def nameless() -> User:
    """An account that nobody can enter, for work whose person is erased."""
    return User.objects.create_user(
        f"erased-{secrets.token_hex(8)}@erased.invalid", "Erased person"
    )


def blank(
    workspace: Workspace,
    user: User,
    names: Sequence[str],
    submissions: Iterable[int],
    erasure: Erasure,
) -> None:
    """What the person said of others' work, and their names as text."""
    reviews = Review.objects.filter(reviewer=user, submission__stage__project__workspace=workspace)
    fixes = reviews.filter(decision=Review.Decision.FIX).exclude(content={})
    fixed = set(fixes.values_list("submission", flat=True)) - set(submissions)
    still = Submission.objects.filter(pk__in=fixed, review=Submission.Review.FIXED)
    erasing_rows.give_back_fixes(still.values_list("pk", flat=True))
    with transaction.atomic():
        reviews.update(comment="", content={})
        SubmissionVersion.objects.filter(
            author=user, submission__stage__project__workspace=workspace
        ).update(content={})
        decisions = Adjudication.objects.filter(
            author=user, item__stage__project__workspace=workspace
        )
        own = decisions.filter(submission__isnull=True)
        own.update(withdrawn=Coalesce("withdrawn", Now()))
        decisions.update(content={}, note="")
        Comment.objects.filter(author=user, prompt__project__workspace=workspace).update(
            text="", withdrawn=Coalesce("withdrawn", Now())
        )
        for place, name in enumerate(names):
            Submission.objects.filter(
                user__isnull=True, rater=name, stage__project__workspace=workspace
            ).update(rater=f"erased-{erasure.pk}-{place}")
    golds = Gold.objects.filter(author=user, item__stage__project__workspace=workspace)
    erasing_rows.end_golds(golds)
    _names(workspace, user, names)


@transaction.atomic
def _names(workspace: Workspace, user: User, names: Sequence[str]) -> None:
    """Sentences about them keep their sense without their name."""
    activities = Activity.objects.filter(workspace=workspace)
    activities.filter(actor=user).update(actor_name="")
    known = sorted({user.email, user.name, *names}, key=len, reverse=True)
    for name in (name for name in known if len(name) >= SHORT):
        _replace(activities, "subject", name)
        _replace(activities, "detail", name)
        _replace(activities, "actor_name", name)
        _replace(Action.objects.filter(project__workspace=workspace), "said", name)
    invitations = Invitation.objects.filter(workspace=workspace, email=user.email)
    invitations.filter(accepted=None, revoked=None).update(revoked=timezone.now())
    invitations.update(email=f"erased-{user.pk}@erased.invalid")
    Response.objects.filter(author=user, prompt__project__workspace=workspace).update(
        author_name=""
    )


def _replace(rows: "QuerySet[Any]", field: str, name: str) -> None:
    rows.filter(**{f"{field}__contains": name}).update(
        **{field: Replace(F(field), Value(name), Value(SOMEBODY), output_field=TextField())}
    )


@transaction.atomic
def close_account(user: User) -> None:
    """No name, no address, no way in; its row stays, since their work hangs on it."""
    email = user.email
    user.email, user.name = f"erased-{user.pk}@erased.invalid", f"Erased {user.pk}"
    user.timezone, user.last_login = "", None
    user.is_active = user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    user.save()
    Membership.objects.filter(user=user).update(is_active=False, away_from=None, away_until=None)
    tokens = ApiToken.objects.filter(user=user)
    tokens.filter(revoked=None).update(revoked=timezone.now())
    tokens.update(name="")
    Invitation.objects.filter(email=email).update(email=user.email)
    AccessAttempt.objects.filter(username=email).delete()
    AccessLog.objects.filter(username=email).delete()
    LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(User), object_id=str(user.pk)
    ).update(object_repr="", change_message="")


@transaction.atomic
def reassign(workspace: Workspace, user: User, person: User) -> None:
    """All that hangs on the account in this workspace hangs on the nameless one from now on."""
    in_project = Q(project__workspace=workspace)
    in_stage = Q(stage__project__workspace=workspace)
    in_item = Q(item__stage__project__workspace=workspace)
    in_turn = Q(submission__stage__project__workspace=workspace)
    in_prompt = Q(prompt__project__workspace=workspace)
    here = Q(workspace=workspace)
    hangs: list[tuple[type[Model], str, Q]] = [
        (Submission, "user", in_stage),
        (SubmissionVersion, "author", in_turn),
        (Response, "author", in_prompt),
        (Review, "reviewer", in_turn),
        (Adjudication, "author", in_item),
        (Gold, "author", in_item),
        (Comment, "author", in_prompt),
        (GuidelineVersion, "author", in_project),
        (GuidelineReading, "user", Q(version__project__workspace=workspace)),
        (Seat, "user", in_stage),
        (Action, "author", in_project),
        (Import, "created_by", in_project),
        (Activity, "actor", here),
        (Invitation, "created_by", here),
        (Erasure, "author", here),
        (Membership, "user", here),
    ]
    for model, field, where in hangs:
        model._default_manager.filter(where, **{field: user}).update(**{field: person})
    Membership.objects.filter(workspace=workspace, user=person).update(
        is_active=False, away_from=None, away_until=None
    )
    User.objects.filter(pk=person.pk).update(is_active=False)


def forget_measurements(workspace: Workspace) -> None:
    """They hold names and excerpts; the next look at a page has them counted anew."""
    Measurement.objects.filter(project__workspace=workspace).delete()
