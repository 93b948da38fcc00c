"""Languages and agreement, on the card and on the dataset's page: others' figures, told as such."""

import json
from pathlib import Path

import pytest
from django.urls import reverse

from annotation import measuring, quality
from annotation.models import Item, Measurement
from exports import card, datasets, previews, snapshots, told
from exports.models import Dataset, Preview
from exports.rules import parse

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(desk, cast):
    """Twelve comparisons by two people, who part on three of them."""
    stage = desk.stage("rank")
    for number in range(12):
        prompt = desk.prompt(f"Which bridge over the river is the older one, number {number}?")
        good, bad = desk.answer(prompt, f"The stone one {number}"), desk.answer(prompt, "Neither")
        order = [[good], [bad]] if number % 2 else [[bad], [good]]
        desk.rank(stage, prompt, order, cast.ana)
        desk.rank(stage, prompt, order[::-1] if number < 3 else order, cast.bea)
        Item.objects.filter(prompt=prompt).update(candidates=[good.pk, bad.pk], taken=2, done=2)
    return stage


@pytest.fixture
def dataset(cast, stage) -> Dataset:
    values = {"projects": ["support-desk"], "test": 0, "validation": 0}
    return datasets.create(
        workspace=cast.acme, name="P", kind="preference", values=values, user=cast.lee
    )


def measure(stage) -> Measurement:
    return measuring.at_once(
        project=stage.project, stage=stage, kind="quality", compute=lambda _: quality.compute(stage)
    )


def rendered(dataset: Dataset) -> str:
    """The card of a version frozen now, with what is told beside the rows."""
    snapshot = snapshots.freeze_now(dataset=dataset, user=None)
    facts = json.loads((Path(snapshot.path) / "snapshot.json").read_text("utf-8"))
    facts["stats"] |= told.describe(dataset, snapshot.selection)
    return card.render(facts)


def test_agreement_is_that_of_the_quality_page(dataset, stage, as_user, cast) -> None:
    page = reverse("exports:dataset", args=[dataset.pk])
    before = as_user(cast.lee).get(page).content.decode()
    assert "not measured yet" in before and reverse("annotation:quality", args=[stage.pk]) in before
    assert "Never measured: Support desk / Rank." in rendered(dataset)
    (asked,) = measure(stage).result["questions"]
    (line,) = told.agreement(dataset, parse("preference", dataset.selection))
    figure = asked["figures"][0]
    assert {name: line[name] for name in ("value", "low", "high", "units")} == {
        name: figure[name] for name in ("value", "low", "high", "units")
    }
    assert line["units"] == 12 and line["raters"] == 2 and 0 < line["value"] < 1
    text = rendered(dataset)
    assert "Support desk / Rank: Which answer is better | Krippendorff's alpha, nominal" in text
    assert f"{line['value']:.2f} | {line['low']:.2f} to {line['high']:.2f} | 12 | 2 |" in text
    shown = as_user(cast.lee).get(page).content.decode()
    assert f">{line['value']:.2f}<" in shown and "12 by 2" in shown


def test_only_what_the_rows_are_made_of_is_told(dataset, stage, cast, desk) -> None:
    desk.stage("write", position=2)
    assert {
        line["stage"] for line in told.agreement(dataset, parse("preference", dataset.selection))
    } == {stage.pk}
    chosen = parse("preference", dataset.selection | {"stages": [stage.pk + 99]})
    assert told.agreement(dataset, chosen) == []
    assert told.asked("sft", parse("sft", {})) == []
    assert told.asked("sft", parse("sft", {"best_ranked": True})) == ["rankings"]
    assert told.asked("sft", parse("sft", {"ratings": ["7.helpful>=4"]})) == ["7.helpful"]
    assert told.asked("labels", parse("labels", {"question": "metadata.x"})) == []
    assert "How far annotators agree" not in rendered(
        datasets.create(
            workspace=cast.acme, name="W", kind="prompts", values={"projects": ["support-desk"]},
            user=None,
        )
    )  # fmt: skip


def test_languages_of_the_last_look(dataset, stage, as_user, cast, monkeypatch) -> None:
    assert "Languages" not in rendered(dataset), "nobody has looked"
    previews.refresh(dataset=dataset)
    previews.compute(dataset.pk)
    result = Preview.objects.get().result
    assert sum(result["languages"].values()) == sum(result["counts"].values()) > 0
    text = rendered(dataset)
    assert (
        "Languages, told from the texts by py3langid: " in text and "of the last look" not in text
    )
    shown = as_user(cast.lee).get(reverse("exports:dataset", args=[dataset.pk])).content.decode()
    assert 'aria-label="Languages"' in shown
    Preview.objects.update(result=result | {"languages": {"en": 990, "": 5, "de": 4, "nl": 1}})
    text = rendered(dataset)
    assert "en 99 %, not sure 0.5 %, de 0.4 %, nl 0.1 % (of the 1,000 rows of the last look" in text
    front = text.split("---")[1]
    assert "- en" in front and "- de" not in front, "below a per cent some are guessed wrong"
    datasets.change(dataset=dataset, name="P", values=dataset.selection | {"min_length": 2})
    assert "Languages" not in rendered(dataset), "it was a look by other rules"
