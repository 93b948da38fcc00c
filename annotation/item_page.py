"""An item's page: what everybody made of it, side by side, and what was decided. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from annotation import adjudication, markdown, review_page, turn_page
from annotation.models import Adjudication, Item, Response, Review, Stage, Submission, User
from annotation.review_page import Steps, places_of
from annotation.rubric import Question, in_force
from annotation.turn_page import LONG, STRENGTHS
from annotation.word_diff import word_diff
from annotation.work_form import LETTERS

MOST = 24  # submissions on the page: gold has one of everybody
State = Submission.State
ORIGINAL = "original"


@dataclass
class Column:
    """One person's work. `steps`: their text against what the page compares with."""

    turn: Submission
    who: str
    content: Mapping[str, Any]
    reviews: list[Review]
    text: str | None = None
    html: SafeString | str = ""
    steps: Steps = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    verdict: str = ""
    chosen: bool = False
    base: bool = False


@dataclass(frozen=True)
class Line:
    """A line of the table: (what was said, is it unlike what most said) by column."""

    title: str
    letter: str
    html: SafeString | str
    cells: list[tuple[str, bool]]


@dataclass
class Page:
    columns: list[Column]
    more: int
    skipped: list[Submission]
    orders: list[Line]
    ratings: list[Line]
    against: str
    original: Response | None
    decision: Adjudication | None
    letters: dict[int, str]


def page(item: Item, against: str = "") -> Page:
    """`against`: the number of a submission, "original", or nothing: the original of a correction,
    else the first."""
    turns = item.submissions.live().filter(state__in=[State.SUBMITTED, State.LATE])
    rows = turns.select_related("user", "stage", "suggestion").order_by("pk")
    found = list(rows[:MOST])
    for turn in found:
        turn.item = item
    decision = adjudication.in_force(item)
    columns = [_column(item, turn, decision) for turn in found]
    letters = dict(zip(item.candidates, LETTERS, strict=False))
    answers = Response.objects.in_bulk(item.candidates)
    original = None
    if item.stage.kind == Stage.Kind.CORRECT and item.candidates:
        original = answers.get(item.candidates[0])
    shown = _compare(columns, against, original)
    skipped = item.submissions.filter(state=State.SKIPPED).select_related("user").order_by("pk")
    return Page(
        columns=columns,
        more=rows.count() - len(found) if len(found) == MOST else 0,
        skipped=list(skipped[:MOST]),
        orders=_orders(item, columns, letters, answers),
        ratings=_ratings(item, columns, letters),
        against=shown,
        original=original,
        decision=decision,
        letters=letters,
    )


def _column(item: Item, turn: Submission, decision: Adjudication | None) -> Column:
    reviews = review_page.reviews_of(turn)
    content = review_page.content_of(turn, reviews)
    said = turn_page.said(
        item.stage, item.candidates, {**content, "strength": None, "ratings": None}
    )
    column = Column(
        turn=turn,
        who=str(turn.user or turn.rater or "imported"),
        content=content,
        reviews=reviews,
        facts=[fact for fact in said.facts if fact[0] not in ("Order", "Answer")],
        chosen=bool(decision and decision.submission_id == turn.pk),
    )
    if "order" in content:
        column.verdict = verdict(content, item.candidates)
    if item.stage.kind == Stage.Kind.CORRECT:
        alone = "Tags of A"
        column.facts = [("Why" if what == alone else what, words) for what, words in column.facts]
    if content.get("better"):
        column.facts.append(("A better answer", str(content["better"])))
    if content.get("unchanged"):
        column.verdict = "no change needed"
    text = content.get("text")
    column.text = text if isinstance(text, str) else None
    return column


def verdict(content: Mapping[str, Any], candidates: Sequence[int]) -> str:
    """An order in the item's letters; of two by how much, whichever was shown first. Pure."""
    letters = dict(zip(candidates, LETTERS, strict=False))
    order = [group for group in content.get("order") or [] if group]
    if content.get("all_bad") and len(candidates) == 2:
        return "both are bad"
    if len(candidates) == 2 and order:
        if len(order) == 1:
            return "equally good"
        step = STRENGTHS.get(abs(content.get("strength") or 0), "better")
        return f"{letters.get(order[0][0], '?')} is {step}"
    return " > ".join(" = ".join(letters.get(pk, "?") for pk in group) for group in order)


def _compare(columns: list[Column], against: str, original: Response | None) -> str:
    """Mark in each text what differs from the one that is compared with; says which that is."""
    texts = [column for column in columns if column.text is not None]
    base = next((column for column in texts if str(column.turn.pk) == against), None)
    if base is None and original is not None:
        before, against = original.text, ORIGINAL
    else:
        base = base or (texts[0] if texts else None)
        before, against = (base.text or "", str(base.turn.pk)) if base else ("", "")
    for column in texts:
        text = column.text or ""
        column.base = column is base
        column.html = markdown.render(text)
        if not column.base:
            steps = word_diff(before[:LONG], text[:LONG])
            # Two who wrote each for themselves: their differences say nothing, their texts do.
            column.steps = [] if review_page.rewritten(steps) else steps
    return against


def _orders(
    item: Item,
    columns: Sequence[Column],
    letters: Mapping[int, str],
    answers: Mapping[int, Response],
) -> list[Line]:
    """Each answer with its place by person, the best on the whole first."""
    places = [places_of(column.content.get("order")) for column in columns]
    if not any(places):
        return []
    mean = {
        pk: sum(given) / len(given) if (given := [p[pk][0] for p in places if pk in p]) else 99.0
        for pk in item.candidates
    }
    return [
        Line(
            title="",
            letter=letters.get(pk, "?"),
            html=markdown.render(answers[pk].text) if pk in answers else "",
            cells=_cells([p[pk][1] if pk in p else "" for p in places]),
        )
        for pk in sorted(item.candidates, key=lambda pk: (mean[pk], letters.get(pk, "")))
    ]


def _ratings(item: Item, columns: Sequence[Column], letters: Mapping[int, str]) -> list[Line]:
    lines = []
    for question in in_force(item.stage.rubric):
        about = [None] if question["about"] == "prompt" else item.candidates
        for pk in about:
            given = [_rating(question, column.content, pk) for column in columns]
            if any(given):
                letter = "" if pk is None or len(about) == 1 else letters.get(pk, "?")
                free = question["type"] == "text"  # every text differs from every other
                cells = [(said, False) for said in given] if free else _cells(given)
                lines.append(Line(question["title"], letter, "", cells))
    return lines


def _rating(question: Question, content: Mapping[str, Any], pk: int | None) -> str:
    value = (content.get("ratings") or {}).get(question["key"])
    if pk is not None:
        value = value.get(str(pk)) if isinstance(value, Mapping) else None
    labels = {each["value"]: each["label"] for each in question.get("options", [])}
    values = value if isinstance(value, list) else [] if value is None else [value]
    return ", ".join(labels.get(str(each), str(each)) for each in values)


def _cells(values: Sequence[str]) -> list[tuple[str, bool]]:
    """Each with whether it is unlike the most frequent one; with no such, all that differ are."""
    said = [value for value in values if value]
    counts = sorted((said.count(value) for value in set(said)), reverse=True)
    top = counts[0] if counts else 0
    clear = len(counts) == 1 or (len(counts) > 1 and counts[0] > counts[1])
    common = {value for value in said if clear and said.count(value) == top}
    return [(value, bool(value) and value not in common) for value in values]


def decided_by(page: Page, item: Item) -> list[tuple[str, str]]:
    """The lead's own words, where they decided in their own: (what, said)."""
    if page.decision is None or page.decision.submission_id is not None:
        return []
    content = page.decision.content
    said = turn_page.said(item.stage, item.candidates, content)
    return [*said.facts, *said.texts]


def known_answer(item: Item) -> list[tuple[str, str]]:
    """The gold's answer in words."""
    gold = getattr(item, "gold", None)
    return turn_page.said(item.stage, item.candidates, gold.content).facts if gold else []


def may_be_gold(item: Item) -> bool:
    """There is an order or a rubric by which people could be judged."""
    asks = any(question["type"] != "text" for question in in_force(item.stage.rubric))
    return item.stage.state != Stage.State.IMPORTED and (item.stage.kind == Stage.Kind.RANK or asks)


def blank(item: Item, author: User, content: Mapping[str, Any]) -> Submission:
    """Nobody's turn, never stored: for an editor in which a lead says what is right, the answers in
    the item's own order."""
    return Submission(
        item=item, stage=item.stage, user=author, shown=item.candidates, draft=dict(content)
    )
