"""How quickly a dataset is frozen, and a snapshot downloaded, and what memory that takes.

    .venv/bin/python benchmarks/freezing.py --rows 100000
    .venv/bin/python benchmarks/freezing.py --rows 1000000 --kind preference --dedup near
    .venv/bin/python benchmarks/freezing.py --database postgresql --url postgres://… --home DIR
    .venv/bin/python benchmarks/freezing.py --rows 20000 --kind sft --peer VENV --turns 3

Fills a database with texts of its own, about 600 characters a row: `sft` is a prompt and an answer
written in a submission, `preference` a prompt, two answers and a ranking. One row in a hundred says
the same as another, one in ten nearly the same. Every freeze and every download runs in a process
of its own; prints JSON, a row for each.

`rows` are those that the selection reads. `rows_per_cpu_s`: by the process's own CPU, children
included, without its start and without PostgreSQL's (`backend_cpu_s`). `peak_mib`: the process's
largest resident set, with the interpreter, Django and pyarrow in it (`start_mib`). `dedup`: exact
duplicates always go when a dataset is frozen; `near` has the rule `near` on as well; a download
compares nothing. `--home DIR` keeps the database there, and a second run does not fill it again.
A freeze's progress is shown on a terminal; `progress_steps` counts the per cents that its row went
through, `longest_still_s` is the longest time for which it stood still.
`--peer`: Label Studio, installed in that virtual environment, exports the same sft texts, in turns
with ours (freezing_peer.py)."""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
# Not this folder: its queue.py would stand in for the standard library's.
sys.path[0] = str(ROOT)
NEAR = 80  # per cent, of the rule
PEOPLE = 8
CHUNK = 2_000
SYLLABLES = "ka lo mi ren sta tu vel no ri pa den os ir ma qui bel tra sun hef zo".split()  # noqa: SIM905


class Texts:
    """Row n's texts, the same in every run: words drawn from 4,000, by their frequency in speech
    (the r-th most frequent one about 1/r as often)."""

    def __init__(self) -> None:
        rng = random.Random(11)
        made = {"".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(9_000)}
        self.words = sorted(made)[:4_000]
        rng.shuffle(self.words)
        total, self.weights = 0.0, []
        for place in range(len(self.words)):
            total += 1 / (place + 3)
            self.weights.append(total)

    def draw(self, rng: random.Random, characters: int) -> str:
        words = rng.choices(self.words, cum_weights=self.weights, k=characters // 4)
        return " ".join(words)[:characters].strip()

    def row(self, number: int, lengths: tuple[int, ...]) -> list[str]:
        """Texts of about these lengths. Of ten rows the last nearly repeats the first, of a hundred
        the 51st repeats the 50th."""
        same = number - 1 if number % 100 == 51 else number - 9 if number % 10 == 9 else number
        rng = random.Random(same)
        texts = [self.draw(rng, length) for length in lengths]
        if number % 10 == 9:
            texts = [f"{text} {number}" for text in texts]
        return texts


# kind -> how long the prompt and its answers are
LENGTHS = {"sft": (200, 400), "preference": (150, 225, 225)}


def fill(rows: int, kinds: list[str]) -> None:
    """A workspace with a project and a dataset of each kind over `rows` prompts."""
    import django

    django.setup()
    from django.db import connection

    from annotation.models import GuidelineVersion, Project, Stage, User, Workspace
    from exports import datasets

    workspace = Workspace.objects.create(name="Bench", slug="bench", salt="bench")
    users = [User.objects.create(email=f"a{n}@bench.example", name=f"A{n}") for n in range(PEOPLE)]
    people = [user.pk for user in users]
    for kind in kinds:
        project = Project.objects.create(workspace=workspace, name=kind, slug=kind)
        guidelines = GuidelineVersion.objects.create(project=project, number=1, text="Be kind.")
        form = "write" if kind == "sft" else "rank"
        stage = Stage.objects.create(project=project, kind=form, name=form)
        texts = Texts()
        for first in range(0, rows, CHUNK):
            numbers = range(first, min(first + CHUNK, rows))
            _chunk(kind, texts, numbers, project.pk, stage.pk, guidelines.pk, people)
            if sys.stderr.isatty():
                print(f"{kind}: {numbers[-1] + 1:,} of {rows:,}", file=sys.stderr, end="\r")
        for dedup, rules in (("exact", {}), ("near", {"near": NEAR})):
            datasets.create(
                workspace=workspace,
                name=f"{kind} {dedup}",
                kind=kind,
                values={"projects": [kind], **rules},
                user=None,
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()


def _chunk(
    kind: str,
    texts: Texts,
    numbers: range,
    project: int,
    stage: int,
    guidelines: int,
    people: list[int],
) -> None:
    """Rows as the importer and the queue leave them."""
    from django.db import transaction
    from django.utils import timezone

    from annotation.bulk import as_json, as_time, insert, reserve
    from annotation.models import Item, Prompt, Ranking, Response, Submission
    from annotation.text import prompt_fingerprint, root_key, text_fingerprint

    now, size = as_time(timezone.now()), len(numbers)
    answers = len(LENGTHS[kind]) - 1
    ids = zip(
        numbers, reserve(Prompt, size), reserve(Item, size), reserve(Submission, size), strict=True
    )
    replies = reserve(Response, size * answers)
    rows: dict[str, list[tuple[Any, ...]]] = {
        name: [] for name in ("prompts", "items", "submissions", "responses", "rankings")
    }
    for number, prompt, item, submission in ids:
        question, *said = texts.row(number, LENGTHS[kind])
        messages = [{"role": "user", "content": question}]
        marks = prompt_fingerprint("", messages, ""), root_key(messages)
        rows["prompts"].append((prompt, project, str(number), as_json(messages), *marks, now))
        rows["items"].append((item, stage, prompt, number, 1, 1, 1, False))
        person = people[number % PEOPLE]
        rows["submissions"].append(
            (submission, item, stage, person, "submitted", guidelines, now, now)
        )
        own = replies[(number - numbers[0]) * answers :][:answers]
        origin = ("human", person, submission) if kind == "sft" else ("imported", None, None)
        rows["responses"] += [
            (pk, prompt, text, *origin, text_fingerprint(text), now)
            for pk, text in zip(own, said, strict=True)
        ]
        if kind == "preference":
            order = own if number % 3 else own[::-1]
            rows["rankings"].append((submission, as_json([[pk] for pk in order]), now))
    with transaction.atomic():
        fields = ["id", "project", "external_id", "messages", "fingerprint", "root_key"]
        insert(Prompt, [*fields, "created"], rows["prompts"])
        fields = ["id", "stage", "prompt", "position", "needed", "taken", "done", "open"]
        insert(Item, fields, rows["items"])
        fields = ["id", "item", "stage", "user", "state", "guidelines", "submitted", "created"]
        insert(Submission, fields, rows["submissions"])
        fields = ["id", "prompt", "text", "origin", "author", "submission", "fingerprint"]
        insert(Response, [*fields, "created"], rows["responses"])
        insert(Ranking, ["submission", "order", "created"], rows["rankings"])


def used() -> float:
    """Seconds of CPU of this process and its finished children."""
    total = 0.0
    for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        spent = resource.getrusage(whose)
        total += spent.ru_utime + spent.ru_stime
    return total


def resident(name: str) -> float:
    """MiB: VmRSS (now) or VmHWM (at most). Not ru_maxrss, which a parent hands down."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return round(int(line.split()[1]) / 1024, 1)
    raise SystemExit(f"/proc/self/status holds no {name}")


def measured(act: Any) -> dict[str, Any]:
    start = resident("VmRSS")
    cpu, began = used(), time.monotonic()
    found: dict[str, Any] = act()
    return found | {
        "cpu_s": round(used() - cpu, 2),
        "seconds": round(time.monotonic() - began, 2),
        "start_mib": start,
        "peak_mib": resident("VmHWM"),
    }


def freeze(slug: str) -> dict[str, Any]:
    """Freeze the dataset, in this process."""
    import django

    django.setup()
    import pyarrow.parquet  # noqa: F401 - what a worker has loaded already

    from exports import snapshots
    from exports.models import Dataset

    dataset = Dataset.objects.get(slug=slug)

    def act() -> dict[str, Any]:
        snapshot = snapshots.freeze_now(dataset=dataset, user=None)
        gone = sum(snapshot.dropped.values())
        return {"kept": snapshot.rows, "dropped": gone, "path": snapshot.path}

    over, seen = threading.Event(), [(time.monotonic(), 0)]
    watcher = threading.Thread(target=watch, args=(slug, dataset.pk, over, seen))
    watcher.start()
    found = measured(act)
    over.set()
    watcher.join()
    times = [*(at for at, _ in seen), time.monotonic()]
    still = max(after - at for at, after in zip(times, times[1:], strict=False))
    return found | {"progress_steps": len(seen) - 1, "longest_still_s": round(still, 1)}


def watch(slug: str, dataset: int, over: threading.Event, seen: list[tuple[float, int]]) -> None:
    """Ask each half second how far the newest freeze is, as its page does; each change is noted."""
    from django.db import connection

    from exports.models import Snapshot

    row = Snapshot.objects.filter(dataset=dataset, state="freezing").order_by("-pk")
    while not over.wait(0.5):
        progress = row.values_list("progress", flat=True).first()
        if progress is not None and progress != seen[-1][1]:
            seen.append((time.monotonic(), progress))
            if sys.stderr.isatty():
                print(f"{slug}: {progress} %", file=sys.stderr, end="\r")
    connection.close()


def download(path: str, kind: str, form: str) -> dict[str, Any]:
    """The whole snapshot in this format, into nothing."""
    import pyarrow.parquet  # noqa: F401

    from exports import downloads

    def act() -> dict[str, Any]:
        folder = Path(path)
        pieces = downloads.jsonl(folder) if form == "jsonl" else downloads.table(folder, kind)
        return {"bytes": sum(len(piece) for piece in pieces)}

    return measured(act)


def apart(name: str, *given: Any) -> Any:
    """What a function of this file returns, called in a process of its own."""
    code = f"import runpy, json; bench = runpy.run_path({str(Path(__file__))!r}); "
    code += f"print(json.dumps(bench[{name!r}](*{given!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{name}{given!r} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def backend_cpu() -> float:
    """Seconds of CPU of the PostgreSQL processes on this machine that are still there."""
    import psutil

    total = 0.0
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres" and process.info["cpu_times"]:
            spent = process.info["cpu_times"]
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def prepare(options: argparse.Namespace, home: Path) -> None:
    os.environ |= {
        "ANNOTUNE_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LOG_LEVEL": "ERROR",
    }
    os.environ.pop("DATABASE_URL", None)
    if options.url:
        os.environ["DATABASE_URL"] = options.url
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
    mark, wanted = home / "filled.json", {"rows": options.rows, "kinds": sorted(options.kind)}
    if mark.exists():
        if (there := json.loads(mark.read_text())) != wanted:
            raise SystemExit(f"{home} holds {there}, not {wanted}: name another --home.")
        return
    if options.url:
        subprocess.run([*manage, "flush", "--no-input", "--verbosity", "0"], cwd=ROOT, check=True)
    apart("fill", options.rows, sorted(options.kind))
    mark.write_text(json.dumps(wanted))


def measure(options: argparse.Namespace, home: Path) -> list[dict[str, Any]]:
    prepare(options, home)
    found, row = [], {"database": options.database, "rows": options.rows}
    for kind in options.kind:
        path = ""
        for dedup in options.dedup:
            before = backend_cpu() if options.url else 0.0
            done = apart("freeze", f"{kind}-{dedup}")
            path = done.pop("path")
            if options.url:
                done["backend_cpu_s"] = round(backend_cpu() - before, 2)
            found.append({**row, "kind": kind, "dedup": dedup, "format": "parquet", **done})
        for form in options.format if path else ():
            done = apart("download", path, kind, form)
            rows = found[-1].get("kept", found[-1]["rows"])
            found.append({**row, "kind": kind, "dedup": "none", "format": form, **done})
            found[-1]["rows"] = rows
    for each in found:
        each["rows_per_cpu_s"] = round(each["rows"] / max(each["cpu_s"], 0.001))
        each["load1"] = round(os.getloadavg()[0], 1)
    return found


def in_turns(options: argparse.Namespace, home: Path) -> list[dict[str, Any]]:
    """Ours, then the peer's, and again."""
    found = []
    for _ in range(options.turns):
        found += measure(options, home)
        if options.peer and options.format:
            peer = [sys.executable, str(HERE / "freezing_peer.py"), options.peer, str(options.rows)]
            said = subprocess.run(
                [*peer, *options.format], check=True, stdout=subprocess.PIPE, text=True
            )
            found += json.loads(said.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kind", nargs="+", choices=list(LENGTHS), default=list(LENGTHS))
    parser.add_argument("--dedup", nargs="*", choices=["exact", "near"], default=["exact"])
    parser.add_argument("--format", nargs="*", choices=["jsonl", "csv"], default=["jsonl", "csv"])
    parser.add_argument("--home", type=Path, help="keep the data here; a second run makes none")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help="DATABASE_URL of a PostgreSQL database; it is emptied")
    parser.add_argument("--peer", help="a virtual environment that holds Label Studio")
    parser.add_argument("--turns", type=int, default=1, help="how often, one after the other")
    options = parser.parse_args()
    if options.database == "postgresql" and not options.url:
        parser.error("--database postgresql needs --url postgres://user@host/a_spare_database")
    if options.home:
        options.home.mkdir(parents=True, exist_ok=True)
        found = in_turns(options, options.home.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="annotune-bench-") as home:
            found = in_turns(options, Path(home))
    print(json.dumps({"benchmark": "freezing", "rows": found}))


if __name__ == "__main__":
    main()
