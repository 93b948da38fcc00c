"""The answers of one prompt, each of them once, and the orders that ranks put them in. Pure."""

from collections.abc import Mapping
from typing import Any

from annotation.records import Answer, RankingIn, same_answer


class Answers:
    """Collects answers; an equal one of the same origin is the one that is there."""

    def __init__(self) -> None:
        self.all: list[Answer] = []

    def add(self, answer: Answer) -> tuple[int, bool]:
        """(its place, whether it is new)"""
        for place, there in enumerate(self.all):
            if there.origin == answer.origin and same_answer(there.text, answer.text):
                return place, False
        self.all.append(answer)
        return len(self.all) - 1, True


def by_rank(ranks: Mapping[int, float]) -> list[list[int]]:
    """Places by their rank, the lowest first, equal ranks together."""
    levels = sorted(set(ranks.values()))
    return [[place for place, rank in ranks.items() if rank == level] for level in levels]


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
