"""A person's turns in a stage: what they have begun, handed in, skipped. Reads only."""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotation.models import Stage, Submission, SubmissionVersion, User, Workspace
from annotation.rubric import in_force, missing

State = Submission.State
SIZE = 50
FEW = 20  # shown on the home page
HEAVY = ["draft", "messages", "system", "context", "item__prompt__context"]
SHOWS = [
    ("", "All"),
    ("returned", "Returned"),
    ("drafts", "Drafts"),
    ("submitted", "Submitted"),
    ("skipped", "Skipped"),
    ("late", "Late"),
    ("incomplete", "To complete"),
]
# Of what has expired, only where something was written: the rest is nothing to come back to.
DRAFTS = Q(state__in=[State.CLAIMED, State.DRAFT]) | Q(state=State.EXPIRED, version__gt=0)
# A reviewer wants something changed: it is a draft again, and comes before all else.
RETURNED = Q(state__in=[State.CLAIMED, State.DRAFT, State.EXPIRED], review="returned")
HANDED_IN = (State.SUBMITTED, State.LATE)


@dataclass(frozen=True)
class Row:
    """`said`: the state in words; `missing`: how many questions came after it was handed in."""

    turn: Submission
    excerpt: str
    said: str
    tone: str
    missing: int


@dataclass(frozen=True)
class Page:
    """`tabs`: (show, label, count); `after`: the id to page on from, None at the end."""

    rows: list[Row]
    show: str
    tabs: list[tuple[str, str, int]]
    after: int | None


def of(stage: Stage, user: User) -> "QuerySet[Submission]":
    return Submission.objects.filter(stage=stage, user=user)


def incomplete(stage: Stage) -> Q:
    """Handed in, but without an answer to a required question that was added later."""
    lacks = Q()
    for question in in_force(stage.rubric):
        if question["required"]:
            lacking = ~Q(ratings__has_key=question["key"])
            if question["about"] == "answer":
                lacking &= ~Q(shown=[])
            lacks |= lacking
    return Q(state__in=HANDED_IN) & lacks if lacks else Q(pk__in=[])


def page(stage: Stage, user: User, show: str, after: int | None) -> Page:
    """The person's turns, newest first, what was returned before them; what `show` does not name
    shows all."""
    show = show if show in dict(SHOWS) else ""
    which = {
        "": DRAFTS | Q(state__in=[*HANDED_IN, State.SKIPPED]),
        "drafts": DRAFTS,
        "returned": RETURNED,
        "incomplete": incomplete(stage),
    }
    mine = of(stage, user).select_related("item__prompt").defer(*HEAVY).order_by("-pk")
    turns = mine.filter(which.get(show, Q(state=show)))
    first: list[Submission] = []
    if show == "":
        turns = turns.exclude(RETURNED)
        first = list(mine.filter(RETURNED)[:SIZE]) if after is None else []
    if after is not None:
        turns = turns.filter(pk__lt=after)
    found = list(turns[: SIZE + 1])
    return Page(
        rows=[_row(stage, turn) for turn in [*first, *found[:SIZE]]],
        show=show,
        tabs=_tabs(stage, user),
        after=found[SIZE - 1].pk if len(found) > SIZE else None,
    )


def _tabs(stage: Stage, user: User) -> list[tuple[str, str, int]]:
    states = dict(of(stage, user).values_list("state").annotate(n=Count("pk")).order_by())
    drafts = of(stage, user).filter(DRAFTS).count()
    counts: dict[str, int] = {str(s): states.get(s, 0) for s in [*HANDED_IN, State.SKIPPED]}
    counts |= {"": drafts + sum(counts.values()), "drafts": drafts}
    counts["returned"] = of(stage, user).filter(RETURNED).count()
    counts["incomplete"] = of(stage, user).filter(incomplete(stage)).count()
    return [(show, label, counts[show]) for show, label in SHOWS]


def _row(stage: Stage, turn: Submission) -> Row:
    said, tone = said_of(turn)
    lacks = len(missing(stage.rubric, turn.ratings, turn.shown))
    return Row(
        turn=turn,
        excerpt=turn.item.prompt.question[:160],
        said=said,
        tone=tone,
        missing=lacks if turn.state in HANDED_IN else 0,
    )


def said_of(turn: Submission) -> tuple[str, str]:
    """The state in words, and its tone: good, on, warn, or none."""
    if turn.review == Submission.Review.RETURNED and turn.state in (State.CLAIMED, State.DRAFT):
        return "returned to you", "warn"
    if turn.state == State.EXPIRED:
        return "time ran out, kept", "warn"
    if turn.state == State.LATE:
        return "late: it does not count", "warn"
    return {
        State.CLAIMED: ("begun", ""),
        State.DRAFT: ("draft", "on"),
        State.SUBMITTED: ("submitted", "good"),
        State.SKIPPED: ("skipped", ""),
    }[State(turn.state)]


def to_complete(stages: list[Stage], user: User) -> list[tuple[Stage, int]]:
    """The stages whose rubric got questions after the person's work, with how many turns lack an
    answer."""
    asked = [stage for stage in stages if any(q["required"] for q in in_force(stage.rubric))]
    counted = [(stage, of(stage, user).filter(incomplete(stage)).count()) for stage in asked]
    return [(stage, count) for stage, count in counted if count]


def came_back(workspace: Workspace, user: User) -> "QuerySet[Submission]":
    """Drafts whose time ran out and whose place others have: what was written is kept there."""
    gone = Q(item__open=False) | Q(item__prompt__retired__isnull=False)
    turns = _in(workspace, user).filter(gone, state=State.EXPIRED, version__gt=0)
    return turns.order_by("-pk")[:FEW]


def returned(workspace: Workspace, user: User) -> "QuerySet[Submission]":
    """What reviewers want changed: it waits for its author, first in their queue."""
    return _in(workspace, user).filter(RETURNED).order_by("pk")[:FEW]


def reopened(workspace: Workspace, user: User) -> "QuerySet[Submission]":
    """Drafts that were handed in before: taken back, and not handed in again yet."""
    back = SubmissionVersion.objects.filter(submission=OuterRef("pk"), event__in=["reopen", "undo"])
    turns = _in(workspace, user).filter(Exists(back), state__in=[State.CLAIMED, State.DRAFT])
    turns = turns.exclude(review=Submission.Review.RETURNED)
    return turns.order_by("-pk")[:FEW]


def _in(workspace: Workspace, user: User) -> "QuerySet[Submission]":
    turns = Submission.objects.filter(
        user=user, stage__project__workspace=workspace, stage__project__archived=None
    )
    return turns.select_related("item__prompt", "stage__project").defer(*HEAVY)
