"""What a training run says while it works, and how it is stopped: a TrainerCallback that appends a
line to events.jsonl per step and makes checkpoints complete by renaming them. No network."""

import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.recipes.loading import device
from training.recipes.run_dir import RunDir, Stopped, write_json

# TRL's names -> ours. What is not named here is not reported.
NAMES = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy",
    "eval_mean_token_accuracy": "eval_token_accuracy",
    "accuracy": "accuracy",
    "eval_accuracy": "eval_accuracy",
    "margin": "margin",
}
KEPT = 2  # checkpoints: the newest and the one before, should the disk lose the newest


def newest_checkpoint(run: RunDir) -> Path | None:
    """The newest complete checkpoint (`step-N`), after sweeping away what was never finished."""
    found: list[tuple[int, Path]] = []
    if run.checkpoints.is_dir():
        for folder in run.checkpoints.iterdir():
            if match := re.fullmatch(r"step-(\d+)", folder.name):
                found.append((int(match[1]), folder))
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return max(found)[1] if found else None


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


class Reporter(TrainerCallback):
    """Writes progress and metrics, notices a stop, names checkpoints, refuses a loss of nan."""

    def __init__(self, run: RunDir, total: int) -> None:
        self.run = run
        self.total = total
        self.seconds = 0.0  # spent in here; training must not wait for its own diary
        self._began = (0, 0.0)  # step and clock when this process began to train
        self._said = 0.0

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = (state.global_step, time.monotonic())
        self.run.progress(state.global_step, self.total, "training")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        with self._timed():
            now, step = time.monotonic(), state.global_step
            # Twice a second is as often as anyone looks.
            if now - self._said >= 0.5 or step >= self.total:
                self._said = now
                done, began = step - self._began[0], self._began[1]
                left = (now - began) / done * (self.total - step)
                self.run.progress(step, self.total, "training", round(left, 1))
            if self.run.stop_requested:
                control.should_save = True
                control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        with self._timed():
            values = {NAMES[k]: float(v) for k, v in (logs or {}).items() if k in NAMES}
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise ValueError(
                    f"The {bad[0]} is not a number any more at step {state.global_step}: "
                    "training has diverged. A lower learning rate usually helps."
                )
            if values:
                self.run.metrics(state.global_step, **values)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The trainer has written checkpoint-N; it is complete once it is called step-N."""
        with self._timed():
            written = self.run.checkpoints / f"checkpoint-{state.global_step}"
            complete = self.run.checkpoints / f"step-{state.global_step}"
            shutil.rmtree(complete, ignore_errors=True)
            written.rename(complete)
            known = sorted(self.run.checkpoints.glob("step-*"), key=step_of)
            for old in known[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)


def check_stop(run: RunDir) -> None:
    """Raise Stopped where the run was asked to stop; called between batches of our own loops."""
    if run.stop_requested:
        raise Stopped


def trainer_arguments(run: RunDir, config: Any, total: int, validation: bool) -> dict[str, Any]:
    """What SFT and reward tell TRL alike. `total`: steps of the whole run."""
    gpu = device().type == "cuda"
    return {
        "output_dir": str(run.checkpoints),
        "max_steps": total,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(config.warmup * total),
        "max_grad_norm": config.max_grad_norm,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a nan is told, not averaged away
        "eval_strategy": "steps" if validation else "no",
        "eval_steps": config.eval_steps,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "seed": run.seed,
        "use_cpu": not gpu,
        "bf16": gpu,
        "dataloader_pin_memory": gpu,
        "gradient_checkpointing": False,
        "max_length": config.max_length,
        "report_to": "none",
        "disable_tqdm": True,
    }


def remembered(run: RunDir, name: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, kept in the run directory: an attempt that resumes reads it."""
    file = run.path / f"{name}.json"
    if not file.exists():
        write_json(file, make())
    return json.loads(file.read_text("utf-8"))
