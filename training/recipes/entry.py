"""The door of every recipe: reads RUN_DIR, runs it, and says in result.json how it ended."""

import errno
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil
import torch
from transformers.utils import logging as transformers_logging

from training.recipes.alarms import compare
from training.recipes.artifacts import as_continued, start_of
from training.recipes.configs import ConfigError, parse
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
    attempt, before anything trains. Raises ValueError with what it refuses."""
    from training.recipes.preflight import examine  # which ends by this module's sentences

    file = run.path / "preflight.json"
    if file.exists():
        return
    run.progress(0, 0, "preflight")
    found = examine(run)
    if not found["ok"]:
        raise ValueError("The preflight refuses: " + " ".join(found["refusals"]))
    write_json(file, found)


def loaded_mib() -> int:
    """What this process holds now: before the run begins, its libraries. 0 on a GPU, where only
    what a run allocates is counted."""
    if torch.cuda.is_available():
        return 0
    return round(psutil.Process().memory_info().rss / 2**20)


def predicted_mib(run: RunDir) -> int | None:
    """By how much the preflight said that this process would grow; None where none was asked."""
    try:
        found = json.loads((run.path / "preflight.json").read_text("utf-8"))
        return int(found["memory"]["growth_mib"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def peak_mib() -> int:
    """The most memory that this process has held: of the GPU where there is one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 2**20)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10))


def use_threads() -> None:
    """OMP_NUM_THREADS where it is given; else half of the cores: the web lives here too."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def sentence(error: BaseException) -> str:
    """Why a run failed, for someone who did not write it."""
    text = str(error).strip()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text:
        return "Out of memory: use a smaller batch, shorter rows (max_length) or a smaller model."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full."
    if isinstance(error, FileNotFoundError):
        return f"A file is missing: {error.filename or text}."
    if isinstance(error, ConfigError):
        return f"The config is not usable: {text}."
    if isinstance(error, ValueError):
        return text.splitlines()[0] if text else "A value is not usable."
    first = text.splitlines()[0] if text else "no reason given"
    return f"{type(error).__name__}: {first} (the log has the details)."
