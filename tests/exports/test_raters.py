"""What is read of annotators before their words are unified: weights, and a fit of Dawid-Skene."""

from random import Random
from typing import Any

import pytest
from django.utils import timezone

from annotation import adjudication
from annotation.dawid_skene import dawid_skene
from annotation.models import Gold, Import, Item, Project, Submission
from exports import raters
from exports.judging import NOTHING
from exports.raters import explain, fit_labels, known, measure, reliability, sources
from exports.reliability import Record
from exports.rules import Selection

pytestmark = pytest.mark.django_db
BY_VOTES = Selection(votes="weighted")
HELPFUL = {
    "key": "helpful",
    "title": "Helpful",
    "type": "rating",
    "about": "answer",
    "low": 1,
    "high": 5,
}
TOPIC = {
    "key": "topic",
    "title": "Topic",
    "type": "label",
    "about": "prompt",
    "options": [{"value": value, "label": value} for value in "abc"],
}


def records(project: Project, selection: Selection = BY_VOTES) -> dict[str, Record]:
    return dict(measure(selection, [project]).records)


def test_what_the_weights_are_measured_on() -> None:
    assert sources(Selection()) == []
    assert sources(Selection(votes="borda")) == []
    assert sources(Selection(votes="best_annotator")) == ["rankings"]
    assert sources(Selection(label_by="weighted", question="7.topic")) == ["7.topic"]
    assert sources(Selection(label_by="weighted", question="rankings")) == ["rankings"]
    assert sources(Selection(label_by="weighted", question="metadata.x")) == []
    rated = Selection(rating_by="weighted", ratings=("7.helpful>=4",), best_rated="8.fine")
    assert sources(rated) == ["7.helpful", "8.fine"]


def test_nothing_is_read_where_no_rule_asks(desk, cast, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert known(Selection(), [cast.project]) is NOTHING


@pytest.fixture
def ranked(desk, cast):
    """Twelve comparisons: Ana and X say the same, Bea the contrary in a third of them."""
    stage, prompts = desk.stage("rank"), []
    for number in range(12):
        prompt = desk.prompt(f"Choice {number}?")
        good, bad = desk.answer(prompt, "good"), desk.answer(prompt, "bad")
        desk.rank(stage, prompt, [[good], [bad]], cast.ana)
        desk.rank(stage, prompt, [[good], [bad]], rater="X")
        other = [[bad], [good]] if number % 3 == 0 else [[good], [bad]]
        desk.rank(stage, prompt, other, cast.bea)
        Item.objects.filter(prompt=prompt).update(candidates=[good.pk, bad.pk])
        prompts.append((prompt, good, bad))
    return stage, prompts


@pytest.mark.parametrize("chunk", [2_000, 5, 1])
def test_rankings_whatever_the_ranges(cast, ranked, monkeypatch, chunk: int) -> None:
    monkeypatch.setattr(raters, "CHUNK", chunk)
    ana, bea = f"user {cast.ana.pk}", f"user {cast.bea.pk}"
    # Where Bea differs, Ana's others are divided: that says nothing of Ana.
    assert records(cast.project) == {
        ana: Record(8, 8),
        "name X": Record(8, 8),
        bea: Record(8, 12),
    }
    weights = reliability(BY_VOTES, [cast.project])
    assert weights[ana] == weights["name X"] > weights[bea]
    assert known(BY_VOTES, [cast.project]).weights == weights
    told = explain(BY_VOTES, [cast.project])
    assert [who for who, *_ in told] == ["name X", ana, bea]
    assert told[2][1] == weights[bea] and "in 8 of 12 comparisons" in told[2][2]


def test_only_what_counts_is_read(desk, cast, ranked) -> None:
    stage, prompts = ranked
    before = records(cast.project)
    prompt, good, bad = prompts[0]
    desk.rank(stage, prompt, [[bad], [good]], rater="draft", state=Submission.State.DRAFT)
    gone = desk.rank(stage, prompt, [[bad], [good]], rater="undone")
    type(gone).objects.filter(pk=gone.pk).update(withdrawn=timezone.now())
    running = Import.objects.create(project=cast.project, filename="x", state="running")
    desk.rank(stage, prompt, [[bad], [good]], rater="coming", batch=running)
    assert records(cast.project) == before
    elsewhere = Project.objects.create(workspace=cast.acme, name="Other", slug="other")
    assert records(elsewhere) == {}
    other = desk.stage("rank")
    assert records(cast.project, Selection(votes="weighted", stages=(other.pk,))) == {}
    assert records(cast.project, Selection(votes="weighted", stages=(stage.pk,))) == before


def test_gold_and_decisions_are_known_answers(desk, cast, ranked) -> None:
    stage, prompts = ranked
    items = [Item.objects.get(stage=stage, prompt=prompt) for prompt, *_ in prompts]
    _, good, bad = prompts[0]
    Gold.objects.create(item=items[0], content={"order": [[bad.pk], [good.pk]]})
    _, good, bad = prompts[1]
    content = {"order": [[good.pk], [bad.pk]]}
    adjudication.adjudicate(item=items[1], author=cast.lee, content=content)
    chosen = Submission.objects.get(item=items[3], user=cast.bea)
    adjudication.adjudicate(item=items[3], author=cast.lee, submission=chosen)
    ana, bea = f"user {cast.ana.pk}", f"user {cast.bea.pk}"
    found = records(cast.project)
    assert found[ana] == Record(7, 7, 1, 3)
    assert found[bea] == Record(7, 9, 3, 3)
    adjudication.withdraw(item=items[3], author=cast.lee)
    assert records(cast.project)[bea] == Record(7, 10, 2, 2)
    weights = reliability(BY_VOTES, [cast.project])
    assert weights[bea] > weights[ana], "gold stands before what others say"


def test_what_was_fixed_is_measured_as_it_was_handed_in(desk, cast, ranked) -> None:
    stage, prompts = ranked
    _, good, bad = prompts[0]
    mine = Submission.objects.filter(item__prompt=prompts[0][0], user=cast.bea)
    mine.update(review="fixed", draft={"order": [[bad.pk], [good.pk]]})
    before = records(cast.project)
    ranking = mine.get().ranking
    ranking.order = [[good.pk], [bad.pk]]
    ranking.save()
    assert records(cast.project) == before


def rate(desk, stage, prompt, who: Any, ratings: dict[str, Any], **fields: Any) -> Submission:
    user = {"user": who} if not isinstance(who, str) else {"rater": who}
    return desk.turn(stage, prompt, ratings=ratings, **user, **fields)


def test_ratings_by_how_near_they_are(desk, cast) -> None:
    stage = desk.stage("rate", rubric=[HELPFUL])
    prompt = desk.prompt("Why?")
    answer = desk.answer(prompt, "so")
    for who, score in ((cast.ana, 5), (cast.bea, 4), ("X", 1)):
        rate(desk, stage, prompt, who, {"helpful": {str(answer.pk): score}})
    named = f"{stage.pk}.helpful"
    selection = Selection(rating_by="weighted", ratings=(f"{named}>=4",))
    found = records(cast.project, selection)
    assert found[f"user {cast.ana.pk}"] == Record(pytest.approx(1 - 2.5 / 4), 1)
    assert found["name X"] == Record(pytest.approx(1 - 3.5 / 4), 1)
    item = Item.objects.get(stage=stage)
    Gold.objects.create(item=item, content={"ratings": {"helpful": {str(answer.pk): 5}}})
    found = records(cast.project, selection)
    assert found["name X"] == Record(0, 0, 0, 1)
    assert found[f"user {cast.ana.pk}"] == Record(0, 0, 1, 1)
    asked_elsewhere = Selection(rating_by="weighted", best_rated=f"{stage.pk + 1}.helpful")
    assert records(cast.project, asked_elsewhere) == {}


@pytest.fixture
def topics(desk, cast):
    """Forty prompts with a topic by three annotators, one of whom guesses."""
    stage, random, units = desk.stage("rate", rubric=[TOPIC]), Random(5), []
    for number in range(40):
        prompt, truth, unit = desk.prompt(f"Question {number}?"), random.choice("abc"), {}
        for who, key, right in (
            (cast.ana, f"user {cast.ana.pk}", 0.95),
            (cast.bea, f"user {cast.bea.pk}", 0.8),
            ("X", "name X", 0.1),
        ):
            unit[key] = truth if random.random() < right else random.choice("abc")
            rate(desk, stage, prompt, who, {"topic": unit[key]})
        units.append(unit)
    return stage, units


def test_the_fit_is_that_of_dawid_skene_on_all_units(cast, topics, monkeypatch) -> None:
    stage, units = topics
    selection = Selection(question=f"{stage.pk}.topic", label_by="dawid_skene")
    whole = dawid_skene(units)
    for chunk in (2_000, 7):
        monkeypatch.setattr(raters, "CHUNK", chunk)
        fitted = known(selection, [cast.project]).fitted
        assert fitted is not None and (fitted.units, fitted.seen) == (40, 40)
        for unit, chances in zip(units, whole["probabilities"], strict=True):
            assert fitted.posterior(unit) == pytest.approx(chances, abs=1e-5)


def test_the_fit_takes_what_the_selection_takes(desk, cast, topics, monkeypatch) -> None:
    stage, units = topics
    asked = f"{stage.pk}.topic"
    alone = Selection(question=asked, annotators=("name X",))
    assert set(fit_labels(alone, [cast.project]).confusion) == {"name X"}
    passed = Selection(question=asked, review="passed")
    waiting = Submission.objects.filter(stage=stage, user=cast.ana).order_by("pk")[:10]
    Submission.objects.filter(pk__in=[turn.pk for turn in waiting]).update(review="waiting")
    less = [
        {who: value for who, value in unit.items() if place > 9 or who != f"user {cast.ana.pk}"}
        for place, unit in enumerate(units)
    ]
    found, wanted = fit_labels(passed, [cast.project]), dawid_skene(less)
    assert found.prior == pytest.approx(wanted["prior"], abs=1e-6)
    adjudication.adjudicate(
        item=Item.objects.filter(stage=stage).first(),
        author=cast.lee,
        content={"ratings": {"topic": "a"}},
    )
    assert fit_labels(Selection(question=asked), [cast.project]).seen == 39
    assert fit_labels(Selection(question=f"{stage.pk}.none"), [cast.project]).seen == 0
    assert fit_labels(Selection(question=asked, stages=(stage.pk + 1,)), [cast.project]).seen == 0
    assert fit_labels(Selection(), [cast.project], asked).seen == 39
    monkeypatch.setattr(raters, "MOST", 3)
    capped = fit_labels(Selection(question=asked), [cast.project])
    assert capped.seen == 39 and 3 <= capped.units < 39


def test_the_fit_of_what_is_said_about_answers(desk, cast) -> None:
    rude = {**TOPIC, "key": "rude", "about": "answer"}
    stage, prompt = desk.stage("rate", rubric=[rude]), desk.prompt("Why?")
    one, two = desk.answer(prompt, "one"), desk.answer(prompt, "two")
    rate(desk, stage, prompt, cast.ana, {"rude": {str(one.pk): "a", str(two.pk): "b"}})
    rate(desk, stage, prompt, cast.bea, {"rude": {str(one.pk): "a"}})
    fitted = fit_labels(Selection(question=f"{stage.pk}.rude"), [cast.project])
    assert fitted.seen == 2 and fitted.prior == pytest.approx({"a": 0.5, "b": 0.5})
    assert sources(Selection(question=f"{stage.pk}.rude", label_by="weighted"))
    by_weight = Selection(question=f"{stage.pk}.rude", label_by="weighted")
    assert records(cast.project, by_weight)[f"user {cast.bea.pk}"] == Record(1, 1)
