"""The prompts of a project with what hangs on them, in ranges of ids: memory does not grow.

Only columns are read, JSON as text: objects of the ORM would cost five times as much."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from annotation.models import Project, Prompt, Response
from exports import judgements, ranges
from exports.columns import Ranged, as_text, day_of, key_of
from exports.ranges import HANDED_IN, Range, load
from exports.rules import Selection
from exports.work import Answer, Work, leaves_work_out, outside

CHUNK = 1_000  # prompts: more of them leave the processor's cache before they are rows
NEVER = 2**62  # an id after all others


def works(project: Project, selection: Selection, wanted: "Wanted") -> Iterator[list[Work]]:
    """The project's prompts in order of their ids, CHUNK at a time."""
    live = Prompt.objects.live().filter(project=project).order_by("id")
    columns = Ranged(
        live.values_list(
            "id", "external_id", as_text("messages"), "root_key", "system", "context",
            as_text("tools"), as_text("metadata"), as_text("retired"), "batch_id",
        ),
        "id",
        CHUNK,
    )  # fmt: skip
    decisions = ranges.decisions(project)
    answers = _answer_rows(project)
    rankings = judgements.ranking_rows(project, selection)
    ratings = judgements.rating_rows(project, selection)
    last = 0
    while prompts := list(columns.between(last + 1, NEVER)):
        first, last = prompts[0][0], prompts[-1][0]
        at = Range(project, first, last, selection)
        if wanted.answers:
            at.decide(decisions)
            _answers(at, answers)
        if wanted.rankings:
            judgements.rankings(at, rankings)
        if wanted.ratings:
            judgements.ratings(at, ratings)
        yield [
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
                at.answers.get(pk) or [],
                at.rankings.get(pk) or [],
                at.rated.get(pk) or [],
                batch,
            )
            for (
                pk, external_id, messages, root_key, system, context, tools, metadata, retired,
                batch,
            ) in prompts
        ]  # fmt: skip


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


def _answer_rows(project: Project) -> Ranged:
    """The live responses, each with the submission that it hangs on."""
    rows = Response.objects.live().filter(prompt__project=project, withdrawn__isnull=True)
    return Ranged(
        rows.order_by("id").values_list(
            "prompt_id", "id", "text", "origin", "corrects_id", "author_id", as_text("metadata"),
            day_of("created"), "batch_id", "submission_id", "submission__state",
            "submission__stage_id", "submission__item_id", "submission__user_id",
            "submission__rater", "submission__guidelines__number",
            as_text("submission__messages"), "submission__system", "submission__context",
            "submission__review", day_of("submission__submitted"),
        ),
        "prompt_id",
    )  # fmt: skip


def _answers(at: Range, rows: Ranged) -> None:
    """In scope are the responses of the chosen stages' submitted work and, since they belong to no
    stage, those that came without a submission. A lead's own text belongs to the stage of the item
    that it decides."""
    selection, decided = at.selection, at.decided
    choosy = leaves_work_out(selection)
    own = {row.response_id: row.item.stage_id for row in decided.values() if row.response_id}
    for (
        prompt, pk, text, origin, corrects, author, metadata, day, batch, submission, state, stage,
        item, user, rater, number, messages, system, context, review, handed_in,
    ) in rows.between(at.first, at.last):  # fmt: skip
        if own:
            stage = own.get(pk, stage)
        decision = decided.get(item) if decided else None
        annotator = key_of(user or author, rater or "")
        day, review = handed_in or day, review or ""
        at.answers[prompt].append(
            Answer(
                pk,
                text,
                origin,
                corrects,
                submission,
                annotator,
                number,
                load(messages),
                system,
                context,
                decision is not None and decision.submission_id != submission,
                outside(selection, annotator, day, review, submission is not None)
                if choosy
                else "",
                (submission is None or state == HANDED_IN) and at.has_stage(stage),
                load(metadata) or {},
                stage,
                review,
                day,
                batch,
            )
        )
