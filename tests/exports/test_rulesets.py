"""Rules under a name: versions, who follows them, and how a dataset takes a new one over."""

import pytest
from django.urls import reverse

from annotation.errors import Refused
from annotation.models import Activity
from exports import datasets, rulesets
from exports.models import Dataset, Ruleset, RulesetVersion
from exports.rules import OWN, SelectionError

pytestmark = pytest.mark.django_db
USUAL = {"min_length": "20", "answers": ["written", "corrected", "imported"]}


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def strict(sft, cast) -> RulesetVersion:
    change(sft, min_length=20)
    return rulesets.save(dataset=sft, name=" Strict  rules ", user=cast.lee)


@pytest.fixture
def other(cast) -> Dataset:
    return datasets.create(
        workspace=cast.acme, name="Other", kind="sft",
        values={"projects": ["support-desk"], "annotators": ["name Judge"]}, user=cast.lee,
    )  # fmt: skip


def change(dataset: Dataset, **rules):
    return datasets.change(dataset=dataset, name=dataset.name, values=dataset.selection | rules)


def test_saved_rules_are_followed_and_hold_nothing_of_the_dataset_s_own(strict, sft, cast) -> None:
    assert (strict.number, strict.ruleset.name, strict.created_by) == (1, "Strict rules", cast.lee)
    assert sft.follows == strict and strict.rules["min_length"] == 20
    assert not set(OWN) & set(strict.rules)


def test_another_dataset_takes_them_over_and_keeps_its_own(strict, other) -> None:
    said = rulesets.what_changes(other, strict)
    assert [(one.title, one.after) for one in said] == [("Shortest, in characters", "20")]
    rulesets.use(dataset=other, version=strict)
    other.refresh_from_db()
    assert other.follows == strict and other.selection["min_length"] == 20
    assert other.selection["annotators"] == ["name Judge"]
    assert rulesets.what_changes(other, strict) == []


def test_an_edit_makes_the_next_version_and_datasets_stay(strict, sft, other, cast) -> None:
    rulesets.use(dataset=other, version=strict)
    second = rulesets.revise(
        ruleset=strict.ruleset, values={"min_length": 30, "boilerplate": True}, user=cast.lee
    )
    other.refresh_from_db()
    assert second.number == 2 and other.follows == strict and other.selection["min_length"] == 20
    assert rulesets.newer(other) == second
    rulesets.use(dataset=other, version=second)
    assert rulesets.newer(other) is None and other.selection["boilerplate"] is True
    history = rulesets.history(strict.ruleset)
    assert [row["version"].number for row in history] == [2, 1]
    assert [one.title for one in history[0]["changes"]] == [
        "Shortest, in characters", "Leave out refusals and boilerplate",
    ]  # fmt: skip
    assert history[0]["datasets"] == [other] and history[1]["datasets"] == [sft]


def test_the_same_rules_are_no_new_version(strict, sft, cast) -> None:
    again = rulesets.revise(ruleset=strict.ruleset, values={"min_length": 20}, user=cast.lee)
    assert again == strict and RulesetVersion.objects.count() == 1
    assert rulesets.save(dataset=sft, name="Strict rules", user=cast.lee) == strict


def test_a_dataset_s_own_edit_leaves_the_rules(strict, sft) -> None:
    assert change(sft, annotators=["name Judge"]) is None and sft.follows == strict
    assert change(sft, min_length=25) == strict
    sft.refresh_from_db()
    assert sft.follows is None


def test_a_name_that_is_there_gets_the_next_version(strict, sft, cast) -> None:
    change(sft, min_length=40)
    again = rulesets.save(dataset=sft, name="Strict rules", user=cast.lee)
    assert (again.ruleset, again.number, sft.follows) == (strict.ruleset, 2, again)


def test_what_is_refused(strict, sft, pairs, cast) -> None:
    for name in ("", "  ", "x" * 101):
        with pytest.raises(Refused):
            rulesets.save(dataset=sft, name=name, user=cast.lee)
    with pytest.raises(Refused, match="is for sft; this dataset is preference"):
        rulesets.save(dataset=pairs, name="Strict rules", user=cast.lee)
    with pytest.raises(Refused, match="not for datasets of the kind preference"):
        rulesets.use(dataset=pairs, version=strict)
    with pytest.raises(SelectionError, match="belongs to each dataset"):
        rulesets.revise(ruleset=strict.ruleset, values={"projects": ["a"]}, user=cast.lee)
    with pytest.raises(SelectionError, match="max_length"):
        rulesets.revise(
            ruleset=strict.ruleset, values={"min_length": 9, "max_length": 5}, user=cast.lee
        )
    assert RulesetVersion.objects.count() == 1


def test_rules_of_another_workspace_are_not_taken_over(strict, sft, cast) -> None:
    theirs = Ruleset.objects.create(workspace=cast.other, name="Theirs", kind="sft")
    version = RulesetVersion.objects.create(ruleset=theirs, number=1, rules={"min_length": 5})
    with pytest.raises(Refused):
        rulesets.use(dataset=sft, version=version)


def test_saving_from_the_page(lee, sft) -> None:
    address = reverse("exports:rules_save", args=[sft.pk])
    assert "There are none for the kind sft yet" in lee.get(address).content.decode()
    assert lee.post(address, {"name": "Ours"}).url == reverse("exports:dataset", args=[sft.pk])
    shown = lee.get(reverse("exports:dataset", args=[sft.pk])).content.decode()
    assert "It follows the rules" in shown and "Ours v1" in shown
    assert "followed now" in lee.get(address).content.decode()
    assert Activity.objects.filter(what="rules saved", detail="Ours v1").exists()
    assert "This field is required" in lee.post(address, {"name": ""}).content.decode()


def test_a_new_version_is_offered_on_the_page_and_taken_over(lee, strict, sft) -> None:
    address = reverse("exports:ruleset_edit", args=[strict.ruleset_id])
    assert 'value="20"' in lee.get(address).content.decode()
    lee.post(address, USUAL | {"min_length": "30"})
    second = RulesetVersion.objects.get(number=2)
    page = reverse("exports:dataset", args=[sft.pk])
    assert "v2 of the rules “Strict rules” is there" in lee.get(page).content.decode()
    take = reverse("exports:rules_use", args=[sft.pk, second.pk])
    assert "<del>20</del>" in lee.get(take).content.decode()
    assert lee.post(take, follow=True).content.decode().count("follows Strict rules v2") == 1
    sft.refresh_from_db()
    assert sft.selection["min_length"] == 30 and sft.follows == second
    shown = lee.get(reverse("exports:ruleset", args=[strict.ruleset_id])).content.decode()
    assert "<ins>30</ins>" in shown and "Support SFT" in shown
    assert ">from 30 characters</span>" in shown and ">from 20 characters</span>" in shown
    listed = lee.get(reverse("exports:rulesets", args=["acme"])).content.decode()
    assert "Strict rules" in listed and "v2" in listed


def test_mistakes_in_an_edit_stand_beside_their_fields(lee, strict) -> None:
    address = reverse("exports:ruleset_edit", args=[strict.ruleset_id])
    shown = lee.post(address, USUAL | {"max_length": "10"}).content.decode()
    assert "Shorter than the shortest that is allowed." in shown and "Not saved" in shown
    assert RulesetVersion.objects.count() == 1
    lee.post(address, USUAL, follow=True)
    assert RulesetVersion.objects.count() == 1, "nothing changed"


def test_unfollowing_is_said(lee, strict, sft) -> None:
    address = reverse("exports:dataset_edit", args=[sft.pk])
    assert "It follows the rules" in lee.get(address).content.decode()
    values = {"name": "S", "projects": "support-desk", "answers": "written", "min_length": "21"}
    shown = lee.post(address, values, follow=True).content.decode()
    assert "follows the rules Strict rules v1 no longer" in shown
