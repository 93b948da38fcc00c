"""What the commands share: how RUN, DIR and W are read, and how one waits in the shell."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from training import runs, supervisor
from training.models import Run


def find_run(text: str) -> Run:
    """The run of a number, or of a directory of ours. Raises CommandError."""
    number = text
    path = Path(text)
    if not text.isdecimal():
        root = Path(settings.RUN_ROOT).resolve()
        inside = path.resolve().relative_to(root).parts if root in path.resolve().parents else ()
        number = inside[0] if inside else ""
    run = Run.objects.select_related("workspace").filter(pk=number).first() if number else None
    if run is None:
        raise CommandError(f"There is no run {text}.")
    return run


def run_or_path(text: str) -> Run | str:
    """A run by number or directory, else the text as a folder of its own."""
    root = Path(settings.RUN_ROOT).resolve()
    if text.isdecimal() or root in Path(text).resolve().parents:
        return find_run(text)
    return text


def wait(run: Run, write: Any) -> Run:
    """Until the run has ended, supervising it here where no worker does; Ctrl-C cancels it.

    Raises CommandError with the reason where it did not succeed."""
    asked = threading.Event()

    def interrupt(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        write(f"Stopping run {run.pk} at a checkpoint … (Ctrl-C again leaves it to a worker)")
        threading.Thread(target=_cancel, args=(run.pk,), daemon=True).start()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        while not run.has_ended:
            for source in _unfinished_sources(run):
                wait_quietly(source)
            supervisor.supervise(run.pk)
            run.refresh_from_db()
            if not run.has_ended:
                time.sleep(1)
    finally:
        signal.signal(signal.SIGINT, before)
    if run.state != Run.State.SUCCEEDED:
        raise CommandError(f"Run {run.pk} was {run.state}: {run.reason}")
    return run


def _cancel(pk: int) -> None:
    runs.cancel(Run.objects.get(pk=pk), by="the shell")


def _unfinished_sources(run: Run) -> list[Run]:
    rows = run.inputs.select_related("source").filter(source__isnull=False)
    return [row.source for row in rows if row.source and not row.source.has_ended]


def wait_quietly(run: Run) -> None:
    """Until the run has ended, however."""
    while not run.has_ended:
        for source in _unfinished_sources(run):
            wait_quietly(source)
        supervisor.supervise(run.pk)
        run.refresh_from_db()
        if not run.has_ended:
            time.sleep(1)
