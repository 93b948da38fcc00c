"""Near-duplicate rows: all are found, none that is not one, whatever the chunks."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports.folding import jaccard, shingles
from exports.near import MISSED, PERMUTATIONS, TRIED, Near, bands

VOCABULARY = [f"w{number}" for number in range(900)]


def nearly_equal(one, other, threshold):
    return len(one) == len(other) and all(
        jaccard(shingles(a), shingles(b)) >= threshold for a, b in zip(one, other, strict=True)
    )


def text(rng, length=40):
    return " ".join(rng.choices(VOCABULARY, k=length))


def edited(rng, original, edits):
    parts = original.split()
    for place in rng.sample(range(len(parts)), edits):
        parts[place] = f"new{rng.random()}"
    return " ".join(parts)


class Rows:
    """Rows by id, and how often they were read."""

    def __init__(self, rows):
        self.rows = dict(rows)
        self.read_count = 0

    def read(self, ids):
        self.read_count += len(ids)
        return [self.rows[one] for one in ids]

    def groups(self, threshold, chunk=1000):
        near, ids = Near(threshold), list(self.rows)
        for start in range(0, len(ids), chunk):
            part = ids[start : start + chunk]
            near.add(part, [self.rows[one] for one in part])
        return near.groups(self.read)


def mixed(seed, count=400):
    """Rows of which every third is another one with some words changed."""
    rng = random.Random(seed)
    rows = []
    for place in range(count):
        if place % 3 == 2:
            rows.append(tuple(edited(rng, part, rng.randint(0, 3)) for part in rng.choice(rows)))
        else:
            rows.append((text(rng), text(rng)))
    return Rows((10 * place + 7, row) for place, row in enumerate(rows))


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_a_row_goes_for_one_that_is_kept_and_nearly_equal(threshold):
    rows = mixed(1)
    gone = rows.groups(threshold)
    kept = [one for one in rows.rows if one not in gone]
    assert gone
    for row, equal in gone.items():
        assert equal in kept
        assert equal < row  # the first added is kept
        assert nearly_equal(rows.rows[row], rows.rows[equal], threshold)


def test_of_the_kept_hardly_any_two_are_nearly_equal():
    found = missed = 0
    for seed in range(5):
        rows = mixed(seed)
        gone = rows.groups(0.7)
        kept = [rows.rows[one] for one in rows.rows if one not in gone]
        found += len(gone)
        missed += sum(
            nearly_equal(one, other, 0.7)
            for place, one in enumerate(kept)
            for other in kept[:place]
        )
    assert found > 200
    assert missed <= 0.01 * found


@given(st.integers(0, 5), st.integers(1, 90))
@settings(max_examples=15, deadline=None)
def test_chunks_make_no_difference(seed, chunk):
    rows = mixed(seed, 120)
    assert rows.groups(0.7, chunk) == rows.groups(0.7)


def test_every_part_must_be_nearly_equal():
    rng = random.Random(3)
    prompt, answer, other = text(rng, 300), text(rng, 20), text(rng, 20)
    rows = Rows(enumerate([(prompt, answer), (prompt, other), (answer, prompt), (prompt,)]))
    assert rows.groups(0.5) == {}  # the same prompt with another answer is data
    assert Rows(enumerate([(prompt, answer), (prompt, answer.upper() + "!")])).groups(1.0) == {1: 0}


def test_no_chain_leads_from_a_text_to_one_that_is_not_like_it():
    rng = random.Random(4)
    steps = [text(rng, 60)]
    for place in range(12):  # each three words further
        parts = steps[-1].split()
        parts[5 * place : 5 * place + 3] = ["x", "y", f"z{place}"]
        steps.append(" ".join(parts))
    assert all(nearly_equal((a,), (b,), 0.8) for a, b in pairwise(steps))
    gone = Rows(enumerate((step,) for step in steps)).groups(0.8)
    assert gone
    assert len(gone) < len(steps) - 1
    assert all(nearly_equal((steps[a],), (steps[b],), 0.8) for a, b in gone.items())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes.", "yes"),
        ("🙂", " 🙂"),
        ("今天天气很好我们去公园散步吧", "今天天气很好，我们去公园散步吧！"),
        ("", ""),
    ],
)
def test_short_texts_and_other_scripts(one, other):
    assert Rows([(1, (one,)), (2, (other,)), (3, ("no",))]).groups(0.9) == {2: 1}


def test_many_copies_of_one_text_are_read_once_each():
    rng = random.Random(5)
    original = text(rng, 100)
    rows = Rows((place, (edited(rng, original, place % 2),)) for place in range(3000))
    gone = rows.groups(0.8)
    assert set(gone.values()) == {0}
    assert len(gone) == 2999
    assert rows.read_count <= 3000


def test_a_family_that_is_alike_but_not_enough_costs_a_bounded_number_of_looks(monkeypatch):
    rng = random.Random(6)
    original = text(rng, 100)
    rows = Rows((place, (edited(rng, original, 6),)) for place in range(600))
    looks = 0

    def counted(one, other):
        nonlocal looks
        looks += 1
        return jaccard(one, other)

    monkeypatch.setattr("exports.near.jaccard", counted)
    rows.groups(0.8)
    assert 600 < looks <= 600 * TRIED


def test_a_twin_is_found_in_the_middle_of_a_family():
    rng = random.Random(7)
    frame = text(rng, 300)
    rows = [(f"{frame} {text(rng, 12)}", text(rng, 8)) for _ in range(300)]
    rows += rows[150:200]
    gone = Rows(enumerate(rows)).groups(0.8)
    assert gone == {300 + place: 150 + place for place in range(50)}


def test_progress_is_told_to_the_end():
    rng = random.Random(8)
    near = Near(0.8)
    near.add(range(3), [(text(rng),)] * 3)
    told = []
    near.groups(lambda ids: [("a b c d",)] * len(ids), lambda *one: told.append(one))
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)


def test_nothing_added_gives_nothing():
    assert Near(0.8).groups(lambda ids: []) == {}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.95, 1.0])
def test_bands_miss_few_at_the_threshold_and_are_as_long_as_that_allows(threshold):
    count, rows = bands(threshold)
    assert count * rows <= PERMUTATIONS
    assert (1 - threshold**rows) ** count <= MISSED
    longer = PERMUTATIONS // (rows + 1)
    assert not longer or (1 - threshold ** (rows + 1)) ** longer > MISSED


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        Near(threshold)


def test_ids_and_rows_must_be_as_many():
    with pytest.raises(ValueError, match="2 ids for 1 rows"):
        Near(0.5).add([1, 2], [("a",)])
