"""Which rows of a look hold a phrase, in capitals or not: its texts are read once, on disk."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from exports.shelf import TEXTS, Records, read_marks

_AT_ONCE = 10_000  # rows that are copied together
# A text of a row and what may stand before the phrase in it, escapes in one piece. No other string
# of a row has this before it: within a text a quotation mark has a backslash.
_IN_A_TEXT = r'"(?:content|text)":"(?:[^"\\]|\\u.{4}|\\[^u])*(?i:%s)'


def holding(folder: Path, phrase: str) -> npt.NDArray[np.bool_]:
    """Of each row whether a text of it has the phrase. Rows that were never made have no texts.

    Raises OSError where the files are gone."""
    marks = read_marks(folder)
    found = np.zeros(len(marks), dtype=np.bool_)
    if not len(marks):
        return found
    spelt = orjson.dumps(phrase)[1:-1].decode()
    with pa.memory_map(str(folder / TEXTS)) as source:
        strings = _strings(source.read_buffer(), marks)
        somewhere = pc.match_substring(strings, spelt, ignore_case=True)
        # The names of columns and roles stand in the JSON, too; this is slower, so of few is asked.
        maybe = np.flatnonzero(somewhere.to_numpy(zero_copy_only=False)[::2])
        pattern = _IN_A_TEXT % re.escape(spelt)
        for start in range(0, len(maybe), _AT_ONCE):
            rows = maybe[start : start + _AT_ONCE]
            hits = pc.match_substring_regex(strings.take(pa.array(2 * rows)), pattern)
            found[rows] = hits.to_numpy(zero_copy_only=False)
    return found


def _strings(texts: pa.Buffer, marks: Records) -> pa.Array:
    """Each row's JSON, which ends where its provenance begins: the odd ones are provenance."""
    ends = np.empty(2 * len(marks) + 1, np.int64)
    ends[0:-1:2] = marks["place"]
    ends[1::2] = marks["place"] + marks["size"]
    ends[-1] = texts.size
    return pa.Array.from_buffers(
        pa.large_string(), 2 * len(marks), [None, pa.py_buffer(ends), texts]
    )
