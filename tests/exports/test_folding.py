"""Words, whatever their script; hashes that agree with them."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.folding import fold, jaccard, shingles, words
from exports.windows import in_a_row, shingle_hashes, word_hashes

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.text("ab \n", max_size=40),
        st.sampled_from(["", "!?", "x" * 200, "one two three four", "我喜欢 tea"]),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, x_y: 1,5!", ["don", "t", "stop", "x_y", "1", "5"]),
        ("Don’t “stop” — naïve…", ["don", "t", "stop", "naïve"]),
        ("Straße", ["strasse"]),
        ("cafe\u0301", ["café"]),
        ("ＡＢＣ１２", ["abc12"]),
        ("我喜欢Python3编程。", ["我", "喜", "欢", "python3", "编", "程"]),
        ("ありがとう", list("ありがとう")),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("हिन्दी में।", ["हिन्दी", "में"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("🙂 …", []),
        ("", []),
    ],
)
def test_words_of_any_script(text, expected):
    assert [word.decode() for word in words(text)] == expected


def test_a_lone_surrogate_is_no_error():
    assert words("a \ud800 b") == [b"a", b"b"]
    assert shingles("\ud800") != shingles("\ud801")


def test_shingles_of_short_texts():
    assert shingles("a b c d") == {(b"a", b"b", b"c"), (b"b", b"c", b"d")}
    assert shingles("Yes, sir") == {(b"yes",), (b"sir",)}
    assert shingles("🙂") == shingles(" 🙂 ") != shingles("🙃")
    assert jaccard(shingles("a b c"), shingles("A, B; C.")) == 1
    assert jaccard(set(), set()) == 1


@given(TEXTS)
def test_hashes_are_as_many_and_as_equal_as_shingles(texts):
    found = shingle_hashes([fold(text) for text in texts], texts)
    own = [
        set(found.hashes[found.offsets[i] : found.offsets[i + 1]].tolist())
        for i in range(len(texts))
    ]
    for one, text in zip(own, texts, strict=True):
        assert len(one) == len(shingles(text))
        for other, second in zip(own, texts, strict=True):
            assert len(one & other) == len(shingles(text) & shingles(second))


@given(TEXTS, st.integers(1, 5))
def test_windows_lie_within_one_text(texts, count):
    folded = [fold(text) for text in texts]
    together = in_a_row(word_hashes(folded), count)
    for place, one in enumerate(folded):
        alone = in_a_row(word_hashes([one]), count).hashes
        own = together.hashes[together.offsets[place] : together.offsets[place + 1]]
        assert np.array_equal(alone, own)
        assert alone.size == max(len(one.split()) - count + 1, 0)


def test_hashes_differ_where_words_do():
    rng = random.Random(1)
    made = {"".join(rng.choices("abc", k=rng.randint(1, 90))) for _ in range(20_000)}
    hashes = word_hashes([one.encode() for one in made]).hashes
    assert len(set(hashes.tolist())) == len(made)


def test_hashes_are_the_same_in_every_process():
    line = (
        "from exports.windows import word_hashes; print(word_hashes([b'one two']).hashes.tolist())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", line],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{word_hashes([b'one two']).hashes.tolist()}\n"}
