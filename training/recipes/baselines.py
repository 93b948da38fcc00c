"""A small model of words that a reward model has to beat: logistic regression on the difference of
the TF-IDF vectors of two answers. Ours, in numpy: a page of code instead of a dependency."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy

WORD = re.compile(r"\w+")
WORDS = 2000  # of the answers, the most common ones
PAIRS = 4000  # that it learns from
TURNS = 300


def words_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return WORD.findall(" ".join(message["content"] or "" for message in messages).lower())


class WordModel:
    """Fitted on the training pairs by `fit_words`."""

    def __init__(self, words: list[str], idf: numpy.ndarray) -> None:
        self.place = {word: i for i, word in enumerate(words)}
        self.idf = idf
        self.weights = numpy.zeros(len(words), dtype=numpy.float32)

    def margins(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """For each pair how far its chosen answer lies above its rejected one."""
        return [float(value) for value in self.differences(rows) @ self.weights]

    def differences(self, rows: Sequence[Mapping[str, Any]]) -> numpy.ndarray:
        """TF-IDF of chosen less that of rejected: pairs × words."""
        found = numpy.zeros((len(rows), len(self.place)), dtype=numpy.float32)
        for i, row in enumerate(rows):
            found[i] = self._vector(row["chosen"]) - self._vector(row["rejected"])
        return found

    def _vector(self, messages: Sequence[Mapping[str, Any]]) -> numpy.ndarray:
        """Counts times inverse document frequency, of length 1."""
        vector = numpy.zeros(len(self.place), dtype=numpy.float32)
        for word, count in Counter(words_of(messages)).items():
            if (place := self.place.get(word)) is not None:
                vector[place] = count * self.idf[place]
        size = float(numpy.linalg.norm(vector))
        return vector / size if size else vector


def fit_words(
    rows: Iterable[Mapping[str, Any]], check: Callable[[], None] = lambda: None
) -> WordModel | None:
    """The model of the first PAIRS pairs; None where they have no word twice.

    idf = ln((1 + n) / (1 + df)) + 1 over answers, as scikit-learn's; the loss is the mean of
    ln(1 + e^-margin) plus |w|²/2n, minimised by Nesterov's gradient steps."""
    pairs = list(islice(rows, PAIRS))
    frequency: Counter[str] = Counter()
    for row in pairs:
        check()
        for side in ("chosen", "rejected"):
            frequency.update(set(words_of(row[side])))
    # Of equally common words the first by the alphabet: the same rows give the same model.
    known = sorted((w for w, n in frequency.items() if n > 1), key=lambda w: (-frequency[w], w))
    known = known[:WORDS]
    if not known:
        return None
    answers = 2 * len(pairs)
    idf = numpy.array([math.log((1 + answers) / (1 + frequency[w])) + 1 for w in known])
    model = WordModel(known, idf.astype(numpy.float32))
    features = model.differences(pairs)
    ridge = 1 / len(pairs)
    # The loss bends no more than this: |difference|² is at most 4, a logistic's bend a quarter.
    step = 1 / (float((features**2).sum(1).max()) / 4 + ridge)
    weights: numpy.ndarray = model.weights
    ahead = weights
    for turn in range(TURNS):
        check()
        slope = -1 / (1 + numpy.exp(features @ ahead))
        gradient = features.T @ slope / len(pairs) + ridge * ahead
        last, weights = weights, ahead - step * gradient
        ahead = weights + turn / (turn + 3) * (weights - last)
    model.weights = weights
    return model
