"""Work on prompts, made row by row: what the importers and the queue would leave."""

from types import SimpleNamespace
from typing import Any

import pytest

from annotation.models import Item, Prompt, Ranking, Response, Stage, Submission
from annotation.text import prompt_fingerprint, root_key, text_fingerprint


class Desk:
    """Makes prompts, answers and rankings in a project."""

    def __init__(self, project: Any, people: SimpleNamespace) -> None:
        self.project, self.people = project, people

    def stage(self, kind: str, **fields: Any) -> Stage:
        return Stage.objects.create(project=self.project, kind=kind, name=kind.title(), **fields)

    def prompt(self, text: str, **fields: Any) -> Prompt:
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        system, context = fields.get("system", ""), fields.get("context", "")
        values = {"external_id": text, "messages": messages}
        if "root_key" not in fields:
            values["fingerprint"] = prompt_fingerprint(system, messages, context)
            values["root_key"] = root_key(messages, text)
        return Prompt.objects.create(project=self.project, **(values | fields))

    def turn(self, stage: Stage, prompt: Prompt, user: Any = None, **fields: Any) -> Submission:
        place = Item.objects.count() + 1
        item, _ = Item.objects.get_or_create(
            stage=stage, prompt=prompt, defaults={"position": place, "needed": 9}
        )
        who = {"user": user} if user else {"origin": "import", "rater": fields.pop("rater", "r")}
        values = {"state": Submission.State.SUBMITTED} | who
        return Submission.objects.create(item=item, stage=stage, **(values | fields))

    def answer(
        self, prompt: Prompt, text: str, origin: str = "imported", **fields: Any
    ) -> Response:
        return Response.objects.create(
            prompt=prompt, text=text, origin=origin, fingerprint=text_fingerprint(text), **fields
        )

    def write(self, stage: Stage, prompt: Prompt, text: str, user: Any) -> Response:
        turn = self.turn(stage, prompt, user)
        return self.answer(prompt, text, "human", author=user, submission=turn)

    def rank(self, stage: Stage, prompt: Prompt, order: Any, user: Any = None, **fields: Any):
        said = {"strength": fields.pop("strength", None), "all_bad": fields.pop("all_bad", False)}
        numbers = [[answer.pk for answer in place] for place in order]
        turn = self.turn(stage, prompt, user, **fields)
        return Ranking.objects.create(submission=turn, order=numbers, **said)


@pytest.fixture
def desk(cast) -> Desk:
    return Desk(cast.project, cast)


@pytest.fixture
def sft(desk, cast):
    """An SFT dataset over 60 prompts with an answer each."""
    from exports import datasets

    stage = desk.stage("write")
    for number in range(60):
        prompt = desk.prompt(f"Question {number}?")
        desk.write(stage, prompt, f"Answer {number}, " + "and so on " * (number % 7), cast.ana)
    return datasets.create(
        workspace=cast.acme,
        name="Support SFT",
        kind="sft",
        values={"projects": ["support-desk"]},
        user=cast.lee,
    )


@pytest.fixture
def pairs(desk, cast):
    """A preference dataset over 60 prompts with three ranked answers each."""
    from exports import datasets

    stage = desk.stage("rank")
    for number in range(60):
        prompt = desk.prompt(f"Choice {number}?")
        a = desk.answer(prompt, f"long answer {number}, and more")
        b = desk.answer(prompt, f"b {number}")
        c = desk.answer(prompt, f"a longer answer {number}, and much more")
        desk.rank(stage, prompt, [[a], [b, c]], cast.ana)
    return datasets.create(
        workspace=cast.acme,
        name="Support pairs",
        kind="preference",
        values={"projects": ["support-desk"]},
        user=cast.lee,
    )
