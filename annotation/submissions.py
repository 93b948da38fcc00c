"""The annotator's acts: draft, submit, skip; with reopening.py the only writer of submissions, of
written responses, of rankings and of the history. Nothing that was written is ever lost."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from annotation import places, rounds, rows
from annotation.bulk import as_time
from annotation.content import (
    checked_correction,
    checked_draft,
    checked_prompt,
    checked_ranking,
    checked_tags,
    checked_text,
    suggestion_use,
)
from annotation.errors import Refused
from annotation.history import record
from annotation.models import Origin, Response, Stage, Submission, User
from annotation.reopening import check_own, complete, reopen, undo
from annotation.review_draw import BY_NUMBER, threshold
from annotation.rubric import checked_ratings
from annotation.text import text_fingerprint

__all__ = ["Finished", "Stale", "complete", "reopen", "save_draft", "skip", "submit", "undo"]

State = Submission.State
# Drawn by its number, so that handing in again draws nothing new; what a reviewer had, they see
# again. Gold is judged by its answer.
DRAWN = f"%(reviewed)s AND (review <> '' OR {BY_NUMBER} < %(share)s)"
MAX_SECONDS = 3600  # of active time that one save may add
EDITED = {"messages", "system", "context"}  # with one of them the same words answer another prompt
HELD = (State.CLAIMED, State.DRAFT)
UNFINISHED = (*HELD, State.EXPIRED)


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
    check_own(submission, user)
    draft = checked_draft(content)
    stage = submission.stage
    until = places.lease(submission, stage)
    with transaction.atomic():
        unfinished = Submission.objects.filter(
            pk=submission.pk, version=version, state__in=[State.CLAIMED, State.DRAFT, State.EXPIRED]
        )
        if not unfinished.update(
            draft=draft,
            version=F("version") + 1,
            active_seconds=F("active_seconds") + _seconds(active_seconds),
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
    correct; {"order", "strength"?, "all_bad"?, "reason"?, "better"?} to rank; with all of them
    "ratings" and "tags". Raises Refused for what cannot be handed in, Stale if `version` is given
    and is not the stored one, Finished for the second of two."""
    check_own(submission, user)
    stage = submission.stage
    clean = checked(submission, content)
    submission.suggestion_use = _suggestion_use(submission, clean)
    counts = _hand_in(submission, clean, version, active_seconds, State.SUBMITTED, HELD)
    if not counts:  # its lease has run out: the place may still be free
        counts = places.retake(submission.item_id)
        state = State.SUBMITTED if counts else State.LATE
        if not _hand_in(submission, clean, version, active_seconds, state, UNFINISHED):
            raise _why_not(submission)
    if not counts:
        record(submission, "late", user)
        return submission
    last = places.finish(submission.item_id)
    record(submission, "submit", user)
    places.count(stage.pk, user.pk, submitted=1)
    if stage.kind == Stage.Kind.RANK:
        _keep_ranking(submission, clean)
        if last:
            rounds.item_done(submission.item, stage.project_id)
        if "better" in clean:
            _keep_response(submission, user, clean["better"])
    elif "text" in clean and (not clean.get("unchanged") or EDITED.intersection(clean)):
        _keep_response(submission, user, clean["text"])
    elif stage.kind == Stage.Kind.RATE and last:
        rounds.item_done(submission.item, stage.project_id)
    return submission


def _hand_in(
    submission: Submission,
    clean: Mapping[str, Any],
    version: int | None,
    active_seconds: int,
    state: str,
    only: tuple[str, ...],
) -> bool:
    """The conditional UPDATE (raw: it is part of each submit), mirrored on the instance; false if
    the row is in none of the states `only`, or of another version."""
    now = timezone.now()
    stage, item = submission.stage, submission.item
    columns = {
        "draft": json.dumps(clean),
        "unchanged": bool(clean.get("unchanged")),
        "messages": json.dumps(clean["messages"]) if "messages" in clean else None,
        "system": clean.get("system"),
        "context": clean.get("context"),
        "ratings": json.dumps(clean.get("ratings", {})),
        "tags": json.dumps(clean.get("tags", {})),
        "reason": clean.get("reason", ""),
        "suggestion_use": submission.suggestion_use,
        "submitted": as_time(now),
        "state": str(state),
    }
    sets = ", ".join(f"{column} = %({column})s" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE annotation_submission SET {sets}, claimed_until = NULL,
                    review = CASE WHEN {DRAWN} THEN 'waiting' ELSE review END,
                    version = version + 1, active_seconds = active_seconds + %(seconds)s,
                    guidelines_id = (SELECT g.id FROM annotation_guidelineversion g
                        WHERE g.project_id = %(project)s ORDER BY g.number DESC LIMIT 1)
                WHERE id = %(pk)s AND state IN ({", ".join(f"'{each}'" for each in only)})
                  AND version = COALESCE(%(version)s, version)
                RETURNING version, guidelines_id, review""",
            {
                **columns,
                "pk": submission.pk,
                "project": stage.project_id,
                "reviewed": state == State.SUBMITTED and not item.is_gold,
                "share": threshold(stage),
                "seconds": _seconds(active_seconds),
                "version": version,
            },
        )
        row = cursor.fetchone()
    if row is None:
        return False
    submission.version, submission.guidelines_id, submission.review = row
    submission.submitted = now
    submission.state, submission.draft, submission.claimed_until = state, dict(clean), None
    submission.unchanged = bool(clean.get("unchanged"))
    for name in ("messages", "system", "context"):
        setattr(submission, name, clean.get(name))
    submission.ratings, submission.tags = clean.get("ratings", {}), clean.get("tags", {})
    submission.reason = clean.get("reason", "")
    return True


def _keep_ranking(submission: Submission, clean: Mapping[str, Any]) -> None:
    """One a submission: submitted again after an undo, it is the same one with a new order."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO annotation_ranking
                   (submission_id, "order", strength, all_bad, withdrawn, created)
               VALUES (%s, %s, %s, %s, NULL, %s)
               ON CONFLICT (submission_id) DO UPDATE SET "order" = EXCLUDED."order",
                   strength = EXCLUDED.strength, all_bad = EXCLUDED.all_bad, withdrawn = NULL""",
            [
                submission.pk,
                json.dumps(clean["order"]),
                clean.get("strength"),
                bool(clean.get("all_bad")),
                as_time(timezone.now()),
            ],
        )


def _keep_response(submission: Submission, user: User, text: str) -> None:
    """A new row each time: what was undone stays, withdrawn."""
    stage, item = submission.stage, submission.item
    rows.insert(
        Response(
            prompt_id=item.prompt_id,
            text=text,
            origin=Origin.HUMAN,
            author=user,
            author_name=str(user),
            corrects_id=item.candidates[0] if stage.kind == Stage.Kind.CORRECT else None,
            submission=submission,
            fingerprint=text_fingerprint(text),
        )
    )
    if submission.review != Submission.Review.WAITING:  # else it goes on when a reviewer says so
        rounds.answered(item.prompt_id, stage.project_id)


@transaction.atomic
def skip(*, submission: Submission, user: User, reason: str, note: str = "") -> Submission:
    """Give the item back with a reason; it never comes back to this person. The draft stays."""
    check_own(submission, user)
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


def _why_not(submission: Submission) -> Refused:
    """Why a conditional save did not hit: handed in meanwhile, or another version is stored."""
    submission.refresh_from_db()
    if submission.state in (State.SUBMITTED, State.SKIPPED, State.LATE):
        return Finished("This item was handed in already, perhaps in another tab.")
    return Stale(submission.draft, submission.version)


def checked(submission: Submission, content: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed at this turn in the shape that is stored; raises Refused."""
    stage, shown = submission.stage, submission.shown
    clean: dict[str, Any] = {}
    if stage.kind == Stage.Kind.RANK:
        clean = checked_ranking(content, shown, stage.better_answer)
    elif stage.kind == Stage.Kind.WRITE:
        clean = {"text": checked_text(content.get("text"), field="text")}
    elif stage.kind == Stage.Kind.CORRECT:
        original = Response.objects.values_list("text", flat=True).get(pk=shown[0])
        clean = checked_correction(content, original)
        if stage.edit_prompt:
            prompt = submission.item.prompt
            clean |= checked_prompt(content, prompt.messages, prompt.system, prompt.context)
    if stage.rubric:
        # Answers to questions that are no longer asked stay when the work is handed in again.
        gone = {question["key"] for question in stage.rubric if question.get("removed")}
        kept = {key: value for key, value in submission.ratings.items() if key in gone}
        asked = checked_ratings(content.get("ratings") or {}, stage.rubric, shown)
        if kept or asked:
            clean["ratings"] = kept | asked
    if stage.tags and (tags := checked_tags(content.get("tags"), stage.tags, shown)):
        clean["tags"] = tags
    return clean


def _suggestion_use(submission: Submission, clean: Mapping[str, Any]) -> str:
    if submission.suggestion_id is None:
        return ""
    suggestion = Response.objects.filter(pk=submission.suggestion_id)
    suggested = suggestion.values_list("text", flat=True).first()
    return "" if suggested is None else suggestion_use(suggested, clean["text"])


def _seconds(more: int) -> int:
    return min(max(int(more), 0), MAX_SECONDS)
