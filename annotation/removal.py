"""How an import that is not done is taken out again, in chunks, with nothing left behind."""

from django.db import transaction
from django.db.models import QuerySet

from annotation.bulk import delete
from annotation.models import Import, Item, Prompt, Ranking, Response, Stage, Submission

CHUNK = 300  # prompts or submissions a transaction


def remove(import_row: Import) -> None:
    """Delete all rows of the import's batch. It may be called again after it was cut off."""
    if import_row.state == Import.State.DONE:
        raise AssertionError("A finished import is not removed.")
    while _remove_submissions(import_row):
        pass
    while _remove_prompts(import_row):
        pass
    while _remove_responses(import_row):
        pass
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


@transaction.atomic
def _remove_prompts(import_row: Import) -> int:
    """Newest first: a later turn points to an answer of an earlier one."""
    rows = Prompt.objects.filter(batch=import_row).order_by("-id")[:CHUNK]
    prompts = list(rows.values_list("id", flat=True))
    answers = Response.objects.filter(prompt__in=prompts).values_list("id", flat=True)
    delete(Response, list(answers))
    delete(Prompt, prompts)
    return len(prompts)


@transaction.atomic
def _remove_responses(import_row: Import) -> int:
    """What the import added to prompts that were there."""
    rows = Response.objects.filter(batch=import_row).order_by("-id")[:CHUNK]
    answers = list(rows.values_list("id", flat=True))
    delete(Response, answers)
    return len(answers)
