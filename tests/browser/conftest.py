"""A real server with worker and sweeper in a home of its own, and a real Chromium."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import find

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "a long password"
PEOPLE = """
from annotation import importing, people, projects
from annotation.models import Membership, Role, User
from annotation.records import Record
made = {}
for name in ("Olga", "Lee", "Ana", "Bea", "Otto"):
    made[name] = User.objects.create_user(name.lower() + "@example.org", name, "a long password")
acme = people.create_workspace(name="Acme", owner=made["Olga"])
people.create_workspace(name="Other", owner=made["Otto"])
for name, role in (("Lee", Role.LEAD), ("Ana", Role.ANNOTATOR), ("Bea", Role.ANNOTATOR)):
    Membership.objects.create(workspace=acme, user=made[name], role=role)
desk = projects.create_project(workspace=acme, name="Small desk")
asked = [{"role": "user", "content": "What is open on Sunday?"}]
importing.add_records(project=desk, records=[Record(messages=asked)], source="tests")
projects.create_stage(project=desk, kind="write", name="Small work", people=[made["Bea"]])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """`manage.py serve` as `make run` starts it: address, home, and `manage(...)`."""
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    env = {
        **os.environ,
        "ANNOTUNE_HOME": str(home),
        "ANNOTUNE_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    env.pop("DATABASE_URL", None)

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    manage("shell", "-c", PEOPLE)
    # torch is loaded by a process of its own, not by this one.
    build = "import sys, pathlib; from tests.recipes.conftest import save_llama as save; "
    build += "save(pathlib.Path(sys.argv[1]))"
    tiny = str(home / "models" / "tiny")
    subprocess.run([sys.executable, "-c", build, tiny], cwd=ROOT, env=env, check=True)
    log = (home / "serve.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=env,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the server did not come up:\n" + (home / "serve.log").read_text()[-3000:])
        yield SimpleNamespace(url=url, home=home, manage=manage)
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        log.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The web alone over the demo, which is trained by nobody: address, the pages of the site as
    tests/browser/demo_pages.py tells them, and `shell(code)`."""
    home = tmp_path_factory.mktemp("demo")
    port = free_port()
    env = {**os.environ, "ANNOTUNE_HOME": str(home), "ANNOTUNE_PORT": str(port)}
    env.pop("DATABASE_URL", None)

    def shell(code: str) -> str:
        run = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
        done = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for command in ("migrate -v0", "demo --no-train"):
        manage = [sys.executable, "manage.py", *command.split()]
        subprocess.run(manage, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    pages = json.loads(shell("from tests.browser.demo_pages import tell; tell()"))
    web = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    web += ["--worker-class", "gthread", "--threads", "4", "--log-level", "error"]
    process = subprocess.Popen(web, cwd=ROOT, env=env)
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", pages=pages, shell=shell)
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=1)
            return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"nothing answers at {url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    path = find()
    assert path, "no Chromium; see tests/browser/chromium.py"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def log_in(server, browser):
    """`log_in("ana")`: a page of her own, logged in; errors in its console fail the test."""
    pages: list[tuple[Page, list[str]]] = []

    def login(name: str, **options) -> Page:
        context = browser.new_context(base_url=server.url, **options)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        # 422 is a form that was refused: Chromium calls that an error.
        page.on(
            "console",
            lambda m: (
                errors.append(m.text)
                if m.type == "error" and "status of 422" not in m.text
                else None
            ),
        )
        pages.append((page, errors))
        page.goto("/login/")
        page.get_by_label("E-mail address").fill(f"{name}@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login" not in url)
        return page

    yield login
    for page, errors in pages:
        page.context.close()
        assert not errors, errors
