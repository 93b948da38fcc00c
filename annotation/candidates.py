"""Which answers an item is about. Pure rules on plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Best first, ties side by side: [[7], [3, 9], [4]].
Order = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Answer:
    """What the rules need to know of a response."""

    id: int
    author_name: str
    fingerprint: str


def distinct(answers: Iterable[Answer]) -> list[Answer]:
    """In order of arrival, without those that say the same as an earlier one."""
    first: dict[str, Answer] = {}
    for answer in sorted(answers, key=lambda a: a.id):
        first.setdefault(answer.fingerprint, answer)
    return list(first.values())


def to_rank(answers: Iterable[Answer], limit: int) -> list[int]:
    """The first round: the oldest `limit` distinct answers; none while there are fewer than two."""
    ids = [answer.id for answer in distinct(answers)][:limit]
    return ids if len(ids) >= 2 else []


def to_rate(answers: Iterable[Answer], limit: int, seen: Iterable[int] = ()) -> list[int]:
    """The oldest `limit` distinct answers that nobody was asked about before."""
    known = list(answers)
    rated = set(seen)
    texts = {answer.fingerprint for answer in known if answer.id in rated}
    new = (a for a in distinct(known) if a.id not in rated and a.fingerprint not in texts)
    return [answer.id for answer in new][:limit]


def next_round(
    answers: Sequence[Answer], seen: Iterable[int], best: int | None, limit: int
) -> list[int]:
    """The answers that no round has seen, beside the best of the last; none while all were seen.

    An answer that repeats one already seen is no news."""
    known = set(seen)
    texts = {answer.fingerprint for answer in answers if answer.id in known}
    new = [a for a in distinct(answers) if a.id not in known and a.fingerprint not in texts]
    if not new:
        return []
    if best is None:
        return to_rank(new, limit)
    return [best, *(answer.id for answer in new[: limit - 1])]


def to_correct(
    answers: Iterable[Answer], source: str, source_name: str, best: int | None
) -> list[int]:
    """The one answer that a correct stage shows: the latest, the best, or the latest of a name."""
    if source == "best":
        return [answer.id for answer in answers if answer.id == best]
    wanted = [a.id for a in answers if source == "latest" or a.author_name == source_name]
    return [max(wanted)] if wanted else []


def best_ranked(orders: Iterable[Order]) -> int | None:
    """The answer with the highest mean Borda score (-1: worse than all, 1: better than all).

    The older one where two are level; none without an ordering."""
    scores: dict[int, list[float]] = {}
    for order in orders:
        total = sum(len(group) for group in order)
        better = 0
        for group in order:
            worse = total - better - len(group)
            for answer in group:
                scores.setdefault(answer, []).append((worse - better) / max(total - 1, 1))
            better += len(group)
    if not scores:
        return None
    return min(scores, key=lambda answer: (-sum(scores[answer]) / len(scores[answer]), answer))
