"""How quickly a file comes in, and how long other people wait for their saves meanwhile.

    .venv/bin/python benchmarks/importing.py --records 100000
    .venv/bin/python benchmarks/importing.py --records 1000000 --kind prompts --index none
    .venv/bin/python benchmarks/importing.py --database postgresql --url postgres://…
    .venv/bin/python benchmarks/importing.py --peer VENV --records 10000

Fills a fresh database, makes a JSON Lines file of texts of 600 characters (a prompt; or a prompt
and an answer by a named annotator) and imports it in a process of its own, whose CPU and memory are
measured. A second process claims and submits work in another project all the while, by the same
functions as the pages, with a pause of --pause seconds between two. Prints JSON, a row for each.

`index: none`: the import alone, after which prompts are there and worked on. `included`: with the
full-text index, which a worker builds afterwards on SQLite. PostgreSQL keeps its index with the
table: both rows are the same there, and the CPU of the backend stands in `backend_cpu_s`.
`--peer`: Label Studio, installed in that virtual environment, imports the same texts by its API; in
turns with ours. `peak_growth_mib`: the highest resident size over that before the import."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
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


def texts(records: int, kind: str) -> Any:
    """(prompt, answer) of each record, together 600 characters; numbered, so that none is twice."""
    rng = random.Random(1)
    length = 590 if kind == "prompts" else 290
    pool = [words(rng, length) for _ in range(997)]
    answers = [words(rng, 300) for _ in range(1009)] if kind == "annotated" else [""]
    for n in range(records):
        yield f"[{n}] {pool[n % 997]}", answers[n % len(answers)]


def write_file(path: Path, records: int, kind: str) -> None:
    with path.open("w") as file:
        for prompt, answer in texts(records, kind):
            row = {"prompt": prompt} | ({"ana": answer} if answer else {})
            file.write(json.dumps(row) + "\n")


def set_up(saves: int) -> None:
    """A project to import into, and another one with work for whoever saves meanwhile."""
    import django

    django.setup()
    from annotation.importing import Record, add_records
    from annotation.models import Membership, Project, Role, Stage, User, Workspace

    workspace = Workspace.objects.create(name="Bench", slug="bench", salt="bench")
    user = User.objects.create(email="a@bench.example", name="A", password="-")
    Membership.objects.create(workspace=workspace, user=user, role=Role.ANNOTATOR)
    Project.objects.create(workspace=workspace, name="Imported", slug="imported")
    other = Project.objects.create(workspace=workspace, name="Other", slug="other")
    rows = [
        Record(messages=[{"role": "user", "content": f"Prompt {n}"}], external_id=str(n))
        for n in range(saves)
    ]
    add_records(project=other, records=rows, source="bench", user=user)
    Stage.objects.create(project=other, kind="write", name="Write")


def do_import(path: str, kind: str, index: str) -> dict[str, Any]:
    """The import, and what it took; to be called in a process of its own."""
    import resource

    import django

    django.setup()
    from annotation import importing, search_index
    from annotation.models import Project

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    project = Project.objects.get(slug="imported")
    mapping = {"prompt": "prompt", "response.Ana": "ana"} if kind == "annotated" else {}
    import_row = importing.create(project=project, user=None, path=path, mapping=mapping)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
    backend_before = backend_cpu()
    before, cpu_before, began = _resident("VmRSS"), cpu(), time.monotonic()
    report = importing.run_now(import_row)
    if index == "included":
        search_index.take_in_all()
    wall, spent = time.monotonic() - began, cpu() - cpu_before
    rows = report["imported"]
    assert rows == report["rows"], report["refused"][:3]
    return {
        "records": rows,
        "records_per_cpu_s": round(rows / spent),
        "records_per_s": round(rows / wall),
        "peak_growth_mib": round(_resident("VmHWM") - before, 1),
        "seconds": round(wall, 1),
        "backend_cpu_s": round(backend_cpu() - backend_before, 1),
    }


def backend_cpu() -> float:
    """Seconds of CPU of the process of PostgreSQL that serves this connection, on this machine."""
    import psutil
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        used = psutil.Process(cursor.fetchone()[0]).cpu_times()
    return float(used.user + used.system)


def _resident(name: str) -> float:
    """MiB of this process, from /proc: VmRSS (now) or VmHWM (at most)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def do_saves(pause: float) -> None:
    """Claim and submit until the standard input closes; prints seconds and errors as JSON."""
    import django

    django.setup()
    from annotation import queue, submissions
    from annotation.models import Stage, User

    stage, user = Stage.objects.get(name="Write"), User.objects.get(email="a@bench.example")
    times: list[float] = []
    errors: list[str] = []
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("ready", flush=True)
    while not over.wait(pause):
        try:
            turn = queue.claim(stage, user)
            if turn is None:
                errors.append("no work is left: give --saves more")
                break
            began = time.perf_counter()
            submissions.submit(submission=turn, user=user, content={"text": "An answer. " * 30})
            times.append(time.perf_counter() - began)
        except Exception as error:  # whatever it is, it counts
            errors.append(repr(error))
    print(json.dumps({"times": times, "errors": errors}))


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    if not values:
        return 0.0
    return round(1000 * sorted(values)[min(int(len(values) * share), len(values) - 1)], 1)


def call(function: str, *values: Any) -> list[str]:
    """The command that calls one of these functions in a process of its own."""
    code = f"import runpy, json; bench = runpy.run_path({str(Path(__file__))!r}); "
    code += f"print(json.dumps(bench[{function!r}](*{values!r})))"
    return [sys.executable, "-c", code]


def row(options: argparse.Namespace, records: int, kind: str, index: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="annotune-bench-") as home:
        file = Path(home) / "rows.jsonl"
        write_file(file, records, kind)
        env = os.environ | {
            "ANNOTUNE_HOME": home,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "WARNING",
        }
        env.pop("DATABASE_URL", None)
        if options.url:
            env["DATABASE_URL"] = options.url
        manage = [sys.executable, "manage.py"]
        subprocess.run(
            [*manage, "migrate", "--verbosity", "0", "--skip-checks"], cwd=ROOT, check=True, env=env
        )
        if options.url:
            empty = [*manage, "flush", "--no-input", "--verbosity", "0", "--skip-checks"]
            subprocess.run(empty, cwd=ROOT, check=True, env=env)
        subprocess.run(
            call("set_up", options.saves), cwd=ROOT, check=True, env=env, stdout=subprocess.DEVNULL
        )
        pipe = subprocess.PIPE
        saver = subprocess.Popen(
            call("do_saves", options.pause), cwd=ROOT, env=env, stdin=pipe, stdout=pipe, text=True
        )
        assert saver.stdout is not None and saver.stdout.readline() == "ready\n"
        done = subprocess.run(
            call("do_import", str(file), kind, index),
            cwd=ROOT,
            check=True,
            env=env,
            stdout=pipe,
            text=True,
        )
        others = json.loads(saver.communicate("")[0].splitlines()[0])
        size = file.stat().st_size
    measured = json.loads(done.stdout.splitlines()[-1])
    times, errors = others["times"], others["errors"]
    found = {"database": options.database, "kind": kind, "index": index, **measured}
    return found | {
        "file_mb": round(size / 1e6, 1),
        "errors": len(errors),
        "first_errors": errors[:3],
        "other_saves": len(times),
        "other_save_p50_ms": percentile(times, 0.5),
        "other_save_p95_ms": percentile(times, 0.95),
        "other_save_max_ms": percentile(times, 1.0),
        "load1": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000])
    parser.add_argument("--kind", nargs="+", default=["prompts", "annotated"])
    parser.add_argument("--index", nargs="+", default=["none", "included"])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help="DATABASE_URL of a PostgreSQL database; it is emptied")
    parser.add_argument("--saves", type=int, default=20_000, help="prompts for other people's work")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two saves")
    parser.add_argument("--peer", help="a virtual environment that holds Label Studio")
    parser.add_argument("--turns", type=int, default=1, help="how often, one after the other")
    options = parser.parse_args()
    if options.database == "postgresql" and not options.url:
        parser.error("--database postgresql needs --url postgres://user@host/a_spare_database")
    rows = []
    for _ in range(options.turns):
        for records in options.records:
            for kind in options.kind:
                for index in options.index:
                    rows.append(row(options, records, kind, index))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                if options.peer:
                    peer = [sys.executable, str(HERE / "importing_peer.py"), options.peer]
                    peer += [str(records), kind]
                    said = subprocess.run(peer, check=True, stdout=subprocess.PIPE, text=True)
                    rows.append(json.loads(said.stdout.splitlines()[-1]))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "importing", "rows": rows}))


if __name__ == "__main__":
    main()
