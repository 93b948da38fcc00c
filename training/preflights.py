"""Preflight: what a run would do, found out in a subprocess before a GPU is touched.

What passed is kept under a hash of what was asked, so that Start after Preflight need not ask
again. A refusal is not: room on the disk or in memory may have been made since.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.errors import Refused
from annotation.models import Workspace
from training.engine import environment, stage, versions
from training.events import clean
from training.inputs import Chosen, Given, choose
from training.models import Run, RunInput
from training.recipes.configs import parse, to_json
from training.runs import template_of, with_template

# It reads a tokenizer and thousands of rows: one at a time in a web process.
_one = threading.Lock()


def recipe_preflight(directory: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.preflight", str(directory)]


def recipe_probe(directory: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.probe", str(directory)]


def waits(chosen: list[Chosen]) -> bool:
    """Is an input a run that has not ended? Then there is nothing to look at yet."""
    return any(row.source is not None and not row.source.has_ended for row in chosen)


def keep(run: Run) -> None:
    """Lay what the preflight of this very run found, if there was one, into its directory: the
    recipe says in the end what was expected of it."""
    found = _folder(run, run.inputs.all()) / "preflight.json"
    if found.exists():
        run.directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, run.directory / "preflight.json")


def _folder(run: Run, inputs: Iterable[Chosen | RunInput]) -> Path:
    return Path(settings.RUN_ROOT) / "preflights" / _key(run, inputs)


def _key(run: Run, given: Iterable[Chosen | RunInput]) -> str:
    """Of all that the answer depends on."""
    inputs = [
        [row.name, row.path, row.sha256, row.source.pk if row.source else 0,
         row.snapshot.pk if row.snapshot else 0]
        for row in sorted(given, key=lambda row: row.name)
    ]  # fmt: skip
    asked = [run.recipe, run.config, run.template, inputs, versions()]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def preflight(
    *,
    workspace: Workspace,
    recipe: str,
    config: dict[str, Any],
    inputs: dict[str, Given],
    operator: bool = False,
    probe: bool = False,
    command: Callable[[Path], list[str]] = recipe_preflight,
    probe_command: Callable[[Path], list[str]] = recipe_probe,
) -> dict[str, Any] | None:
    """What the preflight found (preflight.json); None where an input is a run that still works.
    With what two steps on the longest batch took (probe.json), as `probe`, where they were tried
    before or are to be tried now (`probe`).

    Raises ConfigError and Refused as `create_run` does, and Refused where the preflight itself did
    not come to an end."""
    values = to_json(parse(recipe, with_template(recipe, config, inputs)))
    chosen = choose(recipe=recipe, given=inputs, workspace=workspace, operator=operator)
    if waits(chosen):
        return None
    run = Run(workspace=workspace, recipe=recipe, config=values, template=template_of(values))
    directory = _folder(run, chosen)
    found = _passed(directory)
    tried = _read(directory, "probe") if found else None
    if not found or (probe and not tried):
        if not _one.acquire(timeout=settings.PREFLIGHT_SECONDS):
            raise Refused("Other preflights are under way: try again in a moment.")
        try:
            found = _passed(directory) or _ask(run, chosen, directory, command(directory))
            if probe:
                tried = _try(run, chosen, directory, probe_command(directory))
        finally:
            _one.release()
    return found | {"probe": tried} if tried else found


def _ask(run: Run, chosen: list[Chosen], directory: Path, command: list[str]) -> dict[str, Any]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    said = _do(run, chosen, directory, command)
    if said is None:
        raise Refused(
            f"The preflight took longer than {settings.PREFLIGHT_SECONDS} s and was ended. "
            "Is the machine busy? Try again, or with fewer rows."
        )
    found = _read(directory)
    if found is None:
        raise Refused(f"The preflight did not come to an end: {said}")
    return found


def _try(run: Run, chosen: list[Chosen], directory: Path, command: list[str]) -> dict[str, Any]:
    """What probe.json says; a failure is one of two steps, and refuses nothing."""
    said = _do(run, chosen, directory, command)
    shutil.rmtree(directory / "probe", ignore_errors=True)
    if said is None:
        reason = f"Two steps took longer than {settings.PREFLIGHT_SECONDS} s and were ended."
        return {"ok": False, "reason": reason}
    return _read(directory, "probe") or {"ok": False, "reason": said}


def _do(run: Run, chosen: list[Chosen], directory: Path, command: list[str]) -> str | None:
    """Stage the inputs, run the command to its end, take them away again; the last line that it
    wrote, None where it took too long and was killed with all that it had started."""
    try:
        stage(run, directory, chosen)
    except FileNotFoundError as error:
        raise Refused(str(error)) from None
    process = subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, wrote = process.communicate(timeout=settings.PREFLIGHT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    finally:
        shutil.rmtree(directory / "inputs", ignore_errors=True)
    lines = wrote.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"


def _passed(directory: Path) -> dict[str, Any] | None:
    found = _read(directory)
    return found if found and found.get("ok") else None


def _read(directory: Path, name: str = "preflight") -> dict[str, Any] | None:
    try:
        found = clean(json.loads((directory / f"{name}.json").read_bytes()[: 4 * 1024**2]))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def refuse_if_refused(found: dict[str, Any] | None) -> None:
    """Raises Refused with the preflight's refusals, if it has any."""
    if found and not found.get("ok"):
        reasons = [str(reason) for reason in found.get("refusals") or ["it gave no reason"]]
        raise Refused("The preflight refuses: " + " ".join(reasons))
