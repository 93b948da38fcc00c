"""Training prompts that are nearly equal to a test prompt. Pure.

Of each prompt a sample of its shingles is looked at: those whose hash ends in a number of zero
bits, the more the longer the prompt, so _SAMPLE at least where it has as many. Equal passages give
equal samples, wherever they stand (Manber 1994; Broder 1997 calls it "mod m"). Which guarded
prompts share as much of a prompt's sample as the threshold lets expect is found by the rarest
shared shingles (prefix filtering: Bayardo, Ma and Srikant 2007); these are compared word by word.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotation.text import normalise
from exports.folding import fold, jaccard, shingles
from exports.windows import Hashes, shingle_hashes

_SAMPLE = 24  # shingles at least, of a prompt that has as many
_DEVIATIONS = 3.0  # of the shared sample below what the threshold lets expect
_AGREE = 3  # rare shingles that a guarded prompt must share to be compared
_TRIED = 32  # guarded prompts that one prompt is compared with
_OWNERS = 256  # guarded prompts looked at for one shingle: what all have says little of any
_BATCH = 300_000  # characters hashed at once
_PROMPTS = 4096  # hashed at once: their numbers take _NUMBER bits
_NUMBER = np.uint64(12)
_HASH = np.uint64(64 - 12)
_CACHE = 200  # guarded prompts whose shingles are held


class Leaks:
    """Guard the test prompts, then ask for the others in batches of any size."""

    def __init__(self, threshold: float) -> None:
        """`threshold`: Jaccard similarity of word 3-grams, above 0, to 1."""
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
        self.threshold = threshold
        self._texts: list[bytes] = []
        self._equal: set[int] = set()  # of the normalised texts: of many alike not all are compared
        self._hashes: list[Hashes] = []
        self._owners: list[NDArray[np.int32]] = []
        self._index: _Index | None = None
        self._held: OrderedDict[int, Set[object]] = OrderedDict()

    def guard(self, test_prompts: Iterable[str]) -> None:
        """More prompts that nothing may be nearly equal to. Their texts are held."""
        for batch in _batches(test_prompts):
            # As dense as the sample of the smallest prompt that could be nearly equal.
            found = _sample(batch, self.threshold, careful=True)
            self._hashes.append(found.hashes)
            self._owners.append((found.owners + len(self._texts)).astype(np.int32))
            self._texts += [text.encode("utf-8", "surrogatepass") for text in batch]
            self._equal.update(hash(normalise(text)) for text in batch)
        self._index = None

    def find(self, prompts: Sequence[str]) -> list[bool]:
        """For each prompt: is it nearly equal to a guarded one?"""
        if not self._texts:
            return [False] * len(prompts)
        if self._index is None:
            self._index = _Index(self._hashes, self._owners)
            self._hashes, self._owners = [self._index.hashes], [self._index.owners]
        return [one for batch in _batches(prompts) for one in self._find(batch, self._index)]

    def _find(self, prompts: list[str], index: "_Index") -> list[bool]:
        found = _sample(prompts)
        known = np.flatnonzero(index.known(found.hashes))
        hits = np.bincount(found.owners[known], minlength=len(prompts))
        expected = np.bincount(found.owners, minlength=len(prompts)) * self.threshold
        slack = _DEVIATIONS * np.sqrt(expected * (1 - self.threshold))
        slack[found.whole] = 1e-6  # nothing is left to chance, but rounding
        least = np.maximum(np.ceil(expected - slack), 1).astype(np.int64)
        result = [hash(normalise(prompt)) in self._equal for prompt in prompts]
        known = known[(hits >= least)[found.owners[known]]]
        for place, likely in index.likely(found.owners[known], found.hashes[known], least):
            result[place] = result[place] or self._equals_one(prompts[place], likely)
        return result

    def _equals_one(self, prompt: str, likely: list[int]) -> bool:
        own = shingles(prompt)
        return any(jaccard(own, self._shingles(place)) >= self.threshold for place in likely)

    def _shingles(self, place: int) -> Set[object]:
        if place in self._held:
            self._held.move_to_end(place)
        else:
            self._held[place] = shingles(self._texts[place].decode("utf-8", "surrogatepass"))
            if len(self._held) > _CACHE:
                self._held.popitem(last=False)
        return self._held[place]


class _Index:
    """The samples of the guarded prompts, sorted, behind a table of bits that answers most."""

    def __init__(self, hashes: list[Hashes], owners: list[NDArray[np.int32]]) -> None:
        """Takes all out of the lists, so that the samples are not in memory twice."""
        together = np.concatenate(hashes)
        hashes.clear()
        order = np.argsort(together, kind="stable")
        self.hashes: Hashes = together[order]
        del together
        whose = np.concatenate(owners)
        owners.clear()
        self.owners: NDArray[np.int32] = whose[order]
        del whose, order
        # 16 places for each, so that of the unknown ones about 6 in 100 are looked up in vain.
        bits = min(max((16 * self.hashes.size).bit_length(), 16), 30)
        self._shift = _HASH - np.uint64(bits)
        self._table = np.zeros(1 << (bits - 3), np.uint8)
        places = self.hashes >> self._shift
        np.bitwise_or.at(self._table, places >> np.uint64(3), _bit(places))

    def known(self, hashes: Hashes) -> NDArray[np.bool_]:
        places = hashes >> self._shift
        known = (self._table[places >> np.uint64(3)] & _bit(places)) > 0
        some = np.flatnonzero(known)
        values = hashes[some]
        at = np.minimum(np.searchsorted(self.hashes, values), self.hashes.size - 1)
        known[some] = self.hashes[at] == values
        return known

    def likely(
        self, prompts: NDArray[np.int64], hashes: Hashes, least: NDArray[np.int64]
    ) -> Iterator[tuple[int, list[int]]]:
        """For some of the prompts: the guarded ones that could share `least` of its hashes, _TRIED
        at most, first those that share what few have. All hashes are known ones."""
        starts = np.searchsorted(self.hashes, hashes, "left")
        counts = np.searchsorted(self.hashes, hashes, "right") - starts
        order = np.lexsort((counts, prompts))  # each prompt's rarest hash first
        prompts, starts, counts = prompts[order], starts[order], counts[order]
        number = np.bincount(prompts, minlength=least.size)
        rank = np.arange(prompts.size) - (np.cumsum(number) - number)[prompts]
        # Who shares `least` of n hashes shares k of any n - least + k of them.
        agree = np.minimum(least, _AGREE)
        rare = rank < (number - least + agree)[prompts]
        prompts, starts, counts = prompts[rare], starts[rare], counts[rare]
        common = np.bincount(prompts[counts > _OWNERS], minlength=least.size)
        weights = 1 / counts
        counts = np.minimum(counts, _OWNERS)
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if ends.size else 0) + np.repeat(starts - ends + counts, counts)
        pairs = np.repeat(prompts, counts) << 32 | self.owners[places].astype(np.int64)
        pairs, inverse, shared = np.unique(pairs, return_inverse=True, return_counts=True)
        weight = np.bincount(inverse, np.repeat(weights, counts), minlength=pairs.size)
        # A hash of which not all owners were looked at may be shared by any.
        enough = shared + common[pairs >> 32] >= agree[pairs >> 32]
        pairs, weight = pairs[enough], weight[enough]
        order = np.lexsort((pairs, -weight, pairs >> 32))
        found: dict[int, list[int]] = {}
        for pair in pairs[order].tolist():
            listed = found.setdefault(pair >> 32, [])
            if len(listed) < _TRIED:
                listed.append(pair & 0xFFFFFFFF)
        yield from found.items()


@dataclass(frozen=True, slots=True)
class _Sample:
    """Hashes of 52 bits, no two of a text equal; their texts' places, rising; which are all."""

    hashes: Hashes
    owners: NDArray[np.int64]
    whole: NDArray[np.bool_]


def _sample(texts: list[str], share: float = 1.0, careful: bool = False) -> _Sample:
    """Of each text's shingles, as dense as for a text with `share` as many. Those that come twice
    are counted once if `careful`; else a text that repeats itself much gets a sparser sample, and
    is done again if too little is left."""
    found = shingle_hashes([fold(text) for text in texts], texts)
    counts = np.diff(found.offsets)
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64) << _HASH, counts)
    keys = (found.hashes >> _NUMBER) | owners
    if careful:
        keys = _unique(keys)
        counts = np.bincount((keys >> _HASH).astype(np.int64), minlength=len(texts))
    # Each zero bit halves the sample; _SAMPLE are left at least.
    halvings = np.maximum(np.frexp(counts * share / _SAMPLE)[1] - 1, 0).astype(np.uint64)
    masks = (np.uint64(1) << halvings) - np.uint64(1)
    keys = keys[(keys & np.repeat(masks, counts)) == 0]
    if not careful:
        keys = _unique(keys)
    whole = halvings == 0
    whose = (keys >> _HASH).astype(np.int64)
    if not careful:
        left = np.bincount(whose, minlength=len(texts))
        again = np.flatnonzero(~whole & (left < _SAMPLE // 2))
        if again.size:
            more = _sample([texts[place] for place in again.tolist()], share, careful=True)
            whole[again] = more.whole
            moved = again.astype(np.uint64)[more.owners] << _HASH
            keys = np.concatenate([keys[~np.isin(whose, again)], more.hashes | moved])
            keys.sort()
            whose = (keys >> _HASH).astype(np.int64)
    return _Sample(keys & ((np.uint64(1) << _HASH) - np.uint64(1)), whose, whole)


def _unique(keys: Hashes) -> Hashes:
    keys.sort()
    return keys[np.append(True, keys[1:] != keys[:-1])]


def _bit(places: Hashes) -> NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + 1
        if size > _BATCH or len(batch) == _PROMPTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
