"""A row as titled texts, for pages that show rows rather than train on them. Pure."""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exports.formats import ANSWERS, PLAIN

SHORT = 240  # characters of a text in a list
LEAD = 30  # and of what stands before a phrase in it
Texts = list[tuple[str, str]]
Pieces = list[tuple[str, bool]]  # one after the other they are the text
_BLANK = re.compile(r"\s+")
TITLES = {"completion": "answer"}


def texts(kind: str, row: Mapping[str, Any]) -> Texts:
    """[(title, text)]: the prompt and the answers, or the document."""
    if kind in PLAIN:
        found = [("text", str(row["text"]))]
    else:
        found = [("prompt", said(row["prompt"]))]
        found += [(TITLES.get(name, name), said(row[name])) for name in ANSWERS[kind]]
    if "label" in row:
        thumb = {True: "good", False: "bad"}
        found.append(("label", thumb.get(row["label"], str(row["label"]))))
    return found


def said(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as text; roles are named where there is more than one turn."""
    contents = [(str(turn.get("role", "")), turn.get("content")) for turn in messages]
    known = [(role, text) for role, text in contents if isinstance(text, str) and text]
    if len(known) == 1:
        return known[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in known)


def shorten(text: str, most: int = SHORT) -> str:
    """The beginning on one line, cut at a word, with “…” where more follows. Of a conversation
    the end counts, but its beginning is what tells prompts apart in a list."""
    line = " ".join(text[: most * 4].split())
    if len(line) <= most:
        return line if len(text) <= most * 4 else f"{line} …"
    blank = line.rfind(" ", most - LEAD, most + 1)  # some scripts have none
    return f"{line[: blank if blank > 0 else most]} …"


def excerpt(text: str, phrase: str) -> Pieces:
    """The text as `shorten` gives it; where the phrase comes late, from shortly before it."""
    hit = _spelt(phrase).search(text) if phrase else None
    if not hit:
        return [(shorten(text), False)]
    start = 0
    if hit.start() > LEAD * 3 // 2:  # the list shows two lines, on a phone of 30 letters
        start = hit.start() - LEAD
        blank = _BLANK.search(text, start - 1, start + LEAD // 2)  # to begin with a word
        start = blank.end() if blank else start
    line = shorten(text[start:], SHORT + len(phrase))
    pieces = pieced(line, " ".join(phrase.split()))
    return [("… ", False), *pieces] if start else pieces


def pieced(text: str, phrase: str) -> Pieces:
    """The text in pieces, with whether each is the phrase, in capitals or not."""
    if not phrase:
        return [(text, False)]
    # Between the pieces that are not stand those that are, so they come in turns.
    pieces = _spelt(phrase, "(%s)").split(text)
    return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece]


def pieced_steps(steps: Iterable[tuple[str, str]], phrase: str) -> list[tuple[str, Pieces]]:
    """A word diff's steps, each in pieces: the phrase is looked for in the newer text as a whole,
    for it may lie across steps."""
    steps = list(steps)
    left = deque(pieced("".join(words for kind, words in steps if kind != "del"), phrase))
    found: list[tuple[str, Pieces]] = []
    for kind, words in steps:
        pieces = [(words, False)] if kind == "del" else []
        missing = 0 if pieces else len(words)
        while missing:
            piece, is_found = left.popleft()
            if piece[missing:]:
                left.appendleft((piece[missing:], is_found))
            pieces.append((piece[:missing], is_found))
            missing -= len(pieces[-1][0])
        found.append((kind, pieces))
    return found


def _spelt(phrase: str, within: str = "%s") -> re.Pattern[str]:
    return re.compile(within % re.escape(phrase), re.IGNORECASE)
