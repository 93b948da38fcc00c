"""Erasure: everything by one person, or one prompt with all that was made of it. The only writer of
Erasure, the tombstone. docs/people.md says what goes, what stays and what cannot be reached.

Who keeps files of rows (snapshots, models) looks at the tombstones and acts on them: they name the
ids whose text is gone, and they are there before the first row is blanked, so a run that is cut off
leaves nothing in use. It can be run again and goes on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from annotation import erasing_person, erasing_rows, leaving, rounds
from annotation.errors import Refused
from annotation.models import (
    Activity,
    Erasure,
    Gold,
    Import,
    Membership,
    Origin,
    Prompt,
    Response,
    Role,
    Submission,
    User,
    Workspace,
)
from annotation.people import Actor


@dataclass(frozen=True)
class Found:
    """The ids of what an erasure blanks."""

    prompts: list[int]
    responses: list[int]
    submissions: list[int]

    @property
    def imports(self) -> list[Import]:
        """The imports whose files hold some of it: a file cannot be cut."""
        return imports_of(self)


def of_person(workspace: Workspace, user: User, names: Sequence[str] = ()) -> Found:
    """The person's turns and answers in the workspace, with those imported under `names`, and
    later turns of conversations that repeat one of the answers."""
    theirs = Q(user=user)
    if names:
        theirs |= Q(user__isnull=True, rater__in=names)
    turns = Submission.objects.filter(theirs, stage__project__workspace=workspace)
    submissions = list(turns.values_list("pk", flat=True))
    answers = set(
        Response.objects.filter(author=user, prompt__project__workspace=workspace).values_list(
            "pk", flat=True
        )
    )
    if names:
        imported = Response.objects.filter(
            author__isnull=True, author_name__in=names, prompt__project__workspace=workspace
        ).exclude(origin=Origin.MODEL)
        answers |= set(imported.values_list("pk", flat=True))
    fixes = Response.objects.filter(submission__in=turns.values("pk"))  # they repeat their words
    answers |= set(fixes.values_list("pk", flat=True))
    later = erasing_rows.continuations(answers)
    return Found(sorted(later), sorted(answers), sorted(submissions))


def of_prompt(prompt: Prompt) -> Found:
    """The prompt and the later turns of its conversation, which repeat it, with every answer to
    them and every turn at them."""
    prompts, level = {prompt.pk}, [prompt.pk]
    while level:
        later = Prompt.objects.filter(parent__prompt__in=level).values_list("pk", flat=True)
        level = [pk for pk in later if pk not in prompts]
        prompts.update(level)
    answers: list[int] = []
    turns: list[int] = []
    for part in erasing_rows.chunks(prompts):
        answers += Response.objects.filter(prompt__in=part).values_list("pk", flat=True)
        turns += Submission.objects.filter(item__prompt__in=part).values_list("pk", flat=True)
    return Found(sorted(prompts), sorted(answers), sorted(turns))


def imports_of(found: "Found | Erasure") -> list[Import]:
    batches: set[int] = set()
    for part in erasing_rows.chunks(found.prompts):
        batches |= _batches(Prompt.objects.filter(pk__in=part))
    for part in erasing_rows.chunks(found.responses):
        batches |= _batches(Response.objects.filter(pk__in=part))
    for part in erasing_rows.chunks(found.submissions):
        batches |= _batches(Submission.objects.filter(pk__in=part))
    return list(Import.objects.filter(pk__in=batches).order_by("pk"))


def _batches(rows: "QuerySet[Any]") -> set[int]:
    return set(rows.exclude(batch=None).values_list("batch", flat=True).distinct())


def erase_person(
    *, membership: Membership, by: Actor, names: Iterable[str] = (), reason: str = ""
) -> Erasure:
    """Blank everything by this person in the workspace, and the person.

    `names`: under which their work was imported, exactly as it stands there. An account that is in
    other workspaces too stays there; here its work belongs to a nameless one.
    Raises Refused for anybody but an owner, for oneself and for the last owner."""
    workspace, user = membership.workspace, membership.user
    _owners_only(by)
    if by.user is not None and by.user.pk == user.pk:
        raise Refused("Another owner erases you: whoever erases stands in the record of it.")
    if membership.is_active:
        leaving.deactivate(membership=membership, by=by)
    names = [name.strip() for name in names if name.strip()]
    found = of_person(workspace, user, names)
    later = erasing_rows.continuations(found.responses)
    elsewhere = erasing_person.is_elsewhere(membership)
    person = erasing_person.nameless() if elsewhere else user
    erasure = _tombstone(workspace, Erasure.Kind.PERSON, person.pk, found, reason, by)
    erasing_rows.overwrite_freed_pages()
    erasing_rows.cut_out(later)
    erasing_rows.responses(found.responses, author=True)
    erasing_rows.submissions(found.submissions)
    rest = _rest(erasure, of_person(workspace, user, names))
    erasing_rows.responses(rest.responses, author=True)
    erasing_rows.submissions(rest.submissions)
    erasing_person.blank(workspace, user, names, erasure.submissions, erasure)
    if elsewhere:
        erasing_person.reassign(workspace, user, person)
    else:
        erasing_person.close_account(user)
    touched = set(erasure.prompts)
    for part in erasing_rows.chunks(erasure.responses):
        rows = Response.objects.filter(pk__in=part)
        touched.update(rows.values_list("prompt", flat=True))
    for part in erasing_rows.chunks(erasure.submissions):
        turns = Submission.objects.filter(pk__in=part)
        touched.update(turns.values_list("item__prompt", flat=True))
    _done(erasure, touched)
    return erasure


def erase_prompt(*, prompt: Prompt, by: Actor, reason: str = "", blank_id: bool = False) -> Erasure:
    """Blank the prompt, the later turns of its conversation and all that was made of them.

    `blank_id`: its id from outside goes too; a file that is imported again then brings the prompt
    back. Raises Refused for anybody but an owner."""
    _owners_only(by)
    found = of_prompt(prompt)
    workspace = prompt.project.workspace
    erasure = _tombstone(workspace, Erasure.Kind.PROMPT, prompt.pk, found, reason, by)
    erasing_rows.overwrite_freed_pages()
    _blank_prompts(found, blank_id)
    _blank_prompts(_rest(erasure, of_prompt(prompt)), blank_id)
    for part in erasing_rows.chunks(erasure.prompts):
        pages = [reverse("annotation:prompt", args=[pk]) for pk in part]
        Activity.objects.filter(workspace=workspace, path__in=pages).update(subject="", detail="")
    _done(erasure, erasure.prompts)
    return erasure


def _blank_prompts(found: Found, blank_id: bool) -> None:
    for part in erasing_rows.chunks(found.prompts):  # nobody gets them any more
        Prompt.objects.filter(pk__in=part, retired=None).update(retired=timezone.now())
    erasing_rows.end_turns(found.prompts)
    erasing_rows.end_golds(Gold.objects.filter(item__prompt__in=found.prompts))
    erasing_rows.responses(found.responses, author=False)
    erasing_rows.submissions(found.submissions)
    erasing_rows.prompts(found.prompts, names=blank_id)


def _rest(erasure: Erasure, found: Found) -> Found:
    """What came while the first was blanked, named by the tombstone before it is blanked, too.

    No more can come: whatever is open is of another version by now, and is refused."""
    rest = {}
    for part in ("prompts", "responses", "submissions"):
        known = set(getattr(erasure, part))
        rest[part] = sorted(set(getattr(found, part)) - known)
        setattr(erasure, part, sorted(known.union(rest[part])))
    erasure.save(update_fields=list(rest))
    return Found(**rest)


def _owners_only(by: Actor) -> None:
    if by.role != Role.OWNER:
        raise Refused("Only an owner erases: it cannot be undone.")


@transaction.atomic
def _tombstone(
    workspace: Workspace, kind: str, subject: int, found: Found, reason: str, by: Actor
) -> Erasure:
    return Erasure.objects.create(
        workspace=workspace,
        kind=kind,
        subject=subject,
        prompts=found.prompts,
        responses=found.responses,
        submissions=found.submissions,
        reason=reason.strip(),
        author=by.user,
    )


def _done(erasure: Erasure, prompts: Iterable[int]) -> None:
    """Queues and measurements follow; the tombstone bears the time at which nothing was left, so
    that what was frozen meanwhile is looked at too."""
    rounds.answers_arrived(prompts)
    erasing_person.forget_measurements(erasure.workspace)
    cache.clear()  # rendered texts; other processes forget theirs within a day
    erasure.created = timezone.now()
    erasure.save(update_fields=["created"])
    erasing_rows.empty_log()
