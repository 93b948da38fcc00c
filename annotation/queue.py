"""The queue: who gets which item next. The only writer of claims and cursors.

A claim is a conditional UPDATE that must hit exactly one row, so an item is given to no more people
than it needs. Its cost does not grow with the project: items lie in lanes (priority) by position,
and each person has a cursor a lane, because what lies behind it they have had. An item that comes
back to the queue gets a fresh position, in front of nobody's cursor.

Raw SQL, here and in places.py only: the ORM was two thirds of the cost of a claim. PostgreSQL
also locks the row that it looks at, and passes by rows that others have locked."""

import json
import random
import time
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.filling import fill, fill_gaps
from annotation.models import Seat, Stage, Submission, User
from annotation.ordering import overlap_changed, set_order, set_priority
from annotation.places import expire, flag, hold, retake, take
from annotation.progress import left_for, progress, waiting_for
from annotation.rounds import WORKED, answers_arrived

__all__ = [
    "answers_arrived",
    "claim",
    "expire",
    "fill",
    "flag",
    "left_for",
    "overlap_changed",
    "progress",
    "refusal",
    "set_order",
    "set_priority",
    "waiting_for",
]

SEARCH_AGAIN = 10  # seconds after which somebody with an empty queue is searched for in full again
GAPS_AGAIN = 60  # seconds after which a dry stage looks for prompts that it passed by

LOCKS = connection.vendor == "postgresql"

# Nobody ranks or corrects their own work: items about an answer of mine are passed by.
NOT_MY_OWN = {
    "sqlite": """AND NOT EXISTS (SELECT 1 FROM json_each(i.candidates) c
        JOIN annotation_response r ON r.id = c.value WHERE r.author_id = %(user)s)""",
    "postgresql": """AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements_text(i.candidates) c
        JOIN annotation_response r ON r.id = c.value::bigint WHERE r.author_id = %(user)s)""",
}


def refusal(stage: Stage, user: User) -> str:
    """Why this person gets no work here, in words; empty if they may work."""
    return _sit(stage, user)[0]


def _sit(stage: Stage, user: User) -> tuple[str, Seat | None]:
    """(refusal, the person's seat if they have one)."""
    if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
        return "Nobody works in this stage: it holds what was done elsewhere.", None
    if stage.state != Stage.State.OPEN:
        return "This stage is paused. What you have written is kept.", None
    if stage.project.archived:
        return "This project is archived. What you have written is kept.", None
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT s.id, s.assigned, s.cursors FROM annotation_membership m
               LEFT JOIN annotation_seat s ON s.stage_id = %s AND s.user_id = m.user_id
               WHERE m.workspace_id = %s AND m.user_id = %s AND m.is_active""",
            [stage.pk, stage.project.workspace_id, user.pk],
        )
        row = cursor.fetchone()
    if row is None:
        return "You are not in this workspace.", None
    pk, assigned, cursors = row
    if not stage.open_to_all and not assigned:
        return "This stage is for chosen people, and you are not among them: ask a lead.", None
    if pk is None:
        return "", None
    return "", Seat(pk=pk, stage=stage, user=user, assigned=assigned, cursors=json.loads(cursors))


def claim(stage: Stage, user: User) -> Submission | None:
    """What the person works on next: what they hold already, else what they let expire and nobody
    took, else the next item of the queue. None: nothing for them now."""
    refused, seat = _sit(stage, user)
    if refused:
        return None
    if mine := _mine(stage, user):
        return mine
    expire(stage)
    if seat is None:
        seat, _ = Seat.objects.get_or_create(stage=stage, user=user)
    if found := _next(stage, user, seat):
        return found
    # Dry: more prompts may wait, or one that was passed by; then once more without the cursors.
    while fill(stage):
        if found := _next(stage, user, seat):
            return found
    if cache.add(f"gaps:{stage.pk}", 1, GAPS_AGAIN):
        fill_gaps(stage)
    if seat.cursors.get("searched", 0) < time.time() - SEARCH_AGAIN:
        seat.cursors = {"searched": int(time.time())}
        seat.save(update_fields=["cursors"])
    return _next(stage, user, seat)


def _mine(stage: Stage, user: User) -> Submission | None:
    """What the person touched last of what they hold, its lease renewed; else an expired turn whose
    place is still free, with what they had written."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT s.id FROM annotation_submission s
               JOIN annotation_item i ON i.id = s.item_id
               JOIN annotation_prompt p ON p.id = i.prompt_id
               WHERE s.user_id = %s AND s.stage_id = %s
                 AND s.state IN ('claimed', 'draft', 'expired')
                 AND (s.state <> 'expired' OR (i.open AND p.retired IS NULL))
               ORDER BY s.state = 'expired', s.claimed_until DESC, s.id DESC LIMIT 20""",
            [user.pk, stage.pk],
        )
        rows = cursor.fetchall()
    for (pk,) in rows:
        if found := _again(stage, pk):
            return found
    return None


def _again(stage: Stage, pk: int) -> Submission | None:
    """One's own turn, with half of a lease before it at least; none if it is handed in by now."""
    submission = Submission.objects.get(pk=pk)
    half = timezone.now() + timedelta(minutes=stage.lease_minutes / 2)
    if submission.claimed_until and submission.claimed_until > half:
        return submission
    with transaction.atomic():
        submission = Submission.objects.select_for_update().get(pk=pk)
        if submission.state in ("claimed", "draft"):
            return hold(submission, stage)
        if submission.state == "expired" and retake(submission.item_id):
            return hold(submission, stage)
    return None


class _Lost(Exception):
    """Another took the place between our look and our claim: look again."""


def _next(stage: Stage, user: User, seat: Seat) -> Submission | None:
    """Claim the first item of the best lane that has one for this person."""
    while True:
        try:
            with transaction.atomic():
                return _claim_next(stage, user, seat)
        except (_Lost, IntegrityError):
            seat.refresh_from_db()


def _claim_next(stage: Stage, user: User, seat: Seat) -> Submission | None:
    known = dict(seat.cursors)
    with connection.cursor() as cursor:
        lane: int | None = -(1 << 15)
        while (lane := _next_lane(cursor, stage.pk, lane)) is not None:
            passed = seat.cursors.get(str(lane), -1)
            row = _look(cursor, stage, user, lane, passed, skip_locked=True)
            # Where others hold all that is left we wait for them, in `take`.
            if row is None and LOCKS:
                row = _look(cursor, stage, user, lane, passed)
            if row is None:
                last = _last_position(cursor, stage.pk, lane)
                seat.cursors[str(lane)] = max(passed, last)
                continue
            item, position, candidates = row
            # One that was passed by because another claims it now may have a place left for us:
            # the cursor stays before it.
            first = _look(cursor, stage, user, lane, passed) if LOCKS and stage.overlap > 1 else row
            if not take(item):
                raise _Lost
            if first is None or first[0] == item:
                seat.cursors[str(lane)] = position
            _save_cursors(cursor, seat)
            return _new_submission(stage, user, item, candidates)
        if seat.cursors != known:
            _save_cursors(cursor, seat)
    return None


def _next_lane(cursor: Any, stage: int, after: int | None) -> int | None:
    cursor.execute(
        """SELECT lane FROM annotation_item WHERE stage_id = %s AND open AND lane > %s
           ORDER BY lane, position LIMIT 1""",
        [stage, after],
    )
    row = cursor.fetchone()
    return row[0] if row else None


def _look(
    cursor: Any, stage: Stage, user: User, lane: int, passed: int, skip_locked: bool = False
) -> tuple[int, int, list[int]] | None:
    """The first open item of the lane beyond the cursor that is for this person."""
    own = "" if stage.kind == Stage.Kind.WRITE else NOT_MY_OWN[connection.vendor]
    lock = "FOR UPDATE OF i SKIP LOCKED" if skip_locked and LOCKS else ""
    cursor.execute(
        f"""SELECT i.id, i.position, i.candidates FROM annotation_item i
            JOIN annotation_prompt p ON p.id = i.prompt_id
            WHERE i.stage_id = %(stage)s AND i.open AND i.lane = %(lane)s
              AND i.position > %(passed)s AND p.retired IS NULL
              AND NOT EXISTS (SELECT 1 FROM annotation_submission s
                              WHERE s.item_id = i.id AND s.user_id = %(user)s)
              {own}
            ORDER BY i.position LIMIT 1 {lock}""",
        {"stage": stage.pk, "lane": lane, "passed": passed, "user": user.pk},
    )
    row = cursor.fetchone()
    return (row[0], row[1], json.loads(row[2])) if row else None


def _last_position(cursor: Any, stage: int, lane: int) -> int:
    cursor.execute(
        """SELECT position FROM annotation_item WHERE stage_id = %s AND open AND lane = %s
           ORDER BY lane DESC, position DESC LIMIT 1""",
        [stage, lane],
    )
    row = cursor.fetchone()
    return row[0] if row else -1


def _save_cursors(cursor: Any, seat: Seat) -> None:
    cursor.execute(
        "UPDATE annotation_seat SET cursors = %s WHERE id = %s", [json.dumps(seat.cursors), seat.pk]
    )


def _new_submission(stage: Stage, user: User, item: int, candidates: list[int]) -> Submission:
    """The claim. The order in which the answers are shown is drawn here, once."""
    return Submission.objects.create(
        item_id=item,
        stage=stage,
        user=user,
        shown=random.sample(candidates, len(candidates)),
        claimed_until=timezone.now() + timedelta(minutes=stage.lease_minutes),
    )
