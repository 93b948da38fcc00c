"""An embedder without torch: `python -m tests.training.fake_embedder MODE JOB_DIR`.

A text's vector counts its letters, so that the same letters are the same vector. quick: at once.
slow: twenty seconds a text, obeys a stop. fail: says why. crash: ends without a result."""

import json
import sys
import time

import numpy as np

from training.recipes.run_dir import RunDir
from training.vectors import KEYS


def vector(text: str) -> np.ndarray:
    counts = np.array([text.lower().count(chr(ord("a") + i)) for i in range(26)], np.float32)
    return (counts / max(np.linalg.norm(counts), 1)).astype(np.float16)


def main() -> int:
    mode, run = sys.argv[1], RunDir(sys.argv[2])
    assert run.inputs["model"].path
    with open(run.input_path("texts"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    run.progress(1, len(rows), "embedding", 20.0)
    if mode == "slow":
        for _ in range(400 * len(rows)):
            if run.stop_requested:
                run.finish("stopped", "asked to")
                return 0
            time.sleep(0.05)
    if mode == "crash":
        return 3
    if mode == "fail":
        run.finish("failed", "The model has <b>no</b> words.")
        return 1
    run.artifact.mkdir(exist_ok=True)
    keys = np.array([(row["id"], row["mark"]) for row in rows], KEYS)
    np.save(run.artifact / "part-00000.ids.npy", keys)
    vectors = np.array([vector(row["text"]) for row in rows], np.float16).reshape(-1, 26)
    np.save(run.artifact / "part-00000.npy", vectors)
    run.finish("succeeded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
