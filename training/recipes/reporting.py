"""How TRL's trainers are told what the knobs say, run, watched, stopped and resumed: a
TrainerCallback appends a line to events.jsonl per step and makes checkpoints complete by renaming
them. No network."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from training.recipes import data
from training.recipes.adapters import check_checkpoint, under_own_names
from training.recipes.alarms import Watch
from training.recipes.half_tuning import HalfTuning
from training.recipes.keeping import Keeper
from training.recipes.loading import device, in_bf16
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
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "eval_rewards/accuracies": "eval_accuracy",
    "logps/chosen": "logp_chosen",
    "logps/rejected": "logp_rejected",
    "kl": "kl",
}
KEPT = 2  # checkpoints: the newest and the one before, should the disk lose the newest


def newest_checkpoint(run: RunDir) -> Path | None:
    """The newest complete checkpoint (`step-N`), after sweeping away what was never finished."""
    found: list[tuple[int, Path]] = []
    if run.checkpoints.is_dir():
        for folder in run.checkpoints.iterdir():
            if match := re.fullmatch(r"step-(\d+)", folder.name):
                found.append((int(match[1]), folder))
            elif folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
    return max(found)[1] if found else None


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


class Reporter(TrainerCallback):
    """Writes progress and metrics, notices a stop, names checkpoints, looks for alarms."""

    def __init__(self, run: RunDir, total: int, watch: Watch) -> None:
        self.run = run
        self.total = total
        self.watch = watch
        self.alarm = ""  # the sentence that stopped it
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
            # The last weights are looked at, too, for the best may be they.
            if step >= self.total and args.eval_strategy != "no":
                control.should_evaluate = True

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
            if not values:
                return
            # Looked at before it is told: what is not finite is no JSON.
            self.alarm = self.watch.look(state.global_step, values) or self.alarm
            self.run.metrics(state.global_step, **values)
            if self.alarm:
                control.should_save = True
                control.should_training_stop = True

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


SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def trainer_arguments(run: RunDir, config: Any, total: int, validation: bool) -> dict[str, Any]:
    """What the shared knobs say, as TRL's arguments. `total`: steps of the whole run."""
    gpu = device().type == "cuda"
    return {
        "output_dir": str(run.checkpoints),
        "max_steps": total,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": SCHEDULES[config.schedule],
        "warmup_steps": round(config.warmup * total),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a nan is told, not averaged away
        "eval_strategy": "steps" if validation else "no",
        "eval_steps": config.eval_steps,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "seed": run.seed,
        "use_cpu": not gpu,
        "bf16": in_bf16(config),
        "dataloader_pin_memory": gpu,
        "activation_checkpointing": config.checkpointing == "on",
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "max_length": config.max_length,
        "report_to": "none",
        "disable_tqdm": True,
    }


def fit(trainer: Trainer, run: RunDir, config: Any, total: int) -> dict[str, Any]:
    """Train, from the newest checkpoint where there is one, watched as the config says; the
    trainer's model then holds the weights that are kept. Returns what result.json is to say of it.

    Raises Stopped where a stop was asked for, ValueError with the sentence of an alarm that ends
    the run; both leave a checkpoint."""
    checkpoint = newest_checkpoint(run)
    done, log = 0, []
    if checkpoint is not None:
        check_checkpoint(checkpoint, trainer.model)
        done = step_of(checkpoint)
        log = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)).log_history
        run.event("state", done, state="resumed")
    elif config.keep == "best" and trainer.eval_dataset is None:
        run.event("note", text="There are no validation rows: the last weights are kept.")
    reporter = Reporter(run, total, Watch(run, config, done))
    keeper = Keeper(run, config)
    if checkpoint is not None and (done >= total or keeper.is_over(log)):
        # It had ended, and was killed before it left its artifact: train() would do a step more.
        trainer._load_from_checkpoint(str(checkpoint))
    else:
        for callback in (reporter, keeper):
            trainer.add_callback(callback)
        if config.adaptation == "half":
            trainer.add_callback(HalfTuning(run, config.half_rounds, total))
        with under_own_names(trainer.model):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        done = trainer.state.global_step
        # Autocast to bf16 is for training alone: what is said of it afterwards is said as it was
        # before, and as it would be by a run that was killed here and goes on.
        trainer.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if reporter.alarm:
        raise ValueError(reporter.alarm)
    if done < total and not keeper.ended:
        raise Stopped
    assert isinstance(trainer.model, torch.nn.Module)
    kept = keeper.best.leave(dict(trainer.model.named_parameters()), done)
    if keeper.ended:
        run.event("note", done, text=keeper.ended, code="ended")
    if kept["metric"]:
        text = f"Kept are the weights of step {kept['step']}, the best on the validation rows "
        run.event("note", done, text=f"{text}({kept['metric']} {kept['value']:.4g}).", code="kept")
    told = {"steps": done, "kept": kept, "callback_seconds": round(reporter.seconds, 4)}
    return told | ({"reason": keeper.ended} if keeper.ended else {})


def judged_rows(run: RunDir, config: Any) -> tuple[str, list[dict[str, Any]]]:
    """The split that before and after are measured on, and its first rows; a note where it is not
    the test's."""
    snapshot = run.input_path("snapshot")
    split = data.evaluation_split(snapshot)
    if split != "test":
        run.event("note", text=data.no_test_note(split))
    return split, list(islice(data.rows_of(snapshot, split), config.eval_rows)) if split else []


def remembered(run: RunDir, name: str, make: Callable[[], Any]) -> Any:
    """What `make` gives, kept in the run directory: an attempt that resumes reads it."""
    file = run.path / f"{name}.json"
    if not file.exists():
        write_json(file, make())
    return json.loads(file.read_text("utf-8"))
