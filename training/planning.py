"""What is asked for, checked: the run that it would make and what would go into it. Nothing here
writes."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from annotation.errors import Refused
from annotation.models import Workspace
from exports import chat
from training.engine import versions
from training.inputs import Chosen, Given, choose, run_of
from training.models import Run, RunInput
from training.recipes import heuristics
from training.recipes.configs import RECIPES, ConfigError, PPOConfig, parse, to_json
from training.staging import staged


@dataclass(frozen=True)
class Plan:
    """A run that is not there yet, and its inputs."""

    run: Run
    inputs: list[Chosen]

    @property
    def key(self) -> str:
        return key_of(self.run, self.inputs)

    @property
    def snapshot(self) -> int | None:
        return next((row.snapshot.pk for row in self.inputs if row.snapshot), None)

    @property
    def waits(self) -> bool:
        """Is an input a run that has not ended? Then there is nothing to look at yet."""
        return any(row.awaited is not None and not row.awaited.has_ended for row in self.inputs)


def read(recipe: str, values: dict[str, Any]) -> Any:
    """The config as `parse` takes it, and of PPO with a rule that can judge. Raises ConfigError,
    naming each knob that is wrong."""
    config = parse(recipe, values)
    if recipe == "ppo":
        try:
            _try_rule(config.rule, config.rule_value)
        except ValueError as error:
            raise ConfigError({"rule_value": str(error)}) from None
    return config


@lru_cache(maxsize=256)
def _try_rule(rule: str, value: str) -> None:
    """Once for each: a pattern is tried in a process of its own. Raises ValueError."""
    heuristics.rule_of(PPOConfig(rule=rule, rule_value=value))


def plan(
    *,
    workspace: Workspace,
    recipe: str,
    config: dict[str, Any],
    inputs: dict[str, Given],
    operator: bool = False,
) -> Plan:
    """`inputs`: name -> a Snapshot, a Run, a model's folder, name or Hub id. `operator`: the shell,
    which may name a snapshot's folder. Raises ConfigError per knob, Refused for the inputs."""
    if recipe not in RECIPES:
        raise Refused(f"There is no recipe “{recipe}”; there are {', '.join(RECIPES)}.")
    values = to_json(read(recipe, _with_template(recipe, config, inputs)))
    chosen = choose(recipe=recipe, given=inputs, workspace=workspace, operator=operator)
    if recipe == "ppo" and values["rule"] == "none" and "reward" not in {c.name for c in chosen}:
        raise Refused("PPO needs a judge: a reward model, a rule (its knob “rule”), or both.")
    run = Run(workspace=workspace, recipe=recipe, config=values, template=_template_of(values))
    return Plan(run, chosen)


def _template_of(config: dict[str, Any]) -> dict[str, str]:
    """The chat template's name and text, as the run keeps it; the model's own has no text here."""
    name = str(config.get("template", "model"))
    return {"name": name, "text": chat.TEMPLATES.get(name, "")}


def _with_template(recipe: str, config: dict[str, Any], inputs: dict[str, Given]) -> dict[str, Any]:
    """The config, with the chat template of the model it starts from unless it names one, or the
    recipe has no use for one."""
    init = run_of(inputs.get("init") or inputs.get("model"))
    takes = hasattr(RECIPES[recipe].config, "template")
    if takes and init is not None and "template" not in config and "template" in init.config:
        return config | {"template": init.config["template"]}
    return config


def told(inputs: Iterable[Chosen | RunInput]) -> list[dict[str, Any]]:
    """The inputs as JSON, in one order."""
    rows = [
        {
            "name": row.name,
            "kind": str(row.kind),
            "snapshot": row.snapshot.pk if row.snapshot else None,
            "source": row.source.pk if row.source else None,
            "path": row.path,
            "sha256": row.sha256,
        }
        for row in inputs
    ]
    return sorted(rows, key=lambda row: str(row["name"]))


def key_of(run: Run, inputs: Iterable[Chosen | RunInput]) -> str:
    """A hash of all that the answer of a preflight depends on, but for the machine. Raises Refused
    where an input can no longer be had."""
    inputs = list(inputs)
    files = [(row.name, _files(row.path)) for row in staged(inputs)]  # bases of adapters, too
    asked = [
        run.workspace_id, run.recipe, run.config, run.template, told(inputs), files, versions()
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def _files(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of a folder's files: another model may lie there tomorrow."""
    if not path or not Path(path).is_dir():
        return []
    found = [(file.name, file.stat()) for file in Path(path).iterdir() if file.is_file()]
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)
