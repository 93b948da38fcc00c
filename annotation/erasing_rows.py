"""Blanking rows: what erasing.py decides to erase, in short transactions. Text and names go; ids,
states, counters and times stay. Nothing else in Annotune writes over what people handed in."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast, Coalesce, Concat, Now

from annotation import gold, places, search_index
from annotation.errors import Refused
from annotation.models import (
    Adjudication,
    Comment,
    Gold,
    Item,
    Prompt,
    Ranking,
    Response,
    Review,
    Submission,
    SubmissionVersion,
)
from annotation.text import normalise, prompt_fingerprint

CHUNK = 500  # rows a transaction: nobody waits for more
State = Submission.State
UNFINISHED = (State.CLAIMED, State.DRAFT, State.EXPIRED)
# In place of a hash of the text, from which a short text could be guessed.
NO_HASH = Concat(Value("erased"), Cast("pk", CharField()))


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    found = sorted(set(ids))
    for start in range(0, len(found), CHUNK):
        yield found[start : start + CHUNK]


def responses(ids: Iterable[int], *, author: bool) -> None:
    """No text, and out of rankings and datasets; `author`: no name either."""
    gone: dict[str, Any] = {
        "text": "",
        "metadata": {},
        "fingerprint": NO_HASH,
        "withdrawn": Coalesce("withdrawn", Now()),
    }
    if author:
        gone["author_name"] = ""
    for part in chunks(ids):
        Response.objects.filter(pk__in=part).update(**gone)


def submissions(ids: Iterable[int]) -> None:
    """What was written, said and ranked in these turns, their history, and what reviewers and leads
    said of them. A tab that is still open cannot save over it: the version is another."""
    for part in chunks(ids):
        with transaction.atomic():
            Submission.objects.filter(pk__in=part).update(
                draft={},
                messages=None,
                system=None,
                context=None,
                ratings={},
                tags={},
                reason="",
                skip_note="",
                version=F("version") + 1,
            )
            SubmissionVersion.objects.filter(submission__in=part).update(content={})
            Ranking.objects.filter(submission__in=part).update(
                order=[], strength=None, withdrawn=Coalesce("withdrawn", Now())
            )
            Review.objects.filter(submission__in=part).update(comment="", content={})
            Adjudication.objects.filter(submission__in=part).update(
                note="", withdrawn=Coalesce("withdrawn", Now())
            )
            waits = [Submission.Review.WAITING, Submission.Review.RETURNED]
            Submission.objects.filter(pk__in=part, review__in=waits).update(review="")


def end_turns(prompts: Sequence[int]) -> None:
    """Nobody goes on with an item of these prompts: what is in hand ends as skipped."""
    for part in chunks(prompts):
        turns = Submission.objects.filter(item__prompt__in=part, state__in=UNFINISHED)
        for turn in turns.select_related("stage"):
            with transaction.atomic():
                mine = Submission.objects.filter(pk=turn.pk, state=turn.state)
                ended = mine.update(
                    state=State.SKIPPED, skip_reason=Submission.SkipReason.OTHER, claimed_until=None
                )
                if ended and turn.state != State.EXPIRED:
                    places.release(turn.item_id, turn.stage)


def end_golds(golds: "QuerySet[Gold]") -> None:
    """Ordinary items again, without the known answer and its note."""
    for item in Item.objects.filter(pk__in=golds.values("item")):
        try:
            gold.end_gold(item=item)
        except Refused:  # a lead ended it this moment
            continue


def prompts(ids: Iterable[int], *, names: bool) -> None:
    """Tombstones: the turns' roles stay, without a word; retired. `names`: no id from outside."""
    for part in chunks(ids):
        with transaction.atomic():
            items = Item.objects.filter(prompt__in=part)
            Adjudication.objects.filter(item__in=items).update(content={}, note="")
            Comment.objects.filter(prompt__in=part).update(
                text="", withdrawn=Coalesce("withdrawn", Now())
            )
            for prompt in Prompt.objects.filter(pk__in=part).only("pk", "messages"):
                silent = [{"role": turn.get("role", ""), "content": ""} for turn in prompt.messages]
                gone: dict[str, Any] = {"messages": silent} if silent else {}
                if names:
                    gone["external_id"] = f"erased-{prompt.pk}"
                if gone:
                    Prompt.objects.filter(pk=prompt.pk).update(**gone)
            Prompt.objects.filter(pk__in=part).update(
                system="",
                context="",
                tools=None,
                metadata={},
                fingerprint=NO_HASH,
                root_key=NO_HASH,
                retired=Coalesce("retired", Now()),
            )


def continuations(answers: Iterable[int]) -> dict[int, set[str]]:
    """{prompt: the texts to take out of it}: later turns of conversations repeat the answers that
    they continue."""
    found: dict[int, set[str]] = {}
    for part in chunks(answers):
        level: dict[int, set[str]] = {}
        rows = Prompt.objects.filter(parent__in=part).values_list("pk", "parent__text")
        for pk, text in rows:
            level[pk] = {normalise(text)}
        while level:
            for pk, texts in level.items():
                found.setdefault(pk, set()).update(texts)
            later = Prompt.objects.filter(parent__prompt__in=level)
            level = {
                pk: level[earlier] for pk, earlier in later.values_list("pk", "parent__prompt")
            }
    return {pk: texts - {""} for pk, texts in found.items() if texts - {""}}


def cut_out(found: dict[int, set[str]]) -> None:
    """Take these texts out of the messages of later turns."""
    for part in chunks(found):
        with transaction.atomic():
            for prompt in Prompt.objects.filter(pk__in=part):
                for turn in prompt.messages:
                    if normalise(turn.get("content") or "") in found[prompt.pk]:
                        turn["content"] = ""
                prompt.fingerprint = prompt_fingerprint(
                    prompt.system, prompt.messages, prompt.context
                )
                prompt.save(update_fields=["messages", "fingerprint"])


def give_back_fixes(fixed: Iterable[int]) -> None:
    """What a reviewer's fix put in the place of a person's work goes; the person's own counts
    again and waits for another review."""
    for part in chunks(fixed):
        with transaction.atomic():
            for turn in Submission.objects.filter(pk__in=part):
                own = turn.draft
                turn.ratings, turn.tags = own.get("ratings", {}), own.get("tags", {})
                turn.reason, turn.review = own.get("reason", ""), Submission.Review.WAITING
                turn.save(update_fields=["ratings", "tags", "reason", "review"])
                if "order" in own:
                    Ranking.objects.filter(submission=turn).update(
                        order=own["order"],
                        strength=own.get("strength"),
                        all_bad=bool(own.get("all_bad")),
                    )


def overwrite_freed_pages() -> None:
    """SQLite: what an update frees from here on is filled with zeros (this connection)."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def empty_log() -> None:
    """SQLite: the write-ahead log, which holds what rows said before, is written out and cut. It
    waits for nobody: while others read, the next checkpoint does it."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def compact() -> None:
    """Rewrite the database without what it no longer holds. It locks tables while it works."""
    tables = [
        model._meta.db_table
        for model in (Prompt, Response, Submission, SubmissionVersion, Review, Comment)
    ]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in [*tables, "annotation_user", "annotation_activity"]:
                cursor.execute(f'VACUUM (FULL) "{table}"')
        else:
            search_index.compact()
            cursor.execute("VACUUM")
    empty_log()
