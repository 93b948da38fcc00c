"""How much of a known answer somebody gave. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any


def score(gold: Mapping[str, Any], given: Mapping[str, Any]) -> float:
    """From 0 (all wrong) to 1 (all right): the share of what gold says that was said.

    Of an order each two answers count once: the same way or the same tie is right. Of the rubric
    each answer to a question counts once: the same value is right, of several labels the share of
    those ticked by either that both ticked (Jaccard)."""
    points = [*_order(gold.get("order"), given.get("order") or [])]
    for key, value in (gold.get("ratings") or {}).items():
        points += _rating(value, (given.get("ratings") or {}).get(key))
    return sum(points) / len(points) if points else 1.0


def _order(gold: Sequence[Sequence[int]] | None, given: Sequence[Sequence[int]]) -> Iterator[float]:
    right = {answer: place for place, group in enumerate(gold or []) for answer in group}
    said = {answer: place for place, group in enumerate(given) for answer in group}
    for a, b in combinations(right, 2):
        if a in said and b in said:
            yield float(_way(right[a], right[b]) == _way(said[a], said[b]))
        else:
            yield 0.0


def _way(a: int, b: int) -> int:
    return (a > b) - (a < b)


def _rating(gold: Any, given: Any) -> Iterator[float]:
    if isinstance(gold, Mapping):
        for answer, value in gold.items():
            yield from _rating(value, given.get(answer) if isinstance(given, Mapping) else None)
    elif isinstance(gold, list):
        both, ticked = set(gold), set(given if isinstance(given, list) else [])
        yield len(both & ticked) / len(both | ticked) if both | ticked else 1.0
    else:
        yield float(gold == given)
