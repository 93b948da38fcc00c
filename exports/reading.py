"""The prompts of a project with what hangs on them, in ranges of ids: memory does not grow.

Only columns are read, JSON as text: objects of the ORM would cost five times as much."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from annotation.models import Project, Prompt, Response, Submission
from exports import judgements
from exports.columns import as_text, day_of, key_of
from exports.ranges import HANDED_IN, Range, load
from exports.rules import Selection
from exports.work import Answer, Work, outside

CHUNK = 1_000  # prompts


def works(project: Project, selection: Selection, wanted: "Wanted") -> Iterator[list[Work]]:
    """The project's prompts in order of their ids, CHUNK at a time."""
    last = 0
    prompts = Prompt.objects.live().filter(project=project).order_by("id")
    columns = prompts.values_list(
        "id", "external_id", as_text("messages"), "root_key", "system", "context", as_text("tools"),
        as_text("metadata"), "retired",
    )  # fmt: skip
    while rows := list(columns.filter(id__gt=last)[:CHUNK]):
        last = rows[-1][0]
        found = [
            Work(
                project.slug,
                project.uuid,
                pk,
                external_id,
                orjson.loads(messages),
                root_key,
                system,
                context,
                load(tools),
                retired is not None,
                load(metadata) or {},
            )
            for (
                pk, external_id, messages, root_key, system, context, tools, metadata, retired
            ) in rows
        ]  # fmt: skip
        at = Range(project, rows[0][0], last, selection)
        if wanted.answers:
            at.decide()
            _answers(at)
        if wanted.rankings:
            judgements.rankings(at)
        if wanted.ratings:
            judgements.ratings(at)
        for work in found:
            work.answers = at.answers[work.id]
            work.rankings = at.rankings[work.id]
            work.rated = at.rated[work.id]
        yield found


@dataclass(frozen=True)
class Wanted:
    """What beside the prompts is to be read at all."""

    answers: bool = True
    rankings: bool = False
    ratings: bool = False

    @classmethod
    def of(cls, kind: str, selection: Selection) -> "Wanted":
        asked = selection.question or ("rankings" if kind == "unpaired" else "")
        ranked = kind == "preference" or selection.best_ranked or asked == "rankings"
        rated = asked not in ("", "rankings") and not asked.startswith("metadata.")
        return cls(
            kind != "prompts", ranked, rated or bool(selection.best_rated or selection.ratings)
        )


def _answers(at: Range) -> None:
    """The live responses; in scope are those of the chosen stages' submitted work and, since they
    belong to no stage, those that came without a submission. A lead's own text belongs to the stage
    of the item that it decides."""
    selection, decided = at.selection, at.decided
    own = {row.response_id: row.item.stage_id for row in decided.values() if row.response_id}
    rows = (
        Response.objects.live()
        .filter(at.here("prompt"), withdrawn__isnull=True)
        .order_by("id")
        .values_list(
            "prompt_id", "id", "text", "origin", "corrects_id", "author_id", as_text("metadata"),
            day_of("created"), "submission_id",
        )
    )  # fmt: skip
    turns = _turns(at)
    for prompt, pk, text, origin, corrects, author, metadata, day, submission in rows.iterator():
        if submission is None:
            turn = _NO_TURN
        else:
            turn = turns.get(submission, _UNKNOWN)
            day = turn.day or day
        stage = own.get(pk, turn.stage)
        decision = decided.get(turn.item)
        annotator = key_of(turn.user or author, turn.rater)
        at.answers[prompt].append(
            Answer(
                id=pk,
                text=text,
                origin=origin,
                corrects=corrects,
                submission=submission,
                annotator=annotator,
                guidelines=turn.guidelines,
                messages=turn.messages,
                system=turn.system,
                context=turn.context,
                passed_over=decision is not None and decision.submission_id != submission,
                out=outside(selection, annotator, day, turn.review, own=submission is not None),
                in_scope=turn.handed_in and at.has_stage(stage),
                metadata=load(metadata) or {},
                stage=stage,
                review=turn.review,
                day=day,
            )
        )


@dataclass(frozen=True, slots=True)
class _Turn:
    """The submission that an answer comes from."""

    handed_in: bool
    stage: int | None = None
    item: int = 0
    user: int | None = None
    rater: str = ""
    guidelines: int | None = None
    messages: Any = None
    system: str | None = None
    context: str | None = None
    review: str = ""
    day: str = ""


_NO_TURN, _UNKNOWN = _Turn(True), _Turn(False)


def _turns(at: Range) -> dict[int, _Turn]:
    """{submission: its turn}, of those that an answer hangs on."""
    rows = Submission.objects.filter(at.here("item__prompt"), responses__isnull=False)
    return {
        pk: _Turn(state == HANDED_IN, stage, item, user, rater, number, load(messages),
                  system, context, review, day or "")
        for pk, state, stage, item, user, rater, number, messages, system, context, review, day
        in rows.values_list(
            "id", "state", "stage_id", "item_id", "user_id", "rater", "guidelines__number",
            as_text("messages"), "system", "context", "review", day_of("submitted"),
        ).iterator()
    }  # fmt: skip
