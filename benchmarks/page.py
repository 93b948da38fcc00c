"""What a page weighs on the wire, and how long an annotator waits between two items.

    .venv/bin/python benchmarks/page.py --laps 40

Starts the server as `make run` does, on a free port and with a home of its own, and drives it with
Chromium after a real login. `first_kb` is what crosses the wire with an empty cache, `second_kb` on
the next visit (both as the browser counts them: compressed, with headers); a lap goes from pressing
Ctrl+Enter to the next item's editor being there and painted. Prints JSON."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
# Not this folder: its queue.py would stand in for the standard library's.
sys.path[0] = str(ROOT)

from benchmarks.queue import PASSWORD, free_port, set_up  # noqa: E402
from tests.browser.chromium import find  # noqa: E402

PERSON = "a0@bench.example"
# From the key press to the next item: work.js says "work:shown" when its form can be used.
LAP = """() => {
  const item = () => document.querySelector("#work-form [name=submission]")?.value, old = item();
  let pressed = 0;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter") pressed = performance.now();
  }, { capture: true });
  window.took = 0;
  document.addEventListener("work:shown", function shown() {
    if (!item() || item() === old) return;
    document.removeEventListener("work:shown", shown);
    requestAnimationFrame(() => setTimeout(() => window.took = performance.now() - pressed));
  });
}"""


@contextmanager
def server(home: Path) -> Iterator[str]:
    """`manage.py serve` in a home of its own; gives its address."""
    port = free_port()
    env = {**os.environ, "ANNOTUNE_PORT": str(port)}
    with (home / "server.log").open("wb") as log:
        command = [sys.executable, "manage.py", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit((home / "server.log").read_text()[-2000:])
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class Wire:
    """What crosses the wire to a page, by the browser's own count."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)
        self.session.send("Network.enable")
        self.session.on("Network.requestWillBeSent", self.asked)
        self.session.on("Network.loadingFinished", self.finished)
        self.requests, self.bytes = 0, 0.0

    def asked(self, event: dict[str, Any]) -> None:
        self.requests += not event["request"]["url"].startswith("data:")

    def finished(self, event: dict[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]

    def visit(self, address: str) -> tuple[int, float]:
        """Requests and kB of one visit."""
        self.page.goto("about:blank")
        self.requests, self.bytes = 0, 0.0
        self.page.goto(address, wait_until="networkidle")
        return self.requests, round(self.bytes / 1000, 1)

    def both_visits(self, name: str, address: str) -> dict[str, Any]:
        self.session.send("Network.clearBrowserCache")
        requests, first = self.visit(address)
        _, second = self.visit(address)
        return {"page": name, "requests": requests, "first_kb": first, "second_kb": second}


def laps(page: Page, address: str, many: int) -> float:
    """The median in milliseconds of so many items handed in by key."""
    page.goto(address)
    page.set_default_timeout(20_000)
    times = []
    for number in range(many + 3):  # the first three warm the server up
        page.locator("#work-form").wait_for()
        page.evaluate(LAP)
        if page.locator("#text").count():
            page.locator("#text").fill(f"An answer of some length, number {number}. " * 8)
        else:
            page.keyboard.press("234567"[number % 6])  # the ends of the scale ask for a reason
        page.keyboard.press("Control+Enter")
        page.wait_for_function("() => window.took")
        times.append(float(page.evaluate("() => window.took")))
    return round(statistics.median(times[3:]), 1)


def measure(address: str, stages: dict[str, int], many: int) -> list[dict[str, Any]]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=find(), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        wire = Wire(page)
        rows = [wire.both_visits("login", f"{address}/login/")]
        page.get_by_label("E-mail address").fill(PERSON)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login" not in url)
        rows.append(wire.both_visits("home", f"{address}/"))
        for kind, stage in stages.items():
            work = f"{address}/stages/{stage}/work/"
            rows.append(wire.both_visits(f"work {kind}", work))
            if kind != "correct":
                rows[-1]["lap_ms_median"] = laps(page, work, many)
        browser.close()
    return [{**row, "lap_ms_median": row.get("lap_ms_median")} for row in rows]


def make_world() -> dict[str, int]:
    """A stage of each kind over the texts of the queue's benchmark."""
    write, rank = set_up(prompts=1000, annotators=1, overlap=1, ahead=0)
    from annotation.models import Stage

    project = Stage.objects.get(pk=rank).project
    correct = Stage.objects.create(project=project, kind="correct", name="correct")
    return {"write": write, "rank": rank, "correct": correct.pk}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laps", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annotune-bench-") as home:
        os.environ |= {"ANNOTUNE_HOME": home, "DJANGO_SETTINGS_MODULE": "config.settings"}
        os.environ |= {"LOG_LEVEL": "WARNING"}
        os.environ.pop("DATABASE_URL", None)
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, check=True)
        stages = make_world()
        with server(Path(home)) as address:
            rows = measure(address, stages, options.laps)
    print(json.dumps({"benchmark": "page", "rows": rows}))


if __name__ == "__main__":
    main()
