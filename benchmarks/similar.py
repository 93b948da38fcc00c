"""The nearest among a million vectors: `python -m benchmarks.similar [--rows N] [--width N]`.

Random vectors, put in force as a finished embedding is; no model and no database. Prints JSON:
seconds of putting them in force, and of one search (first, p50 and p95), opening included."""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from training import vectors
from training.vectors import KEYS, Vectors


def make(home: Path, rows: int, width: int) -> float:
    """Seconds of putting them in force."""
    random = np.random.default_rng(0)
    keys = np.zeros(rows, KEYS)
    keys["id"], keys["mark"] = np.arange(1, rows + 1), random.integers(1, 2**63, rows)
    matrix = np.lib.format.open_memmap(home / "made.npy", "w+", np.float16, (rows, width))
    for start in range(0, rows, 50_000):
        part = random.standard_normal((min(50_000, rows - start), width), np.float32)
        matrix[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    began = time.perf_counter()
    vectors.replace(home, [Vectors(keys, matrix)], keys)
    return time.perf_counter() - began


def search(home: Path, pk: int) -> float:
    """Seconds of what a page does; the prompt itself must come first."""
    began = time.perf_counter()
    there = vectors.open_vectors(home)
    assert there is not None
    found = there.nearest(np.asarray(there.rows[pk - 1], np.float32), 40)
    assert found[0][0] == pk
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = make(home, given.rows, given.width)
        took = [
            search(home, 1 + number * given.rows // given.times) for number in range(given.times)
        ]
        report = {
            "rows": given.rows,
            "width": given.width,
            "put_in_force_s": round(made, 2),
            "first_s": round(took[0], 3),
            "p50_s": round(float(np.median(took)), 3),
            "p95_s": round(float(np.quantile(took, 0.95)), 3),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "load": os.getloadavg()[0],
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
