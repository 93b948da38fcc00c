"""What the tests of the queue and of its pages share."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from hypothesis import HealthCheck, settings

# How long Hypothesis looks; test_any_order.py.
QUIET = {"deadline": None, "database": None, "print_blob": True, "report_multiple_bugs": False}
QUIET["suppress_health_check"] = list(HealthCheck)
settings.register_profile(
    "short", max_examples=60, stateful_step_count=40, derandomize=True, **QUIET
)
settings.register_profile("long", max_examples=150, stateful_step_count=80, **QUIET)


@pytest.fixture
def file_database(tmp_path: Path, transactional_db, django_db_blocker) -> Iterator[None]:
    """SQLite's database as a file in WAL mode: the usual one lies in memory, where a second writer
    fails instead of waiting."""
    default = connections["default"]
    with django_db_blocker.unblock():
        default.ensure_connection()
        path = tmp_path / "shared.sqlite3"
        copy = sqlite3.connect(path)
        default.connection.backup(copy)
        copy.close()
        settings = connections.settings["default"]
        name, settings["NAME"] = settings["NAME"], str(path)
        connections["default"] = connections.create_connection("default")
        try:
            yield
        finally:
            connections["default"].close()
            settings["NAME"] = name
            connections["default"] = default


# pytest-django gives a database without a transaction around the test only where a test or a
# fixture names `transactional_db`, not where it is asked for by request.getfixturevalue.
if connections["default"].vendor == "sqlite":

    @pytest.fixture
    def shared_database(file_database) -> None:
        """A database that threads share as processes do: what they write is committed."""

else:

    @pytest.fixture
    def shared_database(transactional_db) -> None:
        """A database that threads share as processes do: what they write is committed."""
