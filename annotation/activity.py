"""Who changed what in a workspace: the only writer of Activity. Views and the API call it after an
act; nothing rests on these rows, so a line too few loses nothing."""

from annotation.models import Activity, Project, User, Workspace


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
