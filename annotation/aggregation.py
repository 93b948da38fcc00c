"""One answer out of many people's: votes and scores here, Dawid-Skene and rankings in modules of
their own that are reached through this one as well. Pure; a tie is called one, never broken."""

from collections.abc import Mapping
from typing import Any

from annotation.bootstrap import is_given
from annotation.dawid_skene import dawid_skene
from annotation.rank_aggregation import borda, bradley_terry, plackett_luce

__all__ = [
    "borda",
    "bradley_terry",
    "dawid_skene",
    "highest",
    "lowest",
    "majority",
    "mean",
    "plackett_luce",
    "weighted_majority",
]
Unit = Mapping[Any, Any]
SAME = 1e-9  # votes that are nearer to the most than this share of it are as many


def majority(values: Unit) -> dict[str, Any]:
    """What most say, of {rater: value}: {"value": None in a tie, "tied": the values that lead
    together, "votes": {value: how many}, "share": of the votes that the leader has}."""
    return weighted_majority(values, {})


def weighted_majority(values: Unit, weights: Mapping[Any, float]) -> dict[str, Any]:
    """As `majority`, each rater's vote counting `weights` (1 where it names none). Raises
    ValueError for a weight below 0."""
    votes: dict[Any, float] = {}
    for rater, value in values.items():
        if is_given(value):
            if (weight := weights.get(rater, 1)) < 0:
                raise ValueError(f"The vote of {rater!r} has the weight {weight}, below 0.")
            votes[value] = votes.get(value, 0) + weight
    most, total = max(votes.values(), default=0), sum(votes.values())
    tied = [value for value, vote in votes.items() if vote >= most - SAME * most] if most else []
    return {
        "value": tied[0] if len(tied) == 1 else None,
        "tied": tied if len(tied) > 1 else [],
        "votes": votes,
        "share": most / total if total else None,
    }


def mean(values: Unit) -> dict[str, Any]:
    """{"value": the mean of the scores or None without any, "ratings": how many}."""
    given = _scores(values)
    return {"value": sum(given) / len(given) if given else None, "ratings": len(given)}


def highest(values: Unit) -> dict[str, Any]:
    """As `mean`, the highest score."""
    given = _scores(values)
    return {"value": max(given, default=None), "ratings": len(given)}


def lowest(values: Unit) -> dict[str, Any]:
    """As `mean`, the lowest score."""
    given = _scores(values)
    return {"value": min(given, default=None), "ratings": len(given)}


def _scores(values: Unit) -> list[Any]:
    return [value for value in values.values() if is_given(value)]
