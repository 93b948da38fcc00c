"""The process of a preflight: what it is given, how it is watched, what it says. No row is written
here."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.errors import Refused
from exports.models import Snapshot
from training import hosts
from training.engine import environment, stage
from training.events import clean
from training.inputs import Chosen
from training.models import Preflight, Run

POLL = 0.5  # seconds between two looks at the process


def root() -> Path:
    """Where each look has a folder of its own, while it lasts."""
    return Path(settings.RUN_ROOT) / "preflights"


def clear() -> None:
    """Delete what killed workers left. A folder bears its worker's name: those of this host are
    known to be gone, those of others are given a day."""
    since = time.time() - 24 * 3600
    for folder in root().iterdir() if root().is_dir() else []:
        here = hosts.host_of(folder.name) == hosts.HOST
        with suppress(FileNotFoundError):  # its worker has just ended
            dead = not hosts.supervisor_lives(folder.name) if here else False
            if dead or folder.stat().st_mtime < since:
                shutil.rmtree(folder, ignore_errors=True)


def inputs_of(row: Preflight) -> list[Chosen]:
    """As they were asked for. Raises Refused where one is gone."""
    snapshots = Snapshot.objects.select_related("dataset__workspace").in_bulk(
        [given["snapshot"] for given in row.inputs if given["snapshot"]]
    )
    sources = Run.objects.in_bulk([given["source"] for given in row.inputs if given["source"]])
    try:
        return [
            Chosen(
                given["name"],
                given["kind"],
                snapshots[given["snapshot"]] if given["snapshot"] else None,
                sources[given["source"]] if given["source"] else None,
                given["path"],
                given["sha256"],
            )
            for given in row.inputs
        ]
    except KeyError:
        raise Refused("What it was to start from is gone.") from None


def follow(
    run: Run,
    inputs: list[Chosen],
    directory: Path,
    command: list[str],
    beat: Callable[..., None],
) -> str | None:
    """Stage the inputs, run the command to its end and take them away again; the last line that it
    wrote, None where it took too long and was killed with all that it had started."""
    try:
        stage(run, directory, inputs)
    except FileNotFoundError as error:
        raise Refused(str(error)) from None
    (directory / "events.jsonl").unlink(missing_ok=True)
    written = directory / "log.txt"
    with written.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + settings.PREFLIGHT_SECONDS
    try:
        while process.poll() is None:
            if time.monotonic() > until:
                return None
            beat(**progress(directory))
            try:
                process.wait(min(POLL, settings.PREFLIGHT_SECONDS))
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(directory / "inputs", ignore_errors=True)
    lines = written.read_bytes()[-64_000:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"


def read(directory: Path, name: str) -> dict[str, Any] | None:
    """What the process left, within bounds."""
    try:
        found = clean(json.loads((directory / f"{name}.json").read_bytes()[: 4 * 1024**2]))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def progress(directory: Path) -> dict[str, Any]:
    """How far it says that it is: the last line of its events, if it can be read."""
    try:
        with (directory / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            said = clean(json.loads(file.read().split(b"\n")[-2]))
        numbers = {name: min(max(0, int(said[name])), 2**31 - 1) for name in ("step", "total")}
        return {"phase": str(said["phase"])[:100], **numbers}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
