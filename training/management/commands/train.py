"""manage.py train RECIPE --snapshot DIR --model PATH_OR_ID …: the Train button in a shell."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import Refused
from annotation.management.shell import find_workspace
from annotation.models import Workspace
from exports.models import Snapshot
from training import preflights, runs
from training.inputs import Given, snapshot_folder
from training.management.shell import run_or_path, wait
from training.planning import Plan, plan
from training.recipes.configs import RECIPES, ConfigError, turned

TRAINS = [name for name, recipe in RECIPES.items() if recipe.dataset]


class Command(BaseCommand):
    help = "Queue a training run; prints its number and its directory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("recipe", choices=TRAINS)
        parser.add_argument("--snapshot", required=True, help="a snapshot's directory or number")
        parser.add_argument("--model", help="a local folder or its name, a run, or a Hub id")
        parser.add_argument("--reward", help="ppo, evaluate: a reward run or its directory")
        parser.add_argument("--against", help="evaluate: the model to set it against")
        parser.add_argument("--init", help="an earlier run, or its directory, to start from")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="knobs")
        parser.add_argument("--preset", choices=["quick", "sensible"], default="sensible")
        parser.add_argument("--workspace", help="its short name; the snapshot's, if left out")
        parser.add_argument("--name", default="")
        parser.add_argument("--wait", action="store_true", help="until it has ended")
        parser.add_argument("--no-preflight", action="store_true")

    def handle(self, **options: Any) -> None:
        inputs, workspace = self.inputs(options)
        preset = runs.preset_values(options["recipe"], options["preset"])
        asked: dict[str, Any] = {
            "workspace": workspace,
            "recipe": options["recipe"],
            "config": turned(preset, knobs(options["knobs"])),
            "inputs": inputs,
            "operator": True,
        }
        try:
            if not options["no_preflight"]:
                self.look(plan(**asked))
            run = runs.create_run(user=None, name=options["name"], **asked)
        except (Refused, ConfigError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{run.pk}\n{run.directory}")
        if options["wait"]:
            wait(run, self.stderr.write)

    def look(self, wanted: Plan) -> None:
        """Raises Refused with what the preflight has against it; its remarks go to stderr."""
        if wanted.waits:
            return
        row = preflights.now(wanted)
        preflights.check(row)
        for warning in row.found.get("warnings") or []:
            self.stderr.write(f"note: {warning}")

    def inputs(self, options: dict[str, Any]) -> tuple[dict[str, Given], Workspace]:
        """What was named, as rows where they are ours; and the workspace it belongs to."""
        snapshot, workspace = self.snapshot(options)
        found: dict[str, Given] = {"snapshot": snapshot}
        if text := options["model"]:
            found["model"] = run_or_path(text) if not Path(text).is_dir() else model_folder(text)
        for name in ("reward", "against", "init"):
            if options[name]:
                found[name] = run_or_path(options[name])
        return found, workspace

    def snapshot(self, options: dict[str, Any]) -> tuple[Given, Workspace]:
        given = options["snapshot"]
        if given.isdecimal() and not Path(given).is_dir():
            row = Snapshot.objects.select_related("dataset__workspace").filter(pk=given).first()
            if row is None:
                raise CommandError(f"There is no snapshot {given}.")
        else:
            try:
                row, path, _ = snapshot_folder(given)
            except Refused as error:
                raise CommandError(str(error)) from None
            if row is None:
                return str(path), find_workspace(options["workspace"])
        if options["workspace"] and row.workspace.slug != options["workspace"]:
            raise CommandError(f"{row} belongs to the workspace {row.workspace.slug}.")
        return row, row.workspace


def model_folder(text: str) -> Given:
    """A folder: the run of ours whose directory or artifact it is; else the folder itself."""
    if any((Path(text) / name).is_file() for name in ("annotune.json", "spec.json")):
        return run_or_path(text)
    return text


def knobs(pairs: list[str]) -> dict[str, str]:
    """KEY=VALUE pairs. Raises CommandError for one without a sign."""
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise CommandError(f"--set takes KEY=VALUE, not {pair!r}.")
        found[key.strip()] = value
    return found
