"""Texts for a page: cut for a list, and with what was searched for marked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.word_diff import word_diff
from exports.row_texts import SHORT, excerpt, pieced, pieced_steps, shorten


def spelt(pieces: list[tuple[str, bool]]) -> str:
    return "".join(f"[{piece}]" if is_found else piece for piece, is_found in pieces)


@pytest.mark.parametrize(
    ("text", "phrase", "shown"),
    [
        ("Refund\nthe  order.", "", "Refund the order."),
        ("Refund\nthe refunds.", "REFUND", "[Refund] the [refund]s."),
        ("One\ntwo", "one\ntwo", "[One two]"),
        ("a.c", "abc", "a.c"),
        ("word " * 9 + "refund", "refund", "word " * 9 + "[refund]"),
        ("word " * 10 + "refund", "refund", "… " + "word " * 6 + "[refund]"),
        ("word " * 30 + "refund\nit", "refund", "… " + "word " * 6 + "[refund] it"),
        ("字" * 300 + "退款", "退款", "… " + "字" * 30 + "[退款]"),
        ("word " * 30 + "x" * 300 + " " + "y" * 200, "y" * 200,
         "… " + "x" * 29 + " [" + "y" * 200 + "]"),
    ],
)  # fmt: skip
def test_an_excerpt(text, phrase, shown) -> None:
    assert spelt(excerpt(text, phrase)) == shown


def test_an_excerpt_from_the_middle_goes_on() -> None:
    shown = spelt(excerpt("word " * 500 + "refund " + "more " * 500, "refund"))
    assert shown.startswith("… word") and "[refund] more" in shown and shown.endswith("more …")


def test_a_text_without_blanks_is_cut_where_it_must_be() -> None:
    assert shorten("退款 " + "字" * 400) == "退款 " + "字" * (SHORT - 3) + " …"
    assert shorten("word " * 80) == "word " * (SHORT // 5) + "…"


def test_a_phrase_across_what_differs_is_marked() -> None:
    steps = word_diff("a full refund today", "a quick refund today")
    marked = [(kind, spelt(pieces)) for kind, pieces in pieced_steps(steps, "quick refund")]
    assert marked == [
        ("same", "a "), ("del", "full"), ("ins", "[quick]"), ("same", "[ refund] today"),
    ]  # fmt: skip


@given(st.text("ab c", max_size=30), st.text("ab c", max_size=30), st.text("abc", max_size=3))
def test_a_diff_in_pieces_is_the_diff(before, after, phrase) -> None:
    steps = word_diff(before, after)
    found = pieced_steps(steps, phrase)
    assert [(kind, "".join(text for text, _ in pieces)) for kind, pieces in found] == steps
    own = [letter for kind, pieces in found if kind != "del" for letter in letters(pieces)]
    assert own == letters(pieced(after, phrase))


def letters(pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    return [(letter, is_found) for text, is_found in pieces for letter in text]
