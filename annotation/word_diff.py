"""What changed between two texts, by words. Pure; its cost has a bound whatever the texts are."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

# Words, runs of space, single signs; scripts without spaces between words go by the letter.
_TOKEN = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|\w+|\s+|[^\w\s]")
MOST = 2000  # words beyond which a difference is not searched for: then the whole middle changed


def word_diff(before: str, after: str) -> list[tuple[str, str]]:
    """[(kind, text)] in order; kind is "same", "del" or "ins". The texts without "ins" are
    `before`, those without "del" are `after`."""
    a, b = _TOKEN.findall(before), _TOKEN.findall(after)
    head = _common(a, b)
    tail = _common(a[head:][::-1], b[head:][::-1])
    x, y = a[head : len(a) - tail], b[head : len(b) - tail]
    blocks = [(len(x), len(y), 0)]
    if max(len(x), len(y)) <= MOST:
        blocks = _readable(SequenceMatcher(None, x, y).get_matching_blocks(), x)
    steps = [("same", a[:head])]
    i = j = 0
    for k, m, size in blocks:
        steps += [("del", x[i:k]), ("ins", y[j:m]), ("same", x[k : k + size])]
        i, j = k + size, m + size
    steps.append(("same", a[len(a) - tail :]))
    return [(kind, "".join(tokens)) for kind, tokens in steps if tokens]


def _readable(blocks: Sequence[tuple[int, int, int]], x: list[str]) -> list[tuple[int, int, int]]:
    """The blocks (place in x, place in y, size) that both texts share, without those that only cut
    a replacement into bits: a word or a space, no longer than what changed before and after it."""
    while True:
        kept: list[tuple[int, int, int]] = []
        end = (0, 0)
        for (i, j, size), after in zip(blocks, [*blocks[1:], (0, 0, 0)], strict=True):
            gone = (i - end[0], after[0] - i - size)
            come = (j - end[1], after[1] - j - size)
            bit = len("".join(x[i : i + size]).split()) <= 1 and any(gone)
            if i == len(x) or not bit or size > min(map(max, zip(gone, come, strict=True))):
                kept.append((i, j, size))
                end = (i + size, j + size)
        if len(kept) == len(blocks):
            return kept
        blocks = kept


def _common(a: list[str], b: list[str]) -> int:
    """How many tokens both begin with."""
    n = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        n += 1
    return n
