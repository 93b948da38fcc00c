"""One cell of training: tokens a second, MFU, and memory predicted beside measured.

Ours is the recipe `sft` without its evaluation and saving: its loading (of weights made here), its
packing, its arguments and its callbacks. TRL's side is a bare script with the same settings. Both
hold weights that are trained in fp32 and compute in bf16, hold frozen ones in bf16, and see the
same rows in the same order.
"""

import gc
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from transformers import TrainerCallback

from benchmarks.gpu import made
from benchmarks.gpu.plan import SHAPES, WARM, Cell, operations, peak_of

MIB = 2**20
RATE = 1e-5


class Meter(TrainerCallback):
    """Seconds and tokens of the steps behind the first WARM ones."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.tokens: list[Any] = []  # of each batch: not padding, and with it
        self.ends: list[float] = []  # clock at the end of each step
        self.seconds = 0.0

    def count(self, trainer: Any) -> None:
        plain = trainer.compute_loss

        def counting(model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            mask = inputs.get("attention_mask")
            size = inputs["input_ids"].numel()
            self.tokens.append((size if mask is None else mask.sum(), size))
            return plain(model, inputs, *more, **named)

        trainer.compute_loss = counting

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in (WARM, self.last):
            settle()
        self.ends.append(time.perf_counter())
        if state.global_step == WARM:
            self.tokens.clear()
            self.seconds = -self.ends[-1]
        elif state.global_step == self.last:
            self.seconds += self.ends[-1]

    def result(self) -> dict[str, float]:
        real = sum(int(count) for count, _ in self.tokens)
        padded = sum(size for _, size in self.tokens)
        steps = [b - a for a, b in zip(self.ends[WARM - 1 :], self.ends[WARM:], strict=False)]
        return {
            "tokens_per_second": round(real / self.seconds, 1),
            "padding_share": round(1 - real / padded, 3),
            "step_ms": round(1000 * statistics.median(steps), 1),
        }


def settle() -> None:
    """Wait until the device has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(cell: Cell) -> dict[str, Any]:
    """The cell's numbers."""
    gpu = torch.cuda.is_available()
    shape, total = SHAPES[cell.shape], WARM + cell.steps
    held = start_memory()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = str(made.write_model(folder / "model", shape))
        rows = made.make_rows(shape, total * cell.rows * (4 if cell.packed else 1), cell.room)
        meter = Meter(total)
        {"ours": ours, "trl": bare}[cell.side](cell, model, rows, folder, meter)
        peak = peak_memory()
        longest = cell.room if cell.packed else max(map(len, rows))
        weights, predicted = reckon(cell, model, longest)
    found: dict[str, Any] = {**meter.result(), "weights": weights}
    peak_rate = peak_of(torch.cuda.get_device_name()) if gpu else None
    work = operations(cell.adaptation, weights)
    found["mfu"] = round(found["tokens_per_second"] * work / peak_rate, 4) if peak_rate else None
    found["memory_mib"] = None if peak is None else round((peak - held) / MIB)
    if cell.side == "ours":
        found["predicted_mib"] = round(predicted / MIB)
    return found


# The two sides


def settings(cell: Cell) -> dict[str, Any]:
    return {
        "adaptation": cell.adaptation, "max_length": cell.room, "batch_size": cell.rows,
        "max_steps": WARM + cell.steps, "learning_rate": RATE, "warmup": 0.0, "keep": "last",
        "eval_rows": 1,  # there is none, and no memory for one
        "packing": "bfd" if cell.packed else "off",
        "checkpointing": "on" if cell.checkpointing else "off",
    }  # fmt: skip


def ours(cell: Cell, model_path: str, rows: list[list[int]], folder: Path, meter: Meter) -> None:
    import pyarrow as pa
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from training.recipes import data, loading
    from training.recipes.configs import parse
    from training.recipes.packing import PACKED, check_isolation, pack
    from training.recipes.reporting import fit, trainer_arguments
    from training.recipes.run_dir import RunDir
    from training.recipes.tokenizer import load_tokenizer

    def load(auto: Any, path: str, tokenizer: Any, config: Any, **_: Any) -> tuple[Any, set[str]]:
        four = config.adaptation == "qlora"
        model = made.make_weights(path, loading.dtype(config), cell.attention, four)
        loading.keep_packing(model)
        return model, set()

    config = parse("sft", settings(cell))
    run = RunDir(made.write_spec(folder / "run", "sft", settings(cell)))
    total = config.max_steps
    loading.seed_everything(0)
    tokenizer = load_tokenizer(model_path, chat=False)
    start: Any = SimpleNamespace(base=model_path, init=None)
    with mock.patch.object(loading, "_load", load):
        model = loading.trainable_causal(start, tokenizer, config)
    table = data.Table(pa.Table.from_pylist([{"input_ids": r, "labels": r} for r in rows]))
    if cell.packed:
        check_isolation(model)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **known(trainer_arguments(run, config, total, False)) | {"save_strategy": "no"},
            **(PACKED if cell.packed else {"packing": False}),
        ),
        train_dataset=pack(table, cell.room) if cell.packed else Dataset(table.rows),
        processing_class=tokenizer,
    )
    trainer.add_callback(meter)
    meter.count(trainer)
    fit(trainer, run, config, total)
    run.close()


def bare(cell: Cell, model_path: str, rows: list[list[int]], folder: Path, meter: Meter) -> None:
    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    gpu, full = torch.cuda.is_available(), cell.adaptation == "full"
    set_seed(0)
    dtype = torch.bfloat16 if gpu and not full else torch.float32
    model = made.make_weights(model_path, dtype, cell.attention, cell.adaptation == "qlora")
    lora = None
    if not full:
        from peft import LoraConfig

        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder / "out"),
            max_steps=WARM + cell.steps,
            per_device_train_batch_size=cell.rows,
            learning_rate=RATE,
            logging_steps=1,
            save_strategy="no",
            seed=0,
            use_cpu=not gpu,
            bf16=gpu,
            max_length=cell.room,
            packing=cell.packed,
            report_to="none",
            disable_tqdm=True,
            **known({"activation_checkpointing": cell.checkpointing}),
        ),
        train_dataset=Dataset.from_list([{"input_ids": row, "labels": row} for row in rows]),
        processing_class=AutoTokenizer.from_pretrained(model_path),
        peft_config=lora,
    )
    trainer.add_callback(meter)
    meter.count(trainer)
    trainer.train()


def known(arguments: dict[str, Any]) -> dict[str, Any]:
    """TRL's arguments by the names that the transformers here have for them."""
    from trl import SFTConfig

    if "activation_checkpointing" in SFTConfig.__dataclass_fields__:
        return arguments
    return {n.replace("activation_", "gradient_"): value for n, value in arguments.items()}


# Memory


def start_memory() -> int:
    """Bytes held before a cell, which starts with as little as can be; its peak counts from here.
    On a GPU what torch has taken from it, else the process's."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_reserved())
    forget_peak()
    return status_bytes("VmRSS") or 0


def peak_memory() -> int | None:
    """Bytes at the fullest; None where the system does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    return status_bytes("VmHWM")


def forget_peak() -> None:
    with suppress(OSError):  # else the peak is that of all cells so far
        Path("/proc/self/clear_refs").write_text("5")


def status_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def reckon(cell: Cell, model_path: str, longest: int) -> tuple[int, float]:
    """The weights that multiply each token, and the bytes that training/recipes/memory.py expects
    beyond what the libraries take."""
    from training.recipes import memory
    from training.recipes.configs import parse
    from training.recipes.shapes import shape_of

    config = parse("sft", settings(cell))
    shape = shape_of(model_path, config)
    expected = memory.need("sft", shape, config, longest)
    return shape.linear + shape.vocabulary * shape.hidden, expected.total - memory.IMPORTED
