"""What the card and the dataset's page tell beside the figures of the rows themselves: languages by
the last look, agreement as the stages' quality pages last measured it. Reads only, and no text."""

from collections.abc import Mapping
from typing import Any

from annotation.models import Measurement, Stage
from exports.conditions import parse_rating, question
from exports.figures import most_first
from exports.models import Dataset, Preview
from exports.rules import Selection, parse

RANKINGS = "rankings"
OF_RANKINGS = ("choice", "ranking")  # a measured question's kind
MOST = 12  # lines of agreement


def describe(dataset: Dataset, stored: Mapping[str, Any]) -> dict[str, Any]:
    """For a snapshot's `stats`, by the rules `stored`: `languages` {code, "" for not sure: rows}
    and `languages_of` (how many rows the last look by these rules kept), where there was one, and
    `agreement`, see below."""
    look = Preview.objects.filter(dataset=dataset.pk, state="done").first()
    found: dict[str, Any] = {"agreement": agreement(dataset, parse(dataset.kind, dict(stored)))}
    if look and look.result.get("selection") == stored and look.result.get("languages"):
        found["languages"] = dict(most_first(look.result["languages"]))
        found["languages_of"] = sum(found["languages"].values())
    return found


def asked(kind: str, selection: Selection) -> list[str]:
    """The judgements that rows of the kind are made of: questions, "7.helpful", and "rankings"."""
    named = [selection.question, selection.best_rated]
    named += [parse_rating(one).name for one in selection.ratings]
    found = {one for one in named if one == RANKINGS or question(one)}
    if kind == "preference" or selection.best_ranked:
        found.add(RANKINGS)
    return sorted(found)


def agreement(dataset: Dataset, selection: Selection) -> list[dict[str, Any]]:
    """Of each question that the rows are made of, in each chosen stage that asks it: {"stage" (its
    number), "name", "question", "metric", "value", "low", "high" (a 95 % interval), "units",
    "raters", "measured" (the day)}. None of `value`: too little to say; a stage that was never
    measured has no `metric`. Over all work of the stage, whatever rows the rules leave."""
    wanted = asked(dataset.kind, selection)
    stages = Stage.objects.filter(
        project__workspace=dataset.workspace_id, project__slug__in=selection.projects
    ).select_related("project")
    if selection.stages is not None:
        stages = stages.filter(pk__in=selection.stages)
    rows = Measurement.objects.filter(
        stage__in=stages, kind=Measurement.Kind.QUALITY, computed__isnull=False
    )
    measured = {
        stage: (f"{day:%Y-%m-%d}", questions or [])
        for stage, day, questions in rows.values_list("stage", "computed", "result__questions")
    }
    lines: list[dict[str, Any]] = []
    for stage in stages.order_by("project__slug", "position", "pk"):
        keys = {key for pk, key in filter(None, map(question, wanted)) if pk == stage.pk}
        ranked = RANKINGS in wanted and stage.kind == Stage.Kind.RANK
        line = {"stage": stage.pk, "name": f"{stage.project} / {stage}"}
        if not (keys or ranked):
            continue
        if stage.pk not in measured:
            lines.append(line)
            continue
        day, told = measured[stage.pk]
        lines += [
            line | _line(each, day)
            for each in told
            if each["key"] in keys or (ranked and each["kind"] in OF_RANKINGS)
        ]
    return lines[:MOST]


def _line(told: dict[str, Any], day: str) -> dict[str, Any]:
    """A measured question by the coefficient that its page leads with."""
    figure = told["figures"][0]
    names = ("value", "low", "high", "units", "raters")
    found = {"question": told["title"], "metric": figure["name"], "measured": day}
    return found | {name: figure[name] for name in names}
