"""How texts are compared (normalised, then hashed), and read as numbers. Pure."""

import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any


def row_number(text: str) -> int | None:
    """The number of a row as an address or a program gives it; None for what cannot be one: words,
    and more digits than a database's number has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def normalise(text: str) -> str:
    """NFC, white space folded to single blanks, ends stripped: what 'the same text' means here."""
    if not text:
        return text
    if text.isascii():
        # Looking for white space is twenty times as quick as taking the text apart at it.
        if "  " not in text and not _other_white(text):
            return text.strip()
    else:
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def _other_white(text: str) -> bool:
    """Does an ASCII text hold white space other than blanks? Looking for one character at a time is
    quicker than any other way to ask."""
    return (
        "\n" in text
        or "\t" in text
        or "\r" in text
        or "\x0b" in text
        or "\x0c" in text
        or "\x1c" in text
        or "\x1d" in text
        or "\x1e" in text
        or "\x1f" in text
    )


def digest(*parts: str) -> str:
    """32 hex digits over the parts; the unit separator keeps ("ab", "c") apart from ("a", "bc")."""
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def text_fingerprint(text: str) -> str:
    return digest(normalise(text))


def prompt_fingerprint(system: str, messages: Iterable[Mapping[str, Any]], context: str) -> str:
    """Of the normalised system, messages (role and content) and context."""
    turns = (f"{m['role']}\x1e{normalise(m.get('content') or '')}" for m in messages)
    return digest(normalise(system), *turns, normalise(context))


def root_key(messages: Iterable[Mapping[str, Any]], fallback: str = "") -> str:
    """Of the first user turn, normalised and case-folded; of `fallback` for a document."""
    first = next((m.get("content") or "" for m in messages if m["role"] == "user"), fallback)
    return digest(normalise(first).casefold())


def prompt_keys(system: str, messages: list[dict[str, Any]], context: str) -> tuple[str, str]:
    """(`prompt_fingerprint`, `root_key`); the commonest prompt, one user turn, is normalised once.
    A document has no fingerprint."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        text = normalise(messages[0].get("content") or "")
        mark = digest(normalise(system), f"user\x1e{text}", normalise(context))
        return mark, digest(text.casefold())
    mark = prompt_fingerprint(system, messages, context) if messages else ""
    return mark, root_key(messages, fallback=system + context)
