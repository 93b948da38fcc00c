"""How an import that is not done is taken out again, in chunks, with nothing left behind."""

from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet

from annotation.bulk import delete
from annotation.models import Import, Item, Prompt, Ranking, Response, Stage, Submission

CHUNK = 1_000  # prompts or submissions a transaction


def remove(import_row: Import) -> None:
    """Delete all rows of the import's batch. It may be called again after it was cut off, and stops
    where the import is started again meanwhile."""
    if import_row.state == Import.State.DONE:
        raise AssertionError("A finished import is not removed.")
    for some in (_remove_submissions, _remove_prompts, _remove_responses):
        while _remove_some(import_row, some):
            pass
    with transaction.atomic():
        if _is_over(import_row):
            Stage.objects.filter(
                project=import_row.project_id, state=Stage.State.IMPORTED, items=None
            ).delete()


def has_rows(import_row: Import) -> bool:
    return _have_rows(Import.objects.filter(pk=import_row.pk))


def others_have_rows(import_row: Import) -> bool:
    """Is another import into the project still on its way in, or on its way out again?"""
    others = Import.objects.filter(project=import_row.project_id).exclude(pk=import_row.pk)
    return _have_rows(others.exclude(state=Import.State.DONE))


def _have_rows(imports: "QuerySet[Import]") -> bool:
    batches = imports.values("pk")
    return any(
        model.objects.filter(batch__in=batches).exists() for model in (Prompt, Response, Submission)
    )


@transaction.atomic
def _remove_some(import_row: Import, some: Callable[[Import], int]) -> int:
    return some(import_row) if _is_over(import_row) else 0


def _is_over(import_row: Import) -> bool:
    """Until the transaction ends nobody starts it again: these rows are of the try that ended."""
    over = [Import.State.FAILED, Import.State.CANCELLED]
    rows = Import.objects.select_for_update().filter(pk=import_row.pk, state__in=over)
    return rows.values_list("pk").first() is not None


def _remove_submissions(import_row: Import) -> int:
    rows = Submission.objects.filter(batch=import_row).order_by("id")[:CHUNK]
    found = list(rows.values_list("id", "item_id"))
    turns, items = [turn for turn, _ in found], {item for _, item in found}
    rankings = Ranking.objects.filter(submission__in=turns).values_list("id", flat=True)
    delete(Ranking, list(rankings))
    delete(Submission, turns)
    kept = set(Submission.objects.filter(item__in=items).values_list("item_id", flat=True))
    delete(Item, list(items - kept))
    return len(found)


def _remove_prompts(import_row: Import) -> int:
    """Newest first: a later turn points to an answer of an earlier one."""
    rows = Prompt.objects.filter(batch=import_row).order_by("-id")[:CHUNK]
    prompts = list(rows.values_list("id", flat=True))
    answers = Response.objects.filter(prompt__in=prompts).values_list("id", flat=True)
    delete(Response, list(answers))
    delete(Prompt, prompts)
    return len(prompts)


def _remove_responses(import_row: Import) -> int:
    """What the import added to prompts that were there."""
    rows = Response.objects.filter(batch=import_row).order_by("-id")[:CHUNK]
    answers = list(rows.values_list("id", flat=True))
    delete(Response, answers)
    return len(answers)
