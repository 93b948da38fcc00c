"""A model's numbers from its config alone: built on the meta device, which holds no weights."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from training.recipes import half_tuning
from training.recipes.artifacts import check_weights

HEADS = ("score", "classifier", "classification_head")  # a classifier's, which LoRA trains whole
ADAPTERS = ("lora", "qlora")


@dataclass(frozen=True)
class Shape:
    """Each number in parameters or units."""

    total: int  # all parameters, a weight used twice counted once
    trained: int
    layers: int
    hidden: int
    keys: int  # width of keys, and of values, in a layer
    inner: int  # width of the feed-forward
    vocabulary: int
    linear: int = 0  # parameters of the layers' linear maps, which QLoRA keeps in 4 bits
    added: int = 0  # parameters that an adapter adds

    @property
    def share(self) -> float:
        return self.trained / self.total


def shape_of(path: str, config: Any, *, classifier: bool = False, labels: int = 1) -> Shape:
    """The model as the config adapts it; `labels`: numbers that a classifier gives. Raises
    ValueError where it cannot be built."""
    check_weights(path)
    try:
        plain = AutoConfig.from_pretrained(path, trust_remote_code=False)
        auto: Any = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
        if classifier:
            plain.num_labels = labels
        with torch.device("meta"):
            model = auto.from_config(plain, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The model {path} cannot be built: {error}") from None
    total = sum(p.numel() for p in model.parameters())
    linear, added, trained = _linears(model, getattr(config, "lora_rank", 0))
    adaptation = getattr(config, "adaptation", "full")
    if adaptation not in ADAPTERS:
        added = 0
        trained = total
        if adaptation == "half":
            share = half_tuning.trained_share(model, config.seed, config.half_rounds)
            trained = round(share * total)
    text = plain.get_text_config()
    heads = getattr(text, "num_attention_heads", 1)
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Shape(
        total=total + added,
        trained=trained,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        linear=linear,
        added=added,
    )


def _linears(model: Any, rank: int) -> tuple[int, int, int]:
    """Parameters of the linear maps that get an adapter; what the adapters add, which with the copy
    of a classifier's head that is trained beside it is all that is trained (peft counts it twice,
    the untrained one stays)."""
    top = model.get_output_embeddings()
    linear = added = 0
    for name, module in model.named_modules():
        if name.split(".")[0] in HEADS:
            added += sum(p.numel() for p in module.parameters(recurse=False))
        elif isinstance(module, torch.nn.Linear) and module is not top:
            linear += module.weight.numel()
            added += rank * (module.in_features + module.out_features)
    return linear, added, added
