"""One cell of PPO: whole updates of benchmarks/ppo.py, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import SHAPES, Cell

ROOT = Path(__file__).resolve().parents[2]
STEP = {"batch": 32, "micro": 8, "new_tokens": 128}
TINY = {"batch": 8, "micro": 4, "new_tokens": 8}


def measure(cell: Cell) -> dict[str, Any]:
    """Samples a second, the share of it that is sampling, and memory. Raises ValueError where the
    process failed."""
    from benchmarks import ppo

    python = sys.executable if cell.side == "ours" else str(Path(cell.peer) / "bin" / "python")
    shape = SHAPES[cell.shape]
    with tempfile.TemporaryDirectory() as folder:
        if cell.shape == "tiny":
            ppo.make_model(Path(folder))
        else:
            ppo.make_model(
                Path(folder),
                vocab_size=shape.vocabulary,
                hidden_size=shape.hidden,
                intermediate_size=shape.inner,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.keys,
            )
        job = {"side": cell.side, "mode": cell.adaptation, "model": folder, "updates": cell.steps}
        job["step"] = TINY if cell.shape == "tiny" else STEP
        done = subprocess.run(
            [python, "-m", "benchmarks.ppo", "--child", json.dumps(job)],
            cwd=ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
            capture_output=True,
            text=True,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise ValueError((done.stderr.strip().splitlines() or ["nothing was said"])[-1])
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return {name: round(value, 4) for name, value in found.items()}
