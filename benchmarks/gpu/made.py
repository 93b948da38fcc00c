"""Random weights, a tokenizer of made-up words, and rows of made-up tokens: nothing is read."""

import json
import random
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.plan import Shape


def write_model(folder: Path, shape: Shape) -> Path:
    """The config and tokenizer of a model, whose weights are made when they are wanted."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(shape.vocabulary)}
    base = Tokenizer(models.WordLevel(words, "w2"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, eos_token="w1", pad_token="w0")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }} "
        "{% if m['role'] == 'assistant' %}w1 {% endif %}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.keys,
        max_position_embeddings=8192,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)
    save_file({}, folder / "model.safetensors")
    return folder


def make_weights(path: str, dtype: torch.dtype, attention: str, four_bits: bool) -> Any:
    """The model of a folder with random weights, made where they will be used."""
    from transformers import AutoConfig, AutoModelForCausalLM

    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = AutoConfig.from_pretrained(path)
    plain = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # from_config names its argument differently over the versions
    try:
        with place:
            model: Any = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    finally:
        torch.set_default_dtype(plain)
    model = model.to(place)
    return in_four_bits(model, dtype) if four_bits else model


def in_four_bits(model: Any, compute: torch.dtype) -> Any:
    """The layers' linear maps as a QLoRA run holds them: nf4, its scales quantised too."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for layer in model.model.layers:
        for name, linear in list(layer.named_modules()):
            if not isinstance(linear, torch.nn.Linear):
                continue
            weight = linear.weight
            packed = Linear4bit(
                linear.in_features, linear.out_features, bias=False, compute_dtype=compute,
                compress_statistics=True, quant_type="nf4", device="meta",
            )  # fmt: skip
            packed.weight = Params4bit(
                weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
            ).to(weight.device)
            packed.weight.module = packed
            parent, _, last = name.rpartition(".")
            setattr(layer.get_submodule(parent), last, packed)
    model.requires_grad_(False)
    model.is_loaded_in_4bit = True
    return model


def make_rows(shape: Shape, count: int, room: int) -> list[list[int]]:
    """Rows of room / 32 to room tokens, the logarithms of their lengths spread evenly: short ones
    are many, as in conversations. The mean is 0.28 of the longest."""
    draw = random.Random(0)
    lengths = [round(room * 32 ** -draw.random()) for _ in range(count)]
    return [[draw.randrange(2, shape.vocabulary) for _ in range(length)] for length in lengths]


def write_spec(folder: Path, recipe: str, config: dict[str, Any]) -> Path:
    """A run directory that names no inputs."""
    folder.mkdir()
    spec = {"run": 1, "attempt": 1, "recipe": recipe, "seed": 0, "config": config, "inputs": []}
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder
