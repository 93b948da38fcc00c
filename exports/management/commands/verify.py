"""`manage.py verify SNAPSHOT`: are the files whole, and do today's data still give them?"""

import sys
from pathlib import Path
from typing import Any

import pyarrow
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.text import row_number
from exports import manifest, verifying, withdrawal
from exports.models import Snapshot
from exports.splits import SPLITS

IDENTICAL, DAMAGED, MOVED_ON = 0, 1, 2


class Command(BaseCommand):
    help = (
        "Hash a frozen version's files again, read them, and make it anew from today's data. Ends "
        "with 0 where all is the same, 1 where files are damaged or gone, 2 where the files are "
        "sound and the data have moved on since; then it says how."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", nargs="+", help="its number, “slug v2”, or its directory")
        parser.add_argument("--workspace", help="short name, where a dataset's is not unique")
        parser.add_argument("--files", action="store_true", help="the files only, not the data")

    def handle(self, *args: Any, **options: Any) -> None:
        name = " ".join(options["snapshot"])
        snapshot, directory = find(name, options["workspace"])
        self._shown = ""
        wrong = self._files(snapshot, directory)
        if wrong:
            for line in wrong:
                self.stderr.write(line)
            sys.exit(DAMAGED)
        self.stdout.write(f"{directory}: the files are as they were frozen.")
        if not manifest.is_there(directory):
            self.stdout.write(manifest.NONE)
        if options["files"]:
            return
        if snapshot is None:
            self.stdout.write("No snapshot of this database lies there, so it is not made anew.")
            return
        self._derive(snapshot)

    def _files(self, snapshot: Snapshot | None, directory: Path) -> list[str]:
        if snapshot is not None and snapshot.state != Snapshot.State.READY:
            raise CommandError(
                f"{snapshot} is {snapshot.state}: {snapshot.reason or 'no files yet'}"
            )
        if not (directory / "snapshot.json").exists():
            return [
                f"{directory} holds no snapshot.json: the files are gone, or it is no snapshot."
            ]
        sha256 = snapshot.sha256 if snapshot is not None else ""
        sealed = snapshot.stats.get("manifest", "") if snapshot is not None else ""
        wrong = verifying.check_files(directory, sha256, self._beat, sealed)
        if snapshot is not None and not wrong:
            rows = {split: snapshot.counts.get(split, 0) for split in SPLITS}
            wrong = verifying.check_counts(directory, rows)
        self._end()
        return wrong

    def _derive(self, snapshot: Snapshot) -> None:
        found = verifying.derive(snapshot, self._beat)
        self._end()
        if found.sha256 == snapshot.sha256:
            self.stdout.write(f"Made anew from today's data: the same, sha256 {found.sha256}.")
            return
        self.stdout.write("The data have moved on since it was frozen. Made anew it would differ:")
        for line in [found.reason] if found.reason else verifying.say(found.diff):
            self.stdout.write(line)
        if found.diff and not any(found.diff[kind]["rows"] for kind in verifying.diff.KINDS):
            self.stdout.write(
                "no row differs, only the bytes: it was frozen by another version of pyarrow "
                f"(here {pyarrow.__version__}) or of Annotune."
            )
        sys.exit(MOVED_ON)

    def _beat(self, what: str, share: int) -> None:
        """Progress, on a terminal only."""
        if self.stderr.isatty() and (line := f"{what} {share} %") != self._shown:
            self._shown = line
            self.stderr.write(f"\r{line:<30}", ending="")

    def _end(self) -> None:
        if self._shown:
            self.stderr.write("\r" + " " * 30 + "\r", ending="")
            self._shown = ""


def find(name: str, workspace: str | None) -> tuple[Snapshot | None, Path]:
    """The snapshot and its directory; of a directory that no row knows, it alone. Raises
    CommandError."""
    rows = Snapshot.objects.select_related("dataset__workspace")
    if workspace:
        rows = rows.filter(dataset__workspace__slug=workspace)
    slug, _, version = name.rpartition(" ")
    number = row_number(version.removeprefix("v")) if slug else None
    if number is not None:
        found = list(rows.filter(dataset__slug=slug.strip(), number=number)[:2])
    elif (number := row_number(name)) is not None:
        found = list(rows.filter(pk=number))
    elif Path(name).is_dir():
        directory = Path(name).resolve()
        found = list(rows.filter(path=str(directory))[:1])
        if not found:
            return None, directory
    else:
        raise CommandError(f"“{name}” is no number, no “slug v2” and no directory.")
    if not found:
        raise CommandError(f"There is no snapshot “{name}”.")
    if len(found) > 1:
        raise CommandError(f"Several workspaces have a “{slug}”: add --workspace.")
    snapshot = withdrawal.check(found[0])
    return snapshot, Path(snapshot.path or "/nowhere")
