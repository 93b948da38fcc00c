"""What a PPO run keeps so that it can go on as if nothing had happened. A checkpoint is a model's
folder like an artifact, with the policy, that can be measured; all else lies in state.*."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file, save_file

from training.recipes.adapters import check_checkpoint, under_own_names
from training.recipes.artifacts import save_model
from training.recipes.keeping import is_over
from training.recipes.ppo_rollout import Actor
from training.recipes.reporting import KEPT, step_of
from training.recipes.run_dir import RunDir, write_json


@dataclass
class State:
    """Where a run stands, besides its weights, its optimiser and its generators."""

    kl_coef: float  # today's price of KL
    step: int = 0  # updates done
    looks: list[tuple[int, float]] = field(default_factory=list)  # step and objective of each

    def is_over(self, patience: int) -> bool:
        return is_over([value for _, value in self.looks], patience)

    def why_over(self) -> str:
        step, value = max(self.looks, key=lambda look: look[1])
        return (
            f"Ended early at update {self.step}: no look at the validation prompts since that at "
            f"update {step} (objective {value:.4g}) was better."
        )


def save_checkpoint(
    run: RunDir,
    actor: Actor,
    tokenizer: Any,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: State,
) -> None:
    """checkpoints/step-N with all that the next update depends on, complete once it has its name.
    Safetensors and JSON: nothing in it can run code when it is read."""
    complete, part = run.checkpoints / f"step-{state.step}", run.checkpoints / f".step-{state.step}"
    if complete.exists():
        return  # a stop right behind a save
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with under_own_names(actor.model):
        save_model(actor.model, tokenizer, part)
    tensors = {"rng/torch": torch.get_rng_state(), "rng/sampling": generator.get_state()}
    if actor.device.type == "cuda":
        tensors["rng/cuda"] = torch.cuda.get_rng_state(actor.device)
    tensors |= {f"value_head/{name}": p for name, p in actor.head.state_dict().items()}
    for name, parameter in actor.trainable().items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam/{name}/{key}"] = value
    save_file({name: t.contiguous() for name, t in tensors.items()}, part / "state.safetensors")
    write_json(part / "state.json", asdict(state))
    os.replace(part, complete)
    for old in sorted(run.checkpoints.glob("step-*"), key=step_of)[:-KEPT]:
        shutil.rmtree(old)


def load_checkpoint(
    path: Path, actor: Actor, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> State:
    """Put everything back; returns the state that was given to save_checkpoint. Raises ValueError
    for a checkpoint of an earlier version, or one that is not whole."""
    if not any((path / name).is_file() for name in ("adapter_config.json", "config.json")):
        raise ValueError(
            f"The checkpoint of update {step_of(path)} is of an earlier version and holds no model "
            "to go on from: start the run again instead."
        )
    tensors = load_file(path / "state.safetensors")
    load_policy(path, actor.model)
    actor.head.load_state_dict(below(tensors, "value_head/"))
    for name, parameter in actor.trainable().items():
        optimizer.state[parameter] = {
            # Adam counts its steps on the processor.
            key: value if key == "step" else value.to(parameter.device)
            for key, value in below(tensors, f"adam/{name}/").items()
        }
    torch.set_rng_state(tensors["rng/torch"])
    generator.set_state(tensors["rng/sampling"])
    if "rng/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng/cuda"], actor.device)
    return State(**json.loads((path / "state.json").read_text("utf-8")))


def load_policy(path: Path, model: Any) -> None:
    """Put a checkpoint's policy into the model that it was saved from. Raises ValueError where a
    part of it is missing: that part would go on from its beginning."""
    check_checkpoint(path, model)
    if hasattr(model, "peft_config"):
        set_peft_model_state_dict(model, load_peft_weights(str(path), device="cpu"))
        return
    saved = type(model).from_pretrained(path, dtype=model.dtype, use_safetensors=True)
    model.load_state_dict(saved.state_dict())


def below(tensors: dict[str, torch.Tensor], head: str) -> dict[str, torch.Tensor]:
    """Those whose names begin with `head`, without it."""
    return {n.removeprefix(head): tensor for n, tensor in tensors.items() if n.startswith(head)}
