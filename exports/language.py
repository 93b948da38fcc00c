"""Which language a text is in, or that it is not sure. Pure but for a model that is loaded once.

The model is py3langid's (Lui and Baldwin 2012: naive Bayes over byte sequences). Its automaton
walks through many texts at a time here, which takes a fraction of the time and gives its scores."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LOOKED_AT = 200  # characters
CONFIDENCE = 0.5  # of the model, at least
LETTERS = 10  # at least, outside code and addresses
SIGNS = 4  # of Han, kana or Hangul, each of which says more
_AT_ONCE = 512  # texts
_NO_LANGUAGE = "zxx"

_NOISE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+", re.DOTALL)
_SIGN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class _Model:
    next_state: NDArray[np.uint32]
    row: NDArray[np.int64]  # of a state, in next_state
    feature: NDArray[np.int64]  # that a state completes, -1 for none
    weights: NDArray[np.float32]
    prior: NDArray[np.float32]
    languages: list[str]
    same: list[tuple[int, int]]  # columns of one language in two scripts


@lru_cache(maxsize=1)
def _model() -> _Model:
    """About 90 MiB, and a second to load."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    loaded = LanguageIdentifier.from_model_file(MODEL_FILE)
    return _Model(
        np.asarray(loaded.tk_nextmove),
        np.asarray(loaded.tk_row, np.int64) << 8,
        np.asarray(loaded.tk_output, np.int64),
        loaded.nb_ptc.astype(np.float32),
        loaded.nb_pc.astype(np.float32),
        list(loaded.nb_classes),
        list(loaded._alias_pairs),
    )


def identify(texts: Sequence[str]) -> list[str]:
    """For each text the ISO 639 code of its language, "" for not sure: short texts, code, lists of
    names, a mixture of languages. Only the first LOOKED_AT characters are looked at."""
    found: list[str] = []
    for start in range(0, len(texts), _AT_ONCE):
        prepared = [_prepared(text) for text in texts[start : start + _AT_ONCE]]
        for (language, confidence), text in zip(_scored(prepared), prepared, strict=True):
            sure = text and confidence >= CONFIDENCE and language != _NO_LANGUAGE
            found.append(language if sure else "")
    return found


def _prepared(text: str) -> bytes:
    """What the model reads; nothing where there is too little to read."""
    text = text[:LOOKED_AT]
    if "`" in text or "://" in text or "@" in text:
        text = _NOISE.sub(" ", text)
    if sum(map(str.isalpha, text[: 4 * LETTERS])) < LETTERS and len(_SIGN.findall(text)) < SIGNS:
        return b""
    if text.isupper():
        text = text.lower()
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")


def _scored(texts: Sequence[bytes]) -> list[tuple[str, float]]:
    """The likeliest language of each text, and how sure the model is (0 to 1)."""
    model = _model()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    order = np.argsort(-lengths, kind="stable")  # so that those still walking come first
    width = int(lengths.max(initial=0))
    signs = np.zeros((width, len(texts)), np.int64)
    for place, text in enumerate(order.tolist()):
        signs[: lengths[text], place] = np.frombuffer(texts[text], np.uint8)
    walking = np.searchsorted(-lengths[order], -np.arange(width), "left")
    states = np.zeros(len(texts), np.int64)
    seen = np.full((width, len(texts)), -1, np.int64)
    for step, count in enumerate(walking.tolist()):
        moved = model.next_state[model.row[states[:count]] + signs[step, :count]]
        states[:count] = moved
        seen[step, :count] = model.feature[moved]
    steps, places = np.nonzero(seen >= 0)
    keys, times = np.unique(places << 32 | seen[steps, places], return_counts=True)
    weighted = np.log1p(times.astype(np.float32))
    bounds = np.searchsorted(keys, np.arange(len(texts) + 1) << 32)
    features = keys & 0xFFFFFFFF
    scores = np.zeros((len(texts), len(model.languages)), np.float32)
    for place, text in enumerate(order.tolist()):
        own = slice(bounds[place], bounds[place + 1])
        if own.start < own.stop:
            scores[text] = weighted[own] @ model.weights[features[own]] + model.prior
    # The root of the length keeps the confidence comparable, as py3langid has it.
    scores /= np.sqrt(np.maximum(lengths, 1))[:, None]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    scores /= scores.sum(axis=1, keepdims=True)
    for first, second in model.same:
        scores[:, first] += scores[:, second]
        scores[:, second] = 0
    best = scores.argmax(axis=1)
    confidence = scores[np.arange(len(texts)), best]
    return [(model.languages[one], float(sure)) for one, sure in zip(best, confidence, strict=True)]
