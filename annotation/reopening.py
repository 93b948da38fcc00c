"""Second thoughts about work that was handed in: undo the last, reopen any, answer a question that
was added since. What was said before stays in the history."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from annotation import places, rounds
from annotation.errors import Refused
from annotation.history import record
from annotation.models import Ranking, Response, Stage, Submission, SubmissionVersion, User
from annotation.rubric import checked_ratings, missing

State = Submission.State


def check_own(submission: Submission, user: User) -> None:
    """Raises Refused: nobody acts in another's name."""
    if submission.user_id != user.pk:
        raise Refused("This is another person's work.")


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
    _refuse_judged(submission)
    return take_back(submission, user, "undo")


@transaction.atomic
def reopen(*, submission: Submission, user: User) -> Submission:
    """Take back any of one's own turns, however long ago: it is a draft again, on top of the work.

    Refused if the stage does not allow it, if others have built on it, or if its place went to
    another. Late work comes back if a place is free by now."""
    check_own(submission, user)
    if not submission.stage.reopen:
        raise Refused("What is handed in stays as it is in this stage: ask a lead.")
    if submission.state not in (State.SUBMITTED, State.SKIPPED, State.LATE):
        raise Refused("This is not handed in: it waits among your drafts.")
    _refuse_judged(submission)
    return take_back(submission, user, "reopen")


def _refuse_judged(submission: Submission) -> None:
    """Raises Refused: what a reviewer stands for is not changed behind their back."""
    if submission.review in (Submission.Review.ACCEPTED, Submission.Review.FIXED):
        raise Refused("A reviewer has accepted this work, so it stays as it is: ask them.")


def take_back(
    submission: Submission,
    by: User,
    event: str,
    said: Mapping[str, Any] | None = None,
    review: str | None = None,
) -> Submission:
    """It is a draft of its author again; its answers and its ranking no longer count.

    `by`: its author, or a reviewer who returns it with `review`. Inside a transaction. Refused if
    others have built on it."""
    stage, item, was = submission.stage, submission.item, submission.state
    now = timezone.now()
    submission.review = submission.review if review is None else review
    # First, and only from what was read: of two clicks at once the second must not count again.
    unchanged = Submission.objects.filter(pk=submission.pk, state=was, version=submission.version)
    if not unchanged.update(
        state=State.DRAFT if submission.draft else State.CLAIMED,
        claimed_until=places.lease(submission, stage),
        review=submission.review,
        submitted=None,
        skip_reason="",
        version=F("version") + 1,
    ):
        raise Refused("This was changed or taken back already, perhaps in another tab.")
    if was == State.SKIPPED:
        if not places.unskip(item.pk, stage):
            raise Refused("The item that you skipped has gone to others: it cannot be undone.")
    elif was == State.LATE:
        if not places.retake(item.pk):
            raise Refused("Others have done this item: your late work is kept, and stays late.")
    else:
        places.unfinish(item.pk)
        decided = submission.item.adjudications.filter(withdrawn=None).exists()
        if decided or rounds.built_on(submission):
            raise Refused("Others have already gone on from this work, so it stays as it is.")
        Response.objects.filter(submission=submission, withdrawn=None).update(withdrawn=now)
        Ranking.objects.filter(submission=submission).update(withdrawn=now)
    submission.refresh_from_db()
    record(submission, event, by, said)
    submitted, skipped = was == State.SUBMITTED, was == State.SKIPPED
    places.count(stage.pk, submission.user_id or 0, submitted=-submitted, skipped=-skipped)
    if submitted:
        rounds.answers_arrived([item.prompt_id])
    return submission


@transaction.atomic
def complete(*, submission: Submission, user: User, ratings: Mapping[str, Any]) -> Submission:
    """Answer questions that came into the rubric after the work was handed in; all the rest stays.

    Raises Refused for an answer that is none, and for work that is not handed in."""
    check_own(submission, user)
    submission = (
        Submission.objects.select_for_update(of=("self",))
        .select_related("stage", "item")
        .get(pk=submission.pk)
    )
    if submission.state not in (State.SUBMITTED, State.LATE):
        raise Refused("This is not handed in: answer the questions in the work itself.")
    # Only what is answered now or lacks an answer is judged: a range may have changed since.
    rubric, shown = submission.stage.rubric, submission.shown
    open_ones = {*missing(rubric, submission.ratings, shown), *ratings}
    asked = checked_ratings(
        {**submission.ratings, **ratings}, [q for q in rubric if q["key"] in open_ones], shown
    )
    # Answers to questions that are no longer asked are kept.
    submission.ratings = {**submission.ratings, **asked}
    submission.draft = {**submission.draft, "ratings": submission.ratings}
    submission.version += 1
    submission.save(update_fields=["ratings", "draft", "version"])
    record(submission, "complete", user)
    return submission
