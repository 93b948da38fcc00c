"""What a selection has to know of its annotators before it unifies their words: how reliable each
is. Read in ranges of prompts, and only where a rule needs it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Left

from annotation.bootstrap import is_given
from annotation.dawid_skene import dawid_skene
from annotation.models import Adjudication, Gold, Import, Project, Prompt, Ranking, Submission
from exports.conditions import parse_rating, question
from exports.judging import NOTHING, Known
from exports.reliability import Measured, Tally, by_pair, ways
from exports.rules import Selection
from exports.unification import Fitted, given
from exports.work import outside

CHUNK = 2_000  # prompts at once
MOST = 100_000  # different units (who said what) that a fit is made from
RANKINGS = "rankings"
BY_WEIGHT = ("weighted", "best_annotator")


def known(selection: Selection, projects: Iterable[Project]) -> Known:
    """All that the selection needs to know of its annotators: nothing where no rule does."""
    projects = list(projects)
    weights = reliability(selection, projects) if sources(selection) else {}
    fitted = None
    if selection.label_by == "dawid_skene" and question(selection.question):
        fitted = fit_labels(selection, projects)
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


def explain(selection: Selection, projects: Iterable[Project]) -> list[tuple[str, float, str]]:
    """(annotator, what their word weighs, why in words), the heaviest first."""
    measured = measure(selection, projects)
    weights = measured.weights()
    return [
        (who, weights[who], measured.explain(who))
        for who in sorted(weights, key=lambda who: (-weights[who], who))
    ]


def measure(selection: Selection, projects: Iterable[Project]) -> Measured:
    """Everybody's record: how often they say what the majority of the others says, and how often
    what is known (gold; what a lead decided). From all that was handed in in the chosen stages,
    whenever and by whomever: the more is read, the better somebody is known. Imported work counts
    once its import is done; of a submission that a reviewer fixed, what its author had said."""
    tally = Tally()
    for project in projects:
        asked = [one for one in map(_Asked.of, sources(selection)) if one.here(project)]
        for here in _ranges(project) if asked else ():
            truth = _truth(here)
            for one in asked:
                one.add(tally, here, selection, truth)
    return tally.measured()


class _Asked:
    """The rankings, or a question of a stage, with what is compared of it."""

    def __init__(self, stage: int = 0, key: str = "") -> None:
        self.stage, self.key = stage, key
        self.kind, self.spread = "label", 1.0

    @classmethod
    def of(cls, named: str) -> "_Asked":
        return cls(*(question(named) or ()))

    def here(self, project: Project) -> bool:
        """Whether the project asks it."""
        if not self.key:
            return True
        for stage in project.stages.filter(pk=self.stage):
            for asked in stage.rubric:
                if asked["key"] == self.key and asked["type"] != "text":
                    self.kind = asked["type"]
                    self.spread = float(asked.get("high", 1) - asked.get("low", 0)) or 1.0
                    return True
        return False

    def add(
        self, tally: Tally, here: Q, selection: Selection, truth: Mapping[int, Mapping[str, Any]]
    ) -> None:
        read = _questions(here, self.stage, self.key) if self.key else _orders(here, selection)
        for item, said in read:
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


def _ranges(project: Project) -> Iterator[Q]:
    """Conditions on `item`, the path to an item, that together take each prompt once."""
    last = 0
    prompts = Prompt.objects.live().filter(project=project).order_by("id").values_list("id")
    while rows := list(prompts.filter(id__gt=last)[:CHUNK]):
        first, last = rows[0][0], rows[-1][0]
        yield Q(
            item__prompt_id__gte=first, item__prompt_id__lte=last, item__prompt__project=project
        )


def _of_submission(here: Q) -> Q:
    """The condition, said of rows that hang on a submission."""
    return Q(**{f"submission__{name}": value for name, value in here.children})  # type: ignore[misc]


def _truth(here: Q) -> dict[int, dict[str, Any]]:
    """{item: what is right}: what a lead decided, else its gold."""
    found = dict(Gold.objects.filter(here).values_list("item", "content"))
    rows = Adjudication.objects.filter(here, withdrawn__isnull=True)
    chosen = dict(rows.exclude(submission=None).values_list("submission", "item"))
    found |= dict(rows.filter(submission=None).values_list("item", "content"))
    ratings = Submission.objects.filter(pk__in=chosen).values_list("pk", "ratings")
    orders = dict(Ranking.objects.filter(submission__in=chosen).values_list("submission", "order"))
    for pk, rated in ratings:
        found[chosen[pk]] = {"ratings": rated, "order": orders.get(pk)}
    return found


def _orders(here: Q, selection: Selection) -> Iterator[tuple[int, dict[str, Any]]]:
    """(item, {annotator: order}) of the chosen stages."""
    here = _of_submission(here)
    unfinished = Import.objects.exclude(state=Import.State.DONE).values("pk")
    rows = Ranking.objects.filter(
        Q(submission__batch__isnull=True) | ~Q(submission__batch__in=unfinished),
        here,
        submission__state=Submission.State.SUBMITTED,
        withdrawn__isnull=True,
    )
    if selection.stages is not None:
        rows = rows.filter(submission__stage__in=selection.stages)
    drafts = dict(rows.filter(submission__review="fixed").values_list("pk", "submission__draft"))
    said: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, item, user, rater, order in rows.values_list(
        "pk", "submission__item", "submission__user", "submission__rater", _text("order")
    ).order_by("pk"):
        own = drafts.get(pk, {}).get("order")
        said[item][annotator(user, rater)] = own or orjson.loads(order)
    yield from said.items()


def _handed_in(here: Q, stage: int) -> Any:
    rows = Submission.objects.live().filter(here, stage=stage, state=Submission.State.SUBMITTED)
    return rows.exclude(ratings={}).order_by("pk")


def _questions(here: Q, stage: int, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(item, {annotator: their answer to the question})."""
    rows = _handed_in(here, stage)
    drafts = dict(rows.filter(review="fixed").values_list("pk", "draft"))
    said: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, item, user, rater, ratings in rows.values_list(
        "pk", "item", "user", "rater", _text("ratings")
    ):
        own = drafts.get(pk, {}).get("ratings") or orjson.loads(ratings)
        if key in own:
            said[item][annotator(user, rater)] = own[key]
    yield from said.items()


def fit_labels(selection: Selection, projects: Iterable[Project], named: str = "") -> Fitted:
    """Dawid-Skene on all that counts of the answers to a question, "7.topic" (the selection's own
    without `named`). A unit is a prompt, or an answer to it. Of what a lead decided only that
    counts, and it tells nothing of how reliable others are.

    Units of which the same people say the same are one with a count; of those that differ the
    first MOST are used, and `Fitted.units` of `Fitted.seen` says so."""
    stage, key = question(named or selection.question) or (0, "")
    patterns: Counter[tuple[tuple[str, Any], ...]] = Counter()
    seen = 0
    inside = selection.stages is None or stage in selection.stages
    for project in projects:
        if not inside or not project.stages.filter(pk=stage).exists():
            continue
        for here in _ranges(project):
            for unit in _units(here, stage, key, selection):
                pattern = tuple(sorted(unit.items()))
                seen += 1
                if pattern in patterns or len(patterns) < MOST:
                    patterns[pattern] += 1
    units = [dict(pattern) for pattern in patterns]
    fit = dawid_skene(units, many=list(patterns.values()))
    return Fitted(fit["labels"], fit["prior"], fit["confusion"], patterns.total(), seen)


def _units(here: Q, stage: int, key: str, selection: Selection) -> Iterator[dict[str, Any]]:
    """{annotator: label} of each prompt or answer, without those that a lead decided."""
    decided = Adjudication.objects.filter(here, withdrawn__isnull=True).values("item")
    rows = _handed_in(here, stage).exclude(item__in=decided)
    units: dict[tuple[int, str], dict[str, Any]] = defaultdict(dict)
    for prompt, user, rater, origin, ratings, review, day in rows.values_list(
        "item__prompt", "user", "rater", "origin", _text("ratings"), "review", _day("submitted")
    ):
        who = annotator(user, rater)
        if outside(selection, who, day or "", review, own=origin != "import"):
            continue
        value = orjson.loads(ratings).get(key)
        for part, one in (value if isinstance(value, Mapping) else {"": value}).items():
            if is_given(one):
                units[prompt, part][who] = one
    yield from map(given, units.values())


def annotator(user: int | None, name: str) -> str:
    """Their key, as selection.py names them."""
    return f"user {user}" if user else f"name {name}" if name else ""


def _text(name: str) -> Cast:
    """A JSON column as its text."""
    return Cast(name, TextField())


def _day(name: str) -> Left:
    """The day of a point in time (UTC), as text."""
    return Left(Cast(name, TextField()), 10)
