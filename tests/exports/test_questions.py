"""The questions that a selection may name, and what is said of one that it may not."""

from typing import Any

import pytest

from annotation.models import Project
from exports.questions import problems, questions
from exports.rules import Selection

pytestmark = pytest.mark.django_db
RUBRIC = [
    {"key": "helpful", "title": "Helpful?", "type": "rating", "about": "answer", "low": 1,
     "high": 3},
    {"key": "topic", "title": "Topic", "type": "label", "about": "prompt",
     "options": [{"value": "a", "label": "A"}, {"value": "b", "label": "B", "removed": True}]},
    {"key": "fine", "title": "Fine?", "type": "label", "about": "answer",
     "options": [{"value": "yes", "label": "Yes"}, {"value": "no", "label": "No"}]},
    {"key": "why", "title": "Why?", "type": "text", "about": "prompt"},
    {"key": "old", "title": "Old", "type": "labels", "about": "answer", "removed": True},
]  # fmt: skip


@pytest.fixture
def stage(desk):
    return desk.stage("rate", rubric=RUBRIC)


def test_the_questions_in_force(cast, stage) -> None:
    helpful, topic, _ = questions([cast.project])
    assert helpful.name == f"{stage.pk}.helpful" and helpful.stage == "Rate"
    assert helpful.values == (("1", "1"), ("2", "2"), ("3", "3"))
    assert (topic.about, topic.values, topic.project) == ("prompt", (("a", "A"),), "support-desk")
    assert questions([]) == []


@pytest.mark.parametrize(
    ("kind", "rules", "wrong"),
    [
        ("sft", {"best_rated": "{}.helpful", "ratings": ("{}.helpful>=2", "{}.topic=a")}, {}),
        ("sft", {"best_rated": "{}.topic"}, {"best_rated": "is no rating of the answers"}),
        ("sft", {"best_rated": "helpful"}, {"best_rated": "names no question"}),
        ("sft", {"ratings": ("{}.why=x",)}, {"ratings": "answered by text"}),
        ("sft", {"ratings": ("0.helpful>=1",)}, {"ratings": "stage 0 is not a stage"}),
        (
            "sft",
            {"ratings": ("{}.helpful>=1",), "stages": (0,)},
            {"ratings": "not among the chosen stages"},
        ),
        ("preference", {"question": "nonsense"}, {}),
        ("unpaired", {}, {}),
        ("unpaired", {"question": "rankings"}, {}),
        ("unpaired", {"question": "metadata.vote"}, {}),
        ("unpaired", {"question": "{}.helpful", "good": ("3",)}, {}),
        ("unpaired", {"question": "{}.helpful"}, {"good": "which answers to"}),
        ("unpaired", {"question": "{}.topic"}, {"good": "which answers to"}),
        ("unpaired", {"question": "{}.fine"}, {}),
        ("unpaired", {"question": "thumb"}, {"question": "neither a question such as"}),
        ("unpaired", {"question": "metadata."}, {"question": "neither a question such as"}),
        (
            "unpaired",
            {"question": "rankings", "label_by": "dawid_skene"},
            {"label_by": "Dawid-Skene is for"},
        ),
        ("labels", {"question": "{}.topic", "label_by": "dawid_skene"}, {}),
        ("labels", {"question": "{}.old"}, {}),
        (
            "labels",
            {"question": "{}.tone"},
            {"question": "“Rate” has no question tone; there are helpful, topic, fine, why"},
        ),
    ],
)
def test_what_is_wrong_with_a_question(
    cast, stage, kind: str, rules: dict[str, Any], wrong: dict[str, str]
) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(named, value))
        return value.format(stage.pk) if isinstance(value, str) else value

    selection = Selection(**{name: named(value) for name, value in rules.items()})
    found = problems(kind, selection, [cast.project])
    assert set(found) == set(wrong)
    for field, words in wrong.items():
        assert words in found[field]


def test_a_question_of_another_project(cast, stage) -> None:
    other = Project.objects.create(workspace=cast.acme, name="Other", slug="other")
    selection = Selection(question=f"{stage.pk}.topic")
    assert "not a stage of the chosen" in problems("labels", selection, [other])["question"]
