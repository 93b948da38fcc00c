"""The same on PostgreSQL and Redis: the default suite again, and the product's own processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.services


@pytest.mark.timeout(1800)
def test_the_default_suite_passes_on_postgresql(postgres_url: str) -> None:
    """Every test of the three apps, on the other database."""
    command = [sys.executable, "-m", "pytest", "tests/annotation", "tests/exports"]
    command += ["tests/training", "-m", "not recipe and not browser and not services"]
    command += ["--tb=short", "-rf"]  # the names last, however long what failed is
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgres_url},
        capture_output=True,
        text=True,
    )
    print(done.stdout[-4000:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.fixture
def database(postgres_url: str):
    """A database of its own, dropped afterwards."""
    name = f"annotune_services_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_url.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_worker_on_redis_imports_into_postgresql(database, redis_url, tmp_path) -> None:
    """Queue on commit, a real worker in a process of its own, rows in the other database."""
    env = {
        **os.environ,
        "DATABASE_URL": database,
        "CELERY_BROKER_URL": redis_url,
        "ANNOTUNE_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "Say hello.", "response": "Hello there, and welcome."}\n')
    start = (
        f"PATH = {str(rows)!r}"
        + """
from annotation import importing, people, projects
from annotation.models import User
olga = User.objects.create_user("olga@example.org", "Olga", "a long password")
acme = people.create_workspace(name="Acme", owner=olga)
desk = projects.create_project(workspace=acme, name="Desk", guidelines="", author=olga)
importing.start(importing.create(project=desk, user=olga, path=PATH))
"""
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "work", "-c", "1"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        manage("shell", "-c", start)
        look = "from annotation.models import Import; print('state', Import.objects.get().state)"
        for _ in range(60):
            if "state done" in (state := manage("shell", "-c", look)):
                break
            time.sleep(1)
        assert "state done" in state
        count = "from annotation.models import Response; print('answers', Response.objects.count())"
        assert "answers 1" in manage("shell", "-c", count)
    finally:
        worker.terminate()
        worker.wait(timeout=30)
