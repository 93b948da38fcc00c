"""Numbers about a dataset: lengths, and whether the longer answer wins. Pure."""

from collections.abc import Iterable
from math import sqrt
from typing import Any

# Characters. Each bar is twice as wide as the one before, as lengths of texts are.
EDGES = (0, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share, which stays within 0 and 1 for few and for extreme counts."""
    if total == 0:
        return 0.0, 1.0
    share = hits / total
    middle = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def describe(lengths: Iterable[tuple[int, int | None]]) -> dict[str, Any]:
    """`lengths`: edges and counts of the answers (preference: of the chosen ones), the last bar
    open upwards, the mean and the longest. `longer_wins`: of the pairs whose answers differ in
    length, the share in which the longer one is chosen; pairs of equal length say nothing."""
    counts, total, rows, longest = [0] * len(EDGES), 0, 0, 0
    pairs = longer = equal = 0
    for length, other in lengths:
        place = next((i for i, edge in enumerate(EDGES) if edge > length), len(EDGES)) - 1
        counts[place] += 1
        total, rows, longest = total + length, rows + 1, max(longest, length)
        if other is not None:
            pairs, longer, equal = pairs + 1, longer + (length > other), equal + (length == other)
    found: dict[str, Any] = {
        "lengths": {
            "edges": list(EDGES),
            "counts": counts,
            "mean": round(total / rows, 1) if rows else 0,
            "longest": longest,
        }
    }
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
