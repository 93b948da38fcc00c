"""From the work of several people to the rows of a dataset: the ways of unification, whole."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from annotation import adjudication
from annotation.models import Gold, Item, Submission
from exports import datasets
from exports.rules import SelectionError
from exports.selection import data_version, read, select

pytestmark = pytest.mark.django_db
OPTIONS = [{"value": value, "label": value} for value in ("bug", "wish")]
TOPIC = {"key": "topic", "title": "Topic", "type": "label", "about": "prompt", "options": OPTIONS}
HELPFUL = {"key": "helpful", "title": "Helpful", "type": "rating", "about": "answer",
           "low": 1, "high": 5}  # fmt: skip


@pytest.fixture
def look(cast):
    """`look("labels", rule=value)` -> ({what the row says}, {reason: count})."""

    def gather(kind: str, **rules: Any) -> tuple[list[Any], dict[str, int]]:
        values = {"projects": ["support-desk"], "near_test": 0} | rules
        dataset = datasets.create(
            workspace=cast.acme, name="D", kind=kind, values=values, user=None
        )
        found = [one for chunk in select(dataset) for one in chunk.found]
        assert all((one.row is None) == bool(one.reason) for one in found), "a row or a reason"
        kept = [one.row for one in found if not one.reason]
        return kept, dict(Counter(one.reason for one in found if one.reason))

    return gather


def chosen(kept: list[Any]) -> Counter[str]:
    return Counter(row["chosen"][0]["content"] for row in kept)


@pytest.fixture
def divided(desk, cast):
    """Ten comparisons on which all agree but X, and one on which Ana stands against X and Y, who
    is new."""
    stage = desk.stage("rank")
    for number in range(11):
        prompt = desk.prompt(f"Choice {number}?")
        good, bad = desk.answer(prompt, "good"), desk.answer(prompt, "bad")
        best, worst = [[good], [bad]], [[bad], [good]]
        desk.rank(stage, prompt, best, cast.ana)
        desk.rank(stage, prompt, worst, rater="X")
        if number < 10:
            desk.rank(stage, prompt, best, cast.bea)
            desk.rank(stage, prompt, best, rater="Z")
    item = Item.objects.get(prompt=prompt)
    Item.objects.filter(pk=item.pk).update(candidates=[good.pk, bad.pk])
    return item, good, bad


def test_pairs_by_each_way(desk, cast, divided, look) -> None:
    kept, dropped = look("preference")
    assert chosen(kept) == {"good": 10} and dropped == {"annotators disagree": 1}
    for votes in ("weighted", "best_annotator"):
        kept, dropped = look("preference", votes=votes)
        assert chosen(kept) == {"good": 11} and dropped == {}
    for votes in ("borda", "bradley_terry"):
        kept, dropped = look("preference", votes=votes)
        assert chosen(kept) == {"good": 10} and dropped == {"annotators disagree": 1}


def test_a_decision_stands_before_all_of_them(cast, divided, look) -> None:
    item, _, bad = divided
    mine = Submission.objects.get(item=item, rater="X")
    adjudication.adjudicate(item=item, author=cast.lee, submission=mine)
    for votes in ("majority", "weighted", "borda", "bradley_terry", "best_annotator"):
        kept, _ = look("preference", votes=votes, min_raters=2, min_agreement=90)
        assert chosen(kept)["bad"] == 1


def test_a_margin_by_the_table(desk, cast, look) -> None:
    stage, prompt = desk.stage("rank"), desk.prompt("Why?")
    one, two = desk.answer(prompt, "one"), desk.answer(prompt, "two")
    desk.rank(stage, prompt, [[one], [two]], cast.ana, strength=4)
    desk.rank(stage, prompt, [[one], [two]], cast.bea, strength=-1)
    rules = {"margin": "table", "margin_table": ["1=0.5", "4=3"]}
    (row,), _ = look("preference", **rules)
    assert row["margin"] == pytest.approx(1.75)
    kept, dropped = look("preference", margin="table", margin_table=["1=0.5"])
    assert kept == [] and dropped == {"its strength is not in the margin table": 1}


@pytest.fixture
def topics(desk, cast):
    """Thirty prompts: Ana and Bea are right, X and Y guess."""
    stage, random, truth = desk.stage("rate", rubric=[TOPIC]), Random(11), {}
    for number in range(30):
        prompt = desk.prompt(f"Question {number}?")
        right = truth[f"Question {number}?"] = random.choice(["bug", "wish"])
        for who in ({"user": cast.ana}, {"user": cast.bea}):
            desk.turn(stage, prompt, ratings={"topic": right}, **who)
        for rater in "XY":
            said = random.choice(["bug", "wish"])
            desk.turn(stage, prompt, ratings={"topic": said}, rater=rater)
    return stage, truth


def test_labels_by_each_way(topics, look) -> None:
    stage, truth = topics
    rules = {"question": f"{stage.pk}.topic", "label_text": "prompt"}

    def right(how: str) -> int:
        kept, dropped = look("labels", label_by=how, **rules)
        assert len(kept) + sum(dropped.values()) == 30
        return sum(row["label"] == truth[row["text"]] for row in kept)

    assert right("dawid_skene") == right("best_annotator") == right("weighted") == 30
    assert right("majority") < 30, "two against two is a tie"


def test_thumbs_by_scores_and_thresholds_of_examples(desk, cast, look) -> None:
    stage, prompt = desk.stage("rate", rubric=[HELPFUL]), desk.prompt("Why?")
    one, two, three = (desk.answer(prompt, text) for text in ("one", "two", "three"))
    for who, scores in ((cast.ana, (5, 2)), (cast.bea, (4, 3))):
        said = {str(one.pk): scores[0], str(two.pk): scores[1]}
        desk.turn(stage, prompt, who, ratings={"helpful": said})
    named = f"{stage.pk}.helpful"
    kept, dropped = look("unpaired", question=named, good=["4"])
    assert [row["label"] for row in kept] == [True, False]
    assert dropped == {"nobody judged it": 1}
    kept, dropped = look("sft", ratings=[f"{named}>=4.5"])
    assert [row["completion"][0]["content"] for row in kept] == ["one"]
    assert dropped == {
        f"its rating does not fulfil “{named}>=4.5”": 1,
        f"nobody answered {named}": 1,
    }
    kept, dropped = look("sft", best_rated=named, rating_by="max")
    assert [row["completion"][0]["content"] for row in kept] == ["one"]
    with pytest.raises(SelectionError, match="which answers to"):
        look("unpaired", question=named)
    with pytest.raises(SelectionError, match="has no question tone"):
        look("sft", best_rated=f"{stage.pk}.tone")


def test_imported_thumbs_and_documents(desk, look) -> None:
    prompt = desk.prompt("Why?", metadata={"topic": "sky"})
    desk.answer(prompt, "Rayleigh.", metadata={"label": True})
    desk.answer(prompt, "Magic.", metadata={"label": False})
    paper = desk.prompt("paper", messages=[])
    desk.answer(paper, "An abstract.")
    kept, dropped = look("unpaired", metadata=["topic=sky"])
    assert [(row["completion"][0]["content"], row["label"]) for row in kept] == [
        ("Rayleigh.", True),
        ("Magic.", False),
    ]
    assert dropped == {"its metadata do not fulfil “topic=sky”": 1}
    kept, dropped = look("text")
    assert kept == [{"text": "An abstract."}] and dropped == {"a prompt, not a document": 1}
    kept, dropped = look("labels", question="metadata.topic", label_text="prompt")
    assert kept == [{"text": "Why?", "label": "sky"}] and dropped == {"no metadata.topic": 1}


def test_gold_makes_another_version_where_words_are_weighed(cast, divided) -> None:
    item, good, bad = divided

    def versions() -> list[str]:
        found = []
        for votes in ("majority", "weighted"):
            values = {"projects": ["support-desk"], "votes": votes}
            made = datasets.create(
                workspace=cast.acme, name=votes, kind="preference", values=values, user=None
            )
            found.append(data_version(made, read(made)))
        return found

    before = versions()
    Gold.objects.create(item=item, content={"order": [[bad.pk], [good.pk]]})
    plain, weighted = versions()
    assert plain == before[0] and weighted != before[1]
