"""`manage.py import_prompts PROJECT FILE`: the same import as on the page, in this process.

Also of a dataset directory, and of hub:owner/name where the operator allows the Hub."""

import json
from copy import copy
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import fetching, hub, importing, mappings, people, projects
from annotation.errors import Refused
from annotation.forms.imports import web_address
from annotation.import_files import display_name, drop
from annotation.layouts import LAYOUTS
from annotation.models import Import, Project, Workspace
from annotation.parsing import no_layout, preview
from annotation.reports import Report

LISTED = 20  # refused rows and notes on the screen; the report has all of them
WORKSPACE = "default"


class Command(BaseCommand):
    help = (
        "Import prompts, answers and rankings from a file. All or nothing unless --skip-bad. "
        "Prints the counts and the refused rows."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's short name")
        parser.add_argument("file", help="a file, a dataset directory, or hub:owner/name")
        parser.add_argument("--create", action="store_true", help="make what is missing")
        parser.add_argument("--workspace", help="its short name; needed if there are several")
        parser.add_argument("--layout", choices=sorted(LAYOUTS), help="else it is recognised")
        parser.add_argument(
            "--map",
            action="extend",
            nargs="+",
            default=[],
            metavar="FIELD=COLUMN",
            help="prompt, response, response.NAME, context, system, chosen, rejected, external_id, "
            "metadata.NAME",
        )
        parser.add_argument("--mapping", metavar="NAME", help="a mapping that was saved by name")
        parser.add_argument(
            "--no-header",
            action="store_true",
            help="the first line of a table is a row: map “column 1” and so on",
        )
        parser.add_argument("--config", default="", help="of a directory or of the Hub")
        parser.add_argument("--split", default="", help="else all of them")
        parser.add_argument("--revision", default="", help="of the Hub: a branch, tag or commit")
        parser.add_argument("--licence", help="of the rows, for the cards of datasets")
        parser.add_argument("--homepage", help="where the file is from")
        parser.add_argument("--skip-bad", action="store_true", help="import the good rows")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen")
        parser.add_argument("--report", type=Path, help="write the report here, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        name: str = options["file"]
        _check(name, options)
        mapping = dict(_pair(pair) for pair in options["map"])
        made: list[Project | Workspace] = []
        try:
            project = find_project(
                options["project"], options["workspace"], options["create"], made
            )
            if options["mapping"]:
                saved = mappings.named(project.workspace, options["mapping"])
                mapping, options["no_header"] = saved.mapping, saved.no_header
            report, failure = _import(project, name, mapping, options)
        except Refused as refusal:
            report, failure = _of_refusal(name, str(refusal)), str(refusal)
        if failure or options["dry_run"]:
            for row in made:  # nothing is left of an import that did not happen
                row.delete()
        if options["report"]:
            text = json.dumps(report, ensure_ascii=False, indent=1)
            options["report"].write_text(text + "\n", encoding="utf-8")
        if failure:
            self._list("refused", report["refused"], "reason", self.stderr)
            raise CommandError(failure)
        self._say(report, options["dry_run"])

    def _say(self, report: dict[str, Any], dry_run: bool) -> None:
        self.stdout.write(
            f"{'Dry run, nothing was kept. ' if dry_run else ''}Layout {report['layout']}, "
            f"{report['rows']} rows: {report['imported']} imported, {report['updated']} updated, "
            f"{report['unchanged']} unchanged, {len(report['refused'])} refused; "
            f"{report['prompts']} prompts, {report['responses']} responses, "
            f"{report['rankings']} rankings made in {report['seconds']} s."
        )
        self._list("refused", report["refused"], "reason", self.stdout)
        self._list("note", report["notes"], "note", self.stdout)

    def _list(self, word: str, entries: list[dict[str, Any]], key: str, out: Any) -> None:
        for entry in entries[:LISTED]:
            line = f"line {entry['line']}" if entry["line"] else "file"
            out.write(f"  {word}: {line}: {entry[key]}")
        if len(entries) > LISTED:
            out.write(f"  {word}: {len(entries) - LISTED} more; --report has them all")


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        raise CommandError(f"--map wants FIELD=COLUMN; “{text}” has no “=”.")
    return name.strip(), column


def _check(name: str, options: dict[str, Any]) -> None:
    """Raises CommandError for what does not go together."""
    if not name.startswith(hub.PREFIX) and not Path(name).exists():
        raise CommandError(f"There is no file {name}.")
    if sum(bool(options[way]) for way in ("layout", "map", "mapping")) > 1:
        raise CommandError("Give --layout, --map or --mapping: one of them.")
    if Path(name).is_file() and (options["config"] or options["split"]):
        raise CommandError("--config and --split are for a directory or for the Hub.")
    if options["no_header"] and not (Path(name).is_file() and options["map"]):
        raise CommandError("--no-header is for one table, with --map: “prompt=column 1”.")
    if options["revision"] and not name.startswith(hub.PREFIX):
        raise CommandError("--revision is for the Hub.")
    try:
        web_address(options["homepage"] or "")
    except ValidationError as error:
        raise CommandError(f"--homepage: {error.message}") from None
    if len(options["licence"] or "") > 100:
        raise CommandError("--licence has at most 100 characters.")


def _import(
    project: Project, name: str, mapping: dict[str, str], options: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """The report, and the reason if nothing was imported."""
    import_row = _create(project, name, mapping, options)
    if not import_row.layout:
        columns = preview(import_row).columns
        drop(import_row)
        import_row.delete()
        raise Refused(no_layout(columns))
    fetching.describe(
        import_row=import_row, licence=options["licence"], homepage=options["homepage"]
    )
    before = copy(import_row)
    report = importing.run_now(import_row, dry_run=options["dry_run"])
    if options["dry_run"]:
        drop(before)  # what came from the Hub; the import itself is forgotten
    return report, import_row.reason if import_row.state == Import.State.FAILED else ""


def _create(
    project: Project, name: str, mapping: dict[str, str], options: dict[str, Any]
) -> Import:
    how = {"layout": options["layout"] or "", "mapping": mapping, "skip_bad": options["skip_bad"]}
    which = {"config": options["config"], "split": options["split"]}
    if not name.startswith(hub.PREFIX):
        if Path(name).is_dir():
            return fetching.directory(project=project, user=None, root=Path(name), **which, **how)
        return importing.create(
            project=project, user=None, path=name, no_header=options["no_header"], **how
        )
    import_row = fetching.from_hub(
        project=project, user=None, repo=name, revision=options["revision"], **which
    )
    fetching.fetch(import_row)
    if import_row.state == Import.State.FAILED:
        reason = import_row.reason
        drop(import_row)
        import_row.delete()
        raise Refused(reason)
    if how["layout"] or mapping:
        importing.configure(import_row=import_row, **how)
    return import_row


def _of_refusal(name: str, reason: str) -> dict[str, Any]:
    report = Report(display_name(name), "")
    report.note(None, reason)
    return report.as_dict()


def find_project(
    slug: str, workspace: str | None, create: bool, made: list[Project | Workspace]
) -> Project:
    """The project of this short name; what had to be made for it is added to `made`.

    Raises Refused if it is not there, or there twice."""
    found = Project.objects.filter(slug=slug).select_related("workspace")
    if workspace:
        found = found.filter(workspace__slug=workspace)
    rows = list(found[:2])
    if len(rows) > 1:
        raise Refused(f"Several workspaces have a project “{slug}”: add --workspace.")
    if rows:
        return rows[0]
    if not create:
        where = f" in the workspace “{workspace}”" if workspace else ""
        raise Refused(f"There is no project “{slug}”{where}; --create makes it.")
    home = _home(workspace, made)
    project = projects.create_project(workspace=home, name=_name(slug), slug=slug)
    made.insert(0, project)
    return project


def _home(slug: str | None, made: list[Project | Workspace]) -> Workspace:
    """The workspace for a new project: the named one, the only one, or a new one."""
    if slug is None:
        only = list(Workspace.objects.all()[:2])
        if len(only) > 1:
            raise Refused("There are several workspaces: say which with --workspace.")
        if only:
            return only[0]
        slug = WORKSPACE
    if (found := Workspace.objects.filter(slug=slug).first()) is not None:
        return found
    made.append(people.create_workspace(name=_name(slug), owner=None, slug=slug))
    return Workspace.objects.get(slug=slug)


def _name(slug: str) -> str:
    return slug.replace("-", " ").replace("_", " ").capitalize()
