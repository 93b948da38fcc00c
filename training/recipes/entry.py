"""The door of every recipe: reads RUN_DIR, runs it, and says in result.json how it ended."""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transformers.utils import logging as transformers_logging

from training.recipes.alarms import compare
from training.recipes.artifacts import as_continued, hold_day, start_of
from training.recipes.configs import parse
from training.recipes.preflight import examine
from training.recipes.process import (
    TookTooLong,
    loaded_mib,
    peak_mib,
    sentence,
    time_limit,
    use_threads,
)
from training.recipes.run_dir import RunDir, Stopped, write_json

# What a recipe is: it works in the run directory and returns what result.json is to say.
Work = Callable[[RunDir, Any], dict[str, Any]]


def main(recipe: str, work: Work) -> None:
    """`python -m training.recipes.NAME RUN_DIR`: exits 0 if it succeeded or was stopped, else 1."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m training.recipes.{recipe} RUN_DIR")
    try:
        run = RunDir(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    code = perform(recipe, work, run)
    run.close()
    sys.exit(code)


def perform(recipe: str, work: Work, run: RunDir) -> int:
    """Do the work and write result.json; the exit code."""
    loaded = loaded_mib()
    run.catch_sigterm()
    (run.path / "result.json").unlink(missing_ok=True)  # of an attempt before this one
    use_threads()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = parse(recipe, run.config)
        run.spec.setdefault("seed", getattr(config, "seed", 0))
        run.seed = run.spec["seed"]
        if hasattr(config, "seed"):
            config = replace(config, seed=run.seed)  # one seed, wherever it is read
        if run.spec.get("waited"):
            look_first(run)
        hold_day(run)
        if "init" in run.inputs:
            config, vain = as_continued(start_of(run, hashed=False), config)
            if vain:
                run.event("note", text=vain)
        result = work(run, config)
    except Stopped:
        run.finish("stopped", "Stopped on request. It can go on from its last checkpoint.")
        return 0
    except Exception as error:
        traceback.print_exc()
        run.finish("failed", sentence(error))
        return 1
    metrics = result.get("metrics") or {}
    if recipe != "evaluate":  # which calls another model `before`
        compare(run, metrics.get("before") or {}, metrics.get("after") or {})
    run.finish(
        "succeeded",
        peak_mib=peak_mib(),
        loaded_mib=loaded,
        predicted_mib=predicted_mib(run),
        **result,
    )
    return 0


def look_first(run: RunDir) -> None:
    """The preflight of a run that was made before what it starts from was there: on the first
    attempt, before anything trains. Raises ValueError with what it refuses. Nobody sits before it
    who could try again: where it takes too long the run goes on without."""
    file = run.path / "preflight.json"
    if file.exists():
        return
    run.progress(0, 0, "preflight")
    seconds = run.spec.get("preflight_seconds", 0)
    try:
        with time_limit(seconds):
            found = examine(run)
    except TookTooLong:
        run.event("note", text=f"Its own preflight took longer than {seconds} s and was left out.")
        return
    finally:
        run.progress(0, 0, "loading")  # what it counted are rows, no steps
    if not found["ok"]:
        raise ValueError("The preflight refuses: " + " ".join(found["refusals"]))
    for warning in found["warnings"]:
        run.event("note", text=warning, code="preflight")
    write_json(file, found)


def predicted_mib(run: RunDir) -> int | None:
    """By how much the preflight said that this process would grow; None where none was asked."""
    try:
        found = json.loads((run.path / "preflight.json").read_text("utf-8"))
        return int(found["memory"]["growth_mib"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
