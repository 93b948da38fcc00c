"""manage.py cancel RUN: the Cancel button in a shell."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import Refused
from training import runs
from training.management.shell import find_run


class Command(BaseCommand):
    help = "Cancel a run: at once if nothing works on it, else at its next checkpoint."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="its number or directory")

    def handle(self, **options: Any) -> None:
        try:
            run = runs.cancel(find_run(options["run"]), by="the shell")
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Run {run.pk} is {run.state}.")
