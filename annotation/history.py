"""The append-only history of what people handed in. Nothing deletes it but an erasure."""

import json
from typing import Any

from django.db import connection
from django.utils import timezone

from annotation.models import Submission, User

FLAGS = ("flag", "unflag")


def record(submission: Submission, event: str, author: User) -> None:
    """Append what the submission says now. A submit after an earlier one is a `resubmit`. A flag
    says nothing of the work: who pressed it when is all.

    One statement (raw: it is part of each submit) that also draws the number."""
    content: dict[str, Any] = {} if event in FLAGS else {**submission.draft}
    if event == "skip":
        content |= {"reason": submission.skip_reason, "note": submission.skip_note}
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO annotation_submissionversion
                   (submission_id, number, event, content, author_id, created)
               SELECT s.id, COALESCE(MAX(v.number), 0) + 1,
                   CASE WHEN %(event)s = 'submit'
                             AND COUNT(CASE WHEN v.event NOT LIKE %(flags)s THEN 1 END) > 0
                        THEN 'resubmit' ELSE %(event)s END,
                   %(content)s, %(author)s, %(now)s
               FROM annotation_submission s
               LEFT JOIN annotation_submissionversion v ON v.submission_id = s.id
               WHERE s.id = %(submission)s GROUP BY s.id""",
            {
                "submission": submission.pk,
                "flags": "%flag",
                "event": event,
                "content": json.dumps(content),
                "author": author.pk,
                "now": connection.ops.adapt_datetimefield_value(timezone.now()),
            },
        )
