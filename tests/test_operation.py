"""What the operator relies on: deploy checks, health, logs, headers."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError

from annotation.logs import JsonFormatter

ROOT = Path(__file__).resolve().parent.parent


def manage(*arguments: str, home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**env, "ANNOTUNE_HOME": str(home), **extra},
        capture_output=True,
        text=True,
    )


def test_deploy_check_is_clean_under_production_settings(tmp_path: Path) -> None:
    done = manage(
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        home=tmp_path,
        ANNOTUNE_PRODUCTION="1",
        SECRET_KEY="0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        ALLOWED_HOSTS="annotune.example.org",
    )
    assert done.returncode == 0, done.stderr


def test_production_without_a_key_refuses_to_start(tmp_path: Path) -> None:
    done = manage("check", home=tmp_path, ANNOTUNE_PRODUCTION="1", SECRET_KEY="")
    assert done.returncode != 0
    assert "needs SECRET_KEY" in done.stderr


def test_the_key_is_made_once_and_readable_by_us_only(tmp_path: Path) -> None:
    manage("check", home=tmp_path)
    first = (tmp_path / "secret_key").read_text()
    manage("check", home=tmp_path)
    assert (tmp_path / "secret_key").read_text() == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.django_db
def test_healthz(client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_healthz_says_when_the_database_is_gone(client, monkeypatch) -> None:
    class Gone:
        def cursor(self):
            raise OperationalError("password in this text must not get out")

    monkeypatch.setattr("annotation.health.connection", Gone())
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "database unreachable"}


@pytest.mark.django_db
def test_pages_carry_a_strict_policy(client) -> None:
    policy = client.get("/login/")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/join/SECRET/", "/password/reset/Mg/SECRET-it/"])
def test_no_log_line_holds_an_address_that_lets_somebody_in(path: str, rf) -> None:
    """As Django logs what it refuses: the path in the message, the request beside it."""
    extra = {"request": rf.post(path)}
    record = logging.makeLogRecord({"msg": "Forbidden (CSRF): %s", "args": (path,), **extra})
    line = JsonFormatter().format(record)
    assert "SECRET" not in line
    assert json.loads(line)["message"].startswith("Forbidden (CSRF): /")


def test_a_log_line_is_one_json_object_with_extras() -> None:
    record = logging.makeLogRecord({"msg": "run %s", "args": (3,), "levelname": "INFO", "run": 3})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "run 3"
    assert json.loads(line)["run"] == 3


@pytest.mark.parametrize(
    ("error", "name"),
    [(PermissionDenied("too low a role"), "reason"), (KeyError("x"), "traceback")],
)
def test_a_refused_permission_is_one_line_without_a_traceback(error: Exception, name: str) -> None:
    try:
        raise error
    except Exception as raised:
        record = logging.makeLogRecord(
            {"msg": "Forbidden", "exc_info": (type(raised), raised, raised.__traceback__)}
        )
    line = json.loads(JsonFormatter().format(record))
    assert {"reason", "traceback"} & set(line) == {name}
    assert "too low a role" in line[name] or name == "traceback"
