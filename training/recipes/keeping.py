"""Which weights a run leaves: the best on the validation rows, or the last; and when it ends early.

Reward models and classifiers are judged by eval_accuracy and, where that is equal, by eval_loss;
all others by eval_loss. What was seen so far is read from the trainer's own log, which every
checkpoint holds: a resume counts on from there. The best weights lie beside the checkpoints in one
file, which is replaced as a whole; pruning does not touch it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.recipes.run_dir import RunDir

LOSS = (("eval_loss", -1),)
BY_ACCURACY = (("eval_accuracy", 1), *LOSS)
JUDGED = {"reward": BY_ACCURACY, "classify": BY_ACCURACY}


class Best:
    """The best weights so far, on disk. A rank is a list of numbers, more is better."""

    def __init__(self, run: RunDir) -> None:
        self.file = run.checkpoints / "best.safetensors"

    def facts(self) -> dict[str, Any] | None:
        """{"step", "metric", "value", "rank"} of what is kept, None where nothing is."""
        if not self.file.exists():
            return None
        with safe_open(self.file, "pt") as kept:
            facts: dict[str, Any] = json.loads(kept.metadata()["facts"])
        return facts

    def offer(
        self, weights: Mapping[str, torch.Tensor], rank: Sequence[float], **facts: Any
    ) -> bool:
        """Keep the weights where they rank above what is kept; `facts`: step, metric, value."""
        kept = self.facts()
        if kept is not None and list(rank) <= kept["rank"]:
            return False
        self.file.parent.mkdir(exist_ok=True)
        part = self.file.with_name(".best.safetensors")
        told = {"facts": json.dumps(facts | {"rank": list(rank)})}
        save_file({n: w.detach().contiguous() for n, w in weights.items()}, part, metadata=told)
        os.replace(part, self.file)
        return True

    def leave(self, weights: Mapping[str, torch.Tensor], step: int) -> dict[str, Any]:
        """Put what is kept into the weights of these names, which are at `step`; where they come
        from: {"step", "metric", "value"}, without a metric where nothing is kept."""
        facts = self.facts()
        if facts is None:
            return {"step": step, "metric": "", "value": None}
        with safe_open(self.file, "pt") as kept:
            for name in kept.keys():  # noqa: SIM118 (it is no dict)
                weights[name].data.copy_(kept.get_tensor(name))
        return {name: facts[name] for name in ("step", "metric", "value")}


def is_over(ranks: Sequence[Any], patience: int) -> bool:
    """Whether the last `patience` looks were all no better than one before them; 0: never."""
    return bool(patience and ranks) and len(ranks) - 1 - ranks.index(max(ranks)) >= patience


class Keeper(TrainerCallback):
    """Keeps the best weights as training passes them, and ends it when `patience` has run out."""

    def __init__(self, run: RunDir, config: Any) -> None:
        self.judged = JUDGED.get(run.spec.get("recipe", ""), LOSS)
        self.config = config
        self.best = Best(run)
        self.weights: dict[str, torch.Tensor] = {}  # all that the run trains
        self.ended = ""  # why training ended early

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        self.weights = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def rank(self, look: Mapping[str, Any]) -> list[float]:
        return [sign * look[name] for name, sign in self.judged if name in look]

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        look, step = state.log_history[-1], state.global_step
        if self.config.keep == "best":
            metric = next(name for name, _ in self.judged if name in look)
            rank = self.rank(look)
            self.best.offer(self.weights, rank, step=step, metric=metric, value=look[metric])
        if step < state.max_steps and self.is_over(state.log_history):
            control.should_save = True
            control.should_training_stop = True

    def is_over(self, log: Sequence[Mapping[str, Any]]) -> bool:
        """Whether patience has run out in a trainer's log."""
        looks = [entry for entry in log if "eval_loss" in entry]
        ranks = [self.rank(look) for look in looks]
        patience = self.config.patience
        if not is_over(ranks, patience):
            return False
        best = looks[ranks.index(max(ranks))]
        self.ended = (
            f"Ended early at step {looks[-1]['step']}: none of the last {patience} looks at the "
            f"validation rows was better than that at step {best['step']}."
        )
        return True
