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

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation import desk, given, rows
from annotation.filling import fill, fill_gaps
from annotation.models import Item, Prompt, Response, Seat, Stage, Submission, User
from annotation.ordering import overlap_changed, set_order, set_priority
from annotation.places import expire, flag, hold, retake, take
from annotation.progress import left_for, progress, waiting_for
from annotation.rounds import answers_arrived

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
    "turn",
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


SAVE = {
    "sqlite": """UPDATE annotation_seat SET cursors = %s
        WHERE id = %s AND json(cursors) = json(%s)""",
    "postgresql": "UPDATE annotation_seat SET cursors = %s WHERE id = %s AND cursors = %s::jsonb",
}

# Who reviewed work on an item has seen what others said.
NOT_REVIEWED = """AND NOT EXISTS (SELECT 1 FROM annotation_review v
        JOIN annotation_submission w ON w.id = v.submission_id
        WHERE w.item_id = i.id AND v.reviewer_id = %(user)s)"""

# The first open item of a lane beyond a person's cursor: O(log n) by two indexes.
LOOK = """SELECT {i}, {p} FROM annotation_item i
    JOIN annotation_prompt p ON p.id = i.prompt_id
    WHERE i.stage_id = %(stage)s AND i.open AND i.lane = %(lane)s
      AND i.position > %(passed)s AND p.retired IS NULL AND -- mine
      AND NOT EXISTS (SELECT 1 FROM annotation_submission s
                      WHERE s.item_id = i.id AND s.user_id = %(user)s)
      -- own
    ORDER BY i.position LIMIT 1 -- lock
"""


def refusal(stage: Stage, user: User) -> str:
    """Why this person gets no work here, in words; empty if they may work."""
    return desk.at(stage, user).refusal


def claim(stage: Stage, user: User, seated: desk.Desk | None = None) -> Submission | None:
    """What the person works on next: what they hold already, else what they let expire and nobody
    took, else the next item of the queue. None: nothing for them now.

    It comes with its item, prompt and stage. `seated`: the person's desk, if it was just read."""
    seated = seated or desk.at(stage, user)
    if seated.refusal:
        return None
    stage, seat = seated.stage, seated.seat
    if mine := _mine(stage, user):
        return mine
    expire(stage)
    if seat is None:
        seat, _ = Seat.objects.get_or_create(stage=stage, user=user)
        seated.seat = seat
    if gold_due(stage, seat) and (found := _next(stage, user, seat, gold=True)):
        return found
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


def turn(stage: Stage, user: User, pk: int) -> Submission | None:
    """One's own turn in the stage, with its item and prompt; none if it is another's."""
    found = rows.read(
        """SELECT {s}, {i}, {p} FROM annotation_submission s
           JOIN annotation_item i ON i.id = s.item_id
           JOIN annotation_prompt p ON p.id = i.prompt_id
           WHERE s.id = %(pk)s AND s.stage_id = %(stage)s AND s.user_id = %(user)s""",
        {"pk": pk, "stage": stage.pk, "user": user.pk},
        s=Submission,
        i=Item,
        p=Prompt,
    )
    return _put_together(stage, *found[0]) if found else None


def _put_together(stage: Stage, submission: Submission, item: Item, prompt: Prompt) -> Submission:
    item.prompt, item.stage = prompt, stage
    submission.item, submission.stage = item, stage
    return submission


def _mine(stage: Stage, user: User) -> Submission | None:
    """What the person touched last of what they hold, its lease renewed; else an expired turn whose
    place is still free, with what they had written."""
    found = rows.read(
        """SELECT {s}, {i}, {p} FROM annotation_submission s
           JOIN annotation_item i ON i.id = s.item_id
           JOIN annotation_prompt p ON p.id = i.prompt_id
           WHERE s.user_id = %(user)s AND s.stage_id = %(stage)s
             AND s.state IN ('claimed', 'draft', 'expired')
             AND (s.state <> 'expired' OR (i.open AND p.retired IS NULL))
           ORDER BY s.state = 'expired', s.claimed_until DESC, s.id DESC LIMIT 20""",
        {"user": user.pk, "stage": stage.pk},
        s=Submission,
        i=Item,
        p=Prompt,
    )
    for row in found:
        if again := _again(stage, _put_together(stage, *row)):
            return again
    return None


def _again(stage: Stage, submission: Submission) -> Submission | None:
    """One's own turn, with half of a lease before it at least; none if it is handed in by now."""
    half = timezone.now() + timedelta(minutes=stage.lease_minutes / 2)
    if submission.claimed_until and submission.claimed_until > half:
        return submission
    with transaction.atomic():
        now = Submission.objects.select_for_update().get(pk=submission.pk)
        now.stage, now.item = stage, submission.item
        if now.state in ("claimed", "draft"):
            return hold(now, stage)
        if now.state == "expired" and retake(now.item_id):
            return hold(now, stage)
    return None


class _Lost(Exception):
    """Another took the place, or the queue was put in another order, between our look and our
    claim: look again."""


def gold_due(stage: Stage, seat: Seat) -> bool:
    """One turn in `gold_every`, at a place in each block that the person cannot foresee."""
    every = stage.gold_every
    if not every:
        return False
    block, place = divmod(seat.submitted + seat.skipped, every)
    return random.Random(f"{settings.SECRET_KEY}:{seat.pk}:{block}").randrange(every) == place


def _next(stage: Stage, user: User, seat: Seat, gold: bool = False) -> Submission | None:
    """Claim the first item of the best lane that has one for this person; or of that of gold."""
    while True:
        try:
            with transaction.atomic():
                return _claim_next(stage, user, seat, gold)
        except (_Lost, IntegrityError):
            seat.refresh_from_db()


def _claim_next(stage: Stage, user: User, seat: Seat, gold: bool) -> Submission | None:
    known = dict(seat.cursors)
    with connection.cursor() as cursor:
        lane: int | None = Item.GOLD_LANE - 1 if gold else -(1 << 15)
        last_lane = Item.GOLD_LANE if gold else Item.GOLD_LANE - 1
        while (lane := _next_lane(cursor, stage.pk, lane, last_lane)) is not None:
            passed = seat.cursors.get(str(lane), -1)
            row = _look(stage, user, lane, passed, skip_locked=True)
            # Where others hold all that is left we wait for them, in `take`.
            if row is None and LOCKS:
                row = _look(stage, user, lane, passed)
            if row is None:
                last = _last_position(cursor, stage.pk, lane)
                seat.cursors[str(lane)] = max(passed, last)
                continue
            item, prompt = row
            # One that was passed by because another claims it now may have a place left for us:
            # the cursor stays before it.
            first = _look(stage, user, lane, passed) if LOCKS and stage.overlap > 1 else row
            if not take(item.pk):
                raise _Lost
            if first is None or first[0].pk == item.pk:
                seat.cursors[str(lane)] = item.position
            _save_cursors(cursor, seat, known)
            return _new_submission(stage, user, item, prompt)
        if seat.cursors != known:
            _save_cursors(cursor, seat, known)
    return None


def _next_lane(cursor: Any, stage: int, after: int | None, last: int) -> int | None:
    cursor.execute(
        """SELECT lane FROM annotation_item
           WHERE stage_id = %s AND open AND lane > %s AND lane <= %s
           ORDER BY lane, position LIMIT 1""",
        [stage, after, last],
    )
    row = cursor.fetchone()
    return row[0] if row else None


def _look(
    stage: Stage, user: User, lane: int, passed: int, skip_locked: bool = False
) -> tuple[Item, Prompt] | None:
    """The first open item of the lane beyond the cursor that is for this person."""
    own = NOT_MY_OWN[connection.vendor] if stage.shows_answers else ""
    if stage.review_share:
        own += NOT_REVIEWED
    mine = given.is_for("i", "%(user)s")
    lock = "FOR UPDATE OF i SKIP LOCKED" if skip_locked and LOCKS else ""
    found = rows.read(
        LOOK.replace("-- own", own).replace("-- mine", mine).replace("-- lock", lock),
        {"stage": stage.pk, "lane": lane, "passed": passed, "user": user.pk},
        i=Item,
        p=Prompt,
    )
    return (found[0][0], found[0][1]) if found else None


def _last_position(cursor: Any, stage: int, lane: int) -> int:
    cursor.execute(
        """SELECT position FROM annotation_item WHERE stage_id = %s AND open AND lane = %s
           ORDER BY lane DESC, position DESC LIMIT 1""",
        [stage, lane],
    )
    row = cursor.fetchone()
    return row[0] if row else -1


def _save_cursors(cursor: Any, seat: Seat, known: dict[str, int]) -> None:
    """Unless they are others by now: a new order of the queue has put them back to its start."""
    cursor.execute(SAVE[connection.vendor], [json.dumps(seat.cursors), seat.pk, json.dumps(known)])
    if cursor.rowcount != 1:
        raise _Lost


def _new_submission(stage: Stage, user: User, item: Item, prompt: Prompt) -> Submission:
    """The claim. The order in which the answers are shown is drawn here, once."""
    new = Submission(
        item=item,
        stage=stage,
        user=user,
        shown=random.sample(item.candidates, len(item.candidates)),
        claimed_until=timezone.now() + timedelta(minutes=stage.lease_minutes),
        suggestion_id=_suggestion(stage, prompt),
    )
    rows.insert(new)
    return _put_together(stage, new, item, prompt)


def _suggestion(stage: Stage, prompt: Prompt) -> int | None:
    """The latest answer of the author or model whose answers a write stage begins with."""
    if stage.kind != Stage.Kind.WRITE or not stage.source_name:
        return None
    answers = Response.objects.offered().filter(prompt=prompt, author_name=stage.source_name)
    return answers.order_by("-pk").values_list("pk", flat=True).first()
