"""manage.py serve: web, workers and sweeper together; Ctrl-C stops all of them in order.

Each child has a session of its own, so that Ctrl-C reaches us alone and we can let trainers save a
checkpoint. A child that dies is started again, later each time, and we say so. If we are killed
ourselves, the system tells the children to end (Linux).
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections

from training import hosts, runs
from training.engine import LOCAL
from training.models import Run

log = logging.getLogger("serve")
SWEEP_SECONDS = 10
STOP_SECONDS = 60  # for children to end; their trainers get 20 of them to save themselves
TRAINER_SECONDS = 20
LONG = 60  # a child that ran so long has done nothing wrong: its next start is at once
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In the child: SIGTERM when whoever started us dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """A process that is to be there: started, watched, started again."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    failures: int = 0
    next_start: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=settings.BASE_DIR,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self.since = time.monotonic()
        log.info("started", extra={"child": self.name, "pid": self.process.pid})

    def look(self) -> str:
        """Start it if it is time to; what happened, if something did."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self.start()
            return ""
        code = self.process.poll()
        if code is None:
            return ""
        self.process = None
        self.failures = 0 if now - self.since > LONG else self.failures + 1
        delay = min(60, 2**self.failures - 1) if self.failures > 1 else 0
        self.next_start = now + delay
        again = f"again in {delay} s" if delay else "started again"
        return f"The {self.name} process died (code {code}); {again}."

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """It and what it started. Trainers have sessions of their own."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def children(host: str, port: int, processes: int, threads: int) -> list[Child]:
    python = sys.executable
    # Celery warns root at length, twice; containers often run as root.
    worker = [python, "-W", "ignore:You're running the worker", "-m", "celery", "--app", "config",
              "--quiet", "worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
              "--without-heartbeat"]  # fmt: skip
    work = ["--queues", "work", "--concurrency", "2", "--hostname", "work@%h"]
    # Threads: these only watch processes of their own, and hear at once when they are to stop.
    look = ["--queues", "preflight", "--concurrency", "2", "--pool", "threads",
            "--hostname", "preflight@%h"]  # fmt: skip
    gpu = ["--queues", "gpu", "--concurrency", "1", "--pool", "threads", "--hostname", "gpu@%h"]
    return [
        Child(
            "web",
            [python, "-m", "gunicorn", "config.wsgi:application", "--bind", f"{host}:{port}",
             "--worker-class", "gthread", "--workers", str(processes),
             "--threads", str(threads), "--timeout", "300", "--graceful-timeout", "5",
             "--log-level", "warning"],
        ),
        Child("worker", [*worker, *work]),
        Child("preflight worker", [*worker, *look]),
        Child("gpu worker", [*worker, *gpu]),
    ]  # fmt: skip


class Command(BaseCommand):
    help = "Run web, workers and the sweeper together."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--processes", type=int, default=2, help="of the web server")
        parser.add_argument("--threads", type=int, default=4, help="of each web process")

    def handle(self, **options: Any) -> None:
        host, port = options["host"], options["port"]
        refuse_taken_port(host, port)
        self.stopping = 0
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGTERM, self.stop)
        family = children(host, port, max(1, options["processes"]), max(4, options["threads"]))
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.say(f"Annotune is on http://{shown}:{port} (Ctrl-C stops it)")
        next_sweep = 0.0
        while not self.stopping:
            for child in family:
                if said := child.look():
                    self.say(said)
            if time.monotonic() >= next_sweep:
                sweep()
                next_sweep = time.monotonic() + SWEEP_SECONDS
            time.sleep(0.3)
        self.say("Stopping: trainers save a checkpoint first …")
        end(family, lambda: self.stopping > 1)
        end_trainers(lambda: self.stopping > 1)
        self.say("Stopped.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def stop(self, *_: object) -> None:
        self.stopping += 1


def refuse_taken_port(host: str, port: int) -> None:
    """Raises CommandError where something listens there already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"{host}:{port} cannot be had ({error.strerror}). Is Annotune running already? "
                "Another port: ANNOTUNE_PORT=8001."
            ) from None


def sweep() -> None:
    """One sweep; whatever goes wrong is logged, and the next one comes."""
    close_old_connections()
    try:
        runs.sweep()
    except Exception:
        log.exception("sweep failed")


def end_trainers(at_once: Callable[[], bool]) -> None:
    """Trainers of this host that are still there, because their worker died before them. What they
    save is found, and goes on, when a worker is there again."""
    close_old_connections()
    active = Run.objects.filter(state__in=Run.ACTIVE)
    until = time.monotonic() + TRAINER_SECONDS
    for run in active:
        LOCAL.cancel(run, "term")
    while left := [run for run in active if hosts.find(run.process)]:
        if time.monotonic() > until or at_once():
            for run in left:
                LOCAL.cancel(run, "kill")
            return
        time.sleep(0.2)


def end(family: list[Child], at_once: Callable[[], bool]) -> None:
    """Tell all to end, wait, and kill what is left."""
    for child in family:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until and not at_once():
        if all(child.process is None or child.process.poll() is not None for child in family):
            return
        time.sleep(0.1)
    for child in family:
        child.kill()
