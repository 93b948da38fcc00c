"""Recipes in processes of their own that die, as when a machine does, at given places, one attempt
after the other:

    python -m tests.recipes.killed RECIPE RUN_DIR PLACE:STEP,PLACE:STEP [RECIPE RUN_DIR ...]

Each attempt is a fork of this process, which has only imported: that takes longer than the runs.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from transformers import Trainer

from training.recipes import entry
from training.recipes.reporting import Reporter
from training.recipes.run_dir import RunDir


def dies(owner: Any, name: str, when: Callable[..., bool]) -> None:
    """The process ends without a word where `when` holds of a call of owner.name."""
    was = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if when(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        return was(*args, **kwargs)

    setattr(owner, name, deadly)


PLACES = {
    # At the end of a step that is no checkpoint.
    "step": lambda step: dies(
        Reporter, "on_step_end", lambda _, args, state, *more, **kw: state.global_step == step
    ),
    # Within a save: the weights are written, what the optimiser knows is not.
    "save": lambda step: dies(
        Trainer, "_save_optimizer_and_scheduler", lambda _, to: to.endswith(f"checkpoint-{step}")
    ),
    # All trained and saved, nothing left yet.
    "after": lambda step: dies(
        RunDir, "progress", lambda _, at, total, phase, *more: phase == "evaluating after"
    ),
}


if __name__ == "__main__":
    given = iter(sys.argv[1:])
    for recipe, folder, deaths in zip(given, given, given, strict=True):
        module = importlib.import_module(f"training.recipes.{recipe}")
        sys.argv = [recipe, folder]
        for place, step in (death.split(":") for death in deaths.split(",")):
            if not (child := os.fork()):
                PLACES[place](int(step))
                entry.main(recipe, module.train)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
                sys.exit(f"{folder} did not die at {place} {step}.")
