"""`manage.py erase person|prompt ...`: everything by a person, or a prompt with all made of it.

It asks for a confirmation typed by hand; docs/people.md says what it reaches and what not."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from annotation import erasing, erasing_rows, people
from annotation.errors import Refused
from annotation.management.shell import find_workspace
from annotation.models import Erasure, Membership, Prompt


class Command(BaseCommand):
    help = "Blank everything by a person, or a prompt with all answers and work on it. No way back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        person = kinds.add_parser("person", help="everything by one person, and the person")
        person.add_argument("email")
        person.add_argument("--everywhere", action="store_true", help="in all their workspaces")
        person.add_argument("--name", action="append", default=[], help="imported under this name")
        prompt = kinds.add_parser("prompt", help="one prompt and the later turns after it")
        prompt.add_argument("project", help="its short name")
        prompt.add_argument("external_id")
        prompt.add_argument("--blank-id", action="store_true", help="blank its id too")
        for each in (person, prompt):
            each.add_argument("--workspace", help="its short name; needed if there are several")
            each.add_argument("--reason", default="", help="kept in the record: name nobody in it")
            each.add_argument("--yes", action="store_true", help="do not ask")
        kinds.add_parser("compact", help="rewrite the database without what was erased")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["kind"] == "compact":
            erasing_rows.compact()
            self.stdout.write("The database is rewritten; its backups are as they were.")
            return
        try:
            act = self._person if options["kind"] == "person" else self._prompt
            erasures = act(options)
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        for erasure in erasures:
            self._say(erasure)

    def _person(self, options: dict[str, Any]) -> list[Erasure]:
        members = Membership.objects.filter(user__email=options["email"].strip().lower())
        if not options["everywhere"]:
            members = members.filter(workspace=find_workspace(options["workspace"]))
        found = list(members.select_related("workspace", "user").order_by("pk"))
        if not found:
            raise CommandError(f"“{options['email']}” is nobody here.")
        self._confirm(options, found[0].user.email)
        return [
            erasing.erase_person(
                membership=member,
                by=people.SHELL,
                names=options["name"],
                reason=options["reason"],
            )
            for member in found
        ]

    def _prompt(self, options: dict[str, Any]) -> list[Erasure]:
        workspace = find_workspace(options["workspace"])
        prompt = (
            Prompt.objects.select_related("project__workspace")
            .filter(
                project__workspace=workspace,
                project__slug=options["project"],
                external_id=options["external_id"],
            )
            .first()
        )
        if prompt is None:
            raise CommandError(f"There is no prompt “{options['external_id']}” there.")
        self._confirm(options, prompt.external_id)
        erasure = erasing.erase_prompt(
            prompt=prompt,
            by=people.SHELL,
            reason=options["reason"],
            blank_id=options["blank_id"],
        )
        return [erasure]

    def _confirm(self, options: dict[str, Any], wanted: str) -> None:
        if options["yes"]:
            return
        if input(f"This cannot be undone. Type {wanted} to go on: ").strip() != wanted:
            raise CommandError("Nothing was erased.")

    def _say(self, erasure: Erasure) -> None:
        page = reverse("annotation:erasure", args=[erasure.pk])
        self.stdout.write(
            f"Erasure {erasure.pk} in {erasure.workspace}: {len(erasure.prompts)} prompts, "
            f"{len(erasure.responses)} responses, {len(erasure.submissions)} submissions. "
            f"{settings.BASE_URL.rstrip('/')}{page}"
        )
        for held in erasing.imports_of(erasure):
            self.stdout.write(f"Held by the file of import {held.pk}: {held.filename} {held.path}")
