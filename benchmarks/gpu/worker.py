"""Measures the cells that it is handed, a JSON line each, so that libraries are loaded once.

Its first answer says what is here. A cell that fails is its last one: what it left in the device's
memory goes with the process.
"""

import importlib
import json
import platform
import sys
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.gpu.plan import Cell

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes")
OURS = ("training.recipes.packing", "training.recipes.reporting", "training.recipes.shapes")


def about() -> dict[str, Any]:
    """The device, the versions, and what cannot be imported with the reason."""
    versions, missing = {"python": platform.python_version()}, {}
    for name in (*PACKAGES, *OURS):
        try:
            importlib.import_module(name)
        except Exception as error:  # a package that is half there fails in its own way
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        with suppress(PackageNotFoundError):
            versions |= {} if name in OURS else {name: version(name)}
    device = ""
    if "torch" not in missing:
        import torch

        if torch.cuda.is_available():
            device = torch.cuda.get_device_name()
    return {"device": device or "processor", "gpu": bool(device), "versions": versions,
            "missing": missing}  # fmt: skip


def needed(cell: Cell) -> list[str]:
    """What must be importable for a cell; a PPO that is not ours brings its own."""
    if cell.kind == "ppo" and cell.side == "trl":
        return ["torch", "transformers"]
    names = ["torch", "transformers", "trl", "datasets", "accelerate", *OURS]
    if cell.adaptation != "full":
        names.append("peft")
    return [*names, "bitsandbytes"] if cell.adaptation == "qlora" else names


def measure(cell: Cell) -> dict[str, Any]:
    if cell.kind == "ppo":
        from benchmarks.gpu import policy

        return policy.measure(cell)
    from benchmarks.gpu import train

    return train.measure(cell)


def main() -> None:
    here = about()
    tell(here)
    for line in sys.stdin:
        cell = Cell(**json.loads(line))
        lacking = [f"{n} ({here['missing'][n]})" for n in needed(cell) if n in here["missing"]]
        if lacking:
            tell({"skipped": "cannot be imported: " + ", ".join(lacking)})
            continue
        try:
            tell(measure(cell))
        except Exception as error:
            traceback.print_exc()
            tell({"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]})
            sys.exit(1)


def tell(found: dict[str, Any]) -> None:
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
