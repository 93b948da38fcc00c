"""The explorer over a look of a million rows: `python -m benchmarks.explorer [--rows N]`.

Makes a look by itself (no reading of prompts is measured), then times what a page does: counting
every facet, finding a page of rows and reading them, in this process and as whole pages over HTTP
with Django's test client; and a phrase that nobody asked for before, which alone reads every text.
Prints JSON: p50 and p95 in ms."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

FACETS = {
    "reason": ["", "exact duplicate of another row", "near-duplicate", "not in the languages"],
    "split": ["train", "validation", "test", ""],
    "project": ["support-desk", "science-tutor"],
    "stage": [str(number) for number in range(1, 9)],
    "annotator": [f"name Rater {number}" for number in range(40)],
    "origin": ["human", "imported", "model"],
    "language": ["en", "de", "fr", "es", "", "it"],
    "review": ["", "accepted", "waiting"],
    "label": ["", "good", "bad"],
    **{f"metadata.key{n}": [f"value {i}" for i in range(5 * n + 2)] for n in range(12)},
}
NUMBERS = {"length": 4_000, "other": 4_000, "agreement": 101, "prompt_length": 900}
ASKED = [
    "", "?show=all", "?show=dropped", "?language=en&language=de", "?length.from=200&length.to=900",
    "?show=all&metadata.key5=value+3", "?language=en&stage=3&agreement.from=50", "?day.from=19800",
    "?show=all&page=400", "?annotator=name+Rater+7&show=all", "?show=groups",
]  # fmt: skip
PHRASES = {
    "none": "nowhere to be found",
    "rare": "answer is 77777",
    "middling": "is 77",
    "common": "the answer is",
    "common, a role": "user",
    "none, a role": "assistant",
}


def make(folder: Path, rows: int) -> None:
    """A look with every kind of facet, its rows texts of 1 kB."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {}
    for name, values in FACETS.items():
        weights = 1 / np.arange(1, len(values) + 1)
        codes = rng.choice(len(values), rows, p=weights / weights.sum()).astype(np.int32)
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(values))
    for name, most in NUMBERS.items():
        columns[name] = pa.array(rng.integers(0, most, rows, dtype=np.int32))
    columns["day"] = pa.array(rng.integers(19_600, 19_900, rows, dtype=np.int32))
    ids = np.arange(1, rows + 1, dtype=np.int32)
    grouped = rng.random(rows) < 0.05
    columns["group"] = pa.array(ids - ids % 7 + 1, mask=~grouped)
    table = pa.table(columns)
    file = pa.OSFile(str(folder / "facets.arrow"), "wb")
    with file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    facets = [{"name": name, "title": name, "type": "terms"} for name in FACETS]
    facets += [{"name": name, "title": name, "type": "number"} for name in NUMBERS]
    facets.append({"name": "day", "title": "day", "type": "day"})
    (folder / "look.json").write_bytes(orjson.dumps({"rows": rows, "facets": facets}))
    reasons = columns["reason"].indices.to_numpy()
    from exports.shelf import MARKS, NONE, TEXTS, Mark

    place = 0
    with (folder / MARKS).open("wb") as marks, (folder / TEXTS).open("wb") as texts:
        for number, reason in enumerate(reasons.tolist(), 1):
            row, told = _texts(number)
            texts.write(row + told)
            sizes = {"place": place, "size": len(row), "told": len(told), "length": 60}
            numbers = {"prompt": number, "twin": max(number // 3 * 3, 1), "reason": reason}
            rest = {"key": b"", "digest": b"", "other": NONE}
            marks.write(
                Mark(number, split=0, project=0, source=0, **rest, **sizes, **numbers).packed()
            )
            place += len(row) + len(told)


def _texts(number: int) -> tuple[bytes, bytes]:
    said = {
        "prompt": [{"role": "user", "content": f"A user asks {number}, what is it?"}],
        "completion": [{"role": "assistant", "content": f"The answer is {number}. " * 40}],
    }
    about = {
        "project": "support-desk", "external_id": f"q-{number}", "prompt": number,
        "responses": [number], "submissions": [], "annotators": [f"name Rater {number % 40}"],
        "guidelines": [],
    }  # fmt: skip
    return orjson.dumps(said), orjson.dumps(about)


def timed(act: Callable[[], object], times: int) -> list[tuple[float, float]]:
    found = []
    for _ in range(times):
        began, worked = time.perf_counter(), time.thread_time()
        act()
        passed = time.perf_counter() - began
        found.append((passed * 1000, (time.thread_time() - worked) * 1000))
    return found


def told(found: list[tuple[float, float]]) -> dict[str, float]:
    """`cpu_…`: of this thread alone, which other work on the machine does not slow down."""
    wall, cpu = np.percentile(found, [50, 95], axis=0).T
    times = {"p50_ms": wall[0], "p95_ms": wall[1], "cpu_p50_ms": cpu[0], "cpu_p95_ms": cpu[1]}
    return {name: round(float(ms), 1) for name, ms in times.items()} | {"calls": len(found)}


def in_process(folder: Path, times: int) -> dict[str, Any]:
    from django.http import QueryDict

    from exports.explorer import Look
    from exports.filters import Filters

    began = time.perf_counter()
    look = Look(folder)
    look.counts(Filters())
    first = round((time.perf_counter() - began) * 1000, 1)
    whole: list[tuple[float, float]] = []
    for query in ASKED:
        filters = Filters.read(QueryDict(query.removeprefix("?")), look.types)

        def page(filters: Filters = filters) -> None:
            look._found.clear()  # as for filters that nobody asked for before
            look.read(look.page(filters, 1))

        whole += timed(page, times)
    return {"first_page_ms": first, **told(whole)}


def phrases(folder: Path, times: int) -> dict[str, Any]:
    """Of each, how many rows have it, and a search for it."""
    from exports.row_search import holding

    def search(phrase: str) -> dict[str, float]:
        rows = int(holding(folder, phrase).sum())
        return {"rows": rows, **told(timed(lambda: holding(folder, phrase), times))}

    return {name: {"phrase": phrase, **search(phrase)} for name, phrase in PHRASES.items()}


def over_http(folder: Path, times: int) -> dict[str, Any]:
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from annotation.models import Membership, Role, User, Workspace
    from exports.explorer import open_look
    from exports.models import Dataset, Preview
    from exports.rules import Selection, to_json

    lee = User.objects.create_user(email="lee@example.org", name="Lee", password="x")
    acme = Workspace.objects.create(name="Acme", slug="acme")
    Membership.objects.create(workspace=acme, user=lee, role=Role.LEAD)
    stored = to_json("sft", Selection(projects=("support-desk",)))
    dataset = Dataset.objects.create(
        workspace=acme, name="A", slug="a", kind="sft", selection=stored
    )
    now = timezone.now()
    Preview.objects.create(
        dataset=dataset, key="k", state="done", look=str(folder), computed=now, started=now,
        result={"selection": stored},
    )  # fmt: skip
    client = Client()
    client.force_login(lee)
    address = reverse("exports:explore", args=[dataset.pk])
    found: list[tuple[float, float]] = []
    pages: dict[str, float] = {}
    for query in ASKED:

        def ask(query: str = query) -> None:
            open_look(str(folder))._found.clear()
            assert client.get(address + query).status_code == 200

        ask()
        took = timed(ask, times)
        pages[query] = told(took)["p95_ms"]
        found += took
    return {**told(found), "p95_ms_by_page": pages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5, help="calls of each page")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ANNOTUNE_HOME": home,
            "DATABASE_URL": f"sqlite:///{home}/db.sqlite3",
        }
        import django

        django.setup()
        from django.core.management import call_command
        from django.test.utils import setup_test_environment

        setup_test_environment()
        call_command("migrate", verbosity=0)
        folder = Path(home) / "look"
        began = time.perf_counter()
        make(folder, given.rows)
        report = {
            "rows": given.rows,
            "facets": len(FACETS) + len(NUMBERS) + 1,
            "made_in_s": round(time.perf_counter() - began, 1),
            "in_process": in_process(folder, given.times),
            "phrases": phrases(folder, given.times),
            "over_http": over_http(folder, given.times),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
