"""All annotations of a project as JSON Lines: a prompt a line, with everything that hangs on it.

Read in ranges of ids, each by itself, so that memory stays constant and no transaction is held
open. The shape is documented in docs/reference-annotations.md."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from annotation.models import (
    Adjudication,
    Comment,
    Gold,
    Project,
    Prompt,
    Ranking,
    Response,
    Review,
    Submission,
)

RANGE = 500  # prompts at a time
# What somebody holds or has let go of is no annotation yet.
GIVEN = [Submission.State.SUBMITTED, Submission.State.SKIPPED, Submission.State.LATE]


def lines(project: Project) -> Iterator[bytes]:
    """Each with its line end, in the order in which the prompts came."""
    last = 0
    while True:
        rows = Prompt.objects.live().filter(project=project, pk__gt=last).order_by("pk")
        prompts = list(rows.select_related("parent__prompt")[:RANGE])
        if not prompts:
            return
        ids = [prompt.pk for prompt in prompts]
        answers, turns = _responses(ids), _submissions(ids)
        decisions, known, comments = _decisions(ids), _gold(ids), _comments(ids)
        for prompt in prompts:
            entry = _prompt(prompt)
            entry["responses"] = answers[prompt.pk]
            entry["submissions"] = turns[prompt.pk]
            entry["adjudications"] = decisions[prompt.pk]
            entry["gold"] = known[prompt.pk]
            entry["comments"] = comments[prompt.pk]
            yield orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
        last = ids[-1]


def _prompt(prompt: Prompt) -> dict[str, Any]:
    parent = prompt.parent
    return {
        "external_id": prompt.external_id,
        "messages": prompt.messages,
        "system": prompt.system,
        "context": prompt.context,
        "tools": prompt.tools,
        "metadata": prompt.metadata,
        "continues": parent and {"prompt": parent.prompt.external_id, "response": parent.pk},
        "retired": prompt.retired,
        "created": prompt.created,
    }


def _responses(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Response.objects.live().filter(prompt__in=prompts).order_by("pk")
    for row in rows.values(
        "prompt_id",
        "id",
        "text",
        "origin",
        "author__email",
        "author_name",
        "corrects_id",
        "submission_id",
        "withdrawn",
        "metadata",
        "created",
    ):
        found[row.pop("prompt_id")].append(
            {
                "id": row["id"],
                "text": row["text"],
                "origin": row["origin"],
                "author": row["author__email"],
                "author_name": row["author_name"],
                "corrects": row["corrects_id"],
                "submission": row["submission_id"],
                "withdrawn": row["withdrawn"],
                "metadata": row["metadata"],
                "created": row["created"],
            }
        )
    return found


def _submissions(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rankings = {
        ranking.submission_id: {
            "order": ranking.order,
            "strength": ranking.strength,
            "all_bad": ranking.all_bad,
            "withdrawn": ranking.withdrawn,
        }
        for ranking in Ranking.objects.filter(submission__item__prompt__in=prompts)
    }
    rows = Submission.objects.live().filter(item__prompt__in=prompts, state__in=GIVEN)
    reviews = _reviews(prompts)
    for row in rows.select_related("item", "stage", "user", "guidelines").order_by("pk"):
        found[row.item.prompt_id].append(
            {
                "id": row.pk,
                "stage": row.stage.name,
                "kind": row.stage.kind,
                "round": row.item.round,
                "annotator": row.user.email if row.user else None,
                "annotator_name": str(row.user) if row.user else row.rater,
                "origin": row.origin,
                "state": row.state,
                "shown": row.shown,
                "ranking": rankings.get(row.pk),
                "messages": row.messages,
                "system": row.system,
                "context": row.context,
                "unchanged": row.unchanged,
                "suggestion": row.suggestion_id,
                "suggestion_use": row.suggestion_use,
                "ratings": row.ratings,
                "tags": row.tags,
                "reason": row.reason,
                "skip_reason": row.skip_reason,
                "skip_note": row.skip_note,
                "guidelines": row.guidelines.number if row.guidelines else None,
                "active_seconds": row.active_seconds,
                "created": row.created,
                "submitted": row.submitted,
                "review": row.review,
                "reviews": reviews[row.pk],
                # What a fix left as its author said it; else it is what stands above.
                "handed_in": row.draft if row.review == Submission.Review.FIXED else None,
            }
        )
    return found


def _reviews(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Review.objects.filter(submission__item__prompt__in=prompts).order_by("pk")
    for row in rows.select_related("reviewer"):
        found[row.submission_id].append(
            {
                "reviewer": row.reviewer.email if row.reviewer else None,
                "decision": row.decision,
                "comment": row.comment,
                "content": row.content,
                "created": row.created,
            }
        )
    return found


def _decisions(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Adjudication.objects.filter(item__prompt__in=prompts).order_by("pk")
    for row in rows.select_related("author", "item__stage"):
        found[row.item.prompt_id].append(
            {
                "stage": row.item.stage.name,
                "round": row.item.round,
                "author": row.author.email if row.author else None,
                "submission": row.submission_id,
                "content": row.content,
                "response": row.response_id,
                "note": row.note,
                "created": row.created,
                "withdrawn": row.withdrawn,
            }
        )
    return found


def _gold(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Gold.objects.filter(item__prompt__in=prompts).order_by("pk")
    for row in rows.select_related("item__stage"):
        found[row.item.prompt_id].append(
            {
                "stage": row.item.stage.name,
                "round": row.item.round,
                "content": row.content,
                "note": row.note,
            }
        )
    return found


def _comments(prompts: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Comment.objects.filter(prompt__in=prompts, withdrawn=None).order_by("pk")
    for row in rows.select_related("author"):
        found[row.prompt_id].append(
            {
                "author": row.author.email if row.author else None,
                "text": row.text,
                "created": row.created,
            }
        )
    return found
