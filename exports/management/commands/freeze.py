"""`manage.py freeze DATASET [--out DIR]`: a frozen version, made in this process."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import Refused
from exports import snapshots
from exports.models import Dataset


class Command(BaseCommand):
    help = "Freeze a dataset. Prints the directory and the sha256 of its data, tab between."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="short name or number")
        parser.add_argument("--workspace", help="short name, where a dataset's is not unique")
        parser.add_argument("--out", type=Path, help="a folder that is not there yet, or empty")

    def handle(self, *args: Any, **options: Any) -> None:
        dataset = find(options["dataset"], options["workspace"])
        try:
            snapshot = snapshots.freeze_now(dataset=dataset, user=None, out=options["out"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{snapshot.path}\t{snapshot.sha256}")


def find(name: str, workspace: str | None) -> Dataset:
    """The dataset of this short name or number. Raises CommandError."""
    rows = Dataset.objects.select_related("workspace")
    if workspace:
        rows = rows.filter(workspace__slug=workspace)
    found = list(rows.filter(slug=name)[:2])
    if not found and name.isascii() and name.isdigit():
        found = list(rows.filter(pk=int(name)))
    if not found:
        raise CommandError(f"There is no dataset “{name}”; `make_dataset` makes one.")
    if len(found) > 1:
        raise CommandError(f"Several workspaces have a dataset “{name}”: add --workspace.")
    return found[0]
