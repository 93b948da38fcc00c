"""Training on this machine's GPU, ours against bare TRL: `python benchmarks/gpu`.

    python benchmarks/gpu [--seconds 570] [--peer VENV] [--only WORDS ...] [--attention sdpa]

Needs no Django and reads nothing: weights and rows are made up. What cannot be imported is skipped
by name. A JSON line for each cell as soon as it is measured, the most telling ones first; when the
seconds are spent the rest is named and left out. Without a GPU (or with --tiny) the same runs end
to end with tiny shapes. VENV: an environment with trl==1.12.0, the last with a PPO.

    tokens_per_second  of what is no padding, over the timed steps (optimiser and callbacks within)
    mfu                tokens a second * 6N (all weights trained) or 4N (an adapter) / the device's
                       peak in bf16, by plan.PEAKS; N: the weights that multiply each token, the
                       layers' and the head's. Neither attention, nor padding, nor what
                       checkpointing computes again counts
    memory_mib         the most that torch took from the device, beside predicted_mib, what
                       training/recipes/memory.py says of such a run (ours)
    generation_share   of a PPO update's time

It exits with 1 where a cell failed.
"""

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu.plan import Cell, cells  # noqa: E402


class Worker:
    """The process that measures, in a session of its own so that it ends with all it started."""

    def __init__(self) -> None:
        quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.worker"],
            cwd=ROOT, env=os.environ | quiet, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.out = b""

    def hand(self, cell: Cell) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(cell)).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, until: float) -> dict[str, Any] | None:
        """The next answer; None where the time is over. A process that died failed."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                while b"\n" in self.out:
                    line, _, self.out = self.out.partition(b"\n")
                    if line.startswith(b"RESULT "):
                        found: dict[str, Any] = json.loads(line.removeprefix(b"RESULT "))
                        return found
                left = until - time.monotonic()
                if left <= 0 or not ready.select(left):
                    return None
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    return {"failed": f"the process ended with code {self.process.wait()}"}
                self.out += piece

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=570, help="after which it ends")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, as without a GPU")
    parser.add_argument("--peer", default="", help="an environment with trl==1.12.0")
    parser.add_argument("--only", nargs="*", default=[], help="words in a cell's name, all of them")
    parser.add_argument("--attention", default="sdpa", help="attn_implementation of all models")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    worker = Worker()
    here = worker.answer(until) or {"failed": "the libraries were not loaded in time"}
    tell({"benchmark": "gpu", "date": time.strftime("%Y-%m-%d"), **here})
    if "failed" in here:
        worker.end()
        return 1
    tiny = given.tiny or not here["gpu"]
    if tiny:
        tell({"note": "Tiny shapes: they show that it runs, and nothing of speed or memory."})
    wanted = [
        cell
        for cell in cells(tiny=tiny, peer=given.peer, attention=given.attention)
        if set(given.only) <= set(cell.name.split())
    ]
    failed = False
    for place, cell in enumerate(wanted):
        began = time.monotonic()
        if worker.process.poll() is not None:
            worker = Worker()
            worker.answer(until)
        worker.hand(cell)
        found = worker.answer(until)
        if found is None:
            tell({"time_is_over": True, "left_out": [cell.name for cell in wanted[place:]]})
            break
        failed |= "failed" in found
        about = {name: value for name, value in asdict(cell).items() if name != "peer"}
        took = round(time.monotonic() - began, 1)
        tell({"cell": cell.name, **found, "took_seconds": took, "settings": about})
        if "failed" in found:
            worker.end()
    worker.end()
    return int(failed)


def tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
