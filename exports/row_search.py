"""Which rows of a look hold a phrase, in capitals or not: its texts are read once, on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from exports import text_rules
from exports.shelf import TEXTS, read_marks


def holding(folder: Path, phrase: str) -> npt.NDArray[np.bool_]:
    """Of each row whether a text of it has the phrase. Rows that were never made have no texts.

    Raises OSError where the files are gone."""
    marks = read_marks(folder)
    found = np.zeros(len(marks), dtype=np.bool_)
    if not len(marks):
        return found
    with pa.memory_map(str(folder / TEXTS)) as source:
        texts = source.read_buffer()
        maybe = _in_json(texts, marks, orjson.dumps(phrase)[1:-1].decode())
        wanted, view = phrase.lower(), memoryview(texts)
        # The names of columns and roles stand in the JSON, too.
        for at in np.flatnonzero(maybe).tolist():
            place, size = int(marks["place"][at]), int(marks["size"][at])
            row = orjson.loads(view[place : place + size])
            found[at] = any(wanted in text.lower() for text in text_rules.texts(row))
    return found


def _in_json(texts: pa.Buffer, marks: Any, spelt: str) -> Any:
    """Whether the JSON of each row has it. Each row's JSON ends where its provenance begins, so the
    odd ones of these strings are provenance."""
    ends = np.empty(2 * len(marks) + 1, np.int64)
    ends[0:-1:2] = marks["place"]
    ends[1::2] = marks["place"] + marks["size"]
    ends[-1] = texts.size
    strings = pa.Array.from_buffers(
        pa.large_string(), 2 * len(marks), [None, pa.py_buffer(ends), texts]
    )
    hits = pc.match_substring(strings, spelt, ignore_case=True)
    return hits.to_numpy(zero_copy_only=False)[::2]
