"""How quickly a lead's pages come, over a project that is large.

    .venv/bin/python benchmarks/lead.py --prompts 100000
    .venv/bin/python benchmarks/lead.py --prompts 1000000 --database postgresql --url postgres://…

Makes a home and a database of its own: one project of `--prompts` prompts and twice as many
submissions of twenty people over thirty days, in a rank stage (two rankings of each of at most
100,000 items) and a write stage. Starts the web server and its workers as `make run` does, logs a
lead in over HTTP and asks for each page `--times` times, one after the other, after WARM times that
are not timed (each web process loads its code at the first). Prints JSON, a row a page;
`agreement …` and `board` are what the worker measured, in seconds of its own."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder: its queue.py would stand in for the standard library's

from benchmarks.queue import PASSWORD, Person, free_port, percentile, serve, words  # noqa: E402

PEOPLE = 20
RANKED = 100_000
WARM = 6
CHUNK = 2_000
RARE = "zephyr"  # a word in one prompt of a thousand
TOPICS = ["billing", "travel", "code", "health", "law"]


def set_up(prompts: int) -> dict[str, int]:
    """The data; returns the ids that the pages are asked with."""
    import django

    django.setup()
    from django.contrib.auth.hashers import make_password
    from django.db import connection

    from annotation.models import Membership, Project, Role, Seat, Stage, User, Workspace

    rng = random.Random(1)
    workspace = Workspace.objects.create(name="Bench", slug="bench", salt="bench")
    hashed = make_password(PASSWORD)
    users = []
    for n in range(PEOPLE + 1):  # a0, who logs in, is the lead
        user = User.objects.create(email=f"a{n}@bench.example", name=f"A{n}", password=hashed)
        role = Role.ANNOTATOR if n else Role.LEAD
        Membership.objects.create(workspace=workspace, user=user, role=role)
        users.append(user.pk)
    project = Project.objects.create(workspace=workspace, name="Large", slug="large")
    ranked = min(RANKED, prompts // 2)
    found = add_prompts(project.pk, prompts, ranked, rng)
    ids, answers = found
    stages = {}
    for kind, count in (("rank", ranked), ("write", prompts - ranked)):
        filled = ids[ranked - 1] if kind == "rank" else ids[-1]
        stage = Stage.objects.create(
            project=project, kind=kind, name=kind.title(), overlap=2, filled_to=filled
        )
        there = ids[:ranked] if kind == "rank" else ids
        add_turns(stage.pk, there, count, users[1:], answers if kind == "rank" else [], rng)
        for user in users[1:]:
            Seat.objects.create(stage=stage, user_id=user, submitted=2 * count // PEOPLE)
        stages[kind] = stage.pk
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()
    deep = ids[len(ids) * 9 // 10]
    return {"project": project.pk, "deep": deep, "person": users[1], **stages}


def put(model: Any, fields: list[str], rows: list[tuple[Any, ...]]) -> None:
    """`bulk.insert`, by COPY where there is one: twenty times as fast."""
    from django.db import connection

    from annotation.bulk import insert

    if connection.vendor != "postgresql" or not rows:
        insert(model, fields, rows)
        return
    named: list[Any] = [model._meta.get_field(name) for name in fields]
    rest = [each for each in model._meta.concrete_fields if each not in named]
    rest = [each for each in rest if not each.primary_key]
    fill = tuple(each.get_db_prep_save(each.get_default(), connection) for each in rest)
    columns = ", ".join(connection.ops.quote_name(each.column) for each in [*named, *rest])
    with connection.cursor() as cursor:
        statement = f"COPY {model._meta.db_table} ({columns}) FROM STDIN"
        with cursor.cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row + fill)


def add_prompts(
    project: int, count: int, ranked: int, rng: random.Random
) -> tuple[list[int], list[tuple[int, int]]]:
    """(ids of the prompts, two answers of each of the first `ranked`)."""
    from django.db import transaction
    from django.utils import timezone

    from annotation import search_index
    from annotation.bulk import as_json, as_time, reserve
    from annotation.models import Prompt, Response

    now = as_time(timezone.now())
    pool = [words(rng, 200) for _ in range(997)]
    ids: list[int] = []
    pairs: list[tuple[int, int]] = []
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        new, prompts, responses = reserve(Prompt, size), [], []
        more = reserve(Response, 2 * max(0, min(size, ranked - start)))
        for n, pk in enumerate(new, start):
            rare = f" {RARE}" if n % 1000 == 7 else ""
            messages = as_json([{"role": "user", "content": f"[{n}] {pool[n % 997]}{rare}"}])
            topic = as_json({"topic": TOPICS[n % 5], "shard": n % 1000})
            mark = f"{n:032x}"
            prompts.append((pk, project, str(n), messages, topic, mark, mark, now))
            if n < ranked:
                pair = more[2 * (n - start)], more[2 * (n - start) + 1]
                pairs.append(pair)
                for place, one in enumerate(pair):
                    text = pool[(n + 7 * place + 1) % 997]
                    responses.append((one, pk, text, "imported", f"{place}{mark[1:]}", now))
        with transaction.atomic():
            fields = ["id", "project", "external_id", "messages", "metadata", "fingerprint"]
            put(Prompt, [*fields, "root_key", "created"], prompts)
            fields = ["id", "prompt", "text", "origin", "fingerprint", "created"]
            put(Response, fields, responses)
            search_index.take_in(size)  # as an import does
        ids += new
    return ids, pairs


def add_turns(
    stage: int,
    prompts: list[int],
    done: int,
    users: list[int],
    answers: list[tuple[int, int]],
    rng: random.Random,
) -> None:
    """Items of all the prompts; two submissions of each of the first `done`. Four of five pairs of
    rankings agree; one item in two hundred is flagged, one submission in a hundred waits."""
    from django.db import transaction
    from django.utils import timezone

    from annotation.bulk import as_json, as_time, reserve
    from annotation.models import Item, Ranking, Submission

    now = timezone.now()
    texts = [words(rng, 200) for _ in range(101)]
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        items, turns, rankings = [], [], []
        item_ids, turn_ids = reserve(Item, len(chunk)), reserve(Submission, 2 * len(chunk))
        for n, (prompt, item) in enumerate(zip(chunk, item_ids, strict=True), start):
            pair = list(answers[n]) if answers else []
            ready = 2 if n < done else 0
            items.append(
                (item, stage, prompt, as_json(pair), n, 2, ready, ready, not ready, n % 200 == 3)
            )
            if not ready:
                continue
            side = rng.random() < 0.5
            for turn in (0, 1):
                user = users[(n + turn * (1 + n // PEOPLE % (PEOPLE - 1))) % PEOPLE]
                when = as_time(now - timedelta(seconds=(len(prompts) - n) * 2_592_000 / done))
                same = side if turn == 0 or rng.random() < 0.8 else not side
                order = [[pk] for pk in (pair if same else pair[::-1])]
                said = {"order": order} if answers else {"text": texts[n % 101]}
                pk = turn_ids.pop()
                review = "waiting" if n % 100 == 5 else ""
                turns.append(
                    (pk, item, stage, user, "submitted", as_json(pair), as_json(said), 1, 20,
                     review, when, when)
                )  # fmt: skip
                if answers:
                    rankings.append((pk, as_json(order), when))
        with transaction.atomic():
            fields = ["id", "stage", "prompt", "candidates", "position", "needed", "taken", "done"]
            put(Item, [*fields, "open", "flagged"], items)
            fields = ["id", "item", "stage", "user", "state", "shown", "draft", "version"]
            fields += ["active_seconds", "review", "submitted", "created"]
            put(Submission, fields, turns)
            put(Ranking, ["submission", "order", "created"], rankings)


def forget() -> None:
    """What an earlier run measured, so that it is measured again."""
    import django

    django.setup()
    from annotation.models import Item, Measurement

    Measurement.objects.all().delete()
    Item.objects.filter(disagreement__isnull=False).update(disagreement=None)


def measured(kind: str, wait: float) -> float:
    """The worker's seconds for the measurement of this kind, waited for."""
    import django

    django.setup()
    from annotation.models import Measurement

    until = time.monotonic() + wait
    while True:
        rows = list(Measurement.objects.filter(kind=kind))
        for row in rows:
            if row.state == "failed":
                raise SystemExit(f"A measurement failed: {row.reason}")
            if row.computed and row.seconds is not None:
                return row.seconds
        if time.monotonic() > until:
            states = [(row.kind, row.state, row.reason) for row in rows]
            raise SystemExit(f"Not measured within {wait:.0f} s: {states}")
        time.sleep(1)


def pages(ids: dict[str, int]) -> dict[str, str]:
    """What is asked for, by its name in the table."""
    listed = f"/projects/{ids['project']}/prompts/"

    def query(**parts: Any) -> str:
        return f"{listed}?{urlencode(parts)}"

    return {
        "project": f"/projects/{ids['project']}/",
        "home": "/",
        "workspace": "/w/bench/",
        "stage": f"/stages/{ids['write']}/",
        "quality": f"/stages/{ids['rank']}/quality/",
        "list first": listed,
        "list deep": query(after=ids["deep"]),
        "list, done in a stage": query(stage=ids["write"], state="done"),
        "list, done in a stage, deep": query(stage=ids["write"], state="done", after=ids["deep"]),
        "list, waiting for review": query(stage=ids["write"], state="waiting"),
        "list, one annotator": query(stage=ids["write"], annotator=ids["person"]),
        "list, metadata": query(metadata="shard=17"),
        "list, by disagreement": query(stage=ids["rank"], disagreement=50, order="disagreement"),
        # Nothing is open and nothing retired: no index says so, the page looks and goes on.
        "list, open in a stage (a part of the walk)": query(stage=ids["write"], state="open"),
        "list, retired (a part of the walk)": query(show="retired"),
        "list, label (a part of the walk)": query(stage=ids["rank"], label="tone=warm"),
        "search, one word": query(q=RARE),
        "search, common words": query(q="careful river"),
        "search, common words, deep": query(q="careful river", after=ids["deep"]),
    }


def child(code: str) -> Any:
    """What the code, with this file as `bench`, prints as JSON, in a process of its own."""
    head = f"import json, runpy; bench = runpy.run_path({str(Path(__file__))!r}); "
    done = subprocess.run(
        [sys.executable, "-c", f"{head}print(json.dumps({code}))"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace, prompts: int, home: Path) -> list[dict[str, Any]]:
    os.environ |= {
        "ANNOTUNE_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "WARNING",
    }
    os.environ.pop("DATABASE_URL", None)
    if options.url:
        os.environ["DATABASE_URL"] = options.url
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
    kept = home / "ids.json"
    if kept.exists():
        ids = json.loads(kept.read_text())
        child("bench['forget']()")
    else:
        if options.url:
            flush = [*manage, "flush", "--no-input", "--verbosity", "0"]
            subprocess.run(flush, cwd=ROOT, check=True)
        began = time.monotonic()
        ids = child(f"bench['set_up']({prompts})")
        print(f"{prompts:,} prompts made in {time.monotonic() - began:.0f} s", file=sys.stderr)
        kept.write_text(json.dumps(ids))
    if not options.times:
        return []
    port = free_port()
    server = serve(port, home / "server.log")
    try:
        return rows(options, prompts, ids, port)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def rows(
    options: argparse.Namespace, prompts: int, ids: dict[str, int], port: int
) -> list[dict[str, Any]]:
    lead = Person(port)
    lead.log_in(0)
    asked = pages(ids)
    seconds = {}
    for kind, path in (("board", asked["project"]), ("quality", asked["quality"])):
        lead.call("GET", path)  # the worker begins to count
        seconds[kind] = child(f"bench['measured']({kind!r}, {options.wait})")
        lead.http.close()  # the server dropped what was idle meanwhile; so do browsers
    head = {"database": options.database, "prompts": prompts}
    out = []
    for name, path in asked.items():
        out.append({**head, "page": name, **timed(lead, path, options.times)})
    person = Person(port)
    person.log_in(1)
    out.append({**head, "page": "home, annotator", **timed(person, "/", options.times)})
    items = min(RANKED, prompts // 2)
    named = {f"agreement {items:,}": seconds.get("quality"), "board": seconds.get("board")}
    for name, took in named.items():
        ms = None if took is None else round(1000 * took)
        out.append({**head, "page": name, "p50_ms": ms, "p95_ms": ms, "in_the_background": True})
    return out


def timed(person: Person, path: str, times: int) -> dict[str, Any]:
    """`status` where it was not 200: that is no time."""
    for _ in range(WARM):
        person.call("GET", path)
    took = []
    for _ in range(times):
        began = time.perf_counter()
        status, _ = person.call("GET", path)
        took.append(time.perf_counter() - began)
        if status != 200:
            return {"p50_ms": None, "p95_ms": None, "status": status}
    return {"p50_ms": percentile(took, 0.5), "p95_ms": percentile(took, 0.95)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[100_000])
    parser.add_argument("--times", type=int, default=30, help="0: only make the data")
    parser.add_argument("--home", type=Path, help="keep the data here; a second run makes none")
    parser.add_argument("--wait", type=float, default=300, help="seconds for the worker to count")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help="DATABASE_URL of a PostgreSQL database; it is emptied")
    options = parser.parse_args()
    if options.database == "postgresql" and not options.url:
        parser.error("--database postgresql needs --url postgres://user@host/a_spare_database")
    found = []
    for prompts in options.prompts:
        if options.home:
            options.home.mkdir(parents=True, exist_ok=True)
            found += measure(options, prompts, options.home.resolve())
            continue
        with tempfile.TemporaryDirectory(prefix="annotune-bench-") as home:
            found += measure(options, prompts, Path(home))
    print(json.dumps({"benchmark": "lead", "rows": found}))


if __name__ == "__main__":
    main()
