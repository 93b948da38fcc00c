"""The prompts of a project with what hangs on them, in ranges of ids: memory does not grow.

Only columns are read, JSON as text: objects of the ORM would cost five times as much."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db.models import Q

from annotation.models import (
    Adjudication,
    Import,
    Project,
    Prompt,
    Ranking,
    Response,
    Submission,
)
from exports.columns import as_text, day_of, key_of
from exports.rules import Selection
from exports.work import Answer, Ranked, Rated, Work, outside

CHUNK = 1_000  # prompts
NOT_IMPORTED = "imported comparisons are not selected"
HANDED_IN = Submission.State.SUBMITTED.value


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
                _load(tools),
                retired is not None,
                _load(metadata) or {},
            )
            for (
                pk, external_id, messages, root_key, system, context, tools, metadata, retired
            ) in rows
        ]  # fmt: skip
        chunk = _Chunk(project, rows[0][0], last, selection)
        if wanted.answers:
            chunk.decide()
            _answers(chunk)
        if wanted.rankings:
            _rankings(chunk)
        if wanted.ratings:
            _ratings(chunk)
        for work in found:
            work.answers = chunk.answers[work.id]
            work.rankings = chunk.rankings[work.id]
            work.rated = chunk.rated[work.id]
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


@dataclass
class _Chunk:
    """Prompts of one project with ids from `first` to `last`, and what was found on them."""

    project: Project
    first: int
    last: int
    selection: Selection
    decided: dict[int, Adjudication] = field(default_factory=dict)
    answers: dict[int, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    rankings: dict[int, list[Ranked]] = field(default_factory=lambda: defaultdict(list))
    rated: dict[int, list[Rated]] = field(default_factory=lambda: defaultdict(list))

    def here(self, prompt: str) -> Q:
        """The condition on `prompt`, the path from a row to its prompt."""
        return Q(
            **{
                f"{prompt}_id__gte": self.first,
                f"{prompt}_id__lte": self.last,
                f"{prompt}__project": self.project,
            }
        )

    def has_stage(self, stage: int | None) -> bool:
        return stage is None or self.selection.stages is None or stage in self.selection.stages

    def decide(self) -> None:
        """{item: the lead's decision in force}: of what was made of the item, it alone counts."""
        rows = Adjudication.objects.filter(self.here("item__prompt"), withdrawn__isnull=True)
        self.decided = {row.item_id: row for row in rows.select_related("item")}


def _answers(chunk: _Chunk) -> None:
    """The live responses; in scope are those of the chosen stages' submitted work and, since they
    belong to no stage, those that came without a submission. A lead's own text belongs to the stage
    of the item that it decides."""
    selection, decided = chunk.selection, chunk.decided
    own = {row.response_id: row.item.stage_id for row in decided.values() if row.response_id}
    rows = (
        Response.objects.live()
        .filter(chunk.here("prompt"), withdrawn__isnull=True)
        .order_by("id")
        .values_list(
            "prompt_id", "id", "text", "origin", "corrects_id", "author_id", as_text("metadata"),
            day_of("created"), "submission_id",
        )
    )  # fmt: skip
    turns = _turns(chunk)
    for prompt, pk, text, origin, corrects, author, metadata, day, submission in rows.iterator():
        if submission is None:
            turn = _NO_TURN
        else:
            turn = turns.get(submission, _UNKNOWN)
            day = turn.day or day
        stage = own.get(pk, turn.stage)
        decision = decided.get(turn.item)
        annotator = key_of(turn.user or author, turn.rater)
        chunk.answers[prompt].append(
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
                in_scope=turn.handed_in and chunk.has_stage(stage),
                metadata=_load(metadata) or {},
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


def _turns(chunk: _Chunk) -> dict[int, _Turn]:
    """{submission: its turn}, of those that an answer hangs on."""
    rows = Submission.objects.filter(chunk.here("item__prompt"), responses__isnull=False)
    return {
        pk: _Turn(state == HANDED_IN, stage, item, user, rater, number, _load(messages),
                  system, context, review, day or "")
        for pk, state, stage, item, user, rater, number, messages, system, context, review, day
        in rows.values_list(
            "id", "state", "stage_id", "item_id", "user_id", "rater", "guidelines__number",
            as_text("messages"), "system", "context", "review", day_of("submitted"),
        ).iterator()
    }  # fmt: skip


def _rankings(chunk: _Chunk) -> None:
    """The rankings in scope; of a decided item the chosen one, or the lead's own order."""
    selection, decided = chunk.selection, chunk.decided
    unfinished = Import.objects.exclude(state=Import.State.DONE).values("pk")
    rankings = Ranking.objects.filter(
        Q(submission__batch__isnull=True) | ~Q(submission__batch__in=unfinished),
        chunk.here("submission__item__prompt"),
        submission__state=HANDED_IN,
        withdrawn__isnull=True,
    )
    if selection.stages is not None:
        rankings = rankings.filter(submission__stage__in=selection.stages)
    rows = rankings.order_by("id").values_list(
        "submission__item_id", "submission__item__prompt_id", "submission__stage_id",
        "submission__item__disagreement", as_text("order"), "strength", "all_bad", "submission_id",
        "submission__user_id", "submission__rater", "submission__origin",
        "submission__guidelines__number", "submission__review", day_of("submission__submitted"),
    )  # fmt: skip
    for (
        item, prompt, stage, apart, order, strength, all_bad, submission, user, rater, origin,
        number, review, day,
    ) in rows.iterator():  # fmt: skip
        if item in decided and decided[item].submission_id != submission:
            continue
        annotator, imported = key_of(user, rater), origin == "import"
        out = outside(selection, annotator, day or "", review, own=not imported)
        if imported and not selection.include_imported:
            out = NOT_IMPORTED
        chunk.rankings[prompt].append(
            Ranked(
                order=orjson.loads(order),
                submission=submission,
                annotator=annotator,
                strength=strength,
                guidelines=number,
                all_bad=all_bad,
                decided=item in decided,
                out=out,
                stage=stage,
                agreement=None if apart is None else 100 - apart,
                review=review,
                day=day or "",
            )
        )
    for decision in decided.values():
        about = decision.item
        if "order" in decision.content and chunk.has_stage(about.stage_id):
            chunk.rankings[about.prompt_id].append(
                Ranked(
                    order=decision.content["order"],
                    submission=None,
                    annotator=key_of(decision.author_id, ""),
                    strength=decision.content.get("strength"),
                    all_bad=bool(decision.content.get("all_bad")),
                    decided=True,
                    stage=about.stage_id,
                    agreement=100,
                    day=decision.created.date().isoformat(),
                )
            )


def _ratings(chunk: _Chunk) -> None:
    """What was said to the rubrics: of a decided item the chosen answers, or the lead's own."""
    selection, decided = chunk.selection, chunk.decided
    rows = Submission.objects.live().filter(chunk.here("item__prompt"), state=HANDED_IN)
    rows = rows.exclude(ratings={})
    if selection.stages is not None:
        rows = rows.filter(stage__in=selection.stages)
    columns = rows.order_by("id").values_list(
        "id", "item_id", "item__prompt_id", "stage_id", "item__disagreement", "user_id", "rater",
        "origin", as_text("ratings"), "guidelines__number", "review", day_of("submitted"),
    )  # fmt: skip
    for (
        pk, item, prompt, stage, apart, user, rater, origin, ratings, number, review, day
    ) in columns.iterator():  # fmt: skip
        if item in decided and decided[item].submission_id != pk:
            continue
        annotator = key_of(user, rater)
        chunk.rated[prompt].append(
            Rated(
                stage=stage,
                item=item,
                submission=pk,
                annotator=annotator,
                ratings=orjson.loads(ratings),
                guidelines=number,
                decided=item in decided,
                out=outside(selection, annotator, day or "", review, own=origin != "import"),
                agreement=None if apart is None else 100 - apart,
                review=review,
                day=day or "",
            )
        )
    for decision in decided.values():
        about = decision.item
        if decision.content.get("ratings") and chunk.has_stage(about.stage_id):
            chunk.rated[about.prompt_id].append(
                Rated(
                    stage=about.stage_id,
                    item=about.pk,
                    submission=None,
                    annotator=key_of(decision.author_id, ""),
                    ratings=decision.content["ratings"],
                    decided=True,
                    agreement=100,
                    day=decision.created.date().isoformat(),
                )
            )


def _load(text: str | None) -> Any:
    if text is None or text == "{}" or text == "null":
        return None
    return orjson.loads(text)
