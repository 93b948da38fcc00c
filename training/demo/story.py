"""Who is in the demo and what they did in the last two weeks, through the product's own acts.

Ana, Bea and Caio take turns at the queue as people do; what they write and think comes from
content.py. Afterwards the times are spread over the working days before today.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import cycle
from typing import Any

from django.utils import timezone

from annotation import queue, submissions
from annotation.models import (
    Project,
    Ranking,
    Response,
    Role,
    Stage,
    Submission,
    SubmissionVersion,
    User,
)
from training.demo.content import DRAFTER, Row

PASSWORD = "annotune-demo"
PEOPLE = {
    "Ana": Role.ANNOTATOR,
    "Bea": Role.ANNOTATOR,
    "Caio": Role.ANNOTATOR,
    "Rui": Role.REVIEWER,
    "Lee": Role.LEAD,
    "Olga": Role.OWNER,
}
DAYS = 14  # the story's length, up to yesterday


@dataclass(frozen=True)
class Work:
    """A stage and how far it got. `turns`: who sits down next, over and over; `until`: submissions;
    `part`: which share of the story's days it took; `skips`: (prompt, person) -> reason, note;
    `flags`: prompts that somebody puts on the lead's list; `questions`: the rubric."""

    kind: str
    name: str
    instructions: str
    turns: Sequence[str]
    until: int
    part: tuple[float, float]
    overlap: int = 1
    drafts: tuple[str, ...] = ()
    skips: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    questions: tuple[dict[str, Any], ...] = ()


TONES = ("Warm", "Neutral", "Curt")
_NO_DETAILS = ("unclear", "Nothing to go by: no product, no page, no error.")
WORK = {
    "support-desk": (
        Work(
            "write",
            "Write",
            "Write the answer that you would want to get. Facts come from the context; "
            "if it says nothing, say what you need to know.",
            ("Ana", "Bea", "Ana", "Caio"),
            13,
            (0.0, 0.35),
            drafts=("Ana",),
            skips={
                ("support-005", "Ana"): _NO_DETAILS,
                ("support-005", "Bea"): ("unclear", ""),
                ("support-005", "Caio"): ("unclear", "I'd have to ask back what “it” is."),
                ("support-006", "Ana"): ("expertise", "I don't read German."),
            },
        ),
        Work(
            "correct",
            "Correct",
            "Repair what is wrong, missing or badly said, and leave the rest as it is.",
            ("Bea", "Caio", "Ana"),
            15,
            (0.3, 0.65),
            drafts=("Bea",),
            skips={("support-017", "Ana"): ("expertise", "My Spanish is not good enough.")},
        ),
        Work(
            "rate",
            "Rate",
            "Judge each answer by itself, as if you were the one who had asked.",
            ("Bea", "Ana", "Caio"),
            9,
            (0.5, 0.9),
            questions=(
                {
                    "title": "How helpful is it?",
                    "help": "1: no help at all. 5: the problem is solved.",
                    "type": "rating",
                    "about": "answer",
                    "required": True,
                    "low": 1,
                    "high": 5,
                },
                {
                    "title": "Tone",
                    "type": "label",
                    "about": "answer",
                    "required": False,
                    "options": [{"label": tone} for tone in TONES],
                },
            ),
        ),
        Work(
            "rank",
            "Rank",
            "Which answer would you want to get? Judge help first, then correctness, then tone.",
            ("Bea", "Ana", "Caio"),
            36,
            (0.55, 1.0),
            overlap=2,
            skips={("support-017", "Ana"): ("expertise", "Spanish again, sorry.")},
        ),
    ),
    "science-tutor": (
        Work(
            "write",
            "Write",
            "Explain it so that they understand it. Check every number.",
            ("Caio", "Ana", "Bea"),
            10,
            (0.05, 0.4),
            drafts=("Caio",),
            skips={("science-005", "Ana"): ("expertise", "I don't read German.")},
        ),
        Work(
            "correct",
            "Correct",
            "Check every fact and calculation first; then say it better where it needs that.",
            ("Ana", "Caio", "Bea"),
            7,
            (0.4, 0.7),
            drafts=("Caio",),
        ),
        Work(
            "rank",
            "Rank",
            "From which answer would the learner take most? A wrong fact goes below all that "
            "are right.",
            ("Caio", "Bea", "Ana"),
            27,
            (0.6, 1.0),
            overlap=2,
            skips={("science-016", "Caio"): ("expertise", "French")},
            flags=("science-015",),  # one of its answers is dangerous
        ),
    ),
}


def taste(person: str, text: str, quality: float) -> float:
    """What a person thinks of an answer: they agree on most, not on all, and level some."""
    words = len(text.split())
    if person == "Ana":  # likes it short
        return quality - (1.0 if words > 85 else 0.0)
    if person == "Bea":  # does not split hairs
        return float(round(quality))
    return quality + (0.5 if "**" in text or "\n1. " in text else 0.0)  # Caio likes structure


def do(work: Work, stage: Stage, rows: dict[str, Row], people: dict[str, User]) -> None:
    """Let the people work until the stage is as far as the story says."""
    done, idle = stage.submissions.filter(state="submitted").count(), 0
    for person in cycle(work.turns):
        if done == work.until or idle > 2 * len(work.turns):
            break
        turn = queue.claim(stage, people[person])
        if turn is None:
            idle += 1
            continue
        prompt = turn.item.prompt.external_id
        idle = 0
        if skip := work.skips.get((prompt, person)):
            submissions.skip(submission=turn, user=people[person], reason=skip[0], note=skip[1])
            continue
        if prompt in work.flags:
            queue.flag(turn.item_id, True)
        content = content_of(rows, person, turn)
        submissions.submit(
            submission=turn, user=people[person], content=content, version=turn.version
        )
        done += 1
    for person in work.drafts:
        turn = queue.claim(stage, people[person])
        if turn is not None:
            text = rows[turn.item.prompt.external_id].draft[work.kind]
            submissions.save_draft(
                submission=turn, user=people[person], content={"text": text}, version=turn.version
            )


def content_of(rows: dict[str, Row], person: str, turn: Submission) -> dict[str, Any]:
    """What the person hands in at this turn."""
    return answer(person, turn, rows[turn.item.prompt.external_id])


def answer(person: str, turn: Submission, row: Row) -> dict[str, Any]:
    """What the person hands in."""
    if turn.stage.kind == Stage.Kind.WRITE:
        return {"text": row.written}
    shown = Response.objects.in_bulk(turn.shown)
    if turn.stage.kind == Stage.Kind.CORRECT:
        original = shown[turn.shown[0]].text
        if row.unchanged:
            return {"text": original, "unchanged": True}
        return {"text": row.corrected}
    if turn.stage.kind == Stage.Kind.RATE:
        return {"ratings": ratings(turn.stage, shown, person, row)}
    scores = {
        key: taste(person, text, row.quality[text])
        for key, text in ((response.pk, response.text) for response in shown.values())
    }
    levels = sorted(set(scores.values()), reverse=True)
    order = [sorted(key for key in scores if scores[key] == level) for level in levels]
    if len(turn.shown) > 2:
        return {"order": order}
    first, second = (scores[key] for key in turn.shown)
    strength = min(4, math.ceil(abs(first - second))) * (1 if first > second else -1)
    return {"order": order, "strength": strength}


def ratings(
    stage: Stage, shown: dict[int, Response], person: str, row: Row
) -> dict[str, dict[str, Any]]:
    """Help as the person's taste has it, the tone by the answer's length."""
    helpful, tone = stage.rubric
    values = [option["value"] for option in tone["options"]]
    given: dict[str, dict[str, Any]] = {helpful["key"]: {}, tone["key"]: {}}
    for key, response in shown.items():
        liked = taste(person, response.text, row.quality[response.text])
        words = len(response.text.split())
        given[helpful["key"]][str(key)] = min(5, max(1, round(liked)))
        given[tone["key"]][str(key)] = values[0 if words > 60 else 1 if words > 20 else 2]
    return given


def working_hours(part: tuple[float, float], count: int) -> Iterator[datetime]:
    """`count` moments within a part of the story, on weekdays from eight to five, in order."""
    today = timezone.localtime().date()
    days = [today - timedelta(days=ago) for ago in range(DAYS, 0, -1)]
    days = [day for day in days if day.weekday() < 5]
    for number in range(count):
        share = part[0] + (part[1] - part[0]) * (number + 0.5) / count
        day, within = divmod(share * len(days), 1)
        moment = datetime.combine(days[int(day)], time(8))
        moment += timedelta(hours=9 * within, seconds=zlib.crc32(b"%d" % number) % 60)
        yield timezone.make_aware(moment)


def tell_times(stage: Stage, work: Work) -> None:
    """Spread a stage's submissions over its days."""
    turns = list(stage.submissions.order_by("pk"))
    for turn, moment in zip(turns, working_hours(work.part, len(turns)), strict=True):
        words = sum(len(r.text.split()) for r in turn.responses.all()) or 8 * len(turn.shown)
        seconds = 25 + words * 2 + zlib.crc32(b"%d" % turn.item_id) % 40
        began = moment - timedelta(seconds=seconds)
        ended = moment if turn.submitted else None
        Submission.objects.filter(pk=turn.pk).update(
            created=began, submitted=ended, active_seconds=seconds
        )
        Response.objects.filter(submission=turn).update(created=moment)
        Ranking.objects.filter(submission=turn).update(created=moment)
        SubmissionVersion.objects.filter(submission=turn).update(created=moment)


def tell_beginning(project: Project) -> None:
    """The project and what was imported into it began when the story does."""
    start = next(working_hours((0.0, 0.0), 1)) - timedelta(hours=1)
    Project.objects.filter(pk=project.pk).update(created=start)
    project.guideline_versions.update(created=start)
    project.stages.update(created=start)
    project.prompts.update(created=start)
    project.imports.update(created=start, finished=start + timedelta(seconds=2))
    Response.objects.filter(prompt__project=project, submission=None).update(created=start)


def stage_options(work: Work) -> dict[str, Any]:
    """What projects.create_stage is told of it."""
    options: dict[str, Any] = {
        "kind": work.kind,
        "name": work.name,
        "instructions": work.instructions,
        "overlap": work.overlap,
        "questions": work.questions,
    }
    if work.kind == Stage.Kind.CORRECT:
        options |= {"source": Stage.Source.ORIGIN, "source_name": DRAFTER}
    return options
