"""What people said of the answers to a range of prompts: rankings, and answers to rubrics."""

import orjson
from django.db.models import Q

from annotation.models import Import, Project, Ranking, Submission
from exports.columns import Ranged, as_text, day_of, key_of
from exports.ranges import HANDED_IN, Range
from exports.rules import Selection
from exports.work import Ranked, Rated, leaves_work_out, outside

NOT_IMPORTED = "imported comparisons are not selected"


def ranking_rows(project: Project, selection: Selection) -> Ranged:
    """The rankings that stand, of the chosen stages' submitted work."""
    unfinished = Import.objects.exclude(state=Import.State.DONE).values("pk")
    rows = Ranking.objects.filter(
        Q(submission__batch__isnull=True) | ~Q(submission__batch__in=unfinished),
        submission__item__prompt__project=project,
        submission__state=HANDED_IN,
        withdrawn__isnull=True,
    )
    if selection.stages is not None:
        rows = rows.filter(submission__stage__in=selection.stages)
    return Ranged(
        rows.order_by("id").values_list(
            "submission__item_id", "submission__item__prompt_id", "submission__stage_id",
            "submission__item__disagreement", as_text("order"), "strength", "all_bad",
            "submission_id", "submission__user_id", "submission__rater", "submission__origin",
            "submission__guidelines__number", "submission__review",
            day_of("submission__submitted"),
        ),
        "submission__item__prompt_id",
    )  # fmt: skip


def rankings(at: Range, rows: Ranged) -> None:
    """The rankings in scope; of a decided item the chosen one, or the lead's own order."""
    selection, decided = at.selection, at.decided
    choosy = leaves_work_out(selection)
    for (
        item, prompt, stage, apart, order, strength, all_bad, submission, user, rater, origin,
        number, review, day,
    ) in rows.between(at.first, at.last):  # fmt: skip
        if item in decided and decided[item].submission_id != submission:
            continue
        annotator, imported = key_of(user, rater), origin == "import"
        out = outside(selection, annotator, day or "", review, not imported) if choosy else ""
        if imported and not selection.include_imported:
            out = NOT_IMPORTED
        at.rankings[prompt].append(
            Ranked(
                orjson.loads(order),
                submission,
                annotator,
                strength,
                number,
                bool(all_bad),
                item in decided,
                out,
                stage,
                None if apart is None else 100 - apart,
                review,
                day or "",
            )
        )
    for decision in decided.values():
        about = decision.item
        if "order" in decision.content and at.has_stage(about.stage_id):
            at.rankings[about.prompt_id].append(
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


def rating_rows(project: Project, selection: Selection) -> Ranged:
    """The chosen stages' submitted work with answers to a rubric."""
    rows = Submission.objects.live().filter(item__prompt__project=project, state=HANDED_IN)
    rows = rows.exclude(ratings={})
    if selection.stages is not None:
        rows = rows.filter(stage__in=selection.stages)
    return Ranged(
        rows.order_by("id").values_list(
            "id", "item_id", "item__prompt_id", "stage_id", "item__disagreement", "user_id",
            "rater", "origin", as_text("ratings"), "guidelines__number", "review",
            day_of("submitted"),
        ),
        "item__prompt_id",
    )  # fmt: skip


def ratings(at: Range, rows: Ranged) -> None:
    """What was said to the rubrics: of a decided item the chosen answers, or the lead's own."""
    selection, decided = at.selection, at.decided
    for (
        pk, item, prompt, stage, apart, user, rater, origin, ratings, number, review, day
    ) in rows.between(at.first, at.last):  # fmt: skip
        if item in decided and decided[item].submission_id != pk:
            continue
        annotator = key_of(user, rater)
        at.rated[prompt].append(
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
        if decision.content.get("ratings") and at.has_stage(about.stage_id):
            at.rated[about.prompt_id].append(
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
