"""Numbers about a dataset: lengths, and whether the longer answer wins. Pure."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]
# Characters. Each bar is twice as wide as the one before, as lengths of texts are.
EDGES = (0, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800)


def most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Counts as they are read, whatever order they come in: PostgreSQL gives the names of a JSON
    object back in one of its own."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share, which stays within 0 and 1 for few and for extreme counts."""
    if total == 0:
        return 0.0, 1.0
    share = hits / total
    middle = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def describe(lengths: Numbers, others: Numbers) -> dict[str, Any]:
    """Characters of each answer, and of the rejected one beside it (-1: there is none).

    `lengths`: edges and counts of the answers (preference: of the chosen ones), the last bar open
    upwards, the mean, the middle, the 95th per cent and the longest. `longer_wins`: of the pairs
    whose answers differ in length, the share in which the longer one is chosen; pairs of equal
    length say nothing."""
    counts = np.histogram(lengths, bins=[*EDGES, np.iinfo(np.int64).max])[0]
    many = len(lengths)
    found: dict[str, Any] = {
        "lengths": {
            "edges": list(EDGES),
            "counts": [int(count) for count in counts],
            "mean": round(float(lengths.mean()), 1) if many else 0,
            "p50": int(np.percentile(lengths, 50, method="nearest")) if many else 0,
            "p95": int(np.percentile(lengths, 95, method="nearest")) if many else 0,
            "longest": int(lengths.max()) if many else 0,
        }
    }
    paired = others >= 0
    pairs, equal = int(paired.sum()), int((lengths == others).sum())
    longer = int((paired & (lengths > others)).sum())
    if pairs > equal:
        low, high = wilson(longer, pairs - equal)
        found["longer_wins"] = {
            "share": round(longer / (pairs - equal), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "pairs": pairs - equal,
            "equal": equal,
        }
    return found
