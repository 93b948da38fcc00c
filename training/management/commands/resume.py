"""manage.py resume RUN: the Resume button in a shell."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import Refused
from training import runs
from training.management.shell import find_run, wait


class Command(BaseCommand):
    help = "Take up a failed or cancelled run from its newest checkpoint."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="its number or directory")
        parser.add_argument("--wait", action="store_true", help="until it has ended")

    def handle(self, **options: Any) -> None:
        try:
            run = runs.resume(find_run(options["run"]), by="the shell")
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Run {run.pk} is {run.state}, attempt {run.attempt}.")
        if options["wait"]:
            wait(run, self.stderr.write)
