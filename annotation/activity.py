"""Who changed what in a workspace: the only writer of Activity. Views and the API call it after an
act; nothing rests on these rows, so a line too few loses nothing."""

from typing import Any

from django.forms import BaseForm
from django.urls import reverse

from annotation.models import (
    Activity,
    Import,
    Invitation,
    Membership,
    Project,
    Prompt,
    User,
    Workspace,
)

SIZE = 50


def record(
    *,
    workspace: Workspace,
    actor: User | None,
    what: str,
    subject: str = "",
    path: str = "",
    project: Project | None = None,
    detail: str = "",
) -> None:
    """`what`: the act in words ("stage edited"); `subject`: the thing's name; `path`: its page."""
    Activity.objects.create(
        workspace=workspace,
        project=project,
        actor=actor,
        actor_name=str(actor or "")[:200],
        what=what[:40],
        subject=subject[:200],
        path=path[:300],
        detail=detail,
    )


def note(actor: User, what: str, thing: Any, detail: str = "", path: str = "") -> None:
    """`record` for a row that knows its workspace: its project, its name and its page. `path`: the
    page of a row from another app."""
    own = getattr(thing, "project", None)
    project = thing if isinstance(thing, Project) else own
    record(
        workspace=thing.workspace,
        actor=actor,
        what=what,
        subject=_name(thing),
        path=path or _page(thing),
        project=project,
        detail=detail,
    )


def changed(form: BaseForm) -> str:
    """What a sent form changed, in its own words: for `detail`."""
    return ", ".join(str(form[name].label).lower() for name in form.changed_data)


def _name(thing: Any) -> str:
    if isinstance(thing, Prompt):
        return thing.question or thing.external_id
    if isinstance(thing, Import):
        return thing.filename or thing.source
    if isinstance(thing, Membership):
        return str(thing.user)
    return thing.email if isinstance(thing, Invitation) else str(thing)


def _page(thing: Any) -> str:
    if isinstance(thing, Membership | Invitation):
        return reverse("annotation:people", args=[thing.workspace.slug])
    if isinstance(thing, Workspace):
        return reverse("annotation:workspace", args=[thing.slug])
    return reverse(f"annotation:{type(thing).__name__.lower()}", args=[thing.pk])


def newest(
    workspace: Workspace, project: int | None, before: int | None
) -> tuple[list[Activity], int | None]:
    """(rows, newest first, SIZE at most; the id to go on from, none at the end)."""
    rows = Activity.objects.filter(workspace=workspace).select_related("actor", "project")
    if project is not None:
        rows = rows.filter(project=project)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: SIZE + 1])
    return found[:SIZE], found[SIZE - 1].pk if len(found) > SIZE else None
