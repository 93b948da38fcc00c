"""Several conversations or documents in one row, none of which sees another.

TRL lays them out (best fit, decreasing) and hands the model positions that start again at each; the
model is to take from them who may look at whom. Not every model does, so each is asked first.
"""

from typing import Any

import torch
from datasets import Dataset
from trl import pack_dataset

from training.recipes.data import Table
from training.recipes.evaluation import evaluating

NEAR = 1e-3  # of the largest logit; what leaks moves them by more than their own size
# What SFTTrainer is told where rows come packed: not to prepare them again, and not to pad.
PACKED = {
    "packing": True,
    "packing_strategy": "bfd",
    "dataset_kwargs": {"skip_prepare_dataset": True},
}


def pack(rows: Table, max_length: int) -> Dataset:
    """Rows of input_ids and labels as fuller rows of at most max_length, with `seq_lengths`."""
    return pack_dataset(Dataset(rows.rows), max_length, "bfd")


def check_isolation(model: Any) -> None:
    """Raise ValueError where the model lets a text see the one before it in its row: then the
    logits of a text change with its neighbour."""
    first, other, text = range(1, 9), range(11, 19), range(21, 33)
    size = model.get_input_embeddings().num_embeddings
    found = [_logits(model, [[i % size for i in ids] for ids in (a, text)]) for a in (first, other)]
    away = (found[0] - found[1])[-len(text) :].abs().max()
    if away > NEAR * found[0].abs().max():
        raise ValueError(
            f"{type(_base(model)).__name__} lets packed texts see one another (the logits of one "
            f"move by {away:.2g} with its neighbour): set packing to off."
        )


def _logits(model: Any, texts: list[list[int]]) -> torch.Tensor:
    """Of texts in one row, as the trainer's batches hand them over: no mask and no cache."""
    ids = torch.tensor([[i for text in texts for i in text]], device=model.device)
    places = torch.cat([torch.arange(len(text)) for text in texts])[None].to(model.device)
    with evaluating(model):
        return model(input_ids=ids, position_ids=places, use_cache=False).logits[0].float()


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
