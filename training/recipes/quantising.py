"""Frozen weights of 4 bits for QLoRA (arXiv 2305.14314): NormalFloat4, its scales quantised too."""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import BitsAndBytesConfig


def in_four_bits(
    compute: torch.dtype, device: torch.device, whole: Iterable[str]
) -> dict[str, Any]:
    """What from_pretrained is told: compute in `compute`, and leave the layers named in `whole`,
    and the head of a language model, as they are. Raises ValueError as check_quantising does."""
    check_quantising(device)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=["lm_head", *whole],
    )
    return {"quantization_config": config, "device_map": {"": device}}


def check_quantising(device: torch.device) -> None:
    """Raise ValueError, before a model is read, where the device cannot hold weights in 4 bits."""
    try:
        from bitsandbytes.functional import quantize_4bit

        quantize_4bit(torch.ones(64, 64, device=device), quant_type="nf4")
    except Exception as error:  # each build and device fails with an error of its own
        raise ValueError(
            f"QLoRA needs bitsandbytes, which does not work here ({error}): choose lora."
        ) from None


def keep_packing(model: Any) -> None:
    """Evaluate with the weights as they are trained over. On processors with AVX512-BF16
    bitsandbytes packs them anew, for good, at the first evaluation: it rounds their scales to bf16
    and fails where a layer's width is no multiple of 32. A resumed run would differ from one that
    was evaluated first."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
