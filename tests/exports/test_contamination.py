"""Shared words in a row: every one is found, wherever it stands."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.contamination import Grams
from exports.folding import words

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=14)


def by_hand(guarded, text, count):
    """The first shared words in a row, by comparing all with all."""
    own = words(text)
    if len(own) < count:
        wholes = [words(one) for one in guarded]
        return b" ".join(own).decode() if own and own in wholes else ""
    grams = {
        tuple(found[start : start + count])
        for found in map(words, guarded)
        for start in range(len(found) - count + 1)
    }
    for start in range(len(own) - count + 1):
        if tuple(own[start : start + count]) in grams:
            return b" ".join(own[start : start + count]).decode()
    return ""


@given(st.lists(WORDS, max_size=4), WORDS, st.integers(1, 7))
def test_the_first_shared_words_are_found(guarded, text, count):
    guarded = [" ".join(one) for one in guarded]
    grams = Grams(count)
    for one in guarded:
        grams.add(one)
    assert grams.hit(" ".join(text)) == by_hand(guarded, " ".join(text), count)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13, 20])
def test_a_passage_is_found_in_any_place(count):
    rng = random.Random(count)
    vocabulary = [f"w{number}" for number in range(3000)]
    guarded = [rng.choices(vocabulary, k=60) for _ in range(50)]
    grams = Grams(count)
    for one in guarded:
        grams.add(" ".join(one))
    for one in guarded:
        start = rng.randrange(60 - count + 1)
        passage = one[start : start + count]
        before = [f"x{number}" for number in range(rng.randint(0, 30))]
        assert grams.hit(" ".join([*before, *passage, "end"])) == " ".join(passage)
        broken = [*passage[: count // 2], "other", *passage[count // 2 + 1 :]]
        assert grams.hit(" ".join([*before, *broken, "end"])) == ""


def test_case_punctuation_and_script_do_not_matter():
    grams = Grams(4)
    grams.add("The “quick” brown fox, naïvely!")
    assert grams.hit("... THE QUICK — Brown: fox") == "the quick brown fox"
    grams.add("今天天气很好")
    assert grams.hit("他说：今天天气不好") == "今 天 天 气"


def test_short_texts_match_as_a_whole_only():
    grams = Grams(4)
    grams.add("What is it?")
    assert grams.hit("what is it") == "what is it"
    assert grams.hit("what is") == ""
    assert grams.hit("so what is it then") == ""
    grams.add("")
    assert grams.hit("") == grams.hit("!!") == ""


def test_adding_after_asking():
    grams = Grams(2)
    assert grams.hit("a b") == ""
    grams.add("a b")
    assert grams.hit("a b") == "a b"
    grams.add("c d e")
    grams.add("f")
    assert [grams.hit(one) for one in ("a b", "d e", "f", "b c")] == ["a b", "d e", "f", ""]


def test_no_words_at_all_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Grams(0)
