"""Which answers an item is about: the rules, on plain values."""

import pytest

from annotation.candidates import Answer, best_ranked, next_round, to_correct, to_rank


def answers(*texts: str) -> list[Answer]:
    return [Answer(n, f"author {n}", text) for n, text in enumerate(texts, 1)]


def test_to_rank_takes_the_oldest_distinct() -> None:
    assert to_rank(answers("a", "b", "a", "c"), 9) == [1, 2, 4]
    assert to_rank(answers("a", "b", "c"), 2) == [1, 2]


@pytest.mark.parametrize("texts", [(), ("a",), ("a", "a")])
def test_one_answer_is_nothing_to_rank(texts: tuple[str, ...]) -> None:
    assert to_rank(answers(*texts), 9) == []


def test_next_round_is_what_is_new_beside_the_best() -> None:
    assert next_round(answers("a", "b", "c", "d"), seen=[1, 2], best=2, limit=9) == [2, 3, 4]
    assert next_round(answers("a", "b", "c", "d", "e"), seen=[1, 2], best=1, limit=3) == [1, 3, 4]


def test_nothing_new_is_no_round() -> None:
    assert next_round(answers("a", "b"), seen=[1, 2], best=1, limit=9) == []
    assert next_round(answers("a", "b", "a"), seen=[1, 2], best=1, limit=9) == []  # says the same


def test_next_round_without_a_best_needs_two() -> None:
    assert next_round(answers("a", "b", "c"), seen=[1, 2], best=None, limit=9) == []
    assert next_round(answers("a", "b", "c", "d"), seen=[1, 2], best=None, limit=9) == [3, 4]


def test_to_correct() -> None:
    rows = [Answer(1, "m1", "a"), Answer(2, "m2", "b"), Answer(3, "m1", "c")]
    assert to_correct(rows, "latest", "", None) == [3]
    assert to_correct(rows, "origin", "m2", None) == [2]
    assert to_correct(rows, "origin", "m3", None) == []
    assert to_correct(rows, "best", "", 2) == [2]
    assert to_correct(rows, "best", "", None) == []
    assert to_correct([], "latest", "", None) == []


def test_best_ranked() -> None:
    assert best_ranked([]) is None
    assert best_ranked([[[7], [3, 9], [4]]]) == 7
    # Two put 2 first, one puts it last: (1 + 1 - 1) / 3 against (0 + 0 + 1) / 3.
    assert best_ranked([[[2], [1], [3]], [[2], [1], [3]], [[1], [3], [2]]]) == 1
    assert best_ranked([[[5, 4]]]) == 4  # level: the older
    # An answer seen in a short ordering only is judged by that one.
    assert best_ranked([[[1], [2], [3]], [[9], [1]]]) == 9
