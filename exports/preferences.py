"""From rankings to pairs. Pure.

A ranking is an ordering with ties, best first: [[7], [3, 9], [4]]. Ties give no pair. Several
rankings of one prompt are unified in one of WAYS. Pair by pair (majority, weighted,
best_annotator): each ranking gives its pairs, opposite pairs cancel, and a pair with as many votes
on either side is dropped. By one order of all (borda, bradley_terry): that order gives the pairs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from math import fsum

from annotation.rank_aggregation import MOST_ANSWERS
from exports.one_order import orders

MODES: dict[str, str] = {
    "all": "every better answer against every worse one",
    "adjacent": "each place against the next",
    "best": "the best answer against each of the others",
}
WAYS = ("majority", "weighted", "borda", "bradley_terry", "best_annotator")
TIE = "tie"
DISAGREE = "annotators disagree"
UNKNOWN_STRENGTH = "no strength was given"
NOT_IN_TABLE = "its strength is not in the margin table"
NO_WEIGHT = "those who compared the two have no weight"
TOO_MANY = f"more than {MOST_ANSWERS} answers, too many for one order by strength"
SAME = 1e-9  # sides that differ by less than this share of all votes are as heavy

Weights = Mapping[int, float]  # by Vote.by; 1 where none is named


@dataclass(slots=True)
class Vote:
    """One annotator's ranking. `strength`: how much better, 1 to 4, for two answers only."""

    order: Sequence[Sequence[int]]
    strength: int | None = None
    by: int = 0  # whatever tells the caller whose it was
    all_bad: bool = False  # none of them is good enough, whatever the order


@dataclass(slots=True)
class Pair:
    """What became of two answers: chosen over rejected, or dropped for the reason."""

    chosen: int
    rejected: int
    reason: str = ""
    by: list[int] = field(default_factory=list)  # the votes that compared the two
    strength: float | None = None  # means over the votes, a contrary one counted negative
    places: float = 0.0
    # Of each vote with a strength: it (negative where contrary), and what the vote weighs.
    strengths: list[tuple[int, float]] = field(default_factory=list)


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


def unify(
    votes: Sequence[Vote],
    mode: str = "all",
    *,
    how: str = "majority",
    weights: Weights | None = None,
) -> list[Pair]:
    """Each two answers that were compared, once, with one fate; in the order of their numbers.

    `weights` bear on weighted and best_annotator. best_annotator hears, of each two answers, the
    heaviest of the votes that have both; of several as heavy, their majority. The result does not
    depend on the order of the votes. Raises ValueError for a way or a mode that is none."""
    if how not in WAYS:
        raise ValueError(f"{how!r} is none of {', '.join(WAYS)}")
    if how in ("borda", "bradley_terry"):
        return _by_one_order(votes, mode, how)
    given = (weights or {}) if how in ("weighted", "best_annotator") else {}
    if len(votes) == 1 and not given:
        return _alone(votes[0], mode)  # most often: quicker
    heaviest = _heaviest(votes, given) if how == "best_annotator" else None
    sides: dict[tuple[int, int], list[tuple[int, int, Vote]]] = {}
    tied: dict[tuple[int, int], list[Vote]] = {}
    for vote in votes:
        weight = given.get(vote.by, 1.0)
        for better, worse, places in comparisons(vote.order, mode):
            pair = (better, worse) if better < worse else (worse, better)
            if heaviest is None or weight >= heaviest[pair]:
                sign = 1 if better == pair[0] else -1
                sides.setdefault(pair, []).append((sign, places, vote))
        for a, b in ties(vote.order, mode):
            pair = (a, b) if a < b else (b, a)
            if heaviest is None or weight >= heaviest[pair]:
                tied.setdefault(pair, []).append(vote)
    if how == "best_annotator":
        given = {}  # those that are left weigh the same
    return [
        _decided(pair, sides.get(pair, []), tied.get(pair, []), given)
        for pair in sorted(sides.keys() | tied.keys())
    ]


def _alone(vote: Vote, mode: str) -> list[Pair]:
    """What a single vote makes of its answers."""
    by, strength = [vote.by], None if vote.strength is None else abs(vote.strength)
    strengths = [] if strength is None else [(strength, 1.0)]
    mean = None if strength is None else float(strength)
    order = vote.order
    if mode in MODES and len(order) == 2 and len(order[0]) == 1 == len(order[1]):
        return [Pair(order[0][0], order[1][0], "", by, mean, 1.0, strengths)]
    pairs = [
        Pair(better, worse, "", [*by], mean, float(places), [*strengths])
        for better, worse, places in comparisons(order, mode)
    ]
    pairs += [Pair(min(a, b), max(a, b), TIE, [*by]) for a, b in ties(order, mode)]
    return sorted(pairs, key=lambda pair: sorted((pair.chosen, pair.rejected)))


def _decided(
    answers: tuple[int, int],
    sides: Sequence[tuple[int, int, Vote]],
    tied: Sequence[Vote],
    weights: Weights,
) -> Pair:
    """What the votes on two answers make of them; `sides`: (1 for the lower number or -1, places
    between them, the vote)."""
    low, high = answers
    by = sorted([vote.by for *_, vote in sides] + [vote.by for vote in tied])
    if not sides:
        return Pair(low, high, TIE, by)
    heavy = [(sign, places, vote, weights.get(vote.by, 1.0)) for sign, places, vote in sides]
    every = fsum(weight for *_, weight in heavy)
    if every <= 0:
        return Pair(low, high, NO_WEIGHT, by)
    total = fsum(sign * weight for sign, *_, weight in heavy)
    if abs(total) <= SAME * every:
        return Pair(low, high, DISAGREE, by)
    way = 1 if total > 0 else -1
    chosen, rejected = (low, high) if way > 0 else (high, low)
    strengths = _strengths(heavy, way)
    return Pair(
        chosen,
        rejected,
        by=by,
        strength=_mean(strengths),
        places=fsum(sign * way * places * weight for sign, places, _, weight in heavy) / every,
        strengths=strengths,
    )


def _strengths(heavy: Iterable[tuple[int, int, Vote, float]], way: int) -> list[tuple[int, float]]:
    return sorted(
        (sign * way * abs(vote.strength), weight)
        for sign, _, vote, weight in heavy
        if vote.strength is not None
    )


def _mean(weighed: Sequence[tuple[float, float]]) -> float | None:
    every = fsum(weight for _, weight in weighed)
    return fsum(value * weight for value, weight in weighed) / every if every > 0 else None


def _heaviest(votes: Iterable[Vote], weights: Weights) -> dict[tuple[int, int], float]:
    """Of each two answers the greatest weight of a vote that has both."""
    found: dict[tuple[int, int], float] = {}
    for vote in votes:
        weight = weights.get(vote.by, 1.0)
        for pair in _together(vote):
            found[pair] = max(weight, found.get(pair, weight))
    return found


def _together(vote: Vote) -> Iterator[tuple[int, int]]:
    return combinations(sorted(answer for group in vote.order for answer in group), 2)


def _by_one_order(votes: Sequence[Vote], mode: str, how: str) -> list[Pair]:
    """The pairs that one order of all answers gives. Answers that no ranking, and no chain of
    rankings, has compared stand in orders of their own: nothing says which is better."""
    direct: dict[tuple[int, int], list[tuple[int, int, Vote]]] = {}
    seen: dict[int, list[int]] = {}  # the votes that hold an answer
    for vote in votes:
        at = {answer: place for place, group in enumerate(vote.order) for answer in group}
        for answer in at:
            seen.setdefault(answer, []).append(vote.by)
        for a, b in _together(vote):
            between = at[b] - at[a]
            direct.setdefault((a, b), []).append(((between > 0) - (between < 0), between, vote))
    pairs = []
    for order in orders((vote.order for vote in votes), how):
        answers = sorted(answer for group in order for answer in group)
        if how == "bradley_terry" and len(answers) > MOST_ANSWERS:
            compared = [pair for pair in combinations(answers, 2) if pair in direct]
            pairs += [_told(Pair(*pair, TOO_MANY), direct, seen) for pair in compared]
            continue
        for chosen, rejected, places in comparisons(order, mode):
            pairs.append(_told(Pair(chosen, rejected, places=float(places)), direct, seen))
        for a, b in ties(order, mode):
            low, high = min(a, b), max(a, b)
            opinions = any(sign for sign, *_ in direct.get((low, high), ()))
            pairs.append(_told(Pair(low, high, DISAGREE if opinions else TIE), direct, seen))
    return sorted(pairs, key=lambda pair: sorted((pair.chosen, pair.rejected)))


def _told(
    pair: Pair,
    direct: Mapping[tuple[int, int], Sequence[tuple[int, int, Vote]]],
    seen: Mapping[int, Sequence[int]],
) -> Pair:
    """With those who said it: who compared the two, or else all who judged either."""
    low, high = sorted((pair.chosen, pair.rejected))
    votes = direct.get((low, high), [])
    pair.by = sorted([vote.by for *_, vote in votes] or {*seen[low], *seen[high]})
    if not pair.reason:
        way = 1 if pair.chosen == low else -1
        strict = [(sign, places, vote, 1.0) for sign, places, vote in votes if sign]
        pair.strengths = _strengths(strict, way)
        pair.strength = _mean(pair.strengths)
    return pair


def scores(
    votes: Sequence[Vote], *, how: str = "majority", weights: Weights | None = None
) -> dict[int, int]:
    """Of each answer the pairs that it wins, less those that it loses."""
    score = {answer: 0 for vote in votes for group in vote.order for answer in group}
    for pair in unify(votes, how=how, weights=weights):
        if not pair.reason:
            score[pair.chosen] += 1
            score[pair.rejected] -= 1
    return score


def best(
    votes: Sequence[Vote], *, how: str = "majority", weights: Weights | None = None
) -> set[int]:
    """The answers that win most of their pairs, less those that they lose; empty without votes."""
    score = scores(votes, how=how, weights=weights)
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


def margin(pair: Pair, kind: str, table: Mapping[str, float]) -> tuple[float | None, str]:
    """(the margin, why there is none). `kind`: none, strength, places or table; `table` gives a
    number for each strength, by its name: {"1": 0.3}. Of several votes it is the mean, a contrary
    one counted negative."""
    if kind == "none":
        return None, ""
    if kind == "places":
        return pair.places, ""
    if pair.strength is None:
        return None, UNKNOWN_STRENGTH
    if kind == "strength":
        return pair.strength, ""
    if any(str(abs(strength)) not in table for strength, _ in pair.strengths):
        return None, NOT_IN_TABLE
    return _mean(
        [
            ((1 if strength > 0 else -1) * table[str(abs(strength))], weight)
            for strength, weight in pair.strengths
        ]
    ), ""
