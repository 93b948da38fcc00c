"""`manage.py demo` where something is there already, and where it must not run."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from annotation.models import User, Workspace
from exports.models import Snapshot
from training.models import Run


def load(*options: str) -> str:
    out = StringIO()
    call_command("demo", *options, stdout=out)
    return out.getvalue()


def test_it_brings_what_is_missing_and_leaves_an_account_alone(db, sent):
    ana = User.objects.create_user("ana@example.org", "Ana Lima", "her own secret")
    load("--no-train")
    assert not Run.objects.exists()
    ana.refresh_from_db()
    assert ana.check_password("her own secret")
    assert ana.name == "Ana Lima"
    assert "nothing was changed" in load("--no-train")
    Workspace.objects.get().datasets.get(name="Tutor prompts").delete()
    assert "is loaded" in load()
    assert Run.objects.count() == 2
    assert Snapshot.objects.count() == 3


def test_a_known_password_is_not_brought_into_production(db, settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="password"):
        load()
    assert not User.objects.exists()
