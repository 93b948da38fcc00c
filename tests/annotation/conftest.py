"""What the tests of the queue and of its pages share."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections


@pytest.fixture
def shared_database(request, tmp_path: Path, django_db_setup, django_db_blocker) -> Iterator[None]:
    """A database that threads share as processes do: committed, and on SQLite a file in WAL mode
    (the usual one lies in memory, where a second writer fails instead of waiting)."""
    default = connections["default"]
    if default.vendor != "sqlite":
        request.getfixturevalue("transactional_db")
        yield
        return
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
