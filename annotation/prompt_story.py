"""Everything that ever happened to a prompt, newest first, and where it stands in each stage. Reads
only; of each kind of event the newest MOST."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from annotation.models import (
    Action,
    Activity,
    Adjudication,
    Comment,
    Erasure,
    Gold,
    Item,
    Prompt,
    Response,
    Review,
    Submission,
    SubmissionVersion,
)
from annotation.prompt_page import Answer

MOST = 200
ACTS = 20  # of the project's newest bulk acts, those are looked through
State = Submission.State

# What an event of the history is called. Reviews speak for themselves: they have rows of their own.
EVENTS = {
    "submit": "submitted",
    "resubmit": "submitted again",
    "late": "submitted too late: it does not count",
    "skip": "skipped it",
    "undo": "took it back",
    "reopen": "opened it again",
    "complete": "answered a later question",
    "flag": "flagged it",
    "unflag": "took the flag off",
    "release": "gave it to somebody else",
}
DECISIONS = {"accept": "accepted", "return": "returned", "fix": "fixed"}


@dataclass(frozen=True)
class Event:
    """`who` did `what` `where` (a stage); `path`: the page that shows it; `detail`: their words."""

    when: datetime
    who: str
    what: str
    where: str = ""
    path: str = ""
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Place:
    """The prompt in one stage and round: `state` in words and its tone; `who`: (name, what)."""

    item: Item
    state: str
    tone: str
    who: list[tuple[str, str]]


def items(prompt: Prompt) -> list[Place]:
    """Its items, oldest first, with who has or had a turn."""
    rows = list(
        Item.objects.filter(prompt=prompt).select_related("stage").order_by("stage__position", "pk")
    )[:MOST]
    turns: dict[int, list[tuple[str, str]]] = {row.pk: [] for row in rows}
    found = Submission.objects.live().filter(item__in=turns).exclude(state=State.EXPIRED)
    for turn in found.select_related("user").defer("draft", "messages").order_by("pk")[:MOST]:
        turns[turn.item_id].append((_annotator(turn), _has(turn)))
    return [Place(row, *_stands(row), who=turns[row.pk]) for row in rows]


def _annotator(turn: Submission) -> str:
    return str(turn.user or turn.rater or "imported")


def _has(turn: Submission) -> str:
    if turn.review and turn.state == State.SUBMITTED:
        return f"submitted, {'waits for review' if turn.review == 'waiting' else turn.review}"
    if turn.state in (State.CLAIMED, State.DRAFT) and turn.review == Submission.Review.RETURNED:
        return "has it again, returned"
    return {State.CLAIMED: "has it", State.DRAFT: "has it"}.get(State(turn.state), turn.state)


def _stands(item: Item) -> tuple[str, str]:
    if item.flagged:
        return "flagged", "warn"
    if item.done >= item.needed:
        return "done", "good"
    if not item.open and item.taken < item.needed:
        return "closed", "warn"
    if item.taken > item.done:
        return "in hand", "on"
    left = item.needed - item.done
    return (f"waits for {left} more" if item.done else "waits in the queue"), ""


def story(prompt: Prompt, answers: Sequence[Answer] = ()) -> list[Event]:
    """Newest first."""
    letters = {answer.response.pk: answer.letter for answer in answers}
    turns = {
        turn.pk: turn
        for turn in Submission.objects.live()
        .filter(item__prompt=prompt)
        .select_related("user", "stage")
        .defer("draft", "messages", "system", "context")
        .order_by("-pk")[:MOST]
    }
    sources: list[Iterable[Event]] = [
        _came(prompt, letters),
        _history(turns),
        _judged(prompt, turns),
        _said(prompt),
        _changed(prompt),
    ]
    events = [event for source in sources for event in source]
    return sorted(events, key=lambda event: event.when, reverse=True)


def _came(prompt: Prompt, letters: Mapping[int, str]) -> Iterator[Event]:
    """The prompt and the answers that nobody wrote here."""
    yield Event(prompt.created, *_by_file(prompt.batch, "the prompt came"))
    rows = Response.objects.live().filter(prompt=prompt, submission=None)
    for row in rows.select_related("batch", "author").order_by("-pk")[:MOST]:
        name = f"answer {letters[row.pk]}" if row.pk in letters else "an answer, now withdrawn,"
        of = f" of {row.author_name}" if row.author_name else ""
        who, what, where, path = _by_file(row.batch, f"{name}{of} came")
        yield Event(row.created, str(row.author or who), what, where, path)


def _by_file(batch: Any, what: str) -> tuple[str, str, str, str]:
    if batch is None:
        return "", what, "", ""
    name = batch.filename or batch.source or f"import {batch.pk}"
    return "", f"{what} with {name}", "", reverse("annotation:import", args=[batch.pk])


def _history(turns: Mapping[int, Submission]) -> Iterator[Event]:
    rows = SubmissionVersion.objects.filter(submission__in=turns).select_related("author")
    rows = rows.exclude(event__in=DECISIONS)
    for row in rows.order_by("-pk")[:MOST]:
        turn = turns[row.submission_id]
        detail = ""
        if row.event == "skip":
            reason = dict(Submission.SkipReason.choices).get(row.content.get("reason", ""), "")
            detail = ", ".join(filter(None, [reason, row.content.get("note", "")]))
        who = str(row.author or _annotator(turn))
        what = EVENTS.get(row.event, row.event)
        yield Event(row.created, who, what, str(turn.stage), _page(turn), detail)
    for turn in turns.values():
        if turn.state in (State.CLAIMED, State.DRAFT):
            yield Event(turn.created, _annotator(turn), "took it up", str(turn.stage), tone="on")
        elif turn.origin == "import":
            when = turn.submitted or turn.created
            yield Event(when, _annotator(turn), "did it elsewhere", str(turn.stage), _page(turn))


def _page(turn: Submission) -> str:
    return reverse("annotation:turn", args=[turn.pk])


def _judged(prompt: Prompt, turns: Mapping[int, Submission]) -> Iterator[Event]:
    reviews = Review.objects.filter(submission__in=turns).select_related("reviewer")
    for review in reviews.order_by("-pk")[:MOST]:
        turn = turns[review.submission_id]
        what = f"{DECISIONS[review.decision]} the work of {_annotator(turn)}"
        tone = {"accept": "good", "return": "warn"}.get(review.decision, "on")
        yield Event(
            review.created,
            str(review.reviewer or "somebody"),
            what,
            str(turn.stage),
            _page(turn),
            review.comment,
            tone,
        )
    decided = Adjudication.objects.filter(item__prompt=prompt)
    for row in decided.select_related("author", "item__stage", "submission__user")[:MOST]:
        where, path = str(row.item.stage), reverse("annotation:item", args=[row.item_id])
        chosen = row.submission
        what = f"decided for {_annotator(chosen)}" if chosen else "decided in their own words"
        who = str(row.author or "somebody")
        yield Event(row.created, who, what, where, path, row.note, "on")
        if row.withdrawn:
            yield Event(row.withdrawn, "", f"the decision of {who} was taken back", where, path)
    for gold in Gold.objects.filter(item__prompt=prompt).select_related("author", "item__stage"):
        path = reverse("annotation:item", args=[gold.item_id])
        who = str(gold.author or "somebody")
        yield Event(gold.created, who, "made it gold", str(gold.item.stage), path, gold.note, "on")


def _said(prompt: Prompt) -> Iterator[Event]:
    rows = Comment.objects.filter(prompt=prompt, withdrawn=None).select_related("author")
    for row in rows.order_by("-pk")[:MOST]:
        yield Event(
            row.created, str(row.author or "somebody"), "commented", "", "#comments", row.text
        )


def _changed(prompt: Prompt) -> Iterator[Event]:
    """Edits by hand, bulk acts that took it in, an erasure."""
    page = reverse("annotation:prompt", args=[prompt.pk])
    edits = Activity.objects.filter(project=prompt.project_id, path=page).select_related("actor")
    for row in edits.order_by("-pk")[:MOST]:
        yield Event(
            row.created, str(row.actor or row.actor_name or "somebody"), row.what, detail=row.detail
        )
    own = {str(pk) for pk in Item.objects.filter(prompt=prompt).values_list("pk", flat=True)}
    acts = Action.objects.filter(project=prompt.project_id).select_related("author", "stage")
    for act in acts.order_by("-pk")[:ACTS]:
        if _took_in(act, prompt.pk, own):
            where = str(act.stage or "")
            said = f"in bulk: {act.said}"
            yield Event(act.created, str(act.author or "somebody"), said, where)
            if act.undone:
                yield Event(act.undone, "", f"undone: {act.said}", where)
    for gone in Erasure.objects.filter(kind=Erasure.Kind.PROMPT, subject=prompt.pk):
        yield Event(gone.created, str(gone.author or "somebody"), "erased its text", tone="warn")


def _took_in(act: Action, prompt: int, own: set[str]) -> bool:
    """Is the prompt, or an item of it, among what the act changed? `before` names prompts by
    {"prompts": [ids]}, items as its keys or in {"items": [ids]}."""
    before = act.before
    if prompt in before.get("prompts", []):
        return True
    named = before.get("items", before)
    return bool(own & {str(each) for each in named})
