"""How quickly work is handed out and taken in, and whether anything is given twice.

    .venv/bin/python benchmarks/queue.py --prompts 1000 --annotators 16 --seconds 60
    .venv/bin/python benchmarks/queue.py --prompts 1000 100000 1000000 --annotators 1 16
    .venv/bin/python benchmarks/queue.py --database postgresql --url postgres://…

Starts the web server as `make run` does, on a free port and with a home of its own; logs the
annotators in over HTTP. Each writes for half of the time and ranks for the other half, as fast as
the server answers. Prints JSON, a row for each number of prompts and annotators.

`next` is GET of the work page, done before one submit in ten; `submit` is the POST, whose answer
holds the next item. A cycle is one submit; its CPU is that of the server's processes, and apart
from it (`backend_ms_per_cycle`) that of PostgreSQL's. `--ahead N`: the first annotator has done N
items that the others have not come to, so that all of them are still open."""

import argparse
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a long password"
WORDS = """model answer question table write explain short list number reason data change river
    engine signal simple careful describe check compare result""".split()  # noqa: SIM905
# Not this folder: its queue.py would stand in for the standard library's.
sys.path[0] = str(ROOT)


def words(rng: random.Random, characters: int) -> str:
    out: list[str] = []
    size = 0
    while size < characters:
        out.append(rng.choice(WORDS))
        size += len(out[-1]) + 1
    return " ".join(out)[:characters]


def set_up(prompts: int, annotators: int, overlap: int, ahead: int) -> list[int]:
    """A write project and a rank project over `prompts` prompts each; returns the two stages."""
    import django

    django.setup()
    from django.contrib.auth.hashers import make_password
    from django.db import connection

    from annotation import queue
    from annotation.models import Membership, Project, Role, Stage, User, Workspace

    rng = random.Random(1)
    workspace = Workspace.objects.create(name="Bench", slug="bench", salt="bench")
    hashed = make_password(PASSWORD)
    users = []
    for n in range(annotators):
        user = User.objects.create(email=f"a{n}@bench.example", name=f"A{n}", password=hashed)
        Membership.objects.create(workspace=workspace, user=user, role=Role.ANNOTATOR)
        users.append(user)
    stages = []
    for kind, length in (("write", 200), ("rank", 150)):
        project = Project.objects.create(workspace=workspace, name=kind, slug=kind)
        add_prompts(project.pk, prompts, length, rng, answers=2 if kind == "rank" else 0)
        stage = Stage.objects.create(project=project, kind=kind, name=kind, overlap=overlap)
        while ahead > stage.filled_to and queue.fill(stage):
            pass
        if ahead:
            go_ahead(stage.pk, users[0].pk, ahead)
        stages.append(stage.pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()
    return stages


def add_prompts(project: int, count: int, length: int, rng: random.Random, answers: int) -> None:
    """Rows as an import writes them: texts from a pool, each prompt numbered."""
    from django.db import transaction
    from django.utils import timezone

    from annotation.bulk import as_json, as_time, insert, reserve
    from annotation.models import Prompt, Response
    from annotation.text import text_fingerprint

    now = as_time(timezone.now())
    pool = [words(rng, length) for _ in range(997)]
    texts = [(text, text_fingerprint(text)) for text in (words(rng, 225) for _ in range(1009))]
    for start in range(0, count, 2000):
        size = min(2000, count - start)
        ids = reserve(Prompt, size)
        prompts, responses = [], []
        for n, pk in enumerate(ids, start):
            messages = as_json([{"role": "user", "content": f"[{n}] {pool[n % 997]}"}])
            mark = f"{n:032x}"
            prompts.append((pk, project, str(n), messages, mark, mark, now))
            for text, print_ in [texts[n % 1009], texts[(n * 5 + 1) % 1009]][:answers]:
                responses.append((pk, text, "imported", print_, now))
        with transaction.atomic():
            fields = ["id", "project", "external_id", "messages", "fingerprint", "root_key"]
            insert(Prompt, [*fields, "created"], prompts)
            insert(Response, ["prompt", "text", "origin", "fingerprint", "created"], responses)


def go_ahead(stage: int, user: int, count: int) -> None:
    """The user has done the first `count` items of the stage; their cursor stands behind them."""
    from django.utils import timezone

    from annotation.bulk import as_time, insert
    from annotation.models import Item, Seat, Submission

    now = as_time(timezone.now())
    rows = Item.objects.filter(stage=stage).order_by("position")[:count]
    places = list(rows.values_list("pk", "position"))
    fields = ["item", "stage", "user", "state", "submitted", "created"]
    for start in range(0, len(places), 5000):
        chunk = places[start : start + 5000]
        insert(Submission, fields, [(pk, stage, user, "submitted", now, now) for pk, _ in chunk])
        Item.objects.filter(pk__in=[pk for pk, _ in chunk]).update(taken=1, done=1)
    cursors = {"0": places[-1][1]}
    Seat.objects.create(stage_id=stage, user_id=user, cursors=cursors, submitted=len(places))


def count_wrong() -> dict[str, int]:
    """What must be nought: items given to more than they need, and closed with a free place."""
    from django.db.models import Count, F, Q

    from annotation.models import Item

    holding = Q(submissions__state__in=["claimed", "draft", "submitted"])
    items = Item.objects.annotate(holding=Count("submissions", filter=holding))
    return {
        "beyond_overlap": items.filter(holding__gt=F("needed")).count(),
        "closed_with_a_free_place": items.filter(open=False, taken__lt=F("needed")).count(),
    }


class Person:
    """A browser: one kept-alive connection, cookies, and the form of the page it is on."""

    def __init__(self, port: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}

    def call(self, method: str, path: str, data: dict[str, Any] | None = None) -> tuple[int, str]:
        head = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if data is not None:
            head["Content-Type"] = "application/x-www-form-urlencoded"
            head["HX-Request"] = "true"
            head["X-CSRFToken"] = self.cookies.get("csrftoken", "")
        self.http.request(method, path, urlencode(data) if data is not None else None, head)
        answer = self.http.getresponse()
        body = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return answer.status, body

    def log_in(self, number: int) -> None:
        self.call("GET", "/login/")
        form = {"username": f"a{number}@bench.example", "password": PASSWORD}
        status, _ = self.call("POST", "/login/", form)
        assert status == 302, f"login answered {status}"


def annotate(
    port: int, number: int, stages: list[int], until: list[float], out: dict[str, Any]
) -> None:
    """One person's work until the time is over. Every failure is an error, a broken connection too;
    whoever ends early is missed in `people_to_the_end`."""
    rng = random.Random(number)
    person = Person(port)
    try:
        person.log_in(number)
    finally:
        out["ready"].release()
    out["go"].wait()
    person.http.close()  # the server drops what was idle during the others' logins; so do browsers
    path, page = f"/stages/{stages[number % 2]}/work/", ""
    half = time.monotonic() + (until[0] - time.monotonic()) / 2
    while (now := time.monotonic()) < until[0]:
        try:
            if now > half:
                path, page, half = f"/stages/{stages[1 - number % 2]}/work/", "", until[0]
            if rng.random() < 0.1 or not page:
                page = timed(person, out["next"], out["errors"], "GET", path)
            if not page:
                continue
            form = answer_to(page, rng)
            if form is None:
                return  # nothing left, or a page that is none
            page = timed(person, out["submit"], out["errors"], "POST", path, form)
        except (OSError, http.client.HTTPException) as broken:
            out["errors"].append(repr(broken))
            person.http.close()
            page = ""
    out["to_the_end"].append(number)


def timed(
    person: Person,
    times: list[float],
    errors: list[str],
    method: str,
    path: str,
    form: dict[str, Any] | None = None,
) -> str:
    """The page; nothing if it was no 200, which is an error and no time."""
    started = time.perf_counter()
    status, page = person.call(method, path, form)
    if status != 200:
        errors.append(f"{method} answered {status}")
        return ""
    times.append(time.perf_counter() - started)
    return page


def answer_to(page: str, rng: random.Random) -> dict[str, Any] | None:
    """The form of the page, filled in; none where the page has none."""
    found = re.search(r'name="submission" value="(\d+)"', page)
    version = re.search(r'name="version" value="(\d+)"', page)
    if not found or not version:
        return None
    form: dict[str, Any] = {"submission": found[1], "version": version[1], "seconds": 12}
    if 'name="strength"' in page:
        return form | {"strength": rng.choice([-3, -1, "tie", 2, 3])}
    return form | {"text": words(rng, 400)}


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and of its children, the finished ones included."""
    import psutil

    total = 0.0
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        used = one.cpu_times()
        total += used.user + used.system
    return total


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    if not values:
        return 0.0
    return round(1000 * sorted(values)[min(int(len(values) * share), len(values) - 1)], 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(port: int, log: Path) -> subprocess.Popen[bytes]:
    """`manage.py serve`, as `make run` starts it: the web server beside idle workers."""
    command = [sys.executable, "manage.py", "serve"]
    env = {**os.environ, "ANNOTUNE_PORT": str(port)}
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=file)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"The server did not start: {log.read_text()[-2000:]}")


def web_of(server: subprocess.Popen[bytes]) -> int:
    """The process id of the web server among the children of `manage.py serve`."""
    import psutil

    for child in psutil.Process(server.pid).children():
        if "config.wsgi:application" in child.cmdline():
            return int(child.pid)
    raise SystemExit("`manage.py serve` runs no web server")


def backends_cpu() -> dict[int, float]:
    """Seconds of CPU of each PostgreSQL process on this machine, by pid."""
    import psutil

    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres" and process.info["cpu_times"]:
            used = process.info["cpu_times"]
            found[process.pid] = used.user + used.system
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[10_000])
    parser.add_argument("--annotators", type=int, nargs="+", default=[16])
    parser.add_argument("--overlap", type=int, default=1)
    parser.add_argument("--ahead", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help="DATABASE_URL of a PostgreSQL database; it is emptied")
    options = parser.parse_args()
    if options.database == "postgresql" and not options.url:
        parser.error("--database postgresql needs --url postgres://user@host/a_spare_database")
    rows = []
    for prompts in options.prompts:
        with tempfile.TemporaryDirectory(prefix="annotune-bench-") as home:
            rows += measure(options, prompts, Path(home))
    print(json.dumps({"benchmark": "queue", "rows": rows}))


def measure(options: argparse.Namespace, prompts: int, home: Path) -> list[dict[str, Any]]:
    """The rows over one database: it is filled once, by a process of its own."""
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
    if options.url:
        subprocess.run([*manage, "flush", "--no-input", "--verbosity", "0"], cwd=ROOT, check=True)
    fill = f"import runpy; bench = runpy.run_path({str(Path(__file__))!r}); import json; "
    people = max(options.annotators)
    fill += f"print(json.dumps(bench['set_up']({prompts}, {people}, {options.overlap}, "
    fill += f"{options.ahead})))"
    done = subprocess.run(
        [sys.executable, "-c", fill], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    stages = json.loads(done.stdout.splitlines()[-1])
    return [row(options, prompts, people, stages, home) for people in options.annotators]


def row(
    options: argparse.Namespace, prompts: int, annotators: int, stages: list[int], home: Path
) -> dict[str, Any]:
    port = free_port()
    server = serve(port, home / "server.log")
    try:
        until = [0.0]
        out: dict[str, Any] = {"next": [], "submit": [], "errors": [], "to_the_end": []}
        out |= {"ready": threading.Semaphore(0), "go": threading.Event()}
        people = [
            threading.Thread(target=annotate, args=(port, n, stages, until, out))
            for n in range(annotators)
        ]
        for person in people:
            person.start()
        for _ in people:
            out["ready"].acquire()
        web = web_of(server)
        before, started = cpu_of(web), time.monotonic()
        backends = backends_cpu() if options.url else {}
        until[0] = started + options.seconds
        out["go"].set()
        for person in people:
            person.join()
        wall, cpu = time.monotonic() - started, cpu_of(web) - before
        after = backends_cpu() if options.url else {}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    cycles = len(out["submit"])
    backend = sum(used - backends.get(pid, 0.0) for pid, used in after.items())
    check = f"import runpy; bench = runpy.run_path({str(Path(__file__))!r}); import json, django; "
    check += "django.setup(); print(json.dumps(bench['count_wrong']()))"
    wrong = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return {
        "database": options.database,
        "prompts": prompts,
        "annotators": annotators,
        "overlap": options.overlap,
        "ahead": options.ahead,
        "next_p50_ms": percentile(out["next"], 0.5),
        "next_p95_ms": percentile(out["next"], 0.95),
        "submit_p50_ms": percentile(out["submit"], 0.5),
        "submit_p95_ms": percentile(out["submit"], 0.95),
        "cycles_per_s": round(cycles / wall, 1),
        "cpu_ms_per_cycle": round(1000 * cpu / max(cycles, 1), 1),
        "backend_ms_per_cycle": round(1000 * backend / max(cycles, 1), 1),
        "errors": len(out["errors"]),
        "first_errors": out["errors"][:3],
        "people_to_the_end": len(out["to_the_end"]),
        **json.loads(wrong.stdout.splitlines()[-1]),
        "cycles": cycles,
        "seconds": round(wall, 1),
        "load1": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
