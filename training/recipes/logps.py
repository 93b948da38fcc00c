"""How likely a model finds an answer, in our own plain forward passes; and whose dropout is on."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch

from training.recipes.evaluation import Check, batch_of, evaluating


def answer_logps(
    model: Any,
    texts: Iterable[tuple[Sequence[int], Sequence[int]]],
    pad: int,
    *,
    batch_size: int = 4,
    check: Check = lambda: None,
) -> list[float]:
    """ln p(answer | prompt) of each (prompt, answer), both ids: the sum over the answer's tokens,
    in nats. A first token without anything before it is not predicted and counts 0."""
    found: list[float] = []
    rest = iter(texts)
    with evaluating(model):
        while batch := list(islice(rest, batch_size)):
            check()
            inputs = batch_of([[*prompt, *answer] for prompt, answer in batch], pad, model.device)
            logits = model(**inputs, use_cache=False).logits[:, :-1]
            wanted = inputs["input_ids"][:, 1:]
            for row, (prompt, answer) in enumerate(batch):
                place = slice(max(len(prompt) - 1, 0), len(prompt) + len(answer) - 1)
                scores = torch.log_softmax(logits[row, place].float(), dim=-1)
                picked = scores.gather(1, wanted[row, place, None])
                found.append(picked.sum().item())
    return found


def keep_adapter_dropout(model: torch.nn.Module) -> None:
    """Turn off every dropout but that of the adapter that is trained. TRL turns off all or none:
    the adapter's would be ignored though it was asked for, or a reference be noisy, too."""
    for name, module in model.named_modules():
        if name.endswith("lora_dropout.default"):
            continue
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # Some layers keep a rate as a plain number, as Llama's attention does.
        for rate, value in list(vars(module).items()):
            if "drop" in rate and isinstance(value, float):
                setattr(module, rate, 0.0)
