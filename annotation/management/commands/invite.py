"""`manage.py invite EMAIL --role R [--workspace W]`: prints a link that lets one person in."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from annotation import people
from annotation.errors import Refused
from annotation.management.shell import find_workspace
from annotation.models import Role


class Command(BaseCommand):
    help = "Invite a person into a workspace and print the link, which is shown only this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--role", required=True, choices=Role.labels)
        parser.add_argument("--workspace", help="its short name; needed if there are several")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = find_workspace(options["workspace"])
        try:
            validate_email(options["email"])
            _, path = people.invite(
                workspace=workspace,
                email=options["email"],
                role=Role[options["role"].upper()],
                by=people.SHELL,
            )
        except ValidationError:
            raise CommandError(f"“{options['email']}” is no e-mail address.") from None
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"{settings.BASE_URL.rstrip('/')}{path}")
        self.stderr.write(
            f"For {options['email']} as {options['role']} in {workspace}, once, "
            f"within {people.INVITATION_DAYS} days."
        )
