"""Prompts nearly equal to a guarded one: by samples, but sure."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports.folding import jaccard, shingles
from exports.leaks import Leaks

VOCABULARY = [f"w{number}" for number in range(2000)]


def prompts(rng, length, count):
    return [" ".join(rng.choices(VOCABULARY, k=length)) for _ in range(count)]


def edited(rng, original, share):
    parts = original.split()
    for place in rng.sample(range(len(parts)), round(share * len(parts))):
        parts[place] = rng.choice(VOCABULARY)
    return " ".join(parts)


@pytest.mark.parametrize("length", [3, 8, 30, 100, 700])
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
def test_what_is_nearly_equal_is_found_and_nothing_else(length, threshold):
    rng = random.Random(length)
    guarded = prompts(rng, length, 300)
    asked = [edited(rng, one, share) for one in guarded for share in (0, 0.05, 0.1, 0.15)]
    leaks = Leaks(threshold)
    leaks.guard(guarded)
    found = leaks.find(asked)
    expected = [
        jaccard(shingles(one), shingles(guarded[place // 4])) >= threshold
        for place, one in enumerate(asked)
    ]
    assert sum(expected) >= 300
    assert not any(said and not true for said, true in zip(found, expected, strict=True))
    assert sum(found) >= 0.995 * sum(expected)
    assert not any(leaks.find(prompts(rng, length, 500)))


@given(
    st.lists(st.text("ab 我\n", max_size=30), max_size=8),
    st.lists(st.text("ab 我\n", max_size=30), max_size=8),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
@settings(deadline=None)
def test_of_short_prompts_none_is_missed(guarded, asked, threshold):
    leaks = Leaks(threshold)
    leaks.guard(guarded)
    assert leaks.find(asked) == [
        any(jaccard(shingles(one), shingles(other)) >= threshold for other in guarded)
        for one in asked
    ]


def test_an_equal_one_is_found_among_any_number_of_longer_ones():
    """All hold what it holds, so none is likelier; of so many not each is compared."""
    leaks = Leaks(0.9)
    leaks.guard(
        [*(f"go on please {number} {'x ' * number}" for number in range(300)), "go on please"]
    )
    assert leaks.find(["go  on\nplease", "go on pleas"]) == [True, False]


def test_guarding_in_parts_and_asking_in_parts_make_no_difference():
    rng = random.Random(1)
    guarded = prompts(rng, 60, 200)
    asked = [edited(rng, one, 0.05) for one in guarded[:100]] + prompts(rng, 60, 100)
    whole, parts = Leaks(0.6), Leaks(0.6)
    whole.guard(guarded)
    parts.guard(guarded[:50])
    assert parts.find(asked[:1]) == [True]  # asked in between
    assert parts.find(asked[60:61]) == [False]
    parts.guard(iter(guarded[50:]))
    assert [one for text in asked for one in parts.find([text])] == whole.find(asked)
    assert whole.find(asked) == [True] * 100 + [False] * 100


def test_what_repeats_itself_is_compared_by_its_different_words():
    question = "why does the river bend so often near the old mill and the church"
    leaks = Leaks(0.8)
    leaks.guard([question + " ha" * 20])
    assert leaks.find([question + " ha" * 50_000, question + " no" * 3]) == [True, False]
    backwards = Leaks(0.8)
    backwards.guard([question + " ha" * 50_000])
    assert backwards.find([question + " ha" * 20]) == [True]


def test_a_frame_that_all_share_hides_no_twin():
    rng = random.Random(2)
    frame = " ".join(rng.choices(VOCABULARY, k=60))
    guarded = [f"{frame} {one}" for one in prompts(rng, 40, 1000)]
    leaks = Leaks(0.8)
    leaks.guard(guarded)
    asked = [f"{frame} {one}" for one in prompts(rng, 40, 200)]
    assert not any(leaks.find(asked))
    assert all(leaks.find([one + " please" for one in guarded[::10]]))


def test_nothing_guarded_and_nothing_asked():
    leaks = Leaks(0.8)
    assert leaks.find(["a b c"]) == [False]
    leaks.guard(["a b c"])
    assert leaks.find([]) == []
    assert leaks.find(["", "a b c", "A, b. C!"]) == [False, True, True]


@pytest.mark.parametrize("threshold", [0, 1.5, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        Leaks(threshold)
