"""The rows that a run will read: which, how many, and in what room."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from training.recipes import data
from training.recipes.configs import RECIPES
from training.recipes.run_dir import RunDir

LEAST_PROMPT = 8  # tokens of a prompt that an answer must leave room for


def prompt_room(config: Any) -> int:
    """Tokens of a prompt beside the longest answer. Raises ValueError where there are none."""
    room: int = config.max_length - config.max_new_tokens
    if room < LEAST_PROMPT:
        raise ValueError(
            f"max_length {config.max_length} leaves no room for a prompt beside an answer of "
            f"{config.max_new_tokens} tokens (max_new_tokens)."
        )
    return room


@dataclass
class Asked:
    """The rows that a run reads. `kind`: how they are encoded; `room`: tokens of a prompt that is
    answered; `total`: rows there are."""

    name: str
    kind: str
    snapshot: str
    counts: dict[str, int]
    total: int
    limit: int
    room: int
    rows: Iterator[dict[str, Any]]

    @classmethod
    def of(cls, recipe: str, run: RunDir, config: Any) -> "Asked":
        if recipe == "answer":
            prompts = data.read_prompts(run.input_path("prompts"))
            given: Iterator[dict[str, Any]] = ({"prompt": row["messages"]} for row in prompts)
            counts, room = {"prompts": len(prompts)}, config.max_prompt_tokens
            return cls("prompts", "prompts", "", counts, len(prompts), room, room, given)
        snapshot, limit = run.input_path("snapshot"), config.max_length
        if recipe == "evaluate":
            kind = data.kind_of(snapshot)
        else:
            kind = str(RECIPES[recipe].dataset)
            data.check_snapshot(snapshot, kind)
        counts = {split: data.count_of(snapshot, split) for split in data.SPLITS}
        if recipe == "evaluate":
            total = min(counts[config.split], config.eval_rows)
            given = islice(data.rows_of(snapshot, config.split), total)
            return cls(f"{config.split} rows", kind, snapshot, counts, total, limit, limit, given)
        room = prompt_room(config) if recipe == "ppo" else limit
        given = data.rows_of(snapshot, "train")
        kind = "answers" if recipe == "dpo" else kind
        return cls("training rows", kind, snapshot, counts, counts["train"], limit, room, given)

    @property
    def trains(self) -> bool:
        return self.name == "training rows"
