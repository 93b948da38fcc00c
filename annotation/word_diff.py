"""What changed between two texts, by words. Pure; its cost has a bound whatever the texts are."""

import re
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
    steps = [("same", a[:head])]
    if max(len(x), len(y)) > MOST:
        steps += [("del", x), ("ins", y)]
    else:
        for kind, i, j, k, m in SequenceMatcher(None, x, y).get_opcodes():
            if kind == "equal":
                steps.append(("same", x[i:j]))
            else:
                steps += [("del", x[i:j]), ("ins", y[k:m])]
    steps.append(("same", a[len(a) - tail :]))
    return [(kind, "".join(tokens)) for kind, tokens in steps if tokens]


def _common(a: list[str], b: list[str]) -> int:
    """How many tokens both begin with."""
    n = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        n += 1
    return n
