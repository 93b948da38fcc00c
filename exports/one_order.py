"""One order of all answers of a prompt, from the rankings of several people. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from annotation.rank_aggregation import MOST_ANSWERS, borda, bradley_terry

FEW = 9  # answers of one prompt, whose order is kept in mind
Pattern = tuple[tuple[tuple[int, ...], ...], ...]


def orders(rankings: Iterable[Sequence[Sequence[int]]], how: str) -> Iterator[list[list[int]]]:
    """Groups, best first, of the answers that rankings connect: an order for each such circle of
    answers, since nothing says which of two circles is better. `how`: borda, or bradley_terry,
    which leaves more than MOST_ANSWERS in one group.

    Sorted before, so that the order of the rankings does not count to the last digit."""
    sure = sorted([sorted(group) for group in ranking] for ranking in rankings)
    home: dict[int, set[int]] = {}  # answer -> all that it is connected with
    for ranking in sure:
        joined = {answer for group in ranking for answer in group}
        for answer in [*joined]:
            joined |= home.get(answer, set())
        home.update(dict.fromkeys(joined, joined))
    for circle in {id(joined): joined for joined in home.values() if len(joined) > 1}.values():
        answers = sorted(circle)
        if how == "bradley_terry" and len(answers) > MOST_ANSWERS:
            yield [answers]
            continue
        place = {answer: at for at, answer in enumerate(answers)}
        pattern = tuple(
            tuple(tuple(place[answer] for answer in group) for group in ranking)
            for ranking in sure
            if any(answer in circle for group in ranking for answer in group)
        )
        found = _known if len(answers) <= FEW else _order  # many small prompts are ranked alike
        yield [[answers[at] for at in group] for group in found(pattern, how)]


@lru_cache(maxsize=10_000)
def _known(pattern: Pattern, how: str) -> list[list[int]]:
    return _order(pattern, how)


def _order(pattern: Pattern, how: str) -> list[list[int]]:
    found = borda(pattern) if how == "borda" else bradley_terry(pattern)
    return [list(group) for group in found["order"]]
