"""Models and adapters, loaded the same way by every recipe.

No code that comes with a model is run, weights are read from safetensors only, and nothing is
downloaded unless HF_HUB_OFFLINE=0 allows it. Every refusal is a ValueError with a sentence.
"""

import random
import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.recipes import half_tuning
from training.recipes.adapters import add_lora, attach, lora_from_causal
from training.recipes.artifacts import (
    Start,
    check_start,
    check_weights,
    read_artifact,
    start_of_artifact,
)
from training.recipes.configs import WHOLE
from training.recipes.quantising import in_four_bits, keep_packing
from training.recipes.run_dir import RunDir
from training.recipes.shapes import HEADS
from training.recipes.tokenizer import load_tokenizer

# Where and in what precision


def device() -> torch.device:
    """A GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16() -> bool:
    """Whether the device computes in bf16. A processor can, but most are slower at it."""
    return device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def in_bf16(config: Any) -> bool:
    """Whether a run computes in bf16. Raises ValueError where it shall and the device does not."""
    if config.precision == "bf16" and not has_bf16():
        raise ValueError("This device does not compute in bf16: choose precision auto or fp32.")
    return has_bf16() and config.precision != "fp32"


def dtype(config: Any = None) -> torch.dtype:
    """What frozen weights are held in: bf16 on a GPU that has it, else fp32. Weights that are
    trained stay fp32: bf16 would round small updates away (autocast still computes in it)."""
    if config is None:
        return torch.bfloat16 if has_bf16() else torch.float32
    return torch.bfloat16 if in_bf16(config) and not is_whole(config) else torch.float32


def is_whole(config: Any) -> bool:
    """Whether the model's own weights are trained, and no adapter over them."""
    return config.adaptation in WHOLE


def seed_everything(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


# Models


def load_causal(
    path: str, tokenizer: PreTrainedTokenizerBase, config: Any = None
) -> PreTrainedModel:
    """A language model from plain weights, on the device; `config` of the run that will train it,
    none where it is only read."""
    model, missing = _load(AutoModelForCausalLM, path, tokenizer, config)
    if missing:
        raise ValueError(f"{path} is no language model: it lacks {', '.join(sorted(missing)[:3])}.")
    return model


def load_classifier(
    path: str, tokenizer: PreTrainedTokenizerBase, config: Any = None, *, labels: int = 1
) -> PreTrainedModel:
    """A model that gives a text one number a label. A head that the weights do not hold starts at
    zero: each text begins with reward 0, and the first loss is ln 2 (of n labels: ln n)."""
    return _classifier(path, tokenizer, config, labels)[0]


def _classifier(
    path: str, tokenizer: PreTrainedTokenizerBase, config: Any, labels: int
) -> tuple[PreTrainedModel, set[str]]:
    """The same, and the names of its modules that the weights do not hold: the head, and with some
    backbones a layer below it (a BERT trained on masked words has no pooler)."""
    model, missing = _load(
        AutoModelForSequenceClassification, path, tokenizer, config, num_labels=labels
    )
    name = head_name(model)
    layers = [m for m in getattr(model, name).modules() if isinstance(m, torch.nn.Linear)]
    new = {name if name in key.split(".") else key.rpartition(".")[0] for key in missing}
    if lost := sorted(module for module in new if re.search(r"\.\d+\.", module)):
        raise ValueError(f"{path} is no whole model: it lacks {', '.join(lost[:3])}.")
    if name in new:
        torch.nn.init.zeros_(layers[-1].weight)
        if layers[-1].bias is not None:
            torch.nn.init.zeros_(layers[-1].bias)
    # They are trained whole beside an adapter, so they are held in fp32 over layers in bf16, too.
    for module in {name, *new}:
        for layer in model.get_submodule(module).float().modules():
            if isinstance(getattr(layer, "weight", None), torch.Tensor):
                layer.register_forward_pre_hook(_widened)
    return model, new


def _widened(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].to(layer.weight.dtype), *inputs[1:])


def _load(
    auto: Any, path: str, tokenizer: PreTrainedTokenizerBase, config: Any, **more: Any
) -> tuple[PreTrainedModel, set[str]]:
    """The model and the names of the weights that the folder did not hold."""
    if read_artifact(path).is_adapter:
        raise ValueError(f"{path} is an adapter, which needs its base model: give it as `init`.")
    check_weights(path)
    quantised = config is not None and config.adaptation == "qlora"
    if quantised:
        more |= in_four_bits(dtype(config), device(), whole=HEADS)
    try:
        model, info = auto.from_pretrained(
            path,
            dtype=dtype(config),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **more,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The model {path} cannot be loaded: {error}") from None
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(
            f"The tokenizer has {len(tokenizer)} tokens and the model room for {rows}: "
            "they do not belong together."
        )
    # The model's own pad may be its end token; a classifier finds a text's end by it.
    model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    keep_packing(model)
    return model if quantised else model.to(device()), set(info["missing_keys"])


def head_name(model: Any) -> str:
    """The name of a classifier's head. Raises ValueError where it is none that we know."""
    for name in HEADS:
        if hasattr(model, name):
            return name
    raise ValueError(
        f"{type(model).__name__} has no reward head that we know ({', '.join(HEADS)})."
    )


# The door of every recipe


def trainable_causal(start: Start, tokenizer: PreTrainedTokenizerBase, config: Any) -> Any:
    """A language model made ready for training as config.adaptation says: the start's adapter goes
    on, or a new one is laid over the base (lora; qlora: a base of 4 bits), or it is trained itself
    (full; half: half_tuning.py freezes a half as it goes). Raises ValueError with a sentence."""
    in_bf16(config)
    check_start(start, config)
    model = load_causal(start.base, tokenizer, config)
    if is_whole(config):
        return model
    if start.init is not None:
        return attach(model, start, trainable=True)
    return add_lora(model, config)


def trainable_classifier(
    start: Start, tokenizer: PreTrainedTokenizerBase, config: Any, *, labels: int = 1
) -> Any:
    """The same for a classifier, which with one label is a reward model. A language model's adapter
    gives it its layers, not its head."""
    in_bf16(config)
    check_start(start, config, "classifier" if labels > 1 else "reward model")
    model, new = _classifier(start.base, tokenizer, config, labels)
    if is_whole(config):
        return model
    whole = {head_name(model), *new}
    if start.init is None:
        return add_lora(model, config, whole)
    if start.init.kind == "adapter":
        return lora_from_causal(model, start, whole)
    return _complete(attach(model, start, trainable=True), start, new)


def trained_classifier(start: Start, tokenizer: PreTrainedTokenizerBase, *, labels: int = 1) -> Any:
    """A classifier or reward model that has been trained, frozen. Raises ValueError where a part of
    it is in neither the base nor the adapter."""
    model: Any
    model, new = _classifier(start.base, tokenizer, None, labels)
    if start.init is not None:
        model = attach(model, start)
    return _complete(model, start, new).requires_grad_(False).eval()


def _complete(model: Any, start: Start, new: Set[str]) -> Any:
    """The model, if what its base does not hold came with the adapter; else it would be drawn anew
    each time that it is loaded."""
    adapter = model.peft_config["default"] if start.init is not None else None
    held = tuple(getattr(adapter, "modules_to_save", None) or ())
    if lost := sorted(module for module in new if not module.endswith(held)):
        raise ValueError(
            f"{start.init.path if start.init else start.base} does not hold what was trained: it "
            f"lacks {', '.join(lost)}. Train it again."
        )
    return model


def trainable_share(model: torch.nn.Module, config: Any = None) -> float:
    """Trainable parameters over all of them (a weight used twice counts once); under half
    fine-tuning the mean over its rounds."""
    if config is not None and config.adaptation == "half":
        return half_tuning.trained_share(model, config.seed, config.half_rounds)
    total = sum(_count(p) for p in model.parameters())
    return sum(_count(p) for p in model.parameters() if p.requires_grad) / total


def _count(parameter: torch.nn.Parameter) -> int:
    """Numbers that it stands for: in 4 bits two of them share a byte."""
    quantised = getattr(parameter, "quant_state", None)
    return parameter.numel() if quantised is None else quantised.shape.numel()


# Reward models


@dataclass(frozen=True)
class Reward:
    """A trained reward model, frozen, with the tokenizer and template that it reads through."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    mean: float  # of its rewards on the rows on which it was measured
    std: float
    max_length: int  # tokens that it was trained to read
    start: Start


def load_reward(run: RunDir, name: str = "reward") -> Reward:
    """The reward run that is input `name`. Raises ValueError where the artifact is none."""
    start = start_of_artifact(run, name)
    artifact = start.init or read_artifact(start.base)
    if not artifact.is_reward:
        raise ValueError(f"Input {name!r} was left by no reward run: its kind is {artifact.kind}.")
    tokenizer = load_tokenizer(artifact.path, artifact.template)
    facts = artifact.reward
    return Reward(
        trained_classifier(start, tokenizer),
        tokenizer,
        mean=facts.get("mean", 0.0),
        std=facts.get("std", 1.0),
        max_length=artifact.config.get("max_length", 512),
        start=start,
    )
