"""From rankings to pairs. Pure.

A ranking is an ordering with ties, best first: [[7], [3, 9], [4]]. Ties give no pair. Several
rankings of one prompt are unified pair by pair: each gives its pairs, opposite pairs cancel by
majority, and a pair with as many votes on either side is dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

MODES: dict[str, str] = {
    "all": "every better answer against every worse one",
    "adjacent": "each place against the next",
    "best": "the best answer against each of the others",
}
TIE = "tie"
DISAGREE = "annotators disagree"
UNKNOWN_STRENGTH = "no strength was given"


@dataclass(frozen=True)
class Vote:
    """One annotator's ranking. `strength`: how much better, 1 to 4, for two answers only."""

    order: Sequence[Sequence[int]]
    strength: int | None = None
    by: int = 0  # whatever tells the caller whose it was
    all_bad: bool = False  # none of them is good enough, whatever the order


@dataclass
class Pair:
    """What became of two answers: chosen over rejected, or dropped for the reason."""

    chosen: int
    rejected: int
    reason: str = ""
    by: list[int] = field(default_factory=list)  # the votes that compared the two
    strength: float | None = None  # means over the votes, a contrary one counted negative
    places: float = 0.0


def comparisons(order: Sequence[Sequence[int]], mode: str) -> Iterator[tuple[int, int, int]]:
    """(better, worse, places between them) of one ranking, as the mode takes them."""
    if mode == "adjacent":
        places = [(a, b) for a, b in pairwise(range(len(order)))]
    elif mode == "best":
        places = [(0, b) for b in range(1, len(order))]
    elif mode == "all":
        places = list(combinations(range(len(order)), 2))
    else:
        raise ValueError(f"{mode!r} is none of {', '.join(MODES)}")
    for a, b in places:
        for better in order[a]:
            for worse in order[b]:
                yield better, worse, b - a


def ties(order: Sequence[Sequence[int]], mode: str) -> Iterator[tuple[int, int]]:
    """The pairs that the mode would have taken, had they not been tied."""
    for place in order[:1] if mode == "best" else order:
        yield from combinations(place, 2)


def unify(votes: Sequence[Vote], mode: str = "all") -> list[Pair]:
    """Each two answers that were compared, once, with one fate; in the order of their numbers.

    The result does not depend on the order of the votes."""
    sides: dict[tuple[int, int], list[tuple[int, int, Vote]]] = {}
    tied: dict[tuple[int, int], list[int]] = {}
    for vote in votes:
        for better, worse, places in comparisons(vote.order, mode):
            low, high = min(better, worse), max(better, worse)
            sign = 1 if better == low else -1
            sides.setdefault((low, high), []).append((sign, places, vote))
        for a, b in ties(vote.order, mode):
            tied.setdefault((min(a, b), max(a, b)), []).append(vote.by)
    pairs = []
    for low, high in sorted(sides.keys() | tied.keys()):
        given = sides.get((low, high), [])
        by = sorted([vote.by for *_, vote in given] + tied.get((low, high), []))
        total = sum(sign for sign, *_ in given)
        if not given:
            pairs.append(Pair(low, high, TIE, by))
        elif total == 0:
            pairs.append(Pair(low, high, DISAGREE, by))
        else:
            way = 1 if total > 0 else -1
            chosen, rejected = (low, high) if way > 0 else (high, low)
            strengths = [
                sign * way * abs(vote.strength)
                for sign, _, vote in given
                if vote.strength is not None
            ]
            pairs.append(
                Pair(
                    chosen,
                    rejected,
                    by=by,
                    strength=sum(strengths) / len(strengths) if strengths else None,
                    places=sum(sign * way * places for sign, places, _ in given) / len(given),
                )
            )
    return pairs


def best(votes: Sequence[Vote]) -> set[int]:
    """The answers that win most of their pairs, less those that they lose; empty without votes."""
    score: dict[int, int] = {}
    for vote in votes:
        for place in vote.order:
            for answer in place:
                score.setdefault(answer, 0)
    for pair in unify(votes):
        if not pair.reason:
            score[pair.chosen] += 1
            score[pair.rejected] -= 1
    highest = max(score.values(), default=0)
    return {answer for answer, points in score.items() if points == highest}


def judged_bad(votes: Sequence[Vote]) -> set[int]:
    """The answers that at least half of those who compared them call bad: no example to follow,
    even where they are the best of their prompt."""
    balance: dict[int, int] = {}
    for vote in votes:
        for answer in (answer for place in vote.order for answer in place):
            balance[answer] = balance.get(answer, 0) + (1 if vote.all_bad else -1)
    return {answer for answer, more in balance.items() if more >= 0}
