"""The lead's decision on an item where people disagree: one of the submissions, or their own words.
The only writer of adjudications. What people handed in stays as it is."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation import rounds, rows
from annotation.content import checked_text
from annotation.errors import Refused
from annotation.models import Adjudication, Item, Origin, Response, Stage, Submission, User
from annotation.submissions import checked
from annotation.text import text_fingerprint

MAX_NOTE = 20_000  # characters


def in_force(item: Item) -> Adjudication | None:
    """The decision on the item, if there is one."""
    rows = Adjudication.objects.filter(item=item, withdrawn=None)
    return rows.select_related("author", "submission__user", "response").first()


@transaction.atomic
def adjudicate(
    *,
    item: Item,
    author: User,
    submission: Submission | None = None,
    content: Mapping[str, Any] | None = None,
    note: str = "",
) -> Adjudication:
    """Decide the item: by one of its submissions, or by `content` in the shape of content.py, its
    answers as the item has them. It takes the place of an earlier decision, which is kept.

    Raises Refused for somebody who did the item themselves, and for what cannot be handed in."""
    if (submission is None) == (content is None):
        raise Refused("Choose one of the submissions, or give a decision of your own.")
    note = checked_text(note, "note", may_be_empty=True).strip()
    if len(note) > MAX_NOTE:
        raise Refused(f"The note has {len(note):,} characters; at most {MAX_NOTE:,}.", field="note")
    item = (
        Item.objects.select_for_update(of=("self",))
        .select_related("stage__project__workspace", "prompt")
        .get(pk=item.pk)
    )
    mine = Submission.objects.filter(item=item, user=author)
    if mine.exclude(state__in=[Submission.State.SKIPPED, Submission.State.EXPIRED]).exists():
        raise Refused("You did this item yourself: somebody else decides it.")
    decision = Adjudication(item=item, author=author, note=note)
    if submission is not None:
        # Read now that the item is locked: its author may have taken it back a moment ago.
        handed_in = Submission.objects.filter(item=item, state=Submission.State.SUBMITTED)
        decision.submission = handed_in.filter(pk=submission.pk).first()
        if decision.submission is None:
            raise Refused("That submission is not handed in on this item: look at it again.")
    else:
        decision.content = checked(
            Submission(item=item, stage=item.stage, user=author, shown=item.candidates),
            content or {},
        )
    _end(item)
    text = decision.content.get("better" if "order" in decision.content else "text")
    if text is not None:
        decision.response = _keep_text(item, author, text)
    decision.save()
    rounds.answers_arrived([item.prompt_id])
    return decision


@transaction.atomic
def withdraw(*, item: Item, author: User) -> None:
    """The item is undecided again; its submissions count as before. Refused if it was undecided."""
    Item.objects.select_for_update().get(pk=item.pk)
    if not _end(item):
        raise Refused("This item is not decided, perhaps any more: look at it again.")
    rounds.answers_arrived([item.prompt_id])


def _end(item: Item) -> bool:
    """The decision in force is no more, nor is its text; false if there was none."""
    now = timezone.now()
    ended = list(Adjudication.objects.filter(item=item, withdrawn=None))
    Adjudication.objects.filter(pk__in=[each.pk for each in ended]).update(withdrawn=now)
    answers = [each.response_id for each in ended if each.response_id]
    Response.objects.filter(pk__in=answers, withdrawn=None).update(withdrawn=now)
    return bool(ended)


def _keep_text(item: Item, author: User, text: str) -> Response:
    answer = Response(
        prompt_id=item.prompt_id,
        text=text,
        origin=Origin.HUMAN,
        author=author,
        author_name=str(author),
        corrects_id=item.candidates[0] if item.stage.kind == Stage.Kind.CORRECT else None,
        fingerprint=text_fingerprint(text),
    )
    rows.insert(answer)
    return answer
