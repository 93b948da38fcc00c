"""Label Studio imports the texts of importing.py, by one request to its API.

    .venv/bin/python benchmarks/importing_peer.py VENV RECORDS prompts|annotated [SECONDS]

VENV holds label-studio 1.23.2. Its server is started as `label-studio start` does, over a database
of its own, with telemetry off; CPU and memory are those of the server's processes. Meanwhile one
person saves annotations in another project. Prints the row that importing.py prints; more than
SECONDS for the request (1,800) is an error."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)
TOKEN = "a" * 40
MEANWHILE = 20_000  # records of the import beside which somebody saves
SAVING = 60  # seconds, at most: on SQLite its import stands still for as long as somebody saves
CONFIG = """<View><Text name="prompt" value="$prompt"/>
<TextArea name="response" toName="prompt" rows="10" maxSubmissions="1"/></View>"""
MAKE_USER = f"""
from label_studio.server import _setup_env, _apply_database_migrations
_setup_env(); _apply_database_migrations()
from users.models import User
from organizations.models import Organization
from rest_framework.authtoken.models import Token
user = User.objects.create_user(email="ana@bench.example", password="a long password")
org = Organization.create_organization(
    created_by=user, title="Bench", legacy_api_tokens_enabled=True)
user.is_staff = user.is_superuser = True
user.active_organization = org
user.save()
Token.objects.filter(user=user).delete()
Token.objects.create(user=user, key="{TOKEN}")
"""


def settings(home: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    for name in ("COLLECT_ANALYTICS", "LATEST_VERSION_CHECK"):
        env[name] = env["LABEL_STUDIO_" + name] = "0"
    for name in ("SENTRY_DSN", "FRONTEND_SENTRY_DSN"):
        env[name] = env["LABEL_STUDIO_" + name] = ""
    return env | {
        "collect_analytics": "0",
        "LABEL_STUDIO_FEATURE_FLAGS_OFFLINE": "1",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "1",
        "LABEL_STUDIO_BASE_DATA_DIR": home,
        "DJANGO_DB": "sqlite",
        "LOG_LEVEL": "WARNING",
        "LABEL_STUDIO_LOG_LEVEL": "WARNING",
    }


def call(port: int, method: str, path: str, body: Any = None, wait: float = 60) -> tuple[int, Any]:
    """(status, answer), over a connection of its own: its kept-alive ones are slow on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait)
    head = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, head)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    try:
        return answer.status, json.loads(said)
    except ValueError:
        return answer.status, said[:200].decode("utf-8", "replace")


def result(text: str) -> list[dict[str, Any]]:
    value = {"text": [text]}
    return [{"from_name": "response", "to_name": "prompt", "type": "textarea", "value": value}]


def tasks(rows: Any) -> bytes:
    """The body of the request: Label Studio takes a JSON array, no JSON Lines."""
    out = []
    for prompt, answer in rows:
        task: dict[str, Any] = {"data": {"prompt": prompt}}
        if answer:
            task["annotations"] = [{"result": result(answer)}]
        out.append(json.dumps(task))
    return f"[{','.join(out)}]".encode()


def save_on(port: int, ids: list[int], over: threading.Event, out: dict[str, list[Any]]) -> None:
    at, until = 0, time.monotonic() + SAVING
    while not over.wait(0.05) and time.monotonic() < until:
        began = time.perf_counter()
        try:
            path = f"/api/tasks/{ids[at % len(ids)]}/annotations/"
            status, said = call(port, "POST", path, {"result": result("An answer. " * 30)})
            if status == 201:
                out["times"].append(time.perf_counter() - began)
            else:
                out["errors"].append(f"{status} {str(said)[:100]}")
        except OSError as error:
            out["errors"].append(repr(error))
        at += 1


def resident(pid: int, name: str) -> float:
    """MiB: VmRSS now or VmHWM at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/{pid}/status has no {name}")


def measure(
    port: int, pid: int, bench: Any, records: int, kind: str, wait: float
) -> dict[str, Any]:
    """Two imports: one alone, for its CPU, which is not to be parted from that of the saves; and
    one of MEANWHILE records at most with somebody saving, for what they meet."""
    projects = []
    for title in ("Alone", "Meanwhile", "Other"):
        said = call(port, "POST", "/api/projects/", {"title": title, "label_config": CONFIG})[1]
        projects.append(said["id"])
    few = tasks((f"Prompt {n}", "") for n in range(200))
    call(port, "POST", f"/api/projects/{projects[2]}/import", few)
    listed = call(port, "GET", f"/api/tasks?project={projects[2]}&page_size=200")[1]
    ids = [task["id"] for task in listed["tasks"]]
    body = tasks(bench["texts"](records, kind))
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, spent, began = resident(pid, "VmRSS"), cpu_of(pid), time.monotonic()
    take(port, projects[0], body, wait)
    wall, spent = time.monotonic() - began, cpu_of(pid) - spent
    growth = resident(pid, "VmHWM") - before
    over, out = threading.Event(), {"times": [], "errors": []}
    saver = threading.Thread(target=save_on, args=(port, ids, over, out))
    saver.start()
    began = time.monotonic()
    take(port, projects[1], tasks(bench["texts"](min(records, MEANWHILE), kind)), wait)
    beside = time.monotonic() - began
    over.set()
    saver.join()
    times, errors = out["times"], out["errors"]
    return {
        "database": "sqlite",
        "tool": "label-studio",
        "kind": kind,
        "index": "none",
        "records": records,
        "records_per_cpu_s": round(records / spent),
        "records_per_s": round(records / wall),
        "peak_growth_mib": round(growth, 1),
        "seconds": round(wall, 1),
        "seconds_beside_saves": round(beside, 1),
        "file_mb": round(len(body) / 1e6, 1),
        "errors": len(errors),
        "first_errors": errors[:3],
        "other_saves": len(times),
        "other_save_p50_ms": bench["percentile"](times, 0.5),
        "other_save_p95_ms": bench["percentile"](times, 0.95),
        "other_save_max_ms": bench["percentile"](times, 1.0),
        "load1": round(os.getloadavg()[0], 1),
    }


def take(port: int, project: int, body: bytes, wait: float) -> None:
    path = f"/api/projects/{project}/import?return_task_ids=false"
    status, said = call(port, "POST", path, body, wait)
    if status != 201:
        raise SystemExit(f"The import answered {status}: {said}")


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and of its children."""
    import psutil

    total = 0.0
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        used = one.cpu_times()
        total += used.user + used.system
    return total


@contextmanager
def served(venv: Path) -> Iterator[tuple[int, int]]:
    """Label Studio with a user and nothing else, until the block ends: (port, process). Its empty
    database takes minutes to make, so it is kept in the virtual environment."""
    import runpy

    port = runpy.run_path(str(HERE / "queue.py"))["free_port"]()
    made, quiet = venv / "empty-database", subprocess.DEVNULL
    if not made.exists():
        with tempfile.TemporaryDirectory(prefix="making-", dir=venv) as part:
            python, env = [str(venv / "bin" / "python"), "-c", MAKE_USER], settings(part)
            subprocess.run(python, env=env, cwd=part, check=True, stdout=quiet, stderr=quiet)
            shutil.copytree(part, made)
    with tempfile.TemporaryDirectory(prefix="peer-bench-") as home:
        shutil.copytree(made, home, dirs_exist_ok=True)
        env = settings(home)
        start = [str(venv / "bin" / "label-studio"), "start", "-b", "--data-dir", home]
        start += ["--internal-host", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(start, env=env, cwd=home, stdout=quiet, stderr=quiet)
        try:
            for _ in range(900):
                try:
                    if call(port, "GET", "/health", wait=5)[0] == 200:
                        break
                except OSError:
                    time.sleep(0.2)
            yield port, server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def main() -> None:
    import runpy

    venv, records, kind = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    wait = float(sys.argv[4]) if len(sys.argv) > 4 else 1800
    bench = runpy.run_path(str(HERE / "importing.py"))
    with served(venv) as (port, pid):
        print(json.dumps(measure(port, pid, bench, records, kind, wait)))


if __name__ == "__main__":
    main()
