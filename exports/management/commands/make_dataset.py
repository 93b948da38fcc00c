"""`manage.py make_dataset NAME --project P --kind K [--rule KEY=VALUE ...]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.models import Project, Workspace
from exports import datasets
from exports.formats import KINDS
from exports.rules import FIELDS, SelectionError


class Command(BaseCommand):
    help = "Make a dataset: a live selection over projects. Prints its short name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--project", action="append", required=True, help="short name; repeat")
        parser.add_argument("--kind", required=True, help=", ".join(KINDS))
        parser.add_argument("--workspace", help="short name, where a project's is not unique")
        parser.add_argument(
            "--rule",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in FIELDS.items()),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        values: dict[str, Any] = {"projects": options["project"]}
        for rule in options["rule"]:
            key, separator, value = rule.partition("=")
            if not separator:
                raise CommandError(f"--rule {rule}: KEY=VALUE is wanted.")
            values[key.strip()] = value
        workspace = workspace_of(options["project"][0], options["workspace"])
        try:
            dataset = datasets.create(
                workspace=workspace,
                name=options["name"],
                kind=options["kind"],
                values=values,
                user=None,
            )
        except SelectionError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(dataset.slug)


def workspace_of(project: str, workspace: str | None) -> Workspace:
    """The workspace named, or the one that has the project. Raises CommandError."""
    if workspace:
        found = Workspace.objects.filter(slug=workspace).first()
        if found is None:
            raise CommandError(f"There is no workspace “{workspace}”.")
        return found
    rows = list(Project.objects.select_related("workspace").filter(slug=project)[:2])
    if not rows:
        raise CommandError(f"There is no project “{project}”.")
    if len(rows) > 1:
        raise CommandError(f"Several workspaces have a project “{project}”: add --workspace.")
    return rows[0].workspace
