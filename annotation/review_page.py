"""What a reviewer reads of one submission: the work itself first, then what stands around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Q
from django.utils.safestring import SafeString

from annotation import markdown, reviewing, turn_page
from annotation.history import QUIET
from annotation.models import Prompt, Ranking, Response, Review, Stage, Submission, User
from annotation.rubric import in_force
from annotation.turn_page import LONG
from annotation.word_diff import word_diff
from annotation.work_form import LETTERS

AHEAD = 20  # of the inbox that are looked at for one that nobody else has before them
LOOKS = 300  # seconds that one reviewer's look keeps it from the others
HOLDS = (
    "You have this item in hand yourself: what others made of it would tell you what to say. Hand "
    "yours in first, or skip it."
)
State = Submission.State
Steps = list[tuple[str, str]]
ON_CARDS = ("Order", "Answer", "Strength", "Judgement")


@dataclass(frozen=True)
class Card:
    """An answer that was judged. `place`: "1", "2=", or nothing where nothing was ranked."""

    letter: str
    html: SafeString | str
    place: str = ""
    tags: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()


@dataclass
class Judged:
    """The work. `steps`: a correction against its original; `html`: the text as its reader will
    see it; `cards`: answers, best first; `parts`: (what, steps) of other texts, against what they
    began with; `since`: against what was returned."""

    html: SafeString | str = ""
    steps: Steps = field(default_factory=list)
    unchanged: bool = False
    rewritten: bool = False  # so little is left that the differences say nothing
    headline: str = ""
    cards: list[Card] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    parts: list[tuple[str, Steps]] = field(default_factory=list)
    since: Steps = field(default_factory=list)


def hands_on(user: User) -> Q:
    """Turns by which the user holds an item, or may hold it again: not handed in yet."""
    held = Q(state__in=[State.CLAIMED, State.DRAFT])
    return Q(user=user) & (held | Q(state=State.EXPIRED, item__open=True))


def holds(user: User, item: int) -> bool:
    """The user has the item in hand: others' work on it would tell them what to say."""
    return Submission.objects.filter(hands_on(user), item=item).exists()


def holds_of(user: User, prompt: Prompt) -> bool:
    """The same of any item of the prompt."""
    return Submission.objects.filter(hands_on(user), item__prompt=prompt).exists()


# What waits for this reviewer: not their own, nor of items that they are working on (hands_on).
INBOX = f"""SELECT s.id FROM annotation_submission s {reviewing.BY_INDEX}
    WHERE s.stage_id = %(stage)s AND s.review = 'waiting' AND s.state = 'submitted'
      AND s.user_id <> %(user)s AND s.id > %(after)s AND s.id < %(before)s
      AND NOT EXISTS (SELECT 1 FROM annotation_submission m
          JOIN annotation_item i ON i.id = m.item_id
          WHERE m.item_id = s.item_id AND m.user_id = %(user)s
            AND (m.state IN ('claimed', 'draft') OR (m.state = 'expired' AND i.open)))
    ORDER BY s.id"""
END = 1 << 62


def inbox(
    stage: Stage,
    reviewer: User,
    *,
    after: int = 0,
    before: int = END,
    newest: bool = False,
    limit: int = AHEAD,
) -> list[int]:
    """The numbers of submissions that wait for this reviewer, oldest (or newest) first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"{INBOX} {'DESC' if newest else 'ASC'} LIMIT %(limit)s",
            {
                "stage": stage.pk,
                "user": reviewer.pk,
                "after": after,
                "before": before,
                "limit": limit,
            },
        )
        return [pk for (pk,) in cursor.fetchall()]


def neighbours(stage: Stage, reviewer: User, at: int) -> tuple[int | None, int | None]:
    """(the one before, the next one) that waits; after the last comes the first."""
    earlier = inbox(stage, reviewer, before=at, newest=True, limit=1)
    earlier = earlier or inbox(stage, reviewer, after=at, newest=True, limit=1)
    later = _free(inbox(stage, reviewer, after=at), reviewer)
    return next(iter(earlier), None), later or _free(inbox(stage, reviewer, before=at), reviewer)


def first(stage: Stage, reviewer: User) -> int | None:
    """Where a reviewer begins: the oldest that no other reviewer is just looking at."""
    return _free(inbox(stage, reviewer), reviewer)


def _free(rows: list[int], reviewer: User) -> int | None:
    """The first that is before nobody else's eyes; if all of them are, the first."""
    seen = cache.get_many([_eyes(pk) for pk in rows])
    return next((pk for pk in rows if seen.get(_eyes(pk), reviewer.pk) == reviewer.pk), None) or (
        rows[0] if rows else None
    )


def look(turn: int, reviewer: User) -> None:
    """The reviewer has it before their eyes, so that two of them do not do the same work."""
    cache.add(_eyes(turn), reviewer.pk, LOOKS)


def _eyes(turn: int) -> str:
    return f"review:{turn}"


def waiting(stage: Stage, reviewer: User) -> int:
    """How many wait; reviewing.MOST + 1 is said as more."""
    return len(inbox(stage, reviewer, limit=reviewing.MOST + 1))


def content_of(turn: Submission, reviews: Sequence[Review]) -> dict[str, Any]:
    """What counts: what its author handed in, or the reviewer's words where it was fixed; of
    imported work, which has no draft, what its rows say."""
    if turn.review == Submission.Review.FIXED:
        fixes = [review for review in reviews if review.decision == Review.Decision.FIX]
        if fixes:
            return dict(fixes[-1].content)
    if turn.user_id is not None:
        return dict(turn.draft)
    content: dict[str, Any] = {"ratings": turn.ratings}
    ranking = Ranking.objects.filter(submission=turn, withdrawn=None).first()
    if ranking:
        content |= {"order": ranking.order, "strength": ranking.strength}
        content["all_bad"] = ranking.all_bad
    answer = turn.responses.filter(withdrawn=None).order_by("-pk").first()
    return content | {"text": answer.text} if answer else content


def judged(turn: Submission, content: Mapping[str, Any]) -> Judged:
    """The work as a reviewer reads it; `turn` with its stage, item and prompt."""
    stage, shown = turn.stage, turn.shown
    answers = Response.objects.in_bulk(shown)
    said = turn_page.said(stage, shown, {**content, "tags": None})
    found = Judged(facts=[fact for fact in said.facts if fact[0] not in ON_CARDS])
    text = content.get("text")
    if stage.kind == Stage.Kind.CORRECT:
        original = answers[shown[0]].text if shown and shown[0] in answers else ""
        text = original if text is None or content.get("unchanged") else text
        found.unchanged = text == original
        found.steps = word_diff(original[:LONG], text[:LONG])
        found.rewritten = not found.unchanged and rewritten(found.steps)
        found.facts += [("Why", ", ".join(tags)) for tags in _tags(content).values() if tags]
        found.parts = _prompt_parts(turn.item.prompt, content)
    elif stage.kind == Stage.Kind.WRITE and turn.suggestion is not None:
        began = turn.suggestion.text
        if began.strip() != str(text or "").strip():
            found.parts = [("Against the suggestion", word_diff(began[:LONG], str(text)[:LONG]))]
    else:
        found.cards = _cards(stage, shown, answers, content)
        found.headline = _headline(said.facts, content)
        found.facts = [fact for fact in found.facts if not _of_cards(stage, fact[0])]
    if isinstance(text, str):
        found.html = markdown.render(text)
    if content.get("better"):
        found.parts.append(("A better answer", [("same", str(content["better"]))]))
    found.since = _since_return(turn, str(text or ""))
    return found


def rewritten(steps: Steps) -> bool:
    """Less than a third of the longer text is in both. Pure."""
    sizes = {kind: sum(len(t) for k, t in steps if k == kind) for kind in ("same", "del", "ins")}
    return 3 * sizes["same"] < sizes["same"] + max(sizes["del"], sizes["ins"])


def _tags(content: Mapping[str, Any]) -> Mapping[str, list[str]]:
    tags = content.get("tags")
    return tags if isinstance(tags, Mapping) else {}


def _headline(facts: Sequence[tuple[str, str]], content: Mapping[str, Any]) -> str:
    """Of two answers the step of the scale; of more their places say it, unless all are bad."""
    known = dict(facts)
    return known.get("Judgement", "") if content.get("all_bad") else known.get("Strength", "")


def _of_cards(stage: Stage, what: str) -> bool:
    """The question is about each answer, so what was said stands on the answers."""
    return what in {q["title"] for q in in_force(stage.rubric) if q["about"] == "answer"}


def _cards(
    stage: Stage,
    shown: Sequence[int],
    answers: Mapping[int, Response],
    content: Mapping[str, Any],
) -> list[Card]:
    letters = dict(zip(shown, LETTERS, strict=False))
    places = places_of(content.get("order"))
    ratings = content.get("ratings") or {}
    cards = []
    for pk in sorted(shown, key=lambda pk: (places.get(pk, (99, ""))[0], letters.get(pk, ""))):
        own = {
            key: {str(pk): value[str(pk)]}
            for key, value in ratings.items()
            if isinstance(value, Mapping) and str(pk) in value
        }
        facts = turn_page.said(stage, [pk], {"ratings": own}).facts
        cards.append(
            Card(
                letter=letters.get(pk, "?"),
                html=markdown.render(answers[pk].text) if pk in answers else "",
                place=places.get(pk, (0, ""))[1],
                tags=_tags(content).get(str(pk), []),
                facts=[(what, said.removeprefix("A: ")) for what, said in facts],
            )
        )
    return cards


def places_of(order: Any) -> dict[int, tuple[int, str]]:
    """{answer: (place, the place as sports write it: 1, 2=, 2=, 4)}."""
    places: dict[int, tuple[int, str]] = {}
    for group in order if isinstance(order, list) else []:
        place = len(places) + 1
        sign = f"{place}=" if len(group) > 1 else str(place)
        places |= dict.fromkeys(group, (place, sign))
    return places


def _prompt_parts(prompt: Prompt, content: Mapping[str, Any]) -> list[tuple[str, Steps]]:
    """The parts of the prompt that a correction changed, each against what it was."""
    pairs = []
    for place, message in enumerate(content.get("messages") or []):
        before = prompt.messages[place] if place < len(prompt.messages) else {}
        pairs.append((f"Prompt, turn {place + 1}", before.get("content"), message.get("content")))
    for part in ("system", "context"):
        if isinstance(content.get(part), str):
            pairs.append((f"The {part}", getattr(prompt, part), content[part]))
    return [
        (what, word_diff(str(before or "")[:LONG], str(after or "")[:LONG]))
        for what, before, after in pairs
        if (before or "") != (after or "")
    ]


def _since_return(turn: Submission, text: str) -> Steps:
    """What its author changed in the text since it was last returned."""
    if not text:
        return []
    events = turn.history.order_by("number")
    back = events.filter(event="return").last()
    if back is None:
        return []
    said = events.filter(number__lt=back.number).exclude(event__in=QUIET).last()
    before = said.content.get("text") if said else None
    if not isinstance(before, str) or before == text:
        return []
    return word_diff(before[:LONG], text[:LONG])


def reviews_of(turn: Submission) -> list[Review]:
    """Oldest first."""
    return list(turn.reviews.select_related("reviewer").order_by("pk"))


def fixed_text(turn: Submission, content: Mapping[str, Any]) -> Steps:
    """What a reviewer changed in the author's text; empty where no text was changed."""
    key = "better" if "order" in content else "text"
    before, after = turn.draft.get(key), content.get(key)
    if not isinstance(after, str) or before == after:
        return []
    steps = word_diff(str(before or "")[:LONG], after[:LONG])
    return [("ins", after[:LONG])] if rewritten(steps) else steps
