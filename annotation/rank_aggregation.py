"""One ranking out of many: Borda, Bradley-Terry, Plackett-Luce. Pure.

An order is a list of groups, best first: [[7], [3, 9]]. Orders need not hold the same answers."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from annotation.bootstrap import Numbers

Order = Sequence[Sequence[Hashable]]
PRIOR = 0.1
MOST_ANSWERS = 200  # at once, by strength: the work grows with the third power and more
SAME = 1e-7  # strengths that are nearer to each other are a tie
STEPS, SETTLED = 100, 1e-11  # the latter as a share of the most wins


def borda(orders: Iterable[Order]) -> dict[str, Any]:
    """By the share of comparisons won, a tie being half: {"order", "points": {answer: comparisons
    won}, "share": {answer: of those it was in; None if in none}}.

    With the same answers in all orders that is Borda's count; shares are fair to answers that
    fewer people saw."""
    won: dict[Any, float] = {}
    met: dict[Any, int] = {}
    for order in orders:
        below = many = sum(map(len, order))
        for group in order:
            below -= len(group)
            for answer in group:
                won[answer] = won.get(answer, 0) + below + (len(group) - 1) / 2
                met[answer] = met.get(answer, 0) + many - 1
    share = {answer: won[answer] / met[answer] if met[answer] else None for answer in won}
    known = {answer: part for answer, part in share.items() if part is not None}
    return {"order": _grouped(known, 0.0), "points": won, "share": share}


def bradley_terry(orders: Iterable[Order], prior: float = PRIOR) -> dict[str, Any]:
    """Strengths from every comparison of two answers that the orders hold, a tie being half a win
    of each: {"order", "strength": {answer: natural logarithm, mean 0}, "settled"}. One answer
    beats another with the chance 1 / (1 + exp(-(its strength - the other's))).

    `prior`: so many wins and losses are added between any two answers, which keeps the strength
    of one that never lost finite; without it such strengths do not exist, and `settled` is False
    with all strengths None. Raises ValueError beyond MOST_ANSWERS. Source: Bradley and Terry
    (1952)."""
    wins: dict[tuple[Any, Any], float] = {}
    answers: dict[Any, None] = {}
    for order in orders:
        answers.update(dict.fromkeys(answer for group in order for answer in group))
        for place, group in enumerate(order):
            for one in group:
                for other in group:
                    if one != other:
                        wins[one, other] = wins.get((one, other), 0) + 0.5
                for lower in order[place + 1 :]:
                    for other in lower:
                        wins[one, other] = wins.get((one, other), 0) + 1
    choices = {(frozenset(pair), (pair[0],)): many for pair, many in wins.items()}
    return _strengths(list(answers), choices, prior)


def plackett_luce(orders: Iterable[Order], prior: float = PRIOR) -> dict[str, Any]:
    """As `bradley_terry`, from whole orders: the first is chosen from all, the second from the
    rest. Answers in a tie are each chosen from all that are left with them (Breslow's form, as in
    Cox's regression). Source: Plackett (1975); Breslow (1974)."""
    choices: dict[tuple[frozenset[Any], tuple[Any, ...]], float] = {}
    answers: dict[Any, None] = {}
    for order in orders:
        left = [answer for group in order for answer in group]
        answers.update(dict.fromkeys(left))
        for group in order:
            key = (frozenset(left), tuple(group))
            if len(left) > 1:
                choices[key] = choices.get(key, 0) + 1
            left = left[len(group) :]
    return _strengths(list(answers), choices, prior)


def _strengths(
    answers: list[Any],
    choices: Mapping[tuple[frozenset[Any], tuple[Any, ...]], float],
    prior: float,
) -> dict[str, Any]:
    """`choices`: how often (all there was, those that were chosen from it)."""
    if len(answers) > MOST_ANSWERS:
        raise ValueError(
            f"{len(answers):,} answers; strengths are found of {MOST_ANSWERS} at most."
        )
    place = {answer: number for number, answer in enumerate(answers)}
    won = np.full(len(answers), prior * (len(answers) - 1), float)
    chosen: dict[frozenset[Any], float] = {}  # of what, how many times
    beats = np.full((len(answers), len(answers)), prior, float)
    for (offered, group), many in choices.items():
        chosen[offered] = chosen.get(offered, 0) + many * len(group)
        for answer in group:
            won[place[answer]] += many
            for other in offered:
                beats[place[answer], place[other]] += many
    for one in range(len(answers)) if prior else ():
        for other in range(one):
            pair = frozenset((answers[one], answers[other]))
            chosen[pair] = chosen.get(pair, 0) + 2 * prior
    if not _all_reach_all(beats):
        nothing = dict.fromkeys(answers)
        return {"order": [], "strength": nothing, "settled": False}
    member = np.zeros((len(chosen), len(answers)))
    for row, offered in enumerate(chosen):
        member[row, [place[answer] for answer in offered]] = 1
    strength, settled = _likeliest(won, member, np.array(list(chosen.values())))
    known = dict(zip(answers, strength.tolist(), strict=True))
    return {"order": _grouped(known, SAME), "strength": known, "settled": settled}


def _likeliest(won: Numbers, member: Numbers, times: Numbers) -> tuple[Numbers, bool]:
    """Newton's way up the log-likelihood, sum of won * strength - times * log of the sum of exp
    over what was offered: it is concave, so halving a step that goes down always arrives."""
    strength = np.zeros(len(won))

    def chances(at: Numbers) -> tuple[Numbers, float]:
        weight = member * np.exp(at)
        total = weight.sum(1, keepdims=True)
        return weight / total, float(won @ at - times @ np.log(total[:, 0]))

    share, height = chances(strength)
    for _ in range(STEPS):
        slope = won - times @ share
        if not len(won) or np.abs(slope).max() <= SETTLED * max(1.0, won.max()):
            return strength - strength.mean() if len(won) else strength, True
        curve = np.diag(times @ share) - share.T @ (times[:, None] * share)
        # Strengths are known up to a common part: adding 1 everywhere fixes it at a mean of 0.
        step = np.linalg.solve(curve + 1.0, slope)
        rounding = 1e-12 * (1 + abs(height))
        while (after := chances(strength + step))[1] < height - rounding:
            step = step / 2
        strength, (share, height) = strength + step, after
    return strength - strength.mean(), False


def _all_reach_all(beats: Numbers) -> bool:
    """Whether from each answer a way of wins leads to each other one (Ford, 1957)."""
    for way in (beats > 0, beats.T > 0):
        seen = np.zeros(len(beats), bool)
        seen[:1] = True
        while (more := seen | way[seen].any(0)).sum() > seen.sum():
            seen = more
        if not seen.all():
            return False
    return True


def _grouped(scores: Mapping[Any, float], same: float) -> list[list[Any]]:
    """Highest first; one that is within `same` of the group's first joins its group."""
    groups: list[list[Any]] = []
    for answer in sorted(scores, key=lambda answer: -scores[answer]):
        if groups and scores[groups[-1][0]] - scores[answer] <= same:
            groups[-1].append(answer)
        else:
            groups.append([answer])
    return groups
