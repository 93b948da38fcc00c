"""One prompt at a time, by hand: add, edit, retire. Many at a time come through importing.py."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation import queue
from annotation.errors import Refused
from annotation.models import Item, Origin, Project, Prompt, Submission
from annotation.records import Record, check
from annotation.text import prompt_fingerprint, root_key

# The states of a submission in which somebody has seen the prompt and owes or gave work on it.
_WORK = [
    Submission.State.CLAIMED,
    Submission.State.DRAFT,
    Submission.State.SUBMITTED,
    Submission.State.LATE,
]


def is_worked_on(prompt: Prompt) -> bool:
    """Does anything rest on this prompt's text: a submission, a written answer, a further turn?
    What was erased counts as worked on: no edit and no import brings it back."""
    return (
        Prompt.objects.filter(pk=prompt.pk, fingerprint__startswith="erased").exists()
        or Submission.objects.filter(item__prompt=prompt, state__in=_WORK).exists()
        or prompt.responses.exclude(origin=Origin.IMPORTED).exists()
        or Prompt.objects.filter(parent__prompt=prompt).exists()
    )


def text_is_fixed(prompt: Prompt) -> bool:
    """`is_worked_on`, and until the transaction ends nobody claims the prompt who has not yet.

    PostgreSQL locks its items, which a claim would write; SQLite has one writer."""
    list(Item.objects.select_for_update().filter(prompt=prompt).values_list("pk"))
    return is_worked_on(prompt)


def _check(
    external_id: str,
    messages: list[dict[str, Any]],
    system: str,
    context: str,
    metadata: dict[str, Any],
) -> None:
    """The same rules as for a row of a file."""
    record = Record(
        external_id=external_id,
        messages=messages,
        system=system,
        context=context,
        metadata=metadata,
    )
    try:
        check([record], note=lambda text: None)
    except Refused as refusal:
        raise Refused(f"Not taken: {refusal}.") from None


def _refuse_a_double(prompt: Prompt) -> None:
    same = Prompt.objects.filter(project=prompt.project_id, fingerprint=prompt.fingerprint)
    if twin := same.exclude(pk=prompt.pk).first():
        raise Refused(
            f"The same prompt is here already, as “{twin.external_id}”: "
            "change the text, or work with that one."
        )


@transaction.atomic
def add_prompt(
    *,
    project: Project,
    messages: list[dict[str, Any]],
    system: str = "",
    context: str = "",
    external_id: str = "",
    metadata: dict[str, Any] | None = None,
) -> Prompt:
    """A prompt written by hand. Without an id, a hash of its content is one.

    Raises Refused for what no importer would take, or if the id or the same prompt is here."""
    _check(external_id.strip(), messages, system, context, metadata or {})
    fingerprint = prompt_fingerprint(system, messages, context)
    prompt = Prompt(
        project=project,
        external_id=external_id.strip() or fingerprint,
        messages=messages,
        system=system,
        context=context,
        metadata=metadata or {},
        fingerprint=fingerprint,
        root_key=root_key(messages, fallback=system + context),
    )
    if project.prompts.filter(external_id=prompt.external_id).exists():
        raise Refused(f"A prompt with the id “{prompt.external_id}” is here already.")
    _refuse_a_double(prompt)
    prompt.save()
    return prompt


@transaction.atomic
def edit_prompt(
    *,
    prompt: Prompt,
    messages: list[dict[str, Any]],
    system: str,
    context: str,
    metadata: dict[str, Any],
) -> None:
    """Metadata may always change; text only while nothing rests on it.

    Raises Refused, by the prompt's name, if it has been worked on, or if another one equals it."""
    _check(prompt.external_id, messages, system, context, metadata)
    fingerprint = prompt_fingerprint(system, messages, context)
    same_text = (prompt.messages, prompt.system, prompt.context) == (messages, system, context)
    if not same_text and text_is_fixed(prompt):
        raise Refused(
            f"Prompt “{prompt.external_id}” has been worked on, so its text stays as people saw "
            "it. Retire it and add the new text as a prompt of its own; metadata may be changed."
        )
    prompt.messages, prompt.system, prompt.context = messages, system, context
    prompt.metadata = metadata
    if fingerprint != prompt.fingerprint:
        prompt.fingerprint = fingerprint
        prompt.root_key = root_key(messages, fallback=system + context)
        _refuse_a_double(prompt)
    prompt.save()


@transaction.atomic
def retire(*, prompt: Prompt) -> None:
    """Out of every queue and of new datasets; what was done on it stays."""
    prompt.retired = timezone.now()
    prompt.save(update_fields=["retired"])
    queue.answers_arrived([prompt.pk])


@transaction.atomic
def unretire(*, prompt: Prompt) -> None:
    """Raises Refused for a prompt that was erased."""
    if prompt.is_erased:
        raise Refused("This prompt was erased: there is nothing left to bring back.")
    prompt.retired = None
    prompt.save(update_fields=["retired"])
    queue.answers_arrived([prompt.pk])
