"""Preflight: what a run would do, found out in seconds, before a GPU is touched.

    python -m training.recipes.preflight RUN_DIR

Reads spec.json as the recipe would and writes preflight.json: refusals (the run would fail or learn
nothing), warnings, rows, lengths, samples with the trained tokens marked, and what it will cost.
Exact up to 20,000 rows; above, a drawn sample, and a warning says so.
"""

import random
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exports import chat
from training.recipes import data, estimate
from training.recipes.artifacts import (
    Artifact,
    Start,
    check_base,
    check_weights,
    folder_sha256,
    read_artifact,
    start_of,
    start_of_artifact,
)
from training.recipes.configs import RECIPES, parse
from training.recipes.entry import sentence, use_threads
from training.recipes.run_dir import RunDir, write_json
from training.recipes.tokenizer import load_tokenizer

EXACT = 20_000  # rows that are read; of more, as many are drawn
BARS = 16
HASHED = 2 * 2**30  # bytes of a base model that is hashed here; a larger one waits for the run
SHOWN = 3


@dataclass
class Found:
    """What preflight.json will say."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)  # tokens of each row, before it is cut

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": not self.refusals,
            "refusals": self.refusals,
            "warnings": self.warnings,
            **self.facts,
        }


def main() -> None:
    """Exit code 0 also where the run is refused: preflight.json says so."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.recipes.preflight RUN_DIR")
    try:
        run = RunDir(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    use_threads()
    write_json(run.path / "preflight.json", examine(run))


def examine(run: RunDir) -> dict[str, Any]:
    """All that can be said of the run. What goes wrong on the way is a refusal, in plain words."""
    found = Found()
    try:
        _examine(run, found)
    except Exception as error:
        traceback.print_exc()
        found.refusals.append(sentence(error))
    return found.to_json()


def _examine(run: RunDir, found: Found) -> None:
    recipe = run.spec.get("recipe", "")
    config = parse(recipe, run.config)
    missing = [n for n, need in RECIPES[recipe].inputs.items() if need and n not in run.inputs]
    if missing:
        raise ValueError(f"The run has no {' and no '.join(missing)} to start from.")
    if recipe == "convert":
        return

    # 1. Weights and tokenizer.
    start = start_of(run, hashed=False)
    _check_start(start, config, found)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    limit = getattr(config, "max_length", 0) or config.max_prompt_tokens
    encoder = data.Encoder(tokenizer, limit)
    if recipe == "ppo":
        _check_reward(run)

    # 2. Rows.
    if recipe == "answer":
        prompts = data.read_prompts(run.input_path("prompts"))
        rows: Iterator[dict[str, Any]] = ({"prompt": row["messages"]} for row in prompts)
        counts = {"prompts": len(prompts)}
        kind, total = "prompts", len(prompts)
    else:
        kind = str(RECIPES[recipe].dataset)
        snapshot = run.input_path("snapshot")
        data.check_snapshot(snapshot, kind)
        counts = {split: data.count_of(snapshot, split) for split in data.SPLITS}
        rows, total = data.rows_of(snapshot, "train"), counts["train"]
        if not counts["test"]:
            found.warnings.append(data.no_test_note(data.evaluation_split(snapshot)))
    found.facts["rows"] = counts
    if not total:
        raise ValueError(f"There are no {'prompts' if recipe == 'answer' else 'training rows'}.")
    _read_rows(_drawn(rows, total, run.seed, found), encoder, kind, config, found)

    # 3. What it will cost.
    _cost(recipe, config, start, found, total, run.path)


# Weights


def _check_start(start: Start, config: Any, found: Found) -> None:
    check_weights(start.base)
    if start.init is None:
        return
    weights = sum(file.stat().st_size for file in Path(start.base).glob("*.safetensors"))
    sha256 = folder_sha256(start.base) if weights <= HASHED else ""
    if getattr(config, "adaptation", "") == "full":
        found.refusals.append(
            "An adapter can be continued, or all weights trained: not both at once."
        )
    check_base(start.init, sha256)


def _check_reward(run: RunDir) -> None:
    """The reward run of PPO is there, is one, and has its base."""
    start = start_of_artifact(run, "reward", hashed=False)
    artifact: Artifact = start.init or read_artifact(start.base)
    if not artifact.is_reward:
        raise ValueError(f"The input `reward` was left by no reward run: it is a {artifact.kind}.")
    check_weights(start.base)
    check_weights(artifact.path)


# Rows


def _drawn(
    rows: Iterator[dict[str, Any]], total: int, seed: int, found: Found
) -> Iterator[dict[str, Any]]:
    """All rows, or of very many a sample that the seed draws."""
    if total <= EXACT:
        return rows
    found.warnings.append(f"Counted on {EXACT:,} of {total:,} rows, drawn at random.")
    wanted = set(random.Random(seed).sample(range(total), EXACT))
    return (row for i, row in enumerate(rows) if i in wanted)


def _read_rows(
    rows: Iterator[dict[str, Any]], encoder: data.Encoder, kind: str, config: Any, found: Found
) -> None:
    read = cut = untrainable = 0
    samples: list[list[tuple[str, bool]]] = []
    checked = False
    for row in rows:
        read += 1
        try:
            if not checked:
                data.check_template(encoder, [_conversation(row, kind)])
                checked = True
            if kind == "prompts":
                ids = encoder.prompt(row["prompt"])
                length, trained = len(ids), 1
                columns = {"input_ids": ids[-encoder.max_length :]}
            else:
                columns, length, trained = data.encode_row(row, encoder, kind)
        except chat.ChatError as error:
            raise ValueError(f"Row {read}: {error}") from None
        found.lengths.append(length)
        cut += length > encoder.max_length
        untrainable += not trained
        if len(samples) < SHOWN and trained:
            samples.append(_pieces(columns, encoder, row, kind))
    found.facts |= {
        "lengths": histogram(found.lengths),
        "truncated_share": cut / read,
        "untrainable_rows": untrainable,
        "samples": samples,
    }
    if untrainable == read:
        found.refusals.append(
            f"None of the {read} training rows has anything to train on within "
            f"{encoder.max_length} tokens: raise max_length, or choose shorter rows."
        )
    elif untrainable:
        found.warnings.append(
            f"{untrainable} of {read} rows have nothing to train on within {encoder.max_length} "
            "tokens and will be left out."
        )
    if cut / read > 0.2:
        found.warnings.append(
            f"{cut} of {read} rows are longer than {encoder.max_length} tokens and will be cut."
        )


def _conversation(row: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return chat.to_messages(row, "chosen" if kind == "preference" else "completion")


def _pieces(
    columns: dict[str, Any], encoder: data.Encoder, row: dict[str, Any], kind: str
) -> list[tuple[str, bool]]:
    """The row's text in pieces, each with whether it is trained: decoded from what the trainer is
    given, so no guess. Of a pair, the better answer."""
    if kind == "prompts":
        ids = columns["input_ids"]
        marks = [False] * len(ids)
    elif kind == "sft":
        ids = columns["input_ids"]
        marks = [label != data.IGNORED for label in columns["labels"]]
    else:
        pair = encoder.pair(row["prompt"], row["chosen"], row["rejected"])
        ids = pair.chosen_ids
        marks = [i >= pair.start for i in range(len(ids))]
    runs: list[tuple[list[int], bool]] = []
    for token, mark in zip(ids, marks, strict=True):
        if not runs or runs[-1][1] != mark:
            runs.append(([], mark))
        runs[-1][0].append(token)
    return [(str(encoder.tokenizer.decode(some)), mark) for some, mark in runs]


def histogram(lengths: list[int], bars: int = BARS) -> dict[str, list[int]]:
    """{"edges", "counts"}: bars of equal, round width up to the longest row."""
    width = max(1, -(-(max(lengths) + 1) // bars))
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128) if s >= width or s == 128)
    width = -(-width // step) * step
    counts = [0] * -(-(max(lengths) + 1) // width)
    for length in lengths:
        counts[length // width] += 1
    return {"edges": [i * width for i in range(len(counts) + 1)], "counts": counts}


# Cost


def _cost(recipe: str, config: Any, start: Start, found: Found, rows: int, folder: Path) -> None:
    """Memory, disk, steps and time. Too little memory or disk is a refusal with what to do."""
    shape = estimate.shape_of(start.base, config, classifier=recipe == "reward")
    limit = getattr(config, "max_length", 0) or config.max_prompt_tokens
    cut = [min(length, limit) for length in found.lengths]
    longest, mean = max(cut), sum(cut) / len(cut)
    kept = rows - round(found.facts["untrainable_rows"] * rows / len(cut))
    rate = estimate.speed()
    if recipe in ("sft", "reward"):
        sides = 2 if recipe == "reward" else 1
        needed = estimate.training_bytes(
            shape, config.batch_size * longest * sides, config, logits=recipe == "sft"
        )
        steps = estimate.steps_of(max(kept, 1), config)
        # A batch is padded to its longest row: about half of the way from the mean to the longest.
        padded = (mean + longest) / 2 * sides
        tokens = steps * config.batch_size * config.accumulation * padded
        judged = min(config.eval_rows, found.facts["rows"]["test"] or rows) * padded
        looks = 2 + steps // config.eval_steps
        seconds = estimate.training_seconds(shape, tokens, config, rate)
        seconds += looks * estimate.forward_seconds(shape, judged, rate)
        if recipe == "sft":
            seconds += 2 * estimate.generation_seconds(shape, config.sample_tokens)
        disk = estimate.disk_bytes(shape, config)
    elif recipe == "ppo":
        needed = estimate.ppo_bytes(shape, longest, config)
        steps = config.steps
        length = mean + config.max_new_tokens
        tokens = steps * config.rollout_batch * length
        seconds = config.ppo_epochs * estimate.training_seconds(shape, tokens, config, rate)
        seconds += 3 * estimate.forward_seconds(shape, tokens, rate)
        seconds += estimate.generation_seconds(shape, (steps + 2) * config.max_new_tokens)
        disk = estimate.disk_bytes(shape, config)
    else:
        length = longest + config.max_new_tokens
        width = estimate.number_bytes(config)
        needed = estimate.IMPORTED + shape.total * width
        needed += estimate.generation_bytes(shape, config.batch_size, int(length), width)
        steps = -(-rows // config.batch_size)
        seconds = estimate.forward_seconds(shape, rows * mean, rate)
        seconds += estimate.generation_seconds(shape, steps * config.max_new_tokens)
        disk = estimate.MIB
    free, room = estimate.available_bytes(), estimate.free_disk_bytes(folder)
    found.facts |= {
        "memory": {"needed_mib": _mib(needed), "available_mib": _mib(free)},
        "disk": {"needed_mib": _mib(disk), "available_mib": _mib(room)},
        "steps": steps,
        "seconds_estimate": round(20 + seconds),  # loading takes about 20
        "parameters": shape.total,
    }
    if recipe != "answer":
        found.facts["trainable_share"] = shape.share
    if needed > free:
        found.refusals.append(
            f"It needs about {_mib(needed):,} MiB of memory and {_mib(free):,} are free: use a "
            f"smaller batch_size, a shorter max_length{_or_lora(config)} or a smaller model."
        )
    elif needed > 0.8 * free:
        found.warnings.append("It needs most of the memory that is free; it may not fit.")
    if disk > room:
        found.refusals.append(
            f"It needs about {_mib(disk):,} MiB of disk and {_mib(room):,} are free."
        )


def _or_lora(config: Any) -> str:
    return ", LoRA" if getattr(config, "adaptation", "lora") == "full" else ""


def _mib(size: float) -> int:
    return round(size / estimate.MIB)


if __name__ == "__main__":
    main()
