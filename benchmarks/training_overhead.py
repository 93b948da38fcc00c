"""What our recipes add to TRL: `python -m benchmarks.training_overhead [--turns 7] [--only CASE]`.

Each recipe that TRL carries, as it is run, against a bare script of TRL's trainer with the same
settings, model, tokens, seed and order. Models and rows are made on the spot. Each turn is a
process of its own with one thread, ours and TRL's by turns. Timed are whole steps, from the end of
the WARM-th to the end of the last: loading, evaluation and saving lie outside.

cpu_ratio and memory_ratio: ours over TRL's, medians of the turns, of processor seconds and of the
most memory (RSS) that the process held during the timed steps; growth_ratio: the same memory over
what the process held once all was imported. callback_share: time in callbacks of ours, of the
steps' wall time. loss_max_abs_difference: of a step's loss, over all steps and turns.

Chosen so that both sides mean the same: reward pairs weigh alike (weight pair; TRL knows no
weights) and the head is given (ours would start at zero). Both render and tokenize the snapshot's
rows; only KTO's come to TRL as tokens, in our order with our strangers.
"""

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WARM, STEPS = 3, 18  # steps before the timed ones, and in all
SHAPE = {"hidden": 128, "layers": 4, "vocabulary": 8192}
LENGTH = 128  # tokens of the longest row, and of a packed one
SETTINGS: dict[str, Any] = {
    "max_length": LENGTH, "batch_size": 4, "max_steps": STEPS, "learning_rate": 1e-4, "warmup": 0.0,
    "save_steps": 1000, "eval_rows": 1, "sample_tokens": 1, "weight": "pair", "template": "model",
}  # fmt: skip
# recipe: the kind of its snapshot
KINDS = {
    "pretrain": "text", "sft": "sft", "reward": "preference", "dpo": "preference", "kto": "unpaired"
}  # fmt: skip
CASES = ("pretrain packed", "sft", "sft packed", "reward", "dpo", "kto")


# What both sides start from


def make(folder: Path, recipe: str, packed: bool, mode: str) -> None:
    """A model, a snapshot and a run's spec; for KTO the tokens that the run will see."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from benchmarks.memory import Cell, make_model
    from exports import formats
    from training.recipes import data
    from training.recipes.configs import RECIPES
    from training.recipes.kto import mixed, with_strangers
    from training.recipes.tokenizer import load_tokenizer

    torch.manual_seed(0)
    cell = Cell(recipe, mode, 4, LENGTH, **SHAPE)  # type: ignore[arg-type]
    model = make_model(folder / "model", cell, classifier=recipe == "reward")
    (folder / "snapshot" / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(rows_of(recipe), formats.schema(KINDS[recipe]))
    pq.write_table(table, folder / "snapshot" / "data" / "train-00000-of-00001.parquet")
    known = RECIPES[recipe].config.__dataclass_fields__
    config = {name: value for name, value in SETTINGS.items() if name in known}
    config["adaptation"] = mode
    if packed:
        config["packing"] = "bfd_split" if recipe == "pretrain" else "bfd"
    spec = {
        "run": 1, "attempt": 1, "recipe": recipe, "seed": 0, "config": config,
        "inputs": [{"name": name, "kind": name, "path": str(folder / name)}
                   for name in ("model", "snapshot")],
        "template": {"name": "model"}, "versions": {},
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    if recipe == "kto":
        encoder = data.Encoder(load_tokenizer(str(model)), LENGTH)
        found = data.training_table(folder / "snapshot", encoder, "unpaired", lambda: None).rows
        found = with_strangers(found).take(mixed(found["label"].to_pylist(), 0))
        pq.write_table(found, folder / "tokens.parquet")


def rows_of(recipe: str) -> list[dict[str, Any]]:
    """Enough rows for all steps, of 20 to 120 tokens; packed ones need four times as many."""

    def said(role: str, start: int, words: int) -> list[dict[str, str]]:
        text = " ".join(f"w{(start + 31 * i) % 5000}" for i in range(words))
        return [{"role": role, "content": text}]

    found: list[dict[str, Any]] = []
    for i in range(4 * 4 * STEPS):
        asked = said("user", i, 8 + i % 13)
        answers = [said("assistant", 7 * i + k, 10 + (37 * i + 11 * k) % 80) for k in (0, 1)]
        found.append(
            {
                "pretrain": {"text": answers[0][0]["content"]},
                "sft": {"prompt": asked, "completion": answers[0]},
                "kto": {"prompt": asked, "completion": answers[0], "label": bool(i % 2)},
            }.get(recipe, {"prompt": asked, "chosen": answers[0], "rejected": answers[1]})
        )
    return found


# The clock, the same on both sides


@contextmanager
def clocked() -> Iterator[dict[str, Any]]:
    """Every Trainer that trains within is timed; what was found lies in the dict."""
    from transformers import Trainer, TrainerCallback

    found: dict[str, Any] = {"callbacks": 0.0}
    plain = Trainer.train

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARM:
                forget_peak()
                found["callbacks"] = 0.0
                found["cpu"], found["wall"] = time.process_time(), time.perf_counter()
            elif state.global_step == STEPS:
                found["cpu"] = time.process_time() - found["cpu"]
                found["wall"] = time.perf_counter() - found["wall"]
                found["share"] = found["callbacks"] / found["wall"]
                found["peak"] = status_mib("VmHWM")

    def train(trainer: Trainer, *args: Any, **kwargs: Any) -> Any:
        for callback in trainer.callback_handler.callbacks:
            if type(callback).__module__.startswith("training."):
                for name in dir(callback):
                    if name.startswith("on_"):
                        setattr(callback, name, timed(getattr(callback, name)))
        trainer.add_callback(Clock())
        ended = plain(trainer, *args, **kwargs)
        found["losses"] = [look["loss"] for look in trainer.state.log_history if "loss" in look]
        return ended

    def timed(function: Any) -> Any:
        def within(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                found["callbacks"] += time.perf_counter() - began

        return within

    Trainer.train = train  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Trainer.train = plain  # type: ignore[method-assign]


def status_mib(name: str) -> float:
    """VmRSS: what this process holds; VmHWM: the most that it has held (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """From here on VmHWM counts anew."""
    Path("/proc/self/clear_refs").write_text("5")


# The two sides


def ours(folder: Path, job: dict[str, Any]) -> None:
    from training.recipes import entry
    from training.recipes.run_dir import RunDir

    home = Path(tempfile.mkdtemp(dir=folder))
    shutil.copy(folder / "spec.json", home)
    run = RunDir(home)
    work = importlib.import_module(f"training.recipes.{job['recipe']}").train
    if entry.perform(job["recipe"], work, run):
        raise SystemExit(f"the recipe failed: {(run.path / 'result.json').read_text()}")


def bare(folder: Path, job: dict[str, Any]) -> None:
    """As a short script would have it: TRL loads and adapts the model."""
    import transformers
    import trl
    from datasets import Dataset
    from peft import LoraConfig

    recipe = job["recipe"]
    transformers.set_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    auto = transformers.AutoModelForCausalLM
    more: dict[str, Any] = {}
    if recipe == "reward":
        auto = transformers.AutoModelForSequenceClassification
        more = {"center_rewards_coefficient": 0.01}
    elif recipe in ("sft", "pretrain"):
        more = {"packing": job["packed"], "packing_strategy": "bfd"}
    name = {"sft": "SFT", "pretrain": "SFT", "reward": "Reward"}.get(recipe, recipe.upper())
    trainer_class, config_class = getattr(trl, f"{name}Trainer"), getattr(trl, f"{name}Config")
    rows = folder / "snapshot" / "data" / "train-00000-of-00001.parquet"
    if recipe == "kto":  # the rows are tokens already, and TRL has no door for those
        rows = folder / "tokens.parquet"
        trainer_class._prepare_dataset = lambda self, dataset, *_: dataset
    arguments = config_class(
        output_dir=str(folder / "out"),
        max_steps=STEPS,
        per_device_train_batch_size=SETTINGS["batch_size"],
        learning_rate=SETTINGS["learning_rate"],
        logging_steps=1,
        save_strategy="no",
        seed=0,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        max_length=LENGTH,
        report_to="none",
        disable_tqdm=True,
        **more,
    )
    lora = LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules="all-linear",
        task_type="SEQ_CLS" if recipe == "reward" else "CAUSAL_LM",
        modules_to_save=["score"] if recipe == "reward" else None,
    )
    trainer_class(
        model=auto.from_pretrained(folder / "model", dtype="float32"),
        args=arguments,
        train_dataset=Dataset.from_parquet(str(rows)),
        processing_class=tokenizer,
        peft_config=lora if job["mode"] == "lora" else None,
    ).train()


def child(job: dict[str, Any]) -> None:
    """One turn, in a process of its own."""
    import peft  # noqa: F401
    import torch
    import trl

    torch.set_num_threads(1)
    imported = status_mib("VmRSS")
    with clocked() as found:
        {"ours": ours, "trl": bare}[job["side"]](Path(job["folder"]), job)
    found |= {"growth": found["peak"] - imported, "trl": trl.__version__}
    print("RESULT " + json.dumps(found))


# Turns, and what comes of them


def turn(job: dict[str, Any]) -> dict[str, Any]:
    """One process. Raises SystemExit where it failed."""
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # Blocks of a MiB go back to the system at once. Otherwise the peak moves by a tenth from turn
    # to turn on either side, with where the holes between blocks happen to fall.
    quiet["MALLOC_MMAP_THRESHOLD_"] = str(2**20)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training_overhead", "--child", json.dumps(job)],
        cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{job} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def row(case: str, mode: str, turns: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    def ratio(name: str) -> float:
        a, b = (statistics.median(t[name] for t in turns[side]) for side in ("ours", "trl"))
        return round(a / b, 3)

    apart = [
        abs(a - b)
        for one, other in zip(turns["ours"], turns["trl"], strict=True)
        for a, b in zip(one["losses"], other["losses"], strict=True)
    ]
    steps = STEPS - WARM
    return {
        "recipe": case,
        "mode": mode,
        "cpu_ratio": ratio("cpu"),
        "memory_ratio": ratio("peak"),
        "growth_ratio": ratio("growth"),
        "callback_share": round(statistics.median(t["share"] for t in turns["ours"]), 5),
        "against": f"trl {turns['trl'][0]['trl']}",
        "loss_max_abs_difference": max(apart),
        "cpu_ms_a_step": {
            side: [round(1000 * t["cpu"] / steps, 1) for t in found]
            for side, found in turns.items()
        },
        "peak_mib": {side: [round(t["peak"]) for t in found] for side, found in turns.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=7, help="of each side, one after the other")
    parser.add_argument("--only", nargs="*", default=[], help=f"of: {', '.join(CASES)}")
    parser.add_argument("--modes", nargs="*", default=["lora", "full"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(json.loads(given.child))
    rows = []
    for case in given.only or CASES:
        recipe, _, packed = case.partition(" ")
        for mode in given.modes:
            turns: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": []}
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder), recipe, bool(packed), mode)
                job = {"recipe": recipe, "packed": bool(packed), "mode": mode, "folder": folder}
                for _ in range(given.turns):
                    for side in turns:
                        turns[side].append(turn(job | {"side": side}))
            rows.append(row(case, mode, turns))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report = {"benchmark": "training_overhead", "turns": given.turns, "rows": rows}
    print(json.dumps(report | {"load": os.getloadavg()[0]}, indent=1))


if __name__ == "__main__":
    main()
