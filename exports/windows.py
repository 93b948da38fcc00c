"""64-bit hashes of the words of many texts, and of each few words in a row, by numpy. Pure.

Each word is read eight bytes at a time and mixed with the finaliser of SplitMix64 (Steele, Lea and
Flood 2014): the same on any machine and in any process. A hash finds candidates; who must be sure
compares the words themselves."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]

_LONG = 64  # bytes; longer words are digested one by one
_SEED = np.uint64(0x9E3779B97F4A7C15)
_ONE, _TWO = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Windows:
    """`hashes` of all texts one after the other; text i has those from offsets[i] to [i + 1]."""

    hashes: Hashes
    offsets: Offsets


def mix(values: Hashes) -> Hashes:
    """Each value stirred, one to one. Works in place."""
    values ^= values >> np.uint64(30)
    values *= _ONE
    values ^= values >> np.uint64(27)
    values *= _TWO
    values ^= values >> np.uint64(31)
    return values


def word_hashes(folded: Sequence[bytes]) -> Windows:
    """Of each word of texts as exports.folding.fold gives them."""
    lengths = np.fromiter(map(len, folded), np.int64, len(folded))
    joined = b"\n".join(folded) + b"\n" + bytes(8)
    signs = np.frombuffer(joined, np.uint8)[:-8]
    apart = np.flatnonzero(signs <= 32)  # after each word, and each further blank
    before = np.empty_like(apart)
    before[0:1] = -1
    before[1:] = apart[:-1]
    sizes = apart - before - 1
    words = sizes > 0
    starts, sizes = before[words] + 1, sizes[words]
    eights = np.ndarray(len(joined) - 7, "<u8", joined, strides=(1,))
    hashes = _SEED * (sizes.astype(np.uint64) + np.uint64(1))
    hashes ^= eights[starts] & _MASKS[np.minimum(sizes, 8)]
    mix(hashes)
    rest = np.flatnonzero(sizes > 8)
    done = 8
    while rest.size:
        left = np.minimum(sizes[rest] - done, 8)
        more = hashes[rest] + _SEED
        more ^= eights[starts[rest] + done] & _MASKS[left]
        hashes[rest] = mix(more)
        done += 8
        rest = rest[(sizes[rest] > done) & (sizes[rest] <= _LONG)]
    for place in np.flatnonzero(sizes > _LONG).tolist():
        word = joined[starts[place] : starts[place] + sizes[place]]
        hashes[place] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    ends = np.cumsum(lengths + 1)
    offsets = np.zeros(len(folded) + 1, np.int64)
    offsets[1:] = np.searchsorted(starts, ends)
    return Windows(hashes, offsets)


def in_a_row(words: Windows, count: int) -> Windows:
    """Of each `count` words in a row that lie within one text; a text with fewer has none."""
    total = words.hashes.size
    sizes = np.maximum(np.diff(words.offsets) - count + 1, 0)
    offsets = np.zeros_like(words.offsets)
    np.cumsum(sizes, out=offsets[1:])
    last = total - count + 1
    if last <= 0 or not offsets[-1]:
        return Windows(np.empty(0, np.uint64), offsets)
    hashes = words.hashes[:last].copy()
    for step in range(1, count):
        hashes *= _ONE
        hashes += words.hashes[step : step + last]
    if offsets[-1] != last:  # leave out the windows that reach into the next text
        inside = np.ones(last, bool)
        for step in range(1, count):  # all that begin less than `count` words before an end
            ends = words.offsets[1:] - step
            ends = ends[(ends >= words.offsets[:-1]) & (ends < last)]
            inside[ends] = False
        hashes = hashes[inside]
    return Windows(mix(hashes), offsets)


def shingle_hashes(folded: Sequence[bytes], raw: Sequence[str]) -> Windows:
    """Of what exports.folding.shingles would give: three words in a row; the words of a text with
    fewer; of one without any (`raw` has it unfolded) the text itself."""
    words = word_hashes(folded)
    found = in_a_row(words, 3)
    counts = np.diff(words.offsets)
    short = np.flatnonzero(counts < 3)
    if not short.size:
        return found
    pieces: list[Hashes] = []
    sizes = np.diff(found.offsets)
    done = 0
    for place in short.tolist():
        pieces.append(found.hashes[found.offsets[done] : found.offsets[place]])
        if counts[place]:
            own = words.hashes[words.offsets[place] : words.offsets[place + 1]] ^ _SEED
        else:
            bare = raw[place].strip().encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(bare, digest_size=8).digest()
            own = np.frombuffer(digest, "<u8").astype(np.uint64)
        pieces.append(own)
        sizes[place] = own.size
        done = place
    pieces.append(found.hashes[found.offsets[done] :])
    offsets = np.zeros_like(found.offsets)
    np.cumsum(sizes, out=offsets[1:])
    return Windows(np.concatenate(pieces), offsets)
