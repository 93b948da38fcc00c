"""Probe: two real steps on the longest batch, to measure what preflight only works out.

    python -m training.recipes.probe RUN_DIR

Reads spec.json as the recipe would, makes a run of its own out of the longest rows (below RUN_DIR,
deleted afterwards), lets the recipe do two steps in a process of its own, and writes probe.json:
the growth of that process over its libraries in MiB, and how long it took; or why it failed.
"""

import heapq
import json
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.recipes import data
from training.recipes.artifacts import start_of
from training.recipes.asked import Asked
from training.recipes.configs import RECIPES, parse
from training.recipes.memory import AT_ONCE
from training.recipes.process import end_with_parent, sentence
from training.recipes.run_dir import RunDir, write_json
from training.recipes.tokenizer import load_tokenizer

STEPS = 2  # the second finds the optimiser's state of the first
# What the probe changes of a config, where the recipe has the knob.
SHORT = {"max_steps": STEPS, "steps": STEPS, "epochs": 100.0, "save_steps": 100_000,
         "eval_steps": 100_000, "keep": "last", "patience": 0}  # fmt: skip
MOST = {"accumulation": 2, "sample_tokens": 8, "eval_rows": AT_ONCE}


def main() -> None:
    """Exit code 0 also where the steps failed: probe.json says so."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.recipes.probe RUN_DIR")
    try:
        run = RunDir(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    end_with_parent()
    try:
        found = probe(run)
    except Exception as error:
        found = {"ok": False, "reason": sentence(error)}
    write_json(run.path / "probe.json", found)


def probe(run: RunDir) -> dict[str, Any]:
    """{"ok", "reason"} and, where the steps were done, {"growth_mib", "seconds", "rows", "tokens"}:
    how many rows were tried, and the length of the longest."""
    recipe = run.spec.get("recipe", "")
    config = parse(recipe, run.config)
    if "snapshot" not in RECIPES[recipe].inputs or recipe == "evaluate":
        raise ValueError(f"There are no steps to try: the recipe {recipe} does not train.")
    folder = run.path / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        rows, tokens = _make(folder, run, recipe, config)
        began = time.monotonic()
        code = _train(recipe, folder)
        said = f"ended with code {code}" if code >= 0 else f"was killed by signal {-code}"
        if code == -9:
            said += ": it most likely ran out of memory"
        file = folder / "result.json"
        result = json.loads(file.read_text("utf-8")) if file.exists() else {}
        if result.get("state") != "succeeded":
            return {"ok": False, "reason": result.get("reason") or f"The recipe {said}."}
        return {
            "ok": True,
            "reason": "",
            "growth_mib": result["peak_mib"] - result["loaded_mib"],
            "seconds": round(time.monotonic() - began, 1),
            "rows": rows,
            "tokens": tokens,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _train(recipe: str, folder: Path) -> int:
    with (folder / "log.txt").open("wb") as log:
        return subprocess.run(
            [sys.executable, "-m", f"training.recipes.{recipe}", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode


def _make(folder: Path, run: RunDir, recipe: str, config: Any) -> tuple[int, int]:
    """A run directory whose rows are the longest ones; how many rows, and tokens of the longest."""
    values = run.config | {n: v for n, v in SHORT.items() if hasattr(config, n)}
    values |= {n: min(v, getattr(config, n)) for n, v in MOST.items() if hasattr(config, n)}
    short = parse(recipe, values)
    many = getattr(short, "rollout_batch", 0) or short.batch_size * short.accumulation
    rows, tokens = _longest(run, recipe, short, many)
    written = folder / "snapshot" / "data"
    written.mkdir(parents=True)
    source = next((Path(run.input_path("snapshot")) / "data").glob("train-*.parquet"))
    for split, some in (("train", rows), ("test", rows[:AT_ONCE])):
        table = pa.Table.from_pylist(some, pq.read_schema(source))
        pq.write_table(table, written / f"{split}-00000-of-00001.parquet")
    inputs = [
        {"name": given.name, "kind": given.kind, "path": run.input_path(given.name)}
        for given in run.inputs.values()
        if given.name != "snapshot"
    ]
    inputs.append({"name": "snapshot", "kind": "snapshot", "path": "snapshot"})
    write_json(folder / "spec.json", run.spec | {"config": values, "inputs": inputs, "attempt": 1})
    return len(rows), tokens


def _longest(run: RunDir, recipe: str, config: Any, many: int) -> tuple[list[dict[str, Any]], int]:
    """The longest rows, as many as a step learns from (where rows are packed: as fill it), and one
    of each label, without which there is nothing to tell apart."""
    asked = Asked.of(recipe, run, config)
    base = start_of(run, hashed=False).base
    plain = asked.kind in ("text", "labels")
    tokenizer = load_tokenizer(base, run.spec.get("template"), chat=not plain)
    encoder = data.Encoder(tokenizer, asked.limit)
    packs = getattr(config, "packing", "off") != "off"
    room = many * asked.limit if packs else 0
    kept: list[tuple[int, int, dict[str, Any]]] = []
    best: dict[Any, tuple[int, dict[str, Any]]] = {}
    held, numbers = 0, count()
    for row in asked.rows:
        if asked.kind == "prompts":
            length, trained = len(encoder.prompt(row["prompt"])), 1
        else:
            _, length, trained = data.encode_row(row, encoder, asked.kind)
        if not trained:
            continue
        if "label" in row and length > best.get(row["label"], (0, row))[0]:
            best[row["label"]] = (length, row)
        heapq.heappush(kept, (length, next(numbers), row))
        held += length
        while len(kept) > many and held - kept[0][0] >= room:
            held -= heapq.heappop(kept)[0]
    if not kept:
        raise ValueError("None of the rows has anything to train on.")
    rows = [row for _, _, row in sorted(kept, reverse=True)]
    rows += [row for _, row in best.values() if row not in rows]
    return rows, max(length for length, *_ in kept)


if __name__ == "__main__":
    main()
