"""Memory of training, predicted beside measured: `python -m benchmarks.memory [--only RECIPE]`.

Each cell is a real run of a recipe, by itself in a process, of two steps on rows of one length,
with a random Llama and a tokenizer of words made on the spot. Measured is the growth of the process
over what it held when its libraries were loaded. The cells marked `fitted` are those that the
factors of training/recipes/memory.py come from; the others were held out, and are what the printed
ranges speak of. `--done FILE` keeps what was measured, so that a grid may be ended and continued
(`--most 0` measures nothing and compares what is there); `--smol FOLDER` adds cells of a model that
is there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ANSWER = 32  # tokens that PPO answers with, of each row's length


@dataclass(frozen=True)
class Cell:
    """A recipe on a model of a shape, with a batch of rows of one length, in tokens."""

    recipe: str
    adaptation: str
    batch: int
    length: int
    hidden: int = 384
    layers: int = 8
    vocabulary: int = 16_384
    checkpointing: str = "off"
    fitted: bool = False
    model: str = ""  # a folder, instead of a shape

    @property
    def name(self) -> str:
        shape = Path(self.model).name or f"{self.hidden}x{self.layers}x{self.vocabulary}"
        extra = " checkpointing" if self.checkpointing == "on" else ""
        return f"{self.recipe} {self.adaptation} {shape} b{self.batch} s{self.length}{extra}"


# Batch, length, width, layers, vocabulary: no two alike in a column of the same list.
FITTED = ((2, 256, 384, 8, 16_384), (4, 256, 256, 12, 32_768), (1, 512, 512, 6, 8192))
HELD_OUT = ((4, 192, 512, 8, 8192), (2, 512, 320, 10, 49_152), (8, 96, 576, 4, 24_576))

# Measured for the first time when the factors were what they are.
UNSEEN = ((3, 320, 448, 7, 12_288), (6, 160, 640, 5, 28_672))


def cells(smol: str) -> list[Cell]:
    found = []
    for recipe in ("sft", "reward", "dpo", "kto", "pretrain", "classify", "ppo"):
        for adaptation in ("lora", "full"):
            found += [Cell(recipe, adaptation, *shape, fitted=True) for shape in FITTED]
            # The adapter's factor was raised on the widest of reward's.
            raised = HELD_OUT[1] if (recipe, adaptation) == ("reward", "lora") else None
            found += [Cell(recipe, adaptation, *s, fitted=s == raised) for s in HELD_OUT]
    for recipe in ("sft", "reward"):
        found.append(Cell(recipe, "lora", 4, 384, 384, 12, 16_384, "on", fitted=True))
        found.append(Cell(recipe, "full", 2, 512, 512, 8, 8192, "on"))
        found.append(Cell(recipe, "half", 2, 256, 512, 8, 8192))
        found.append(Cell(recipe, "qlora", 2, 256, 512, 8, 8192, fitted=recipe == "sft"))
        for adaptation in ("lora", "full", "half", "qlora"):
            found += [Cell(recipe, adaptation, *shape) for shape in UNSEEN]
        found += [Cell(recipe, kind, *UNSEEN[0], checkpointing="on") for kind in ("lora", "full")]
    if smol:
        for recipe, adaptation, batch, length in (
            ("sft", "lora", 2, 256),
            ("sft", "full", 2, 256),
            ("reward", "lora", 2, 128),
            ("dpo", "lora", 1, 256),
            ("ppo", "lora", 4, 192),
            ("ppo", "full", 2, 128),
        ):
            found.append(Cell(recipe, adaptation, batch, length, model=smol))
    return found


# What a cell runs on


def make_model(folder: Path, cell: Cell, *, classifier: bool = False) -> Path:
    """A random Llama whose tokenizer knows one word a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    from exports.chat import CHATML

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    words = [*special, *(f"w{i}" for i in range(cell.vocabulary - len(special)))]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
    )
    tokenizer.chat_template = CHATML
    heads = cell.hidden // 64
    config = LlamaConfig(
        vocab_size=cell.vocabulary,
        hidden_size=cell.hidden,
        intermediate_size=cell.hidden * 8 // 3,
        num_hidden_layers=cell.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        num_labels=1,
    )
    (LlamaForSequenceClassification if classifier else LlamaForCausalLM)(config).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder


def rows_of(recipe: str, cell: Cell) -> list[dict[str, Any]]:
    """More words than fit, so that each row is cut to the cell's length."""

    def said(role: str, words: int, start: int) -> list[dict[str, str]]:
        text = " ".join(f"w{(start + i) % 5000}" for i in range(words))
        return [{"role": role, "content": text}]

    found: list[dict[str, Any]] = []
    for i in range(4 * cell.batch):
        asked = said("user", cell.length // 4 if recipe != "ppo" else cell.length, i)
        answers = [said("assistant", cell.length, 7 * i + k) for k in (0, 1)]
        text = answers[0][0]["content"]
        found.append(
            {
                "pretrain": {"text": text},
                "classify": {"text": text, "label": "ab"[i % 2]},
                "sft": {"prompt": asked, "completion": answers[0]},
                "kto": {"prompt": asked, "completion": answers[0], "label": bool(i % 2)},
                "ppo": {"prompt": asked},
            }.get(recipe, {"prompt": asked, "chosen": answers[0], "rejected": answers[1]})
        )
    return found


def make_run(folder: Path, cell: Cell) -> Path:
    """A run directory of two steps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from exports import formats
    from training.recipes.configs import RECIPES

    model = Path(cell.model) if cell.model else make_model(folder / "model", cell)
    recipe = RECIPES[cell.recipe]
    snapshot = folder / "snapshot" / "data"
    snapshot.mkdir(parents=True)
    rows = rows_of(cell.recipe, cell)
    for split, some in (("train", rows), ("test", rows[: cell.batch])):
        table = pa.Table.from_pylist(some, formats.schema(str(recipe.dataset)))
        pq.write_table(table, snapshot / f"{split}-00000-of-00001.parquet")
    inputs = {"model": model, "snapshot": folder / "snapshot"}
    if "reward" in recipe.inputs:
        judge = make_model(folder / "judge", cell, classifier=True)
        facts = {"kind": "reward_model", "reward": {"mean": 0.0, "std": 1.0},
                 "config": {"max_length": cell.length}}  # fmt: skip
        (judge / "annotune.json").write_text(json.dumps(facts))
        inputs["reward"] = judge
    spec = {
        "run": 1, "attempt": 1, "recipe": cell.recipe, "seed": 0, "config": settings(cell),
        "inputs": [{"name": n, "kind": n, "path": str(path)} for n, path in inputs.items()],
        "template": {"name": "chatml"} if cell.model else {"name": "model"}, "versions": {},
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


def settings(cell: Cell) -> dict[str, Any]:
    """The cell's config."""
    from training.recipes.configs import RECIPES

    wanted = {
        "adaptation": cell.adaptation, "batch_size": cell.batch, "max_length": cell.length,
        "checkpointing": cell.checkpointing, "eval_rows": cell.batch, "sample_tokens": 8,
        "max_steps": 2, "steps": 2, "rollout_batch": 2 * cell.batch, "max_new_tokens": ANSWER,
        "save_steps": 1000, "warmup": 0.0, "learning_rate": 1e-5,
    }  # fmt: skip
    known = RECIPES[cell.recipe].config.__dataclass_fields__
    return {name: value for name, value in wanted.items() if name in known}


def measure(cell: Cell) -> dict[str, Any]:
    """{"measured_mib"} of a cell, or {"reason"} where its run did not succeed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_run(Path(scratch), cell)
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(
            [sys.executable, "-m", f"training.recipes.{cell.recipe}", str(folder)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        file = folder / "result.json"
        result = json.loads(file.read_text()) if file.exists() else {}
        if result.get("state") != "succeeded":
            said = result.get("reason") or done.stderr.strip()[-300:]
            return {"reason": said or f"ended with code {done.returncode}"}
        return {"measured_mib": result["peak_mib"] - result["loaded_mib"]}


# Predicted


def predict(cell: Cell, folder: Path) -> dict[str, Any]:
    """{"predicted_mib"} of a cell by the formula alone, and its fullest moment."""
    from training.recipes import memory
    from training.recipes.configs import parse
    from training.recipes.shapes import shape_of

    model = cell.model or str(make_model(folder / cell.name, cell))
    config = parse(cell.recipe, settings(cell))
    classifier = cell.recipe in ("reward", "classify")
    labels = 2 if cell.recipe == "classify" else 1
    need = memory.need(
        cell.recipe,
        shape_of(model, config, classifier=classifier, labels=labels),
        config,
        cell.length - (ANSWER if cell.recipe == "ppo" else 0),
        judge=shape_of(model, None, classifier=True) if cell.recipe == "ppo" else None,
    )
    return {
        "predicted_mib": round((need.total - memory.IMPORTED) / memory.MIB),
        "moment": need.moment,
        "terms": {name: round(size / memory.MIB) for name, size in need.terms.items()},
    }


def ranges(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """recipe and adaptation -> lowest and highest ratio of predicted to measured on held-out cells,
    and how many they are."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if not row["fitted"] and "ratio" in row:
            found.setdefault(f"{row['recipe']} {row['adaptation']}", []).append(row["ratio"])
    return {name: [min(some), max(some), len(some)] for name, some in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="recipes")
    parser.add_argument("--done", type=Path, help="JSONL of what was measured; is added to")
    parser.add_argument("--most", type=int, default=1000, help="cells to measure now")
    parser.add_argument("--smol", default="", help="a model's folder")
    given = parser.parse_args()
    known: dict[str, dict[str, Any]] = {}
    if given.done and given.done.exists():
        known = {row["cell"]: row for row in map(json.loads, given.done.open())}
    rows, measured = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for cell in cells(given.smol):
            if given.only and cell.recipe not in given.only:
                continue
            found = known.get(cell.name)
            if found is None and measured < given.most:
                measured += 1
                found = {"cell": cell.name, **asdict(cell), **measure(cell)}
                if given.done and "measured_mib" in found:
                    with given.done.open("a") as file:
                        file.write(json.dumps(found) + "\n")
            if found is None:
                continue
            row = {
                name: found[name] for name in ("cell", "measured_mib", "reason") if name in found
            }
            row |= {"recipe": cell.recipe, "adaptation": cell.adaptation, "fitted": cell.fitted}
            if "measured_mib" in found:
                row |= predict(cell, Path(scratch))
                row["ratio"] = round(row["predicted_mib"] / row["measured_mib"], 2)
            rows.append(row)
            print(row["cell"], row.get("ratio", row.get("reason")), file=sys.stderr, flush=True)
    report = {"benchmark": "memory", "rows": rows, "held_out": ranges(rows)}
    print(json.dumps(report | {"load": os.getloadavg()[0]}, indent=1))


if __name__ == "__main__":
    main()
