"""The append-only history of what people handed in. Nothing deletes it but an erasure."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.utils import timezone

from annotation.models import Submission, User

# Events that say nothing of the work itself: who did it when is all.
QUIET = ("flag", "unflag", "accept", "return", "release")
QUIETLY = ", ".join(f"'{event}'" for event in QUIET)


def record(
    submission: Submission,
    event: str,
    author: User | None,
    said: Mapping[str, Any] | None = None,
) -> None:
    """Append what the submission says now, or what a reviewer `said` in its place. A submit after
    an earlier one is a `resubmit`.

    One statement (raw: it is part of each submit) that also draws the number."""
    content = {**(submission.draft if said is None and event not in QUIET else said or {})}
    if event == "skip":
        content |= {"reason": submission.skip_reason, "note": submission.skip_note}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO annotation_submissionversion
                   (submission_id, number, event, content, author_id, created)
               SELECT s.id, COALESCE(MAX(v.number), 0) + 1,
                   CASE WHEN %(event)s = 'submit'
                             AND COUNT(CASE WHEN v.event NOT IN ({QUIETLY}) THEN 1 END) > 0
                        THEN 'resubmit' ELSE %(event)s END,
                   %(content)s, %(author)s, %(now)s
               FROM annotation_submission s
               LEFT JOIN annotation_submissionversion v ON v.submission_id = s.id
               WHERE s.id = %(submission)s GROUP BY s.id""",
            {
                "submission": submission.pk,
                "event": event,
                "content": json.dumps(content),
                "author": author.pk if author else None,
                "now": connection.ops.adapt_datetimefield_value(timezone.now()),
            },
        )
