"""The annotator's acts: draft, submit, skip, undo. The only writer of submissions, of written
responses, of rankings and of the history; nothing that was written is ever lost."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from annotation import places, rounds
from annotation.content import (
    checked_correction,
    checked_draft,
    checked_prompt,
    checked_ranking,
    checked_text,
)
from annotation.errors import Refused
from annotation.history import record
from annotation.models import (
    Origin,
    Ranking,
    Response,
    Stage,
    Submission,
    SubmissionVersion,
    User,
)
from annotation.text import text_fingerprint

State = Submission.State
MAX_SECONDS = 3600  # of active time that one save may add


class Stale(Refused):
    """Another tab or device saved a newer version. `stored` is its text, `version` its number."""

    def __init__(self, stored: Mapping[str, Any], version: int) -> None:
        super().__init__(
            "This item was changed in another tab or on another device. Both texts are kept: "
            "choose one."
        )
        self.stored, self.version = dict(stored), version


class Finished(Refused):
    """It was handed in already, so there is no draft to save."""


def save_draft(
    *,
    submission: Submission,
    user: User,
    content: Mapping[str, Any],
    version: int,
    active_seconds: int = 0,
) -> Submission:
    """Keep what is being written, renew the lease, count the version up.

    A draft is not judged, only kept. Raises Stale if `version` is not the stored one, Finished if
    the work was handed in. After its lease has run out the draft is kept, and has its place again
    if that is still free."""
    _own(submission, user)
    draft = checked_draft(content)
    stage = submission.stage
    until = timezone.now() + timedelta(minutes=stage.lease_minutes)
    with transaction.atomic():
        unfinished = Submission.objects.filter(
            pk=submission.pk, version=version, state__in=[State.CLAIMED, State.DRAFT, State.EXPIRED]
        )
        if not unfinished.update(
            draft=draft, version=F("version") + 1, active_seconds=_seconds(active_seconds)
        ):
            raise _why_not(submission)
        held = Submission.objects.filter(pk=submission.pk, state__in=[State.CLAIMED, State.DRAFT])
        expired = Submission.objects.filter(pk=submission.pk, state=State.EXPIRED)
        if held.update(state=State.DRAFT, claimed_until=until) or (
            places.retake(submission.item_id)
            and expired.update(state=State.DRAFT, claimed_until=until)
        ):
            submission.state, submission.claimed_until = State.DRAFT, until
    submission.draft, submission.version = draft, version + 1
    return submission


@transaction.atomic
def submit(
    *,
    submission: Submission,
    user: User,
    content: Mapping[str, Any],
    version: int | None = None,
    active_seconds: int = 0,
) -> Submission:
    """Hand the work in. It counts if its place is still held or free; else it is kept as `late`.

    content: {"text"} to write; {"text", "unchanged"?, "messages"?, "system"?, "context"?} to
    correct; {"order", "strength"?} to rank. Raises Refused for what cannot be handed in, Stale if
    `version` is given and is not the stored one, Finished for the second of two."""
    _own(submission, user)
    stage, item = submission.stage, submission.item
    clean = _checked(submission, content)
    unfinished = Submission.objects.filter(
        pk=submission.pk, state__in=[State.CLAIMED, State.DRAFT, State.EXPIRED]
    )
    if version is not None:
        unfinished = unfinished.filter(version=version)
    held = unfinished.exclude(state=State.EXPIRED)
    now = timezone.now()
    facts = {
        "draft": clean,
        "claimed_until": None,
        "submitted": now,
        "guidelines_id": _in_force(stage),
        "unchanged": bool(clean.get("unchanged")),
        "messages": clean.get("messages"),
        "system": clean.get("system"),
        "context": clean.get("context"),
    }
    counted = {"version": F("version") + 1, "active_seconds": _seconds(active_seconds)}
    counts = bool(held.update(state=State.SUBMITTED, **facts, **counted))
    if not counts:  # its lease has run out: the place may still be free
        counts = places.retake(item.pk)
        state = State.SUBMITTED if counts else State.LATE
        if not unfinished.update(state=state, **facts, **counted):
            raise _why_not(submission)
    submission.state = State.SUBMITTED if counts else State.LATE
    submission.version += 1
    for name in (
        "draft",
        "submitted",
        "guidelines_id",
        "unchanged",
        "messages",
        "system",
        "context",
    ):
        setattr(submission, name, facts[name])
    if not counts:
        record(submission, "late", user)
        return submission
    places.finish(item.pk)
    record(submission, "submit", user)
    places.count(stage.pk, user.pk, submitted=1)
    if stage.kind == Stage.Kind.RANK:
        _keep_ranking(submission, clean)
    elif not clean.get("unchanged"):
        _keep_response(submission, user, clean["text"])
    return submission


def _keep_ranking(submission: Submission, clean: Mapping[str, Any]) -> None:
    """One a submission: submitted again after an undo, it is the same one with a new order."""
    item = submission.item
    ranking = Ranking(
        submission=submission, order=clean["order"], strength=clean.get("strength"), withdrawn=None
    )
    Ranking.objects.bulk_create(
        [ranking],
        update_conflicts=True,
        unique_fields=["submission"],
        update_fields=["order", "strength", "withdrawn"],
    )
    item.refresh_from_db(fields=["done", "needed"])
    if item.done >= item.needed:
        rounds.ranked(item, submission.stage.project_id)


def _keep_response(submission: Submission, user: User, text: str) -> None:
    """A new row each time: what was undone stays, withdrawn."""
    stage, item = submission.stage, submission.item
    Response.objects.create(
        prompt_id=item.prompt_id,
        text=text,
        origin=Origin.HUMAN,
        author=user,
        author_name=str(user),
        corrects_id=item.candidates[0] if stage.kind == Stage.Kind.CORRECT else None,
        submission=submission,
        fingerprint=text_fingerprint(text),
    )
    rounds.answered(item.prompt_id, stage.project_id)


@transaction.atomic
def skip(*, submission: Submission, user: User, reason: str, note: str = "") -> Submission:
    """Give the item back with a reason; it never comes back to this person. The draft stays."""
    _own(submission, user)
    if reason not in Submission.SkipReason.values:
        raise Refused("Say why you skip it: choose one of the reasons.")
    note = checked_text(note, "note", may_be_empty=True)
    rows = Submission.objects.filter(pk=submission.pk)
    skipped = {
        "state": State.SKIPPED,
        "skip_reason": reason,
        "skip_note": note,
        "claimed_until": None,
        "submitted": None,
    }
    if rows.filter(state__in=[State.CLAIMED, State.DRAFT]).update(**skipped):
        places.skip(submission.item_id, submission.stage)
    elif rows.filter(state=State.EXPIRED).update(**skipped):
        places.late_skip(submission.item_id, submission.stage)
    else:
        raise Finished("This item was handed in already.")
    submission.refresh_from_db()
    record(submission, "skip", user)
    places.count(submission.stage_id, user.pk, skipped=1)
    return submission


@transaction.atomic
def undo(*, stage: Stage, user: User) -> Submission:
    """Take back the person's last submit or skip in the stage; it is theirs again, as a draft.

    Refused if there is none, if others have built on it, or if a skipped place went to another."""
    last = (
        SubmissionVersion.objects.filter(
            author=user,
            submission__stage=stage,
            submission__user=user,
            submission__state__in=[State.SUBMITTED, State.SKIPPED],
            event__in=["submit", "resubmit", "skip"],
        )
        .order_by("-pk")
        .values_list("submission_id", flat=True)
        .first()
    )
    if last is None:
        raise Refused("There is nothing to undo here.")
    submission = Submission.objects.select_related("item", "stage").get(pk=last)
    item, was_skipped = submission.item, submission.state == State.SKIPPED
    now = timezone.now()
    # First, and only from what was read: of two clicks at once the second must not count again.
    unchanged = Submission.objects.filter(
        pk=last, state=submission.state, version=submission.version
    )
    if not unchanged.update(
        state=State.DRAFT if submission.draft else State.CLAIMED,
        claimed_until=now + timedelta(minutes=stage.lease_minutes),
        submitted=None,
        skip_reason="",
        version=F("version") + 1,
    ):
        raise Refused("This was taken back already, perhaps in another tab.")
    if was_skipped:
        if not places.unskip(item.pk, stage):
            raise Refused("The item that you skipped has gone to others: it cannot be undone.")
    else:
        places.unfinish(item.pk)
        if rounds.built_on(submission):
            raise Refused("Others have already gone on from this work, so it stays as it is.")
        Response.objects.filter(submission=submission, withdrawn=None).update(withdrawn=now)
        Ranking.objects.filter(submission=submission).update(withdrawn=now)
    submission.refresh_from_db()
    record(submission, "undo", user)
    places.count(stage.pk, user.pk, submitted=was_skipped - 1, skipped=-was_skipped)
    if not was_skipped:
        rounds.answers_arrived([item.prompt_id])
    return submission


def _own(submission: Submission, user: User) -> None:
    if submission.user_id != user.pk:
        raise Refused("This is another person's work.")


def _why_not(submission: Submission) -> Refused:
    """Why a conditional save did not hit: handed in meanwhile, or another version is stored."""
    submission.refresh_from_db()
    if submission.state in (State.SUBMITTED, State.SKIPPED, State.LATE):
        return Finished("This item was handed in already, perhaps in another tab.")
    return Stale(submission.draft, submission.version)


def _checked(submission: Submission, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content in the shape that is stored; raises Refused."""
    stage = submission.stage
    if stage.kind == Stage.Kind.RANK:
        return checked_ranking(content, submission.shown)
    if stage.kind == Stage.Kind.WRITE:
        return {"text": checked_text(content.get("text"))}
    original = Response.objects.values_list("text", flat=True).get(pk=submission.shown[0])
    clean = checked_correction(content, original)
    if stage.edit_prompt:
        prompt = submission.item.prompt
        clean |= checked_prompt(content, prompt.messages, prompt.system, prompt.context)
    return clean


def _in_force(stage: Stage) -> int | None:
    """The newest guideline version of the stage's project."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT id FROM annotation_guidelineversion WHERE project_id = %s
               ORDER BY number DESC LIMIT 1""",
            [stage.project_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _seconds(more: int) -> Any:
    return F("active_seconds") + min(max(int(more), 0), MAX_SECONDS)
