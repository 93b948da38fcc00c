"""Texts become vectors: the mean of a small model's last layer over a text's tokens, of length 1.

    python -m training.recipes.embed JOB_DIR

Inputs: model (a local folder), texts (JSONL of {"id", "mark", "text"}; `mark` is handed through).
Leaves artifact/part-N.npy, float16, a row a text, and artifact/part-N.ids.npy with ids and marks. A
part is whole when it is there, so that a second start goes on after the last one. It also ends,
resumable, when whoever started it is gone.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from training.recipes.artifacts import check_weights
from training.recipes.process import peak_mib, sentence, use_threads
from training.recipes.run_dir import RunDir, Stopped

PART = 2_000  # texts
BATCH = 32
MAX_TOKENS = 256  # of a text, as sentence models of this size are trained; the rest is cut
KEYS = np.dtype([("id", "<i8"), ("mark", "<u8")])
ROOM = 2 * 2**30  # bytes free on a GPU, or it is left to whoever trains there


def embed(run: RunDir) -> dict[str, Any]:
    parent = os.getppid()

    def check() -> None:
        if run.stop_requested or os.getppid() != parent:
            raise Stopped

    # 1. The model.
    run.progress(0, 0, "loading")
    tokenizer, model = load(run.input_path("model"))
    texts = Path(run.input_path("texts"))
    with texts.open("rb") as file:
        total = sum(1 for _ in file)
    part, batch = int(run.config.get("part", PART)), int(run.config.get("batch", BATCH))

    # 2. Part by part; within one by length, so that little is spent on padding.
    run.artifact.mkdir(exist_ok=True)
    began, made, done = time.monotonic(), 0, 0
    for number, rows in enumerate(parts(texts, part)):
        path = run.artifact / f"part-{number:05d}.npy"
        if not path.exists():
            vectors = np.empty((len(rows), model.config.hidden_size), np.float16)
            order = sorted(range(len(rows)), key=lambda i: len(rows[i]["text"]))
            for start in range(0, len(order), batch):
                check()
                some = order[start : start + batch]
                vectors[some] = vectors_of(tokenizer, model, [rows[i]["text"] for i in some])
                made += len(some)
                left = (time.monotonic() - began) / made * (total - done - start - len(some))
                run.progress(done + start + len(some), total, "embedding", round(left, 1))
            keys = np.array([(row["id"], row["mark"]) for row in rows], KEYS)
            save(path.with_suffix(".ids.npy"), keys)
            save(path, vectors)  # last: it says that the part is whole
        done += len(rows)

    # 3. Say how it went.
    seconds = time.monotonic() - began
    return {
        "metrics": {"texts": total, "per_second": round(made / seconds, 1) if made else 0},
        "peak_mib": peak_mib(),
        "seconds": round(seconds, 1),
    }


def load(path: str) -> tuple[Any, Any]:
    """Tokenizer and encoder from a local folder. Raises ValueError where it holds none."""
    if not Path(path).is_dir():
        raise ValueError(f"There is no model folder at {path}.")
    check_weights(path)
    safe = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **safe)
        model = AutoModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True, **safe)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The model {path} cannot be loaded: {error}") from None
    if tokenizer.pad_token is None:
        raise ValueError(f"{path} is no sentence model: its tokenizer has no pad token.")
    return tokenizer, model.to(device()).eval()


def device() -> str:
    """A GPU where there is one with room to spare, else the processor."""
    has_room = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > ROOM
    return "cuda" if has_room else "cpu"


@torch.no_grad()
def vectors_of(tokenizer: Any, model: Any, texts: list[str]) -> np.ndarray:
    """A row a text: the mean over its tokens, without the filling, brought to length 1."""
    most = min(MAX_TOKENS, getattr(model.config, "max_position_embeddings", MAX_TOKENS))
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
    tokens = tokens.to(model.device)
    hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def parts(path: Path, size: int) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        while rows := [json.loads(line) for line in islice(file, size)]:
            yield rows


def save(path: Path, array: np.ndarray) -> None:
    """By rename: it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def perform(run: RunDir) -> int:
    """Do the work and write result.json; the exit code."""
    run.catch_sigterm()
    (run.path / "result.json").unlink(missing_ok=True)
    use_threads()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        result = embed(run)
    except Stopped:
        run.finish("stopped", "Stopped on request. It can go on from its last part.")
        return 0
    except Exception as error:
        traceback.print_exc()
        run.finish("failed", sentence(error))
        return 1
    run.finish("succeeded", **result)
    return 0


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.recipes.embed JOB_DIR")
    try:
        run = RunDir(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    code = perform(run)
    run.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
