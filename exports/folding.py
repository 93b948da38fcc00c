"""How texts are compared by their words, whatever their case, punctuation and script. Pure."""

import re
import unicodedata
from collections.abc import Set

SHINGLE = 3  # words in a row

# Scripts that write without blanks, whose signs stand for themselves: Thai, Lao, Tibetan, Burmese,
# Khmer, kana, Han.
_SIGNS = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Marks that belong to the word they stand in, which Python's \w leaves out: accents, points and
# vowels of Hebrew, Arabic, and the scripts of India (without their full stop).
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_SIGN, _INSIDE = re.compile(f"[{_SIGNS}]"), re.compile(f"\\w|[{_MARKS}]")
_LATIN = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else 32 for code in range(128)
) + bytes(range(128, 256))


def fold(text: str) -> bytes:
    """The text's words, in UTF-8, blanks between them: NFKC, case-folded, without punctuation;
    each sign of a script that has no blanks is a word."""
    if text.isascii():
        return text.encode().translate(_LATIN)
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_FOLDED)
    return folded.encode("utf-8", "surrogatepass")


class _Folded(dict[int, str]):
    """What becomes of each character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if _SIGN.match(sign):
            folded = f" {sign} "
        else:
            folded = sign if _INSIDE.match(sign) else " "
        self[code] = folded
        return folded


_FOLDED = _Folded()


def words(text: str) -> list[bytes]:
    return fold(text).split()


def shingles(text: str) -> Set[tuple[bytes, ...]]:
    """Three words in a row; of a text with fewer its words, of one without any the text itself."""
    found = words(text)
    if len(found) >= SHINGLE:
        return set(zip(found, found[1:], found[2:], strict=False))
    if found:
        return {(word,) for word in found}
    return {(b"", text.strip().encode("utf-8", "surrogatepass"))}


def jaccard(one: Set[object], other: Set[object]) -> float:
    """Shared of all, 0 to 1; of two empty sets 1."""
    shared = len(one & other)
    every = len(one) + len(other) - shared
    return shared / every if every else 1.0
