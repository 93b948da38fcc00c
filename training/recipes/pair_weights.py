"""What each pair weighs in a reward model's loss; preflight and training ask alike."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from training.recipes.pair_scores import prompt_key


def pair_weights(rows: Iterable[Mapping[str, Any]], by: str) -> list[float]:
    """A weight for each pair, 1 on average: all pairs of a prompt share one (`prompt`), all weigh
    alike (`pair`), or a column says it. Raises ValueError where the column is missing or holds
    anything but numbers of 0 or more."""
    if by == "pair":
        return [1.0 for _ in rows]
    if by == "prompt":
        prompts = [prompt_key(row) for row in rows]
        pairs = Counter(prompts)
        found = [1 / pairs[prompt] for prompt in prompts]
    else:
        found = [_weight(row, by, number) for number, row in enumerate(rows, 1)]
    mean = sum(found) / max(len(found), 1)
    if found and not mean:
        raise ValueError(f"The column {by!r} is 0 in every row: no pair would weigh anything.")
    return [value / mean for value in found]


def _weight(row: Mapping[str, Any], column: str, number: int) -> float:
    """What a column says that row `number` weighs."""
    if column not in row:
        raise ValueError(
            f"The pairs are to be weighed by {column!r}, and the snapshot has no such column: it "
            f"has {', '.join(sorted(row))}. Name one of them, or weigh by prompt or pair."
        )
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"Row {number}: {value!r} in the column {column!r} is no number.")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"Row {number}: the weight {value} in {column!r} is no number from 0 on.")
    return float(value)
