"""The form of the rules: the kind's own fields, in groups, with what there is to choose from."""

import pytest
from django.urls import reverse

from annotation.models import Import
from exports import datasets, rule_choices
from exports.formats import KINDS
from exports.forms import DatasetForm
from exports.models import Dataset
from exports.rules import FIELDS, Selection, to_json
from tests.exports.test_explorer_pages import put

pytestmark = pytest.mark.django_db

RUBRIC = [
    {"key": "helpful", "title": "Is it helpful?", "type": "rating", "about": "answer",
     "required": True, "low": 1, "high": 5},
    {"key": "topic", "title": "What about?", "type": "label", "about": "prompt", "required": True,
     "options": [{"value": "a", "label": "A"}]},
]  # fmt: skip


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


def made(cast, kind: str) -> Dataset:
    return Dataset.objects.create(
        workspace=cast.acme, name=kind, slug=kind, kind=kind,
        selection=to_json(kind, Selection(projects=("support-desk",), question="metadata.x")),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_kind_s_own_rules_are_asked(cast, kind: str) -> None:
    form = DatasetForm(workspace=cast.acme, dataset=made(cast, kind))
    shown = [field.name for group in form.groups() for field, _ in group.fields]
    assert sorted(shown) == sorted({"name", *FIELDS[kind]} - {"weights"}), "one project: no mix"


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_form_shows_is_what_it_saves(cast, lee, kind: str) -> None:
    dataset = made(cast, kind)
    before = dataset.selection
    form = DatasetForm(workspace=cast.acme, dataset=dataset)
    sent = {}
    for field in form:
        value = field.value()
        if value is not None and value is not False:
            sent[field.name] = "on" if value is True else value
    answer = lee.post(reverse("exports:dataset_edit", args=[dataset.pk]), sent)
    assert answer.status_code == 302, answer.content.decode()
    dataset.refresh_from_db()
    assert dataset.selection == before


def test_groups_are_folded_to_what_is_set(lee, sft) -> None:
    values = sft.selection | {"min_length": 20, "max_length": 4000, "languages": ["en"]}
    datasets.change(dataset=sft, name="S", values=values)
    shown = lee.get(reverse("exports:dataset_edit", args=[sft.pk])).content.decode()
    assert '<b>Texts</b> <span class="soft">20 to 4,000 characters; in English</span>' in shown
    assert '<b>Personal data</b> <span class="soft">kept as it is</span>' in shown
    assert "data-group open" not in shown


def test_a_group_with_a_mistake_is_open(lee, sft) -> None:
    values = {"name": "S", "projects": "support-desk", "answers": "written", "since": "yesterday"}
    shown = lee.post(reverse("exports:dataset_edit", args=[sft.pk]), values).content.decode()
    assert shown.count("data-group open") == 1
    opened = shown.split("data-group open")[1].split("</details>")[0]
    assert "Which work" in opened and "is no date; write it as 2026-11-21" in opened
    assert 'value="yesterday"' in opened


def test_people_are_offered_by_name_with_their_answers(lee, sft, cast, desk) -> None:
    from annotation.models import Seat, Stage

    Seat.objects.create(stage=Stage.objects.get(), user=cast.ana, submitted=60)
    shown = lee.get(reverse("exports:dataset_edit", args=[sft.pk])).content.decode()
    assert f"{cast.ana} (60)" in shown
    values = {"name": "S", "projects": "support-desk", "answers": "written"}
    values["without_annotators"] = f"user {cast.ana.pk}"
    lee.post(reverse("exports:dataset_edit", args=[sft.pk]), values)
    sft.refresh_from_db()
    assert sft.selection["without_annotators"] == [f"user {cast.ana.pk}"]


def test_what_the_last_look_met_is_offered(lee, sft, tmp_path) -> None:
    put(sft, tmp_path / "look", [
        {"language": "sv", "annotator": "name Judge", "metadata.topic": "x"} for _ in range(3)
    ])  # fmt: skip
    shown = lee.get(reverse("exports:dataset_edit", args=[sft.pk])).content.decode()
    assert "Swedish (sv), 3 rows" in shown and "Judge (3)" in shown
    assert "Here there are: topic." in shown


def test_metadata_of_earlier_imports_are_offered_before_there_is_a_look(
    lee, desk, monkeypatch
) -> None:
    monkeypatch.setattr(rule_choices, "PROMPTS", 1)
    earlier = Import.objects.create(project=desk.project, filename="a.jsonl", state="done")
    old = desk.prompt("Long ago?", metadata={"source": "web"})
    type(old).objects.filter(pk=old.pk).update(batch=earlier)
    desk.prompt("Now?", metadata={"topic": "billing"})
    shown = lee.get(reverse("exports:dataset_new", args=["acme"])).content.decode()
    assert "Here there are: topic, source." in shown


def test_questions_of_rubrics_are_offered(lee, cast, desk) -> None:
    stage = desk.stage("rate", rubric=RUBRIC)
    desk.prompt("A?", metadata={"tone": "warm"})
    dataset = made(cast, "labels")
    shown = lee.get(reverse("exports:dataset_edit", args=[dataset.pk])).content.decode()
    assert f'value="{stage.pk}.topic"' in shown and 'value="metadata.tone"' in shown
    assert 'value="metadata.x" selected' in shown, "what is set stays"
    rated = lee.get(reverse("exports:dataset_edit", args=[made(cast, "sft").pk])).content.decode()
    assert f"{stage.pk}.helpful: Is it helpful? in" in rated
    best = rated.split('name="best_rated"')[1].split("</select>")[0]
    assert f"{stage.pk}.helpful" in best and f"{stage.pk}.topic" not in best


def test_lines_are_conditions(lee, sft) -> None:
    values = {"name": "S", "projects": "support-desk", "answers": "written"}
    values |= {"metadata": "topic=billing\r\nscore>=3\r\n", "near": "80", "languages": ["en", "de"]}
    lee.post(reverse("exports:dataset_edit", args=[sft.pk]), values)
    sft.refresh_from_db()
    assert sft.selection["metadata"] == ["topic=billing", "score>=3"]
    assert sft.selection["near"] == 80 and set(sft.selection["languages"]) == {"de", "en"}


def test_masking_wants_something_to_mask(lee, sft) -> None:
    values = {"name": "S", "projects": "support-desk", "answers": "written", "personal": "mask"}
    shown = lee.post(reverse("exports:dataset_edit", args=[sft.pk]), values).content.decode()
    assert "Choose at least one." in shown


def test_a_new_dataset_marks_each_field_with_its_kinds(lee, cast) -> None:
    shown = lee.get(reverse("exports:dataset_new", args=["acme"])).content.decode()
    pairs = shown.split('name="pairs"')[0].rsplit("data-kinds=", 1)[1]
    assert pairs.startswith('"preference"')
    answer = lee.post(
        reverse("exports:dataset_new", args=["acme"]),
        {"name": "L", "kind": "labels", "projects": "support-desk"},
    )
    assert "Which label?" in answer.content.decode() and not Dataset.objects.exists()


def test_a_condition_that_is_none_is_told_beside_its_field(lee, sft) -> None:
    values = {"name": "S", "projects": "support-desk", "answers": "written", "metadata": "topic"}
    shown = lee.post(reverse("exports:dataset_edit", args=[sft.pk]), values).content.decode()
    assert "Not saved" in shown and "topic" in shown
    assert 'name="metadata"' in shown.split("data-group open")[1].split("</details>")[0]
    sft.refresh_from_db()
    assert sft.selection["metadata"] == []
