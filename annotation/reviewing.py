"""Reviews: accept, send back, fix. An answer that waits for its review is not yet ranked, rated or
corrected by anybody. Nobody reviews their own work; what its author wrote is never lost.

The only writer of reviews and, once work is handed in, of what its review says."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min
from django.utils import timezone

from annotation import rounds, rows
from annotation.content import checked_text
from annotation.errors import Refused
from annotation.history import record
from annotation.models import (
    Item,
    Origin,
    Ranking,
    Response,
    Review,
    Stage,
    Submission,
    User,
    Workspace,
)
from annotation.reopening import take_back
from annotation.review_draw import BY_NUMBER, threshold
from annotation.submissions import checked
from annotation.text import text_fingerprint

Decision = Review.Decision
State = Submission.State
MAX_COMMENT = 20_000  # characters
# Raw: left to itself SQLite reads all that was handed in, not what waits.
BY_INDEX = "INDEXED BY submission_to_review" if connection.vendor == "sqlite" else ""
MOST = 1000  # of what waits in a stage: more is said as more, and not counted
WINDOW = 20_000  # submissions that a transaction looks at: nobody waits for more


def waiting(workspace: Workspace, reviewer: User) -> list[tuple[Stage, int]]:
    """The stages of the workspace in which a review waits for this person, with how many; MOST + 1
    is said as more."""
    stages = Stage.objects.filter(project__workspace=workspace, project__archived=None)
    known = list(stages.select_related("project").order_by("pk"))
    counts = counted([stage.pk for stage in known], but=reviewer)
    return [(stage, counts[stage.pk]) for stage in known if counts[stage.pk]]


def counted(stages: Sequence[int], but: User | None = None) -> dict[int, int]:
    """How much waits for a review in each of the stages, MOST + 1 at most; without the work of the
    one who is left out."""
    if not stages:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT t.id, (SELECT COUNT(*) FROM (
                    SELECT 1 FROM annotation_submission s {BY_INDEX}
                    WHERE s.stage_id = t.id AND s.review = 'waiting' AND s.state = 'submitted'
                      AND s.user_id <> %s LIMIT {MOST + 1}) w)
                FROM annotation_stage t WHERE t.id IN ({", ".join(["%s"] * len(stages))})""",
            [but.pk if but else 0, *stages],
        )
        return dict(cursor.fetchall())


@transaction.atomic
def accept(
    *, submission: Submission, reviewer: User, comment: str = "", version: int | None = None
) -> Review:
    """It stands. Raises Refused for one's own work, for what is not handed in, and where the work
    or its review has changed since `version` was read."""
    locked = _for_review(submission, reviewer, version)
    review = _decide(locked, reviewer, Decision.ACCEPT, comment)
    _mark(locked, Submission.Review.ACCEPTED)
    record(locked, "accept", reviewer, {"comment": review.comment})
    rounds.answers_arrived([locked.item.prompt_id])
    return review


@transaction.atomic
def send_back(
    *, submission: Submission, reviewer: User, comment: str, version: int | None = None
) -> Review:
    """It is a draft of its author again, first in their queue, with the comment beside it.

    Refused without a comment, and if others have built on the work: then it can be fixed."""
    if not comment.strip():
        raise Refused("Say what is to be changed: the author sees your comment.", field="comment")
    locked = _for_review(submission, reviewer, version)
    if locked.review == Submission.Review.FIXED:
        raise Refused("It was fixed already: what counts is the reviewer's version.")
    review = _decide(locked, reviewer, Decision.RETURN, comment)
    said = {"comment": review.comment}
    take_back(locked, reviewer, "return", said, Submission.Review.RETURNED)
    return review


@transaction.atomic
def fix(
    *,
    submission: Submission,
    reviewer: User,
    content: Mapping[str, Any],
    comment: str = "",
    version: int | None = None,
) -> Review:
    """The reviewer's version counts from now on; its author's stays, and both are shown.

    A text becomes an answer by the reviewer that corrects the author's; an order, answers to
    questions and tags take the place of what counted, and the author's own stay in their draft.
    Refused where nothing is changed."""
    locked = _for_review(submission, reviewer, version)
    clean = checked(locked, content)
    if clean == _counts(locked):
        raise Refused("Nothing is changed: accept it as it is, or change it first.")
    review = _decide(locked, reviewer, Decision.FIX, comment, clean)
    _mark(locked, Submission.Review.FIXED)
    record(locked, "fix", reviewer, clean)
    locked.ratings, locked.tags = clean.get("ratings", {}), clean.get("tags", {})
    locked.reason = clean.get("reason", "")
    locked.save(update_fields=["ratings", "tags", "reason"])
    if "order" in clean:
        Ranking.objects.filter(submission=locked).update(
            order=clean["order"],
            strength=clean.get("strength"),
            all_bad=bool(clean.get("all_bad")),
        )
    text = clean.get("better") if "order" in clean else clean.get("text")
    if text is not None:
        _keep_text(locked, reviewer, text)
    rounds.answers_arrived([locked.item.prompt_id])
    return review


def _counts(submission: Submission) -> dict[str, Any]:
    """What counts now, in the shape of content.py: the last fix, else what was handed in."""
    last = submission.reviews.order_by("-pk").first()
    fixed = last is not None and last.decision == Decision.FIX
    return dict(last.content if fixed and last else submission.draft)


def _keep_text(submission: Submission, reviewer: User, text: str) -> None:
    """The reviewer's text as an answer; an earlier fix of the same work goes."""
    mine = Response.objects.filter(submission=submission, withdrawn=None).order_by("pk")
    own = [answer for answer in mine if answer.author_id == submission.user_id]
    if own and text_fingerprint(own[-1].text) == text_fingerprint(text):
        mine.exclude(pk=own[-1].pk).update(withdrawn=timezone.now())
        return
    mine.exclude(pk__in=[answer.pk for answer in own]).update(withdrawn=timezone.now())
    corrected = own[-1].pk if own else None
    if corrected is None and submission.stage.kind == Stage.Kind.CORRECT:
        corrected = submission.item.candidates[0]  # its author found nothing to change in it
    answer = Response(
        prompt_id=submission.item.prompt_id,
        text=text,
        origin=Origin.HUMAN,
        author=reviewer,
        author_name=str(reviewer),
        corrects_id=corrected,
        submission=submission,
        fingerprint=text_fingerprint(text),
    )
    rows.insert(answer)


def _for_review(submission: Submission, reviewer: User, version: int | None) -> Submission:
    """The row, locked. Raises Refused for what this person cannot review now."""
    locked = (
        Submission.objects.select_for_update(of=("self",))
        .select_related("item__prompt", "stage__project__workspace", "user")
        .get(pk=submission.pk)
    )
    if locked.user_id is None:
        raise Refused("It came with a file: there is nobody to whom it could be returned.")
    if locked.user_id == reviewer.pk:
        raise Refused("This is your own work: somebody else reviews it.")
    if locked.state != State.SUBMITTED:
        raise Refused("It is not handed in now: its author has it again.")
    if version is not None and version != locked.version:
        raise Refused("Its author or another reviewer changed it meanwhile: look at it again.")
    mine = Submission.objects.filter(item=locked.item_id, user=reviewer)
    if mine.filter(state__in=[State.CLAIMED, State.DRAFT]).exists():
        raise Refused("You are at this item yourself: hand yours in first, or skip it.")
    return locked


def _decide(
    submission: Submission,
    reviewer: User,
    decision: str,
    comment: str,
    content: Mapping[str, Any] | None = None,
) -> Review:
    clean = checked_text(comment, "comment", may_be_empty=True).strip()
    if len(clean) > MAX_COMMENT:
        raise Refused(f"A comment has at most {MAX_COMMENT:,} characters.", field="comment")
    return Review.objects.create(
        submission=submission,
        reviewer=reviewer,
        decision=decision,
        comment=clean,
        content=dict(content or {}),
        version=submission.version,
    )


def _mark(submission: Submission, review: str) -> None:
    submission.review = review
    submission.version += 1  # so that a second reviewer, who saw it waiting, decides nothing
    submission.save(update_fields=["review", "version"])


def share_changed(stage: Stage) -> None:
    """After the stage's review share was changed: what the new share draws waits, too; what waits
    and is not drawn any more does not, unless a reviewer had it before.

    In short transactions: work is handed in meanwhile, and by the new share."""
    ends = Submission.objects.filter(stage=stage).aggregate(low=Min("pk"), high=Max("pk"))
    if ends["low"] is None:
        return
    for low in range(ends["low"], ends["high"] + 1, WINDOW):
        with transaction.atomic():
            freed = _draw_anew(stage, low, low + WINDOW)
        for start in range(0, len(freed), rounds.CHUNK):
            items = Item.objects.filter(pk__in=freed[start : start + rounds.CHUNK])
            rounds.answers_arrived(items.values_list("prompt", flat=True))


def _draw_anew(stage: Stage, low: int, end: int) -> list[int]:
    """Those numbered from `low`, before `end`; returns the items of which one waits no more."""
    gold = f"""SELECT i.id FROM annotation_item i
        WHERE i.stage_id = %(stage)s AND i.lane = {Item.GOLD_LANE}"""
    values = {"stage": stage.pk, "share": threshold(stage), "low": low, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE annotation_submission SET review = 'waiting'
                WHERE id >= %(low)s AND id < %(end)s
                  AND stage_id = %(stage)s AND state = 'submitted' AND review = ''
                  AND user_id IS NOT NULL AND {BY_NUMBER} < %(share)s
                  AND item_id NOT IN ({gold})""",
            values,
        )
        cursor.execute(
            f"""UPDATE annotation_submission SET review = ''
                WHERE id >= %(low)s AND id < %(end)s
                  AND stage_id = %(stage)s AND state = 'submitted' AND review = 'waiting'
                  AND {BY_NUMBER} >= %(share)s
                  AND NOT EXISTS (SELECT 1 FROM annotation_review r
                                  WHERE r.submission_id = annotation_submission.id)
                RETURNING item_id""",
            values,
        )
        return [item for (item,) in cursor.fetchall()]
