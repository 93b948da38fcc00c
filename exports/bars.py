"""Where the bars of a facet's histogram begin. Pure."""

import numpy as np
import numpy.typing as npt

from exports.figures import EDGES

PER_CENT = (*range(0, 100, 10),)
SPANS = (1, 7, 30, 91, 365)  # days a bar
MOST_BARS = 32


def edges(name: str, kind: str, known: npt.NDArray[np.int32]) -> list[int]:
    """The lower edges of a histogram's bars: days by spans, shares by tens, lengths doubling."""
    if not known.size:
        return [0]
    low, high = int(known.min()), int(known.max())
    if kind == "day":
        span = next((s for s in SPANS if (high - low) // s < MOST_BARS), SPANS[-1])
        return list(range(low, high + 1, span))
    if name == "agreement":
        return list(PER_CENT)
    found = [edge for edge in EDGES if edge <= high]
    return found if low >= 0 else [low, *found]
