"""The same files imported into two databases, in another order, are frozen to the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.services

PAIRS = [
    {
        "prompt": f"Why is number {n % 90} {'odd' if n % 2 else 'even'}?",
        "chosen": f"Because of what remains, {n}. Write to someone{n}@example.org.",
        "rejected": f"It is so, {n}. "
        + "And so on, and so on, and so on, as ever. " * (2 * (n % 3 == 0)),
    }
    for n in range(120)
]
THUMBS = [
    {"prompt": f"Say {n}.", "completion": f"{n}, as you wish.", "label": n % 3 > 0}
    for n in range(80)
]
TEXTS = [{"text": f"A document about number {n}. " * (n % 5 + 1)} for n in range(80)]
FILES = {"pairs": PAIRS, "thumbs": THUMBS, "texts": TEXTS}
DATASETS = [
    ("pairs", "preference", ["pairs=best", "margin=places"]),
    ("pairs", "preference", ["personal=mask", "near=80", "max_longer=60"]),
    ("pairs", "sft", ["min_length=10", "max_length=400", "max_per_prompt=1"]),
    ("pairs", "prompts", ["near_test=0"]),
    ("thumbs", "unpaired", []),
    ("texts", "text", ["min_length=40"]),
]


@pytest.fixture
def urls(postgres_url: str, tmp_path: Path):
    """A SQLite and a PostgreSQL database of their own."""
    name = f"annotune_bytes_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield {
        "sqlite": f"sqlite:///{tmp_path}/one.sqlite3",
        "postgresql": f"{postgres_url.rpartition('/')[0]}/{name}",
    }
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def freeze_all(home: Path, url: str, backwards: bool) -> list[str]:
    """The sha256 of each of DATASETS, frozen over the files in this order."""
    home.mkdir()
    env = {**os.environ, "DATABASE_URL": url, "ANNOTUNE_HOME": str(home)}

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    manage("migrate", "--verbosity", "0")
    for name, rows in FILES.items():
        path = home / f"{name}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows[:: -1 if backwards else 1]))
        manage("import_prompts", name, str(path), "--create")
    found = []
    for place, (project, kind, rules) in enumerate(DATASETS):
        options = [word for rule in rules for word in ("--rule", rule)]
        slug = manage(
            "make_dataset", f"Set {place}", "--project", project, "--kind", kind, *options
        ).strip()
        found.append(manage("freeze", slug).split("\t")[1].strip())
        assert "the same, sha256" in manage("verify", slug, "v1")
    return found


@pytest.mark.timeout(600)
def test_two_databases_and_two_orders_give_the_same_bytes(urls, tmp_path: Path) -> None:
    one = freeze_all(tmp_path / "one", urls["sqlite"], backwards=False)
    two = freeze_all(tmp_path / "two", urls["postgresql"], backwards=True)
    assert one == two and len(set(one)) == len(DATASETS)
