"""What the pages of a stage's quality show. Reads only, but for measuring what is small."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet

from annotation import measuring, quality_data
from annotation.gold_score import score
from annotation.models import Adjudication, Gold, Item, Measurement, Stage, Submission, User
from annotation.prompt_filters import differing
from annotation.quality_data import Rater
from annotation.quality_questions import Question, Unit, likeness, questions
from annotation.review_page import hands_on

SHOWN = 20  # items on one page
READ = 500  # of the items that are disputed most, when one annotator's are looked for
TONES = {"good": "good", "fair": "on", "weak": "warn", "none": "bad", "early": "", "unknown": ""}
VERDICTS = {
    "good": "good",
    "fair": "fair",
    "weak": "weak",
    "none": "none",
    "early": "too early to say",
    "unknown": "nothing to say",
}


GRAVEST = ["none", "weak", "fair", "good", "early", "unknown"]


def current(stage: Stage, force: bool = False) -> Measurement:
    """A small stage is measured here and now if something has changed since; a large one by a
    worker, and shown as it was until then."""
    kind = Measurement.Kind.QUALITY
    if not quality_data.is_small(stage):
        return measuring.ask(project=stage.project, stage=stage, kind=kind, force=force)
    found = Measurement.objects.filter(stage=stage, kind=kind).first()
    old = found is None or found.result.get("key") != quality_data.data_key(stage)
    if old or force:
        from annotation import quality  # numpy: loaded when something is measured

        return measuring.at_once(
            project=stage.project, stage=stage, kind=kind, compute=lambda _: quality.compute(stage)
        )
    assert found is not None
    return found


def readable(result: Mapping[str, Any], lead: bool) -> dict[str, Any]:
    """The result for a program: what says how each person works is for leads."""
    if not result:
        return {}
    shown = {name: part for name, part in result.items() if name != "key"}
    if not lead:
        del shown["people"]
        shown["questions"] = [{**each, "pairs": []} for each in shown["questions"]]
    return shown


def names(raters: Iterable[Rater]) -> dict[Rater, str]:
    """What annotators are called: users by their name, imported raters as their source says."""
    known = list(raters)
    users = User.objects.in_bulk([rater for rater in known if isinstance(rater, int)])
    return {
        rater: str(users.get(rater, "somebody")) if isinstance(rater, int) else rater or "no name"
        for rater in known
    }


def table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions, each with its leading figure, the others, and how each two annotators fare."""
    busy = {pair[end] for each in result["questions"] for pair in each["pairs"] for end in ENDS}
    called = names(busy)
    return [
        {
            **question,
            "lead": question["figures"][0],
            "more": question["figures"][1:],
            "tone": TONES[question["verdict"]],
            "word": VERDICTS[question["verdict"]],
            "weighs": any(pair["weighted"] is not None for pair in question["pairs"]),
            "pairs": [
                {**pair, "one": called[pair["one"]], "other": called[pair["other"]]}
                for pair in question["pairs"]
            ],
        }
        for question in result["questions"]
    ]


ENDS = ("one", "other")


def headline(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The question that comes first: the work's own, or the one that is agreed on least."""
    told = [row for row in rows if row["lead"]["value"] is not None]
    own = [row for row in told if row["about"] == "comparison"]
    return next(iter(own or sorted(told, key=lambda row: GRAVEST.index(row["verdict"]))), None)


def people(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All annotators, those to look at first."""
    called = names(person["rater"] for person in result["people"])
    rows = [
        {**person, "name": called[person["rater"]], "is_user": isinstance(person["rater"], int)}
        for person in result["people"]
    ]
    return sorted(rows, key=lambda row: -len(row["marks"]))


def person(result: Mapping[str, Any], rater: Rater) -> dict[str, Any] | None:
    """One annotator's figures, with their questions and those whom they share items with."""
    found = next((each for each in result["people"] if each["rater"] == rater), None)
    if found is None:
        return None
    titles = {question["key"]: question["title"] for question in result["questions"]}
    pairs = [
        {**pair, "question": question["title"], "other": pair[other]}
        for question in result["questions"]
        for pair in question["pairs"]
        for one, other in (ENDS, ENDS[::-1])
        if pair[one] == rater
    ]
    called = names([*(pair["other"] for pair in pairs), rater])
    by_question = [
        {"title": titles[key], **share}
        for key, share in found["questions"].items()
        if key in titles
    ]
    return {
        **found,
        "name": called[rater],
        "is_user": isinstance(rater, int),
        "by_question": by_question,
        "pairs": [{**pair, "other": called[pair["other"]]} for pair in pairs],
    }


@dataclass(frozen=True)
class Disputed:
    """An item, and what was said about it to the question that divides it most."""

    item: Item
    question: str
    said: list[tuple[str, int]]
    theirs: str = ""  # what the annotator at hand said
    decided: bool = False  # a lead has decided it

    @property
    def coming(self) -> int:
        """How many people will still do it."""
        return max(self.item.needed - self.item.done, 0) if self.item.open else 0


def disputed(
    stage: Stage, reader: User, after: tuple[int, int] | None = None, waiting: bool = False
) -> tuple[list[Disputed], bool]:
    """The items on which people disagree most, and whether there are more of them; without those
    that the reader has in hand. `after`: (the disagreement, the prompt) to go on from. `waiting`:
    only those that wait for a lead: nobody else will do them, and nobody has decided them."""
    rows = _divided(stage, reader).select_related("prompt")
    if waiting:
        rows = rows.filter(~Exists(_decisions().filter(item=OuterRef("pk"))), done__gte=F("needed"))
    if after is not None:
        level, prompt = after
        rows = rows.filter(disagreement__lte=level).exclude(disagreement=level, prompt__lte=prompt)
    items = list(rows.order_by("-disagreement", "prompt")[: SHOWN + 1])
    return _told(stage, items[:SHOWN]), len(items) > SHOWN


def _decisions() -> "QuerySet[Adjudication]":
    return Adjudication.objects.filter(withdrawn=None)


def _divided(stage: Stage, reader: User) -> "QuerySet[Item]":
    mine = Submission.objects.filter(hands_on(reader), stage=stage).values("item")
    return differing(Item.objects.filter(stage=stage)).exclude(pk__in=mine)


def _told(stage: Stage, items: Sequence[Item]) -> list[Disputed]:
    numbers = [item.pk for item in items]
    units = _units(stage, numbers)
    decided = set(_decisions().filter(item__in=numbers).values_list("item", flat=True))
    found = []
    for item in items:
        parted = sorted(units.get(item.pk, []), key=lambda pair: -_parts(*pair))
        if not parted:  # changed since it was measured
            found.append(Disputed(item, "", [], decided=item.pk in decided))
            continue
        question, unit = parted[0]
        values = Counter(question.units[unit].values())
        said = [(word(question, value), n) for value, n in values.most_common()]
        found.append(Disputed(item, question.title, said, decided=item.pk in decided))
    return found


def standing_alone(stage: Stage, rater: Rater, reader: User) -> list[Disputed]:
    """Of the items that are disputed most, those on which this annotator stands most alone; without
    those that the reader has in hand."""
    rows = _divided(stage, reader).order_by("-disagreement", "prompt")
    units = _units(stage, list(rows.values_list("pk", flat=True)[:READ]))
    apart: list[tuple[float, int, Question, Unit]] = []
    for item, parts in units.items():
        mine = [(_alone(q, unit, rater), item, q, unit) for q, unit in parts]
        apart.append(max(mine, key=lambda each: each[0]))
    apart = sorted((each for each in apart if each[0] > 0), key=lambda each: -each[0])[:SHOWN]
    items = Item.objects.select_related("prompt").in_bulk([item for _, item, _, _ in apart])
    decided = set(_decisions().filter(item__in=items).values_list("item", flat=True))
    found = []
    for _, item, question, unit in apart:
        values = question.units[unit]
        others = Counter(value for other, value in values.items() if other != rater)
        said = [(word(question, value), n) for value, n in others.most_common()]
        theirs = word(question, values[rater])
        found.append(Disputed(items[item], question.title, said, theirs, item in decided))
    return found


def _units(stage: Stage, items: Sequence[int]) -> dict[int, list[tuple[Question, Unit]]]:
    """By item, what at least two people said something about."""
    data = quality_data.load(stage, items)
    found: dict[int, list[tuple[Question, Unit]]] = {}
    for question in questions(stage.kind, stage.rubric, data.turns):
        for unit in question.compared():
            found.setdefault(unit[0], []).append((question, unit))
    return found


def _parts(question: Question, unit: Unit) -> float:
    """How little alike the answers are: the mean over annotators of standing alone."""
    values = question.units[unit]
    return sum(_alone(question, unit, rater) for rater in values) / len(values)


def _alone(question: Question, unit: Unit, rater: Rater) -> float:
    values = question.units[unit]
    if rater not in values:
        return 0.0
    alike = likeness(question)
    likes = [alike(values[rater], value) for other, value in values.items() if other != rater]
    known = [like for like in likes if like is not None]
    return 1 - sum(known) / len(known) if known else 0.0


def word(question: Question, value: Any) -> str:
    """An answer as people read it."""
    if question.kind == "ranking":
        return " > ".join(" = ".join("ABCDEFGHI"[place] for place in group) for group in value)
    if question.kind == "labels":
        return ", ".join(question.words.get(each, str(each)) for each in value) or "none"
    return question.words.get(value, str(value))


def gold_rows(stage: Stage, after: int | None) -> tuple[list[dict[str, Any]], bool]:
    """The gold items, newest first: who met the known answer and how well; and whether there are
    more."""
    rows = Gold.objects.filter(item__stage=stage).select_related("item__prompt", "author")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    golds = list(rows.order_by("-pk")[: SHOWN + 1])
    data = quality_data.load(stage, [gold.item_id for gold in golds[:SHOWN]])
    by_item: dict[int, list[tuple[Rater, float]]] = {}
    for turn in [*data.gold, *data.turns]:
        by_item.setdefault(turn.item, []).append(
            (turn.rater, score(data.answers[turn.item], turn.said))
        )
    called = names({rater for each in by_item.values() for rater, _ in each})
    found = []
    for gold in golds[:SHOWN]:
        scores = sorted(by_item.get(gold.item_id, []), key=lambda pair: pair[1])
        mean = sum(each for _, each in scores) / len(scores) if scores else None
        people = [(called[rater], each) for rater, each in scores]
        found.append({"gold": gold, "people": people, "mean": mean})
    return found, len(golds) > SHOWN
