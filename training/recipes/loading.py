"""Models and adapters, loaded the same way by every recipe.

No code that comes with a model is run, weights are read from safetensors only, and nothing is
downloaded unless HF_HUB_OFFLINE=0 allows it. Every refusal is a ValueError with a sentence.
"""

import random
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.recipes.artifacts import (
    Start,
    check_base,
    check_weights,
    read_artifact,
    start_of_artifact,
)
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

HEADS = ("score", "classifier", "classification_head")  # what models call their reward head


# Where and in what precision


def device() -> torch.device:
    """A GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype(full: bool = False) -> torch.dtype:
    """bf16 on a GPU, fp32 on the processor. Weights that are all trained stay fp32: bf16 would
    round small updates away (they are computed in bf16 all the same, by autocast)."""
    return torch.bfloat16 if device().type == "cuda" and not full else torch.float32


def seed_everything(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


# Models


def load_causal(
    path: str, tokenizer: PreTrainedTokenizerBase, *, full: bool = False
) -> PreTrainedModel:
    """A language model from plain weights, on the device. `full`: all weights will be trained."""
    model, missing = _load(AutoModelForCausalLM, path, tokenizer, full)
    if missing:
        raise ValueError(f"{path} is no language model: it lacks {', '.join(sorted(missing)[:3])}.")
    return model


def load_classifier(
    path: str, tokenizer: PreTrainedTokenizerBase, *, full: bool = False
) -> PreTrainedModel:
    """A model that gives a text one number. A head that the weights do not hold starts at zero:
    each text begins with reward 0, and the first loss is ln 2."""
    model, missing = _load(AutoModelForSequenceClassification, path, tokenizer, full, num_labels=1)
    name = head_name(model)
    if any(name in key.split(".") for key in missing):
        last = [m for m in getattr(model, name).modules() if isinstance(m, torch.nn.Linear)][-1]
        torch.nn.init.zeros_(last.weight)
        if last.bias is not None:
            torch.nn.init.zeros_(last.bias)
    return model


def _load(
    auto: Any, path: str, tokenizer: PreTrainedTokenizerBase, full: bool, **more: Any
) -> tuple[PreTrainedModel, set[str]]:
    """The model and the names of the weights that the folder did not hold."""
    if read_artifact(path).is_adapter:
        raise ValueError(f"{path} is an adapter, which needs its base model: give it as `init`.")
    check_weights(path)
    try:
        model, info = auto.from_pretrained(
            path,
            dtype=dtype(full),
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
    return model.to(device()), set(info["missing_keys"])


def head_name(model: Any) -> str:
    """The name of a classifier's head. Raises ValueError where it is none that we know."""
    for name in HEADS:
        if hasattr(model, name):
            return name
    raise ValueError(
        f"{type(model).__name__} has no reward head that we know ({', '.join(HEADS)})."
    )


# Adapters


def add_lora(model: PreTrainedModel, config: Any, *, classifier: bool = False) -> PeftModel:
    """A fresh adapter on every linear layer; a classifier's head is trained whole beside it."""
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        task_type=TaskType.SEQ_CLS if classifier else TaskType.CAUSAL_LM,
        modules_to_save=[head_name(model)] if classifier else None,
    )
    return _peft(get_peft_model(model, lora))


def attach(
    model: PreTrainedModel, start: Start, *, trainable: bool = False, name: str = "default"
) -> PeftModel:
    """The start's adapter on its base. Raises ValueError where it was trained on another base."""
    assert start.init is not None
    check_base(start.init, start.sha256)
    return _peft(
        PeftModel.from_pretrained(model, start.init.path, is_trainable=trainable, adapter_name=name)
    )


def lora_from_causal(model: PreTrainedModel, start: Start) -> PeftModel:
    """A classifier that starts from a language model's adapter: the same layers, a new head. One
    adapter over the base, so that what it leaves needs no more than the base."""
    assert start.init is not None
    check_base(start.init, start.sha256)
    config = LoraConfig.from_pretrained(start.init.path)
    config.task_type = TaskType.SEQ_CLS
    config.inference_mode = False
    config.modules_to_save = [head_name(model)]
    peft = _peft(get_peft_model(model, config))
    state = get_peft_model_state_dict(peft)
    weights = load_peft_weights(start.init.path, device="cpu")
    if unknown := weights.keys() - state.keys():
        raise ValueError(
            f"The adapter {start.init.path} has layers that {type(model).__name__} has not: "
            f"{', '.join(sorted(unknown)[:3])}."
        )
    set_peft_model_state_dict(peft, state | weights)
    return peft


def _peft(model: Any) -> PeftModel:
    """peft says its return type loosely; here it is said once."""
    assert isinstance(model, PeftModel)
    return model


def trainable_share(model: torch.nn.Module) -> float:
    """Trainable parameters over all of them (a weight used twice counts once)."""
    total = sum(p.numel() for p in model.parameters())
    return sum(p.numel() for p in model.parameters() if p.requires_grad) / total


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
    model: Any = load_classifier(start.base, tokenizer)
    if start.init is not None:
        model = attach(model, start)
    model.requires_grad_(False).eval()
    facts = artifact.reward
    return Reward(
        model,
        tokenizer,
        mean=facts.get("mean", 0.0),
        std=facts.get("std", 1.0),
        max_length=artifact.config.get("max_length", 512),
        start=start,
    )
