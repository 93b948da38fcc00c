"""manage.py answer RUN PROJECT: a finished model answers the prompts of a project."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import Refused
from annotation.models import Project
from training import answers
from training.management.shell import find_run, wait


class Command(BaseCommand):
    help = "Let a finished run's model answer what it has not answered; prints the new run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", help="its number or directory")
        parser.add_argument("project", help="its short name or number")
        parser.add_argument("--limit", type=int, help="at most so many prompts")
        parser.add_argument("--wait", action="store_true", help="until the answers are in")

    def handle(self, **options: Any) -> None:
        model = find_run(options["run"])
        name = options["project"]
        projects = Project.objects.select_related("workspace").filter(workspace=model.workspace)
        project = projects.filter(slug=name).first()
        if project is None and name.isdecimal():
            project = projects.filter(pk=name).first()
        if project is None:
            raise CommandError(f"There is no project {name} in {model.workspace.slug}.")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit takes a number from 1 up.")
        try:
            run = answers.queue_answers(
                project=project, model=model, user=None, limit=options["limit"]
            )
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{run.pk}\n{run.directory}")
        if options["wait"]:
            run = wait(run, self.stderr.write)
            delivered = run.result.get("delivered") or {}
            self.stdout.write(f"{delivered.get('answers', 0)} answers are in {project.slug}.")
