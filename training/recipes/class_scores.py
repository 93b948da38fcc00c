"""What is said of a classifier: accuracy, F1 of each class, confusion. Pure; numpy."""

from collections.abc import Sequence
from typing import Any

import numpy

from training.recipes import bootstrap


def class_scores(
    wanted: Sequence[int], found: Sequence[int], names: Sequence[str]
) -> dict[str, Any]:
    """`wanted`, `found`: classes by their place in `names`, row by row.

    accuracy with Wilson's interval; macro_f1, the mean over the classes that occur; most_common,
    the share of the most common class, which takes no model; classes [{"name", "rows",
    "precision", "recall", "f1"}], 0 where nothing was found; confusion[wanted][found]."""
    if not wanted:
        return {"rows": 0}
    size = len(names)
    table = numpy.zeros((size, size), dtype=int)
    numpy.add.at(table, (numpy.asarray(wanted), numpy.asarray(found)), 1)
    hits, asked, said = numpy.diag(table), table.sum(1), table.sum(0)
    classes: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        both = int(asked[i] + said[i])
        classes.append(
            {
                "name": name,
                "rows": int(asked[i]),
                "precision": float(hits[i] / said[i]) if said[i] else 0.0,
                "recall": float(hits[i] / asked[i]) if asked[i] else 0.0,
                "f1": float(2 * hits[i] / both) if both else 0.0,
            }
        )
    seen = [row["f1"] for row, a, b in zip(classes, asked, said, strict=True) if a + b]
    right, rows = int(hits.sum()), len(wanted)
    low, high = bootstrap.wilson(right, rows)
    return {
        "accuracy": right / rows,
        "low": low,
        "high": high,
        "rows": rows,
        "macro_f1": sum(seen) / len(seen),
        "most_common": int(asked.max()) / rows,
        "classes": classes,
        "confusion": table.tolist(),
    }
