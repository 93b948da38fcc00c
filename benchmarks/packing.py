"""Packed against unpacked: `python -m benchmarks.packing MODEL_FOLDER`.

Texts go through the batches that SFTTrainer makes of them, and each text's logits are held beside
those of the text run alone. `bfd` is what our recipes pack with; `wrapped` cuts texts at the edges
of rows and lets them see one another: it has to come out wrong, or the measurement is.
Prints {"benchmark": "packing", date, device, model, versions, "rows": [{"attn", "mode",
"max_logit_difference", "loss_difference"}]}: the largest difference of a logit, and of the mean
loss (nats a token).
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from training.recipes import data
from training.recipes.packing import PACKED, pack
from training.recipes.tokenizer import load_tokenizer

ATTENTION = ("sdpa", "eager")  # flash attention needs a GPU; flex attention must be compiled
MODES = ("unpacked", "bfd", "wrapped")
ROWS = 2  # a batch
LENGTHS = (60, 12, 33, 48, 7, 90, 25, 41, 64, 18)  # tokens of the texts
ROOM = 96  # tokens of a packed row
STORY = (
    "The printer on the second floor is out of paper again, says the desk. A parcel that was sent "
    "on Monday should arrive before the end of the week. Water boils at a lower temperature on a "
    "high mountain, as the air is thinner. Please restart the device, wait for half a minute, and "
    "try to connect once more. The moon does not shine by itself; it reflects the light of the sun."
)


def differences(
    model: Any, tokenizer: Any, texts: Sequence[list[int]], mode: str, room: int = ROOM
) -> dict[str, float]:
    """Of texts (ids) in a mode's batches against each text alone."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(model, tokenizer, texts, mode, room, folder)
    model.eval()
    found = _by_text(trainer, texts, mode)
    worst = loss = loss_alone = 0.0
    for text, logits in zip(texts, found, strict=True):
        ids = torch.tensor([text], device=model.device)
        with torch.no_grad():
            alone = model(input_ids=ids, use_cache=False).logits[0].float()
        worst = max(worst, (logits - alone).abs().max().item())
        loss += _nats(logits, ids[0])
        loss_alone += _nats(alone, ids[0])
    tokens = sum(len(text) - 1 for text in texts)
    return {
        "max_logit_difference": worst,
        "loss_difference": abs(loss - loss_alone) / tokens,
    }


def trainer_of(
    model: Any, tokenizer: Any, texts: Sequence[list[int]], mode: str, room: int, folder: str
) -> SFTTrainer:
    """TRL's trainer as our recipes make it, over the texts in one of MODES."""
    table = data.Table(pa.Table.from_pylist([{"input_ids": t, "labels": t} for t in texts]))
    more: dict[str, Any] = {"packing": False}
    if mode == "bfd":
        more = PACKED
    elif mode == "wrapped":
        more = {"packing": True, "packing_strategy": "wrapped"}
    arguments = SFTConfig(
        output_dir=folder,
        max_length=room,
        per_device_train_batch_size=ROWS,
        use_cpu=model.device.type == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        **more,
    )
    rows = pack(table, room) if mode == "bfd" else Dataset(table.rows)
    return SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)


def _by_text(trainer: SFTTrainer, texts: Sequence[list[int]], mode: str) -> list[torch.Tensor]:
    """The logits of each text, out of the trainer's batches."""
    ids: list[int] = []
    logits: list[torch.Tensor] = []
    lengths: list[int] = []
    rows_of_all = trainer.train_dataset.to_list()
    for start in range(0, len(rows_of_all), ROWS):
        rows = rows_of_all[start : start + ROWS]
        batch = trainer.data_collator(rows)
        batch = {name: value.to(trainer.model.device) if hasattr(value, "to") else value
                 for name, value in batch.items() if name != "labels"}  # fmt: skip
        with torch.no_grad():
            found = trainer.model(**batch, use_cache=False).logits.float()
        kept = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        ids += batch["input_ids"][kept].tolist()
        logits += list(found[kept])
        for row in rows:
            lengths += row.get("seq_lengths") or [len(row["input_ids"])]
    if mode == "wrapped":  # the texts one behind the other, cut anywhere
        lengths = [len(text) for text in texts]
    pieces, place = {}, 0
    for length in lengths:
        part = slice(place, place + length)
        pieces[tuple(ids[part])] = torch.stack(logits[part])
        place += length
    return [pieces[tuple(text)] for text in texts]


def _nats(logits: torch.Tensor, ids: torch.Tensor) -> float:
    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum").item()


def texts_of(tokenizer: Any) -> list[list[int]]:
    """Texts of LENGTHS tokens, each starting elsewhere in the story."""
    story = tokenizer(STORY * 4, add_special_tokens=False)["input_ids"]
    return [story[7 * i : 7 * i + length] for i, length in enumerate(LENGTHS)]


def main(folder: str) -> None:
    tokenizer = load_tokenizer(folder, chat=False)
    rows = []
    for attn in ATTENTION:
        model = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation=attn, dtype=torch.float32
        )
        for mode in MODES:
            rows.append(
                {"attn": attn, "mode": mode}
                | differences(model, tokenizer, texts_of(tokenizer), mode)
            )
    said = {"date": date.today().isoformat(), "device": model.device.type, "model": folder}
    versions = {module.__name__: module.__version__ for module in (torch, transformers, trl)}
    print(
        json.dumps({"benchmark": "packing", **said, "versions": versions, "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main(sys.argv[1])
