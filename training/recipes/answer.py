"""A finished model answers prompts: artifact/answers.jsonl, {"key", "text"} a line.

    python -m training.recipes.answer RUN_DIR

Inputs: prompts (JSONL of {"key", "messages"}); model; init (an adapter over the model, or full
weights in its place). Started again, it answers what is not answered yet. The draws of a batch
depend on the seed and the batch alone: an interrupted run gives what it would have given.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch

from training.recipes import data, evaluation, loading
from training.recipes.adapters import attach
from training.recipes.artifacts import read_artifact, start_of
from training.recipes.configs import AnswerConfig
from training.recipes.entry import main
from training.recipes.reporting import check_stop
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


def answer(run: RunDir, config: AnswerConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. The model, with the template that it was trained with.
    run.progress(0, 0, "loading")
    start = start_of(run)
    top = start.init or read_artifact(start.base)
    if top.task != "language model":
        raise ValueError(f"A {top.task} gives no answers: choose an SFT or PPO run.")
    named = run.spec.get("template") or {}
    template = named if named.get("text") else top.template or named
    tokenizer = load_tokenizer(start.base, template)
    model: Any = loading.load_causal(start.base, tokenizer)
    if start.init is not None:
        model = attach(model, start)
    encoder = data.Encoder(tokenizer, config.max_prompt_tokens)

    # 2. The prompts, by length, so that little is spent on padding. Batches do not depend on what
    # is answered already.
    prompts = data.read_prompts(run.input_path("prompts"))
    ids = [encoder.prompt(row["messages"], config.max_prompt_tokens) for row in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(ids[i]), i))
    batches = [order[i : i + config.batch_size] for i in range(0, len(order), config.batch_size)]

    # 3. Answer.
    run.artifact.mkdir(exist_ok=True)
    path = run.artifact / "answers.jsonl"
    done = answered(path)
    ended = tokens = written = 0
    clock = time.monotonic()
    run.progress(len(done), len(prompts), "answering")
    with path.open("a", encoding="utf-8") as file:
        for number, batch in enumerate(batches):
            if all(prompts[i]["key"] in done for i in batch):
                continue
            check()
            torch.manual_seed(run.seed * 1_000_003 + number)
            found = evaluation.answer(
                model,
                [ids[i] for i in batch],
                encoder,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                check=check,
            )
            for i, one in zip(batch, found, strict=True):
                ended, tokens = ended + one.ended, tokens + len(one.ids)
                written += 1
                if (key := prompts[i]["key"]) not in done:
                    done.add(key)
                    line = {"key": key, "text": one.text}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            left = (time.monotonic() - clock) / written * (len(prompts) - len(done))
            run.progress(len(done), len(prompts), "answering", round(left, 1))

    # 4. Say how it went.
    return {
        "metrics": {
            "answers": len(done),
            "tokens": tokens,
            "eos_share": ended / written if written else 1.0,
        },
        "samples": [],
        "artifact": {"kind": "answers", "sha256": ""},
        "seconds": round(time.monotonic() - began, 1),
    }


def answered(path: Path) -> set[str]:
    """Keys of the answers that are in the file. A torn last line, of a process that was killed, is
    cut off, so that the next one starts on a line of its own."""
    if not path.exists():
        return set()
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        path.write_bytes(kept)
    return {json.loads(line)["key"] for line in kept.splitlines()}


if __name__ == "__main__":
    main("answer", answer)
