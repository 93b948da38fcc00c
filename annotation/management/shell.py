"""What commands share: how a workspace is named in the shell."""

from django.core.management.base import CommandError

from annotation.models import Workspace


def find_workspace(slug: str | None) -> Workspace:
    """The workspace of that short name; without one, the only one. Raises CommandError."""
    if slug:
        found = Workspace.objects.filter(slug=slug).first()
        if found is None:
            raise CommandError(f"There is no workspace “{slug}”.")
        return found
    some = list(Workspace.objects.order_by("slug")[:20])
    if not some:
        raise CommandError("There is no workspace yet: log in and make one.")
    if len(some) > 1:
        names = ", ".join(each.slug for each in some)
        raise CommandError(f"There are several workspaces: name one with --workspace ({names}).")
    return some[0]
