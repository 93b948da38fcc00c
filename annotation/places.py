"""An item's places: how many hold it, did it, skipped it. The only writer of its counters.

Each act is one conditional UPDATE, true if it hit its row: reading first and writing then would, on
PostgreSQL, leave items closed with a free place, which nobody would ever get."""

import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from annotation.errors import Refused
from annotation.models import Item, Stage, Submission

RETURNED = timedelta(days=14)

# An item that was full comes back one lane earlier and behind every cursor; skips may close it.
COMES_BACK = """
    taken = taken - 1,
    lane = CASE WHEN open THEN lane ELSE lane - 1 + abs(lane %% 2) END,
    position = CASE WHEN open THEN position ELSE %(now)s END"""

IN_USE = """NOT EXISTS (SELECT 1 FROM annotation_prompt p
    WHERE p.id = annotation_item.prompt_id AND p.retired IS NOT NULL)"""


def take(item: int) -> bool:
    """One of the item's free places, for a newcomer; only while it is open."""
    return _update(
        """UPDATE annotation_item SET taken = taken + 1, open = (taken + 1 < needed)
           WHERE id = %(item)s AND open AND taken < needed""",
        item=item,
    )


def retake(item: int) -> bool:
    """A place for somebody who had one and let it expire or skipped it; also of a closed item."""
    return _update(
        """UPDATE annotation_item SET taken = taken + 1, open = (open AND taken + 1 < needed)
           WHERE id = %(item)s AND taken < needed""",
        item=item,
    )


def release(item: int, stage: Stage) -> bool:
    """A place goes back; the item opens again unless skips have closed it or its prompt is
    retired."""
    return _update(
        f"""UPDATE annotation_item SET {COMES_BACK}, open = (skips < %(limit)s AND {IN_USE})
            WHERE id = %(item)s AND taken > done""",
        item=item,
        limit=stage.skips_to_close,
        now=time.time_ns(),
    )


def skip(item: int, stage: Stage) -> bool:
    """A place goes back with a skip. Enough of them close the item, for the lead to see."""
    return _update(
        f"""UPDATE annotation_item SET {COMES_BACK}, skips = skips + 1,
                open = (skips + 1 < %(limit)s AND {IN_USE}),
                flagged = (flagged OR skips + 1 >= %(limit)s)
            WHERE id = %(item)s AND taken > done""",
        item=item,
        limit=stage.skips_to_close,
        now=time.time_ns(),
    )


def late_skip(item: int, stage: Stage) -> bool:
    """A skip by somebody whose place had gone back already."""
    return _update(
        """UPDATE annotation_item SET skips = skips + 1, open = (open AND skips + 1 < %(limit)s),
               flagged = (flagged OR skips + 1 >= %(limit)s)
           WHERE id = %(item)s""",
        item=item,
        limit=stage.skips_to_close,
    )


def unskip(item: int, stage: Stage) -> bool:
    """The skip was taken back: the place is held again, if it is still free. A lead who put the
    item back has forgotten its skips."""
    return _update(
        f"""UPDATE annotation_item SET taken = taken + 1,
               skips = CASE WHEN skips > 0 THEN skips - 1 ELSE 0 END,
               open = (taken + 1 < needed AND skips - 1 < %(limit)s AND {IN_USE}),
               flagged = (flagged AND skips < %(limit)s)
           WHERE id = %(item)s AND taken < needed""",
        item=item,
        limit=stage.skips_to_close,
    )


def finish(item: int) -> bool:
    """Done by one more; true if that was the last one needed."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE annotation_item SET done = done + 1 WHERE id = %s AND done < taken
               RETURNING done >= needed""",
            [item],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def unfinish(item: int) -> bool:
    """Done work was taken back; its place stays with the person."""
    return _update(
        "UPDATE annotation_item SET done = done - 1 WHERE id = %(item)s AND done > 0", item=item
    )


def count(stage: int, user: int, submitted: int = 0, skipped: int = 0) -> None:
    """What the person did here, on their seat; negative for what was taken back."""
    _update(
        """UPDATE annotation_seat SET submitted = submitted + %(submitted)s,
               skipped = skipped + %(skipped)s
           WHERE stage_id = %(stage)s AND user_id = %(user)s""",
        stage=stage,
        user=user,
        submitted=submitted,
        skipped=skipped,
    )


def flag(item: int, on: bool = True) -> None:
    """Put the item on the lead's list, or take it off."""
    Item.objects.filter(pk=item).update(flagged=on)


def lease(submission: Submission, stage: Stage) -> datetime:
    """Until when the place is the person's. Returned work waits for its author, days if need be;
    and since what is held longest is shown first, it comes first."""
    if submission.review == Submission.Review.RETURNED:
        return timezone.now() + RETURNED
    return timezone.now() + timedelta(minutes=stage.lease_minutes)


def hold(submission: Submission, stage: Stage) -> Submission:
    """The person has the item's place: a claim, or a draft if something is written."""
    submission.state = Submission.State.DRAFT if submission.draft else Submission.State.CLAIMED
    submission.claimed_until = lease(submission, stage)
    submission.save(update_fields=["state", "claimed_until"])
    return submission


def expire(stage: Stage) -> int:
    """Give back the places whose lease has run out; what was written stays. Returns how many."""
    now = timezone.now()
    # Written out, or the database would not use the index over what is claimed or drafted.
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT id, item_id FROM annotation_submission
               WHERE stage_id = %s AND state IN ('claimed', 'draft') AND claimed_until < %s
               LIMIT 100""",
            [stage.pk, connection.ops.adapt_datetimefield_value(now)],
        )
        due = cursor.fetchall()
    gone = 0
    for pk, item in due:
        with transaction.atomic():
            still = Submission.objects.filter(
                pk=pk, state__in=["claimed", "draft"], claimed_until__lt=now
            )
            if still.update(state=Submission.State.EXPIRED, claimed_until=None):
                release(item, stage)
                gone += 1
    return gone


def put_back(item: int) -> bool:
    """A flagged item is for everybody again who has not had it: off the list, its skips forgotten.

    False if somebody did so already. One that was closed comes back in front of all cursors."""
    return _update(
        f"""UPDATE annotation_item SET flagged = FALSE, skips = 0,
               lane = CASE WHEN open THEN lane ELSE lane - 1 + abs(lane %% 2) END,
               position = CASE WHEN open THEN position ELSE %(now)s END,
               open = (taken < needed AND {IN_USE})
           WHERE id = %(item)s AND (flagged OR skips > 0)""",
        item=item,
        now=time.time_ns(),
    )


def unflag(item: int) -> bool:
    """Off the lead's list, otherwise as it is: one that skips have closed stays closed."""
    return _update(
        "UPDATE annotation_item SET flagged = FALSE WHERE id = %(item)s AND flagged", item=item
    )


def resume(submission: Submission) -> None:
    """The person goes on with this turn of theirs: what was touched last is shown first.

    Raises Refused if its time ran out and the place is not free any more."""
    stage, item = submission.stage, submission.item
    with transaction.atomic():
        turn = Submission.objects.select_for_update(of=("self",)).get(pk=submission.pk)
        if turn.state in (Submission.State.CLAIMED, Submission.State.DRAFT):
            _first(hold(turn, stage))
        elif turn.state == Submission.State.EXPIRED:
            if item.prompt.retired or not item.open or not retake(item.pk):
                raise Refused("Others have this item by now. What you wrote is kept here.")
            _first(hold(turn, stage))


def _first(turn: Submission) -> None:
    """Before all else that the person holds here, returned work included: they chose it."""
    held = Submission.objects.filter(
        stage=turn.stage_id, user=turn.user_id, state__in=["claimed", "draft"]
    )
    last = held.exclude(pk=turn.pk).aggregate(last=Max("claimed_until"))["last"]
    if last and turn.claimed_until and last >= turn.claimed_until:
        turn.claimed_until = last + timedelta(seconds=1)
        turn.save(update_fields=["claimed_until"])


def _update(sql: str, **values: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return bool(cursor.rowcount == 1)
