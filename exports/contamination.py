"""Texts that share some words in a row with a guarded one: a benchmark's, or another dataset's.

As GPT-3's authors did (Brown et al. 2020, appendix C, with 13 words). Pure. What is guarded is held
as 64-bit hashes: that a text is wrongly said to share one has a chance below 1 in 10^9 for 10^6
guarded texts and as many asked."""

import zlib
from array import array
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from exports.folding import words

WORDS = 13
_AT_ONCE = 1_000_000  # pieces


class Grams:
    """Add the guarded texts, then ask: `hit` says which words a text shares with one of them."""

    def __init__(self, count: int = WORDS) -> None:
        """`count`: how many words in a row, at least 1."""
        if count < 1:
            raise ValueError(f"at least 1 word in a row, not {count}")
        self.count = count
        # Any `count` words in a row hold one of the pieces that stand a step apart: only these are
        # looked up, and what is around them if one is known.
        self._piece = (count + 1) // 2
        self._step = count - self._piece + 1
        self._grams = array("Q")
        self._wholes = array("Q")
        self._pieces = array("I")
        self._finished: _Finished | None = None

    def add(self, text: str) -> None:
        """Guards the text. One with fewer words than `count` is met only by its equal."""
        found = words(text)
        self._finished = None
        if len(found) < self.count:
            if found:
                self._wholes.append(_hash(b" ".join(found)))
            return
        for start in range(len(found) - self.count + 1):
            self._grams.append(_hash(b" ".join(found[start : start + self.count])))
        for start in range(len(found) - self._piece + 1):
            self._pieces.append(zlib.crc32(b" ".join(found[start : start + self._piece])))

    def hit(self, text: str) -> str:
        """The first words of the text that a guarded one has as well, folded; "" for none."""
        if self._finished is None:
            self._finished = _Finished(self._grams, self._wholes, self._pieces)
        known = self._finished
        found = words(text)
        if len(found) < self.count:
            whole = b" ".join(found)
            return _shown(whole) if found and known.has_whole(_hash(whole)) else ""
        table, mask, size = known.table, known.mask, self._piece
        for place in range(0, len(found) - size + 1, self._step):
            at = zlib.crc32(b" ".join(found[place : place + size])) & mask
            if table[at >> 3] >> (at & 7) & 1:
                first = max(place - self._step + 1, 0)
                for start in range(first, min(place, len(found) - self.count) + 1):
                    gram = b" ".join(found[start : start + self.count])
                    if known.has_gram(_hash(gram)):
                        return _shown(gram)
        return ""


class _Finished:
    """Sorted, for asking. The arrays are looked at where they are, since there may be much in them;
    while this lives they cannot grow."""

    def __init__(self, grams: "array[int]", wholes: "array[int]", pieces: "array[int]") -> None:
        self.grams, self.wholes = _sorted(grams), _sorted(wholes)
        # 64 places for each piece: of the unknown ones about 1 in 100 costs a closer look.
        bits = min(max((64 * len(pieces)).bit_length(), 10), 32)
        self.mask = (1 << bits) - 1
        table = np.zeros(1 << (bits - 3), np.uint8)
        for start in range(0, len(pieces), _AT_ONCE):
            codes = np.frombuffer(pieces[start : start + _AT_ONCE], np.uint32)
            places = codes & np.uint32(self.mask)
            ones = np.left_shift(np.uint8(1), (places & 7).astype(np.uint8))
            np.bitwise_or.at(table, places >> 3, ones)
        self.table = table.tobytes()

    def has_gram(self, value: int) -> bool:
        return _within(self.grams, value)

    def has_whole(self, value: int) -> bool:
        return _within(self.wholes, value)


def _sorted(values: "array[int]") -> NDArray[np.uint64]:
    if not values:
        return np.empty(0, np.uint64)
    found = np.frombuffer(values, np.uint64)
    found.sort()
    return found


def _within(values: NDArray[np.uint64], value: int) -> bool:
    at = int(np.searchsorted(values, np.uint64(value)))
    return at < values.size and int(values[at]) == value


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _shown(folded: bytes) -> str:
    return folded.decode("utf-8", "replace")
