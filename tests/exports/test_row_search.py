"""The search for a phrase in rows as JSON finds exactly what a search in their texts finds."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import example, given
from hypothesis import strategies as st

from exports import row_search, row_texts, text_rules
from exports.shelf import MARKS, NONE, TEXTS, Mark

# Much of what JSON writes in another way, its own words, and letters whose capitals are odd.
LETTERS = 'aAbnruU0159f \\"\n\t\r\b\f\0\x01\x1f\x7f{}[]:,.*?|éÉßẞſsSkKσςΣiIıİ的😀'
WORDS = [
    "content", "role", "user", '"content":"', '\\"text":"', "text", "prompt", "label", "\\u0001",
    "margin", "true", "0.5", "spam", "\\n", "\\", '"', "\\E",
]  # fmt: skip
SAID = st.lists(st.one_of(st.sampled_from(WORDS), st.text(LETTERS, max_size=3)), max_size=4)
TEXT = SAID.map("".join)


TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": TEXT})
TURNS = st.lists(TURN, min_size=1, max_size=2)
ROWS = st.one_of(
    st.fixed_dictionaries({"prompt": TURNS, "completion": TURNS}),
    st.fixed_dictionaries({"chosen": TURNS, "rejected": TURNS, "margin": st.floats(0, 9)}),
    st.fixed_dictionaries({"text": TEXT, "label": st.sampled_from(["spam", "text", "x\\"])}),
    st.none(),
)


def write(folder: Path, rows: list[dict[str, Any] | None]) -> None:
    marks, texts = b"", b""
    for number, row in enumerate(rows, 1):
        said, told = b"" if row is None else orjson.dumps(row), b'{"content":"spam"}'
        numbers = dict.fromkeys(("prompt", "length", "split", "project", "source", "twin"), 0)
        marks += Mark(
            number, key=b"", digest=b"", place=len(texts), size=len(said), told=len(told),
            other=NONE, reason=0, **numbers,
        ).packed()  # fmt: skip
        texts += said + told
    (folder / MARKS).write_bytes(marks)
    (folder / TEXTS).write_bytes(texts)


def has(text: str, phrase: str) -> bool:
    found = pc.match_substring(pa.array([text]), phrase, ignore_case=True)
    return bool(found[0].as_py())


@given(st.lists(ROWS, max_size=6), TEXT.filter(bool))
@example([{"text": "a\the end"}], "the")
@example([{"text": "a\the end"}], "\\the")
@example([{"text": "\x01"}], "1")
@example([{"text": "\x1f"}], "001F")
@example([{"text": "\\", "label": "spam"}], '","label')
@example([{"text": '"content":"', "label": "spam"}], "spam")
@example([{"text": "ΟΔΟΣ"}], "οδος")
def test_as_in_the_texts(rows, phrase) -> None:
    with TemporaryDirectory() as name:
        write(Path(name), rows)
        found = row_search.holding(Path(name), phrase).tolist()
    assert found == [
        row is not None and any(has(text, phrase) for text in text_rules.texts(row)) for row in rows
    ]


@given(TEXT, TEXT.filter(bool))
@example("ΟΔΟΣ", "οδος")
@example("\u212a and \u017f", "K AND S")
def test_what_is_found_is_marked(text, phrase) -> None:
    pieces = row_texts.pieced(text, phrase)
    assert "".join(piece for piece, _ in pieces) == text
    if has(text, phrase):
        assert any(is_found for _, is_found in pieces)
