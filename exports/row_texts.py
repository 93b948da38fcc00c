"""A row as titled texts, for pages that show rows rather than train on them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from exports.formats import ANSWERS, PLAIN

SHORT = 240  # characters of a text in a list
Texts = list[tuple[str, str]]
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
    head = line[:most].rsplit(" ", 1)[0]
    return f"{head or line[:most]} …"
