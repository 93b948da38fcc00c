"""The questions of rubrics that a selection may ask about, and what is wrong with one that it does
ask about. Reads only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotation.models import Project, Stage
from annotation.rubric import in_force, options
from exports.conditions import parse_rating, question
from exports.judging import YES
from exports.rules import Selection

RANKINGS, METADATA = "rankings", "metadata."


@dataclass(frozen=True)
class Question:
    """`name`: what a selection calls it, "7.helpful". `type`: rating, label or labels; `about`:
    prompt or answer; `values`: what can be answered, with its words."""

    name: str
    title: str
    stage: str
    project: str
    type: str
    about: str
    values: tuple[tuple[str, str], ...]


def questions(projects: Iterable[Project]) -> list[Question]:
    """Those in force in the projects' stages, without those that are answered by text."""
    stages = Stage.objects.filter(project__in=[project.pk for project in projects])
    return [
        Question(
            f"{stage.pk}.{asked['key']}",
            asked["title"],
            stage.name,
            stage.project.slug,
            asked["type"],
            asked["about"],
            tuple((each["value"], each["label"]) for each in options(asked)),
        )
        for stage in stages.select_related("project").order_by("project__slug", "position", "pk")
        for asked in in_force(stage.rubric)
        if asked["type"] != "text"
    ]


def problems(kind: str, selection: Selection, projects: Iterable[Project]) -> dict[str, str]:
    """{field: what is wrong} of the questions that the selection names, and of what goes with
    them; reads only where it names one. Answers to a question that was removed are kept, and so it
    can be named."""
    found: dict[str, str] = {}
    projects = list(projects)
    for field, name in _named(kind, selection):
        if field not in found and (wrong := _problem(field, name, selection, projects)):
            found[field] = wrong
    if kind in ("unpaired", "labels"):
        asked = question(selection.question)
        if kind == "unpaired" and asked and not selection.good and "question" not in found:
            _, told = _asked(projects, *asked)
            if told and not any(each["value"].lower() in YES for each in options(told)):
                found["good"] = f"which answers to {selection.question} mean good?"
        if selection.label_by == "dawid_skene" and not asked:
            found["label_by"] = "Dawid-Skene is for what several annotators answered to a question"
    return found


def _named(kind: str, selection: Selection) -> Iterator[tuple[str, str]]:
    if kind == "sft":
        if selection.best_rated:
            yield "best_rated", selection.best_rated
        for condition in selection.ratings:
            yield "ratings", parse_rating(condition).name
    if kind in ("unpaired", "labels") and selection.question:
        yield "question", selection.question


def _problem(field: str, name: str, selection: Selection, projects: list[Project]) -> str:
    asked = question(name)
    if asked is None:
        if field != "question":
            return f"{name!r} names no question; write it as 7.helpful, of stage 7"
        if name == RANKINGS or (name.startswith(METADATA) and name != METADATA):
            return ""
        return f"{name!r} is neither a question such as 7.helpful, nor metadata.NAME, nor rankings"
    stage, found = _asked(projects, *asked)
    if stage is None:
        return f"{name}: stage {asked[0]} is not a stage of the chosen projects"
    if selection.stages is not None and stage.pk not in selection.stages:
        return f"{name}: stage {stage.pk} is not among the chosen stages"
    if found is None:
        there = ", ".join(one["key"] for one in in_force(stage.rubric)) or "none"
        return f"“{stage.name}” has no question {asked[1]}; there are {there}"
    if found["type"] == "text":
        return f"{name} is answered by text, which is neither a number nor a label"
    if field == "best_rated" and (found["type"] != "rating" or found["about"] != "answer"):
        return f"{name} is no rating of the answers, so none is the best by it"
    return ""


def _asked(
    projects: list[Project], number: int, key: str
) -> tuple[Stage | None, dict[str, Any] | None]:
    """The stage, where one of the projects has it, and its question."""
    stage = Stage.objects.filter(pk=number, project__in=[each.pk for each in projects]).first()
    rubric = [] if stage is None else stage.rubric
    return stage, next((each for each in rubric if each["key"] == key), None)
