"""`manage.py freeze DATASET [--out DIR]`: a frozen version, made in this process."""

import glob
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.errors import Refused
from exports import snapshots
from exports.models import Dataset
from exports.shelf import TEXTS

DEAD = 600.0  # seconds without a word written


class Command(BaseCommand):
    help = "Freeze a dataset. Prints the directory and the sha256 of its data, tab between."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="short name or number")
        parser.add_argument("--workspace", help="short name, where a dataset's is not unique")
        parser.add_argument("--out", type=Path, help="a folder that is not there yet, or empty")

    def run_from_argv(self, argv: list[str]) -> None:
        stop_cleanly()
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        dataset = find(options["dataset"], options["workspace"])
        if options["out"] is not None:
            clear_killed(options["out"].absolute())
        try:
            snapshot = snapshots.freeze_now(dataset=dataset, user=None, out=options["out"])
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{snapshot.path}\t{snapshot.sha256}")


def stop_cleanly() -> None:
    """Who stops this process has it end as by Ctrl+C: what is half written is deleted."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: sys.exit(128 + number))


def clear_killed(out: Path) -> None:
    """Delete what a killed freeze into the same folder was writing beside it: rows that no erasure
    would find. What was written lately is somebody's who is at it."""
    for work in out.parent.glob(f".{glob.escape(out.name)}-*"):
        if (work / TEXTS).is_file() and (work / "snapshot").is_dir():
            last = max(path.stat().st_mtime for path in (work, *work.rglob("*")))
            if time.time() - last > DEAD:
                shutil.rmtree(work, ignore_errors=True)


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
