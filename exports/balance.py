"""Which rows to leave out so that no length, person, project or prompt outweighs the rest. Pure.

Rows come in the order of their keys, which are hashes: as good as drawn by lot, and the same on
every machine. So where any of several rows could stay, the first ones do."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from fractions import Fraction

import numpy as np


def lengths(rows: Iterable[tuple[int, int, int]], most: float) -> set[int]:
    """Rows (id, length of the chosen answer, of the rejected one) to leave out, so that the longer
    answer wins in at most `most` (0 to 1) of the pairs whose lengths differ. As few as that takes.

    Those go in which the chosen answer is the most times as long: from these length is learnt most
    easily, and what stays are pairs in which something else must have decided."""
    share = _share(most)
    longer: list[int] = []
    ratios: list[float] = []
    shorter = 0
    for row, chosen, rejected in rows:
        if chosen > rejected:
            longer.append(row)
            ratios.append((chosen + 1) / (rejected + 1))  # an empty answer has a length, too
        elif chosen < rejected:
            shorter += 1
    if share == 1:
        return set()
    stay = int(share * shorter / (1 - share))
    if stay >= len(longer):
        return set()
    order = np.argsort(np.array(ratios), kind="stable")
    return {longer[place] for place in order[stay:].tolist()}


def dominance(rows: Iterable[tuple[int, Collection[str]]], most: float) -> dict[int, str]:
    """Rows (id, who made them) to leave out, each with the person who has too many: so that nobody
    has a part in more than `most` (0 to 1) of the rows that stay. Where there are too few people
    for that, to equal parts. Rows that nobody made count, and stay."""
    share = _share(most)
    left = [(row, tuple(dict.fromkeys(people))) for row, people in rows]
    gone: dict[int, str] = {}
    counts = _counts(left)
    if not counts:
        return gone
    share = max(share, Fraction(1, len(counts)))
    while left and max(counts.values()) > share * len(left):
        limit = _limit(counts, len(left), share)
        stay, taken = [], Counter[str]()
        for row, people in left:
            over = next((person for person in people if taken[person] >= limit), None)
            if over is None:
                taken.update(people)
                stay.append((row, people))
            else:
                gone[row] = over
        left, counts = stay, _counts(stay)
        if not counts:
            break
    return gone


def _counts(rows: Iterable[tuple[int, tuple[str, ...]]]) -> Counter[str]:
    return Counter(person for _, people in rows for person in people)


def _limit(counts: Counter[str], rows: int, share: Fraction) -> int:
    """The most rows that one person may have. Exact where each row is one person's; else too high,
    and asked again with what is left."""
    alone = rows - sum(counts.values())  # rows of nobody; negative where people share rows
    if alone < 0:
        return min(int(share * rows), max(counts.values()) - 1)
    low, high = 0, max(counts.values())
    while low < high:  # the greatest limit that is at most the share of what it leaves
        middle = (low + high + 1) // 2
        total = alone + sum(min(count, middle) for count in counts.values())
        low, high = (middle, high) if middle <= share * total else (low, middle - 1)
    return low


def mix(rows: Iterable[tuple[int, str]], weights: Mapping[str, float]) -> set[int]:
    """Rows (id, project) to leave out, so that the projects stand to one another as their weights;
    one without a weight has 1. The scarcest keeps all; each keeps a row at least. No weights: none
    go. Raises ValueError for a weight that is not above 0."""
    if not weights:
        return set()
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ValueError(f"the weight of {name} must be above 0, not {weight:g}")
    of_project: dict[str, list[int]] = {}
    for row, project in rows:
        of_project.setdefault(project, []).append(row)
    exact = {name: Fraction(str(weights.get(name, 1))) for name in of_project}
    if not exact:
        return set()
    unit = min(len(of_project[name]) / weight for name, weight in exact.items())
    gone: set[int] = set()
    for name, ids in of_project.items():
        stay = max(int(unit * exact[name] + Fraction(1, 2)), 1)
        gone.update(ids[stay:])
    return gone


def per_prompt(rows: Iterable[tuple[int, Hashable]], most: int) -> set[int]:
    """Rows (id, prompt) to leave out, so that at most `most` of each prompt stay, the first ones.
    Raises ValueError for less than 1."""
    if most < 1:
        raise ValueError(f"at least one row of each prompt must stay, not {most}")
    seen = Counter[Hashable]()
    gone: set[int] = set()
    for row, prompt in rows:
        seen[prompt] += 1
        if seen[prompt] > most:
            gone.add(row)
    return gone


def _share(most: float) -> Fraction:
    if not 0 <= most <= 1:
        raise ValueError(f"a share is between 0 and 1, not {most:g}")
    return Fraction(str(most))
