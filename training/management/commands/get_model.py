"""manage.py get_model: the small real model, made ready in a run; does nothing where it is."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from annotation.management.shell import find_workspace
from training import runs
from training.management.shell import wait


class Command(BaseCommand):
    help = "Queue the run that makes the small real model ready, unless there is one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workspace", help="its short name; needed where there are several")
        parser.add_argument("--wait", action="store_true", help="until it is there")

    def handle(self, **options: Any) -> None:
        run = runs.get_model(workspace=find_workspace(options["workspace"]))
        self.stdout.write(f"{run.pk}\n{run.directory}")
        if options["wait"]:
            wait(run, self.stderr.write)
