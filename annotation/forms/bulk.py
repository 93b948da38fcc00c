"""What a lead asks for prompts that are ticked, or for all that a list shows."""

from typing import Any

from django.http import QueryDict

from annotation import actions, ordering, prompt_list
from annotation.errors import Refused
from annotation.models import Action, Project, Stage, User
from annotation.prompt_filters import Filters
from annotation.rounds import WORKED
from annotation.text import row_number

ACTS = [
    ("first", "Put first in the queue"),
    ("usual", "Put in the usual place"),
    ("last", "Put last in the queue"),
    ("assign", "Give to people"),
    ("send", "Send to a stage"),
    ("round", "Open a new round"),
    ("retire", "Retire"),
]
ON_RETIRED = [("restore", "Bring back")]
_PLACES = {"first": 1, "usual": 0, "last": -1}


def queues(project: Project) -> list[Stage]:
    """The stages that people work in."""
    stages = project.stages.filter(kind__in=WORKED).exclude(state=Stage.State.IMPORTED)
    return list(stages.order_by("position", "pk"))


def where(sent: Any) -> Filters:
    """The list that the form was on: its address."""
    return Filters.read(QueryDict(sent.get("where", "")))


def carry_out(project: Project, sent: QueryDict, author: User) -> Action:
    """Do what was asked. Raises Refused, in words, for what is missing or cannot be."""
    act = sent.get("act", "")
    if act not in dict(ACTS + ON_RETIRED):
        raise Refused("Choose what to do with the prompts.")
    ids = _prompts(project, sent)
    if act == "retire":
        return actions.retire(project=project, prompts=ids, author=author)
    if act == "restore":
        return actions.restore(project=project, prompts=ids, author=author)
    stage = project.stages.filter(pk=row_number(sent.get("stage", "")) or 0).first()
    if stage is None:
        raise Refused("Choose a stage.")
    if act in _PLACES:
        place = _PLACES[act]
        return actions.prioritise(stage=stage, prompts=ids, priority=place, author=author)
    if act == "assign":
        people = _people(project, sent)
        return actions.assign(stage=stage, prompts=ids, people=people, author=author)
    if act == "send":
        return actions.send(stage=stage, prompts=ids, author=author)
    return actions.open_round(stage=stage, prompts=ids, author=author)


def _prompts(project: Project, sent: QueryDict) -> list[int]:
    if sent.get("all"):
        ids = prompt_list.chosen(project, where(sent), ordering.MOST_PROMPTS)
        if len(ids) > ordering.MOST_PROMPTS:
            raise Refused(
                f"More than {ordering.MOST_PROMPTS:,} prompts match: that is too many at once. "
                "Narrow the search."
            )
    else:
        given = [row_number(each) for each in sent.getlist("prompt")]
        numbers = [number for number in given if number is not None]
        ids = list(project.prompts.filter(pk__in=numbers).values_list("pk", flat=True))
    if not ids:
        raise Refused("Tick some prompts, or “all that match”.")
    return ids


def _people(project: Project, sent: QueryDict) -> list[User]:
    """Nobody ticked: the items are everybody's again, which must be said (`everybody`)."""
    given = [row_number(each) for each in sent.getlist("people")]
    members = project.workspace.memberships.filter(is_active=True, user__in=[n for n in given if n])
    people = [membership.user for membership in members.select_related("user")]
    if not people and not sent.get("everybody"):
        raise Refused("Choose the people, or “everybody”.")
    return [] if sent.get("everybody") else people
