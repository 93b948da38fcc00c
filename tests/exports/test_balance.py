"""Balance: as few rows go as it takes, and the limit holds exactly."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import balance

SHARES = st.integers(0, 100).map(lambda cent: cent / 100)
PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40)
PEOPLE = st.lists(st.sets(st.sampled_from("abcd"), max_size=2), max_size=40)


def longer_share(pairs):
    wins = sum(chosen > rejected for chosen, rejected in pairs)
    differ = sum(chosen != rejected for chosen, rejected in pairs)
    return Fraction(wins, differ) if differ else Fraction(0)


@given(PAIRS, SHARES)
def test_the_longer_answer_wins_no_more_often_than_allowed(pairs, most):
    rows = [(place, *pair) for place, pair in enumerate(pairs)]
    gone = balance.lengths(rows, most)
    stay = [pair for place, pair in enumerate(pairs) if place not in gone]
    assert longer_share(stay) <= Fraction(str(most))
    assert all(pairs[place][0] > pairs[place][1] for place in gone)
    if gone:  # one more would be too many
        assert longer_share([*stay, (2, 1)]) > Fraction(str(most))


@given(PAIRS, SHARES)
def test_of_the_longer_those_go_that_are_longer_the_most(pairs, most):
    gone = balance.lengths([(place, *pair) for place, pair in enumerate(pairs)], most)

    def ratio(place):
        return (pairs[place][0] + 1) / (pairs[place][1] + 1)

    stay = [p for p in range(len(pairs)) if p not in gone and pairs[p][0] > pairs[p][1]]
    assert all(ratio(place) >= ratio(other) for place in gone for other in stay)


def test_lengths_by_hand():
    rows = [(1, 90, 10), (2, 20, 10), (3, 10, 20), (4, 30, 10), (5, 10, 10)]
    assert balance.lengths(rows, 0.5) == {1, 4}  # one of each direction stays, and the equal one
    assert balance.lengths(rows, 0.67) == {1}
    assert balance.lengths(rows, 0.75) == set()
    assert balance.lengths(rows, 1.0) == set()
    assert balance.lengths(rows, 0.0) == {1, 2, 4}


@given(PEOPLE, SHARES)
def test_nobody_has_more_than_the_share_that_can_be_had(people, most):
    rows = list(enumerate(people))
    gone = balance.dominance(rows, most)
    stay = [own for place, own in rows if place not in gone]
    everybody = {person for own in people for person in own}
    if everybody and stay:
        limit = max(Fraction(str(most)), Fraction(1, len(everybody)))
        counts = Counter(person for own in stay for person in own)
        assert max(counts.values(), default=0) <= limit * len(stay)
    assert all(person in people[place] for place, person in gone.items())


@given(st.lists(st.sampled_from(["a", "a", "a", "b", "c"]), max_size=60), SHARES)
def test_of_one_persons_rows_no_more_go_than_it_takes(people, most):
    rows = [(place, [one]) for place, one in enumerate(people)]
    gone = balance.dominance(rows, most)
    if not gone:
        return
    share = max(Fraction(str(most)), Fraction(1, len(set(people))))
    counts = Counter(people)
    kept = Counter(one for place, one in enumerate(people) if place not in gone)
    top = max(kept.values())
    more = {one: min(count, top + 1) for one, count in counts.items()}
    assert top + 1 > share * sum(more.values())
    for one, count in counts.items():  # who is below the limit loses nothing
        assert kept[one] == min(count, top)


def test_dominance_says_whose_row_was_one_too_many():
    rows = [(1, ["lee"]), (2, ["lee"]), (3, ["ana"]), (4, ["lee"]), (5, []), (6, ["lee"])]
    assert balance.dominance(rows, 0.5) == {4: "lee", 6: "lee"}
    assert balance.dominance(rows, 0.25) == balance.dominance(rows, 0.5)  # two people: halves
    assert balance.dominance([(1, ["lee"]), (2, ["lee"])], 0.1) == {}  # there is only one


@given(
    st.lists(st.sampled_from("abc"), max_size=80),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.5, 1, 2, 3.5]), min_size=1),
)
def test_a_mix_has_its_proportions_to_a_row(projects, weights):
    rows = list(enumerate(projects))
    gone = balance.mix(rows, weights)
    counts, kept = Counter(projects), Counter(p for place, p in rows if place not in gone)
    assert set(kept) == set(counts)
    unit = min((count / weights.get(name, 1) for name, count in counts.items()), default=0)
    for name, count in kept.items():
        assert abs(count - unit * weights.get(name, 1)) <= 0.5 or count == 1
    assert any(kept[name] == counts[name] for name in counts) or not counts


def test_a_mix_keeps_the_first_rows():
    rows = [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "a"), (6, "b")]
    assert balance.mix(rows, {"a": 1, "b": 1}) == {4, 5}
    assert balance.mix(rows, {"a": 2}) == set()
    assert balance.mix(rows, {"b": 2}) == {3, 4, 5}
    assert balance.mix(rows, {}) == set()
    assert balance.mix([], {"a": 1}) == set()


def test_few_rows_of_a_prompt():
    rows = [(1, "p"), (2, "p"), (3, "q"), (4, "p"), (5, "q")]
    assert balance.per_prompt(rows, 1) == {2, 4, 5}
    assert balance.per_prompt(rows, 2) == {4}
    assert balance.per_prompt(rows, 3) == set()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        balance.per_prompt([], 0)
    with pytest.raises(ValueError, match="above 0"):
        balance.mix([], {"a": 0})
    with pytest.raises(ValueError, match="between 0 and 1"):
        balance.lengths([], 1.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        balance.dominance([], float("nan"))
