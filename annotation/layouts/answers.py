"""The answers of one prompt, each of them once, and the orders that ranks put them in. Pure."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from annotation.records import Answer, RankingIn


class Answers:
    """Collects answers; an equal one of the same origin is the one that is there."""

    def __init__(self) -> None:
        self.all: list[Answer] = []
        self._places: dict[tuple[str, str], int] = {}

    def add(self, answer: Answer) -> tuple[int, bool]:
        """(its place, whether it is new)"""
        # Of equal answers, as `records.same_answer` has it, this is the same.
        key = answer.origin, unicodedata.normalize("NFC", answer.text.strip())
        place = self._places.setdefault(key, len(self.all))
        if new := place == len(self.all):
            self.all.append(answer)
        return place, new


def by_rank(ranks: Mapping[int, float]) -> list[list[int]]:
    """Places by their rank, the lowest first, equal ranks together."""
    levels: dict[float, list[int]] = {}
    for place, rank in ranks.items():
        levels.setdefault(rank, []).append(place)
    return [levels[level] for level in sorted(levels)]


def ranking(rater: str, ranks: Mapping[int, float]) -> list[RankingIn]:
    """One ranking, or none of fewer than two answers."""
    return [RankingIn(rater, by_rank(ranks))] if len(ranks) > 1 else []


def number(value: Any) -> float | None:
    """A number, also one in a text as tables have it; None for everything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value
