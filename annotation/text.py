"""How texts are compared (normalised, then hashed), and read as numbers. Pure."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any


def row_number(text: str) -> int | None:
    """The number of a row as an address or a program gives it; None for what cannot be one: words,
    and more digits than a database's number has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def normalise(text: str) -> str:
    """NFC, white space folded to single blanks, ends stripped: what 'the same text' means here."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def digest(*parts: str) -> str:
    """32 hex digits over the parts; the unit separator keeps ("ab", "c") apart from ("a", "bc")."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


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
