"""A range of a project's prompts, and where readers put what they find on them."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from annotation.models import Adjudication, Project, Submission
from exports.columns import Ranged
from exports.rules import Selection
from exports.work import Answer, Ranked, Rated

HANDED_IN = Submission.State.SUBMITTED.value


@dataclass
class Range:
    """Prompts of one project with ids from `first` to `last`, and what was found on them."""

    project: Project
    first: int
    last: int
    selection: Selection
    decided: dict[int, Adjudication] = field(default_factory=dict)
    answers: dict[int, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    rankings: dict[int, list[Ranked]] = field(default_factory=lambda: defaultdict(list))
    rated: dict[int, list[Rated]] = field(default_factory=lambda: defaultdict(list))

    def has_stage(self, stage: int | None) -> bool:
        return stage is None or self.selection.stages is None or stage in self.selection.stages

    def decide(self, rows: Ranged) -> None:
        """{item: the lead's decision in force}: of what was made of the item, it alone counts."""
        if ids := [pk for (pk,) in rows.between(self.first, self.last)]:
            found = Adjudication.objects.filter(pk__in=ids).select_related("item")
            self.decided = {row.item_id: row for row in found}


def decisions(project: Project) -> Ranged:
    """The leads' decisions in force, by their ids: there are few."""
    rows = Adjudication.objects.filter(item__prompt__project=project, withdrawn__isnull=True)
    return Ranged(rows.values_list("id"), "item__prompt_id")


def load(text: str | None) -> Any:
    """JSON read as text; none for null and for an empty object."""
    if text is None or text == "{}" or text == "null":
        return None
    return orjson.loads(text)
