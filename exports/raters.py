"""What a selection has to know of its annotators before it unifies their words: how reliable each
is. Read in ranges of prompts, and only where a rule needs it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from annotation.bootstrap import is_given
from annotation.dawid_skene import dawid_skene
from annotation.models import Adjudication, Gold, Item, Project, Ranking, Submission
from exports.columns import as_text, day_of, key_of
from exports.conditions import parse_rating, question
from exports.judging import NOTHING, Known
from exports.reliability import Measured, Tally, by_pair, ways
from exports.rules import Selection
from exports.unification import Fitted, given
from exports.work import outside

CHUNK = 1_000  # prompts at once
MOST = 100_000  # different units (who said what) that a fit is made from
RANKINGS = "rankings"
BY_WEIGHT = ("weighted", "best_annotator")
Items = Mapping[int, int]  # {item: its prompt}


def known(
    selection: Selection, projects: Iterable[Project], alive: Callable[[], None] = lambda: None
) -> Known:
    """All that the selection needs to know of its annotators: nothing where no rule does. `alive`
    is called after each range of prompts."""
    projects = list(projects)
    weights = measure(selection, projects, alive).weights() if sources(selection) else {}
    fitted = None
    if selection.label_by == "dawid_skene" and question(selection.question):
        fitted = fit_labels(selection, projects, alive=alive)
    return Known(weights, fitted) if weights or fitted else NOTHING


def sources(selection: Selection) -> list[str]:
    """What the weights are measured on: the questions that the selection unifies by weight, and
    "rankings"; empty where it unifies none by weight."""
    asked = [selection.question] if selection.label_by in BY_WEIGHT else []
    if selection.rating_by in BY_WEIGHT:
        conditions = [parse_rating(one).name for one in selection.ratings]
        asked += [selection.best_rated, selection.question, *conditions]
    found = {one for one in asked if one == RANKINGS or question(one)}
    if selection.votes in BY_WEIGHT:
        found.add(RANKINGS)
    return sorted(found)


def reliability(selection: Selection, projects: Iterable[Project]) -> dict[str, float]:
    """What the word of each annotator ("user 12", "name X") weighs; see `measure`."""
    return measure(selection, projects).weights()


def explain(
    selection: Selection, projects: Iterable[Project], alive: Callable[[], None] = lambda: None
) -> list[tuple[str, float, str]]:
    """(annotator, what their word weighs, why in words), the heaviest first."""
    measured = measure(selection, projects, alive)
    weights = measured.weights()
    return [
        (who, weights[who], measured.explain(who))
        for who in sorted(weights, key=lambda who: (-weights[who], who))
    ]


def measure(
    selection: Selection, projects: Iterable[Project], alive: Callable[[], None] = lambda: None
) -> Measured:
    """Everybody's record: how often they say what the majority of the others says, and how often
    what is known (gold; what a lead decided). From all that was handed in in the chosen stages,
    whenever and by whomever: the more is read, the better somebody is known. Imported work counts
    once its import is done; of a submission that a reviewer fixed, what its author had said."""
    tally = Tally()
    for project in projects:
        for asked in map(_Asked.of, sources(selection)):
            for stage in asked.stages(project, selection):
                for items in _ranges(stage):
                    asked.add(tally, items)
                    alive()
    return tally.measured()


class _Asked:
    """The rankings, or a question of a stage, with what is compared of it."""

    def __init__(self, stage: int = 0, key: str = "") -> None:
        self.stage, self.key = stage, key
        self.kind, self.spread = "label", 1.0

    @classmethod
    def of(cls, named: str) -> "_Asked":
        return cls(*(question(named) or ()))

    def stages(self, project: Project, selection: Selection) -> list[int]:
        """The chosen stages of the project that ask it."""
        stages = project.stages.all()
        if selection.stages is not None:
            stages = stages.filter(pk__in=selection.stages)
        if not self.key:
            return list(stages.values_list("pk", flat=True))
        for stage in stages.filter(pk=self.stage):
            for asked in stage.rubric:
                if asked["key"] == self.key and asked["type"] != "text":
                    self.kind = asked["type"]
                    self.spread = float(asked.get("high", 1) - asked.get("low", 0)) or 1.0
                    return [stage.pk]
        return []

    def add(self, tally: Tally, items: Items) -> None:
        truth = _truth(items)
        for item, said in _questions(items, self.key) if self.key else _orders(items):
            right = truth.get(item, {})
            if self.key:
                units = _by_part(said, self.kind)
                of_it = _by_part({"": right.get("ratings", {}).get(self.key)}, self.kind)
                known = {part: value[""] for part, value in of_it.items()}
            else:
                units, known = by_pair(said), dict(ways(right.get("order") or []))
                for who in said:
                    tally.met(who)
            for part, values in units.items():
                if part in known:
                    tally.judge(values, known[part], self.kind, self.spread)
                else:
                    tally.compare(values, self.kind, self.spread)


def _by_part(said: Mapping[str, Any], kind: str) -> dict[Any, dict[str, Any]]:
    """{response, or nothing of the prompt: {annotator: value}}."""
    units: dict[Any, dict[str, Any]] = defaultdict(dict)
    for who, value in said.items():
        for part, one in (value if isinstance(value, Mapping) else {"": value}).items():
            if is_given(one) and (kind != "rating" or isinstance(one, int | float)):
                units[part][who] = tuple(one) if isinstance(one, list) else one
    return units


def _ranges(stage: int) -> Iterator[Items]:
    """The stage's items, all of a prompt together, CHUNK prompts at a time. What hangs on them is
    asked for by the items: an index by stage would be read from its beginning each time."""
    last, all_items = 0, Item.objects.filter(stage=stage)
    prompts = all_items.order_by("prompt").values_list("prompt", flat=True).distinct()
    while found := list(prompts.filter(prompt__gt=last)[:CHUNK]):
        here = all_items.filter(prompt__gt=last, prompt__lte=found[-1])
        yield dict(here.values_list("pk", "prompt"))
        last = found[-1]


def _truth(items: Items) -> dict[int, dict[str, Any]]:
    """{item: what is right}: what a lead decided, else its gold."""
    found = dict(Gold.objects.filter(item__in=[*items]).values_list("item", "content"))
    rows = Adjudication.objects.filter(item__in=[*items], withdrawn__isnull=True)
    chosen = dict(rows.exclude(submission=None).values_list("submission", "item"))
    found |= dict(rows.filter(submission=None).values_list("item", "content"))
    ratings = Submission.objects.filter(pk__in=[*chosen]).values_list("pk", "ratings")
    orders = Ranking.objects.filter(submission__in=[*chosen]).values_list("submission", "order")
    best_first = dict(orders)
    for pk, rated in ratings:
        found[chosen[pk]] = {"ratings": rated, "order": best_first.get(pk)}
    return found


def _handed_in(items: Items) -> Any:
    rows = Submission.objects.live().filter(item__in=[*items], state=Submission.State.SUBMITTED)
    return rows.order_by("pk")


def _orders(items: Items) -> Iterator[tuple[int, dict[str, Any]]]:
    """(item, {annotator: order})."""
    rows = _handed_in(items).filter(ranking__withdrawn=None, ranking__isnull=False)
    drafts = dict(rows.filter(review="fixed").values_list("pk", "draft"))
    said: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, item, user, rater, order in rows.values_list(
        "pk", "item", "user", "rater", as_text("ranking__order")
    ):
        own = drafts.get(pk, {}).get("order")
        said[item][key_of(user, rater)] = own or orjson.loads(order)
    yield from said.items()


def _questions(items: Items, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(item, {annotator: their answer to the question})."""
    rows = _handed_in(items)
    drafts = dict(rows.filter(review="fixed").values_list("pk", "draft"))
    said: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, item, user, rater, ratings in rows.values_list(
        "pk", "item", "user", "rater", as_text("ratings")
    ):
        own = drafts.get(pk, {}).get("ratings") or orjson.loads(ratings)
        if key in own:
            said[item][key_of(user, rater)] = own[key]
    yield from said.items()


def fit_labels(
    selection: Selection,
    projects: Iterable[Project],
    named: str = "",
    alive: Callable[[], None] = lambda: None,
) -> Fitted:
    """Dawid-Skene on all that counts of the answers to a question, "7.topic" (the selection's own
    without `named`). A unit is a prompt, or an answer to it. Of what a lead decided only that
    counts, and it tells nothing of how reliable others are.

    Units of which the same people say the same are one with a count; of those that differ the
    first MOST are used, and `Fitted.units` of `Fitted.seen` says so."""
    asked = _Asked.of(named or selection.question)
    patterns: Counter[tuple[tuple[str, Any], ...]] = Counter()
    seen = 0
    for project in projects:
        for stage in asked.stages(project, selection) if asked.key else ():
            for unit in _units(stage, asked.key, selection):
                alive()
                pattern = tuple(sorted(unit.items()))
                seen += 1
                if pattern in patterns or len(patterns) < MOST:
                    patterns[pattern] += 1
    units = [dict(pattern) for pattern in patterns]
    fit = dawid_skene(units, many=list(patterns.values()))
    return Fitted(fit["labels"], fit["prior"], fit["confusion"], patterns.total(), seen)


def _units(stage: int, key: str, selection: Selection) -> Iterator[dict[str, Any]]:
    """{annotator: label} of each prompt or answer, without those that a lead decided."""
    for items in _ranges(stage):
        decided = Adjudication.objects.filter(item__in=[*items], withdrawn__isnull=True)
        known = set(decided.values_list("item", flat=True))
        units: dict[tuple[int, str], dict[str, Any]] = defaultdict(dict)
        for item, user, rater, origin, ratings, review, day in _handed_in(items).values_list(
            "item", "user", "rater", "origin", as_text("ratings"), "review", day_of("submitted")
        ):
            who = key_of(user, rater)
            if item in known or outside(selection, who, day or "", review, own=origin != "import"):
                continue
            value = orjson.loads(ratings).get(key)
            for part, one in (value if isinstance(value, Mapping) else {"": value}).items():
                if is_given(one):
                    units[items[item], part][who] = one
        yield from map(given, units.values())
