"""Preflight: what a run would do, found out in a subprocess before a GPU is touched.

What passed is kept under a hash of what was asked, so that Start after Preflight need not ask
again. A refusal is not: room on the disk or in memory may have been made since.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.errors import Refused
from annotation.models import Workspace
from training.engine import environment, stage, versions
from training.events import clean
from training.inputs import Chosen, Given, choose
from training.models import Run
from training.recipes.configs import parse, to_json
from training.runs import template_of, with_template

# It reads a tokenizer and thousands of rows: one at a time in a web process.
_one = threading.Lock()


def recipe_preflight(directory: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.preflight", str(directory)]


def waits(chosen: list[Chosen]) -> bool:
    """Is an input a run that has not ended? Then there is nothing to look at yet."""
    return any(row.source is not None and not row.source.has_ended for row in chosen)


def _key(run: Run, chosen: list[Chosen]) -> str:
    """Of all that the answer depends on."""
    inputs = [
        [row.name, row.path, row.sha256, row.source.pk if row.source else 0,
         row.snapshot.pk if row.snapshot else 0]
        for row in chosen
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
    command: Callable[[Path], list[str]] = recipe_preflight,
) -> dict[str, Any] | None:
    """What the preflight found (preflight.json); None where an input is a run that still works.

    Raises ConfigError and Refused as `create_run` does, and Refused where the preflight itself did
    not come to an end."""
    values = to_json(parse(recipe, with_template(config, inputs)))
    chosen = choose(recipe=recipe, given=inputs, workspace=workspace, operator=operator)
    if waits(chosen):
        return None
    run = Run(workspace=workspace, recipe=recipe, config=values, template=template_of(values))
    directory = Path(settings.RUN_ROOT) / "preflights" / _key(run, chosen)
    if (found := _passed(directory)) is not None:
        return found
    if not _one.acquire(timeout=settings.PREFLIGHT_SECONDS):
        raise Refused("Other preflights are under way: try again in a moment.")
    try:
        return _passed(directory) or _ask(run, chosen, directory, command(directory))
    finally:
        _one.release()


def _ask(run: Run, chosen: list[Chosen], directory: Path, command: list[str]) -> dict[str, Any]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        stage(run, directory, chosen)
        done = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=settings.PREFLIGHT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Refused(
            f"The preflight took longer than {settings.PREFLIGHT_SECONDS} s and was ended. "
            "Is the machine busy? Try again, or with fewer rows."
        ) from None
    except FileNotFoundError as error:
        raise Refused(str(error)) from None
    found = _read(directory)
    if found is None:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1][:500] if lines else "it said nothing"
        raise Refused(f"The preflight did not come to an end: {said}")
    shutil.rmtree(directory / "inputs", ignore_errors=True)
    return found


def _passed(directory: Path) -> dict[str, Any] | None:
    found = _read(directory)
    return found if found and found.get("ok") else None


def _read(directory: Path) -> dict[str, Any] | None:
    try:
        found = clean(json.loads((directory / "preflight.json").read_bytes()[: 4 * 1024**2]))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def refuse_if_refused(found: dict[str, Any] | None) -> None:
    """Raises Refused with the preflight's refusals, if it has any."""
    if found and not found.get("ok"):
        reasons = [str(reason) for reason in found.get("refusals") or ["it gave no reason"]]
        raise Refused("The preflight refuses: " + " ".join(reasons))
