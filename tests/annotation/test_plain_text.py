"""Plain text against tables: which a file is, and the documents that it holds."""

import gzip
import io

import pytest

from annotation.layouts import recognise
from annotation.readers import Limits, ReadError, open_source

LIMITS = Limits(bytes=64 * 1024**2, ratio=200, rows=1000, row_bytes=10_000, depth=50)
PROSE = "Once, upon a time, there was a sky.\nIt was blue, mostly.\n"


def read(data: bytes) -> tuple[str, list, list]:
    source = open_source(io.BytesIO(data), LIMITS)
    rows = list(source.rows())
    return source.format, rows, [note for _, note in source.notes]


@pytest.mark.parametrize(
    "data",
    [
        b"prompt\nSky?\n",
        b"Prompt,Answer\nSky?,Blue.\n",
        b"Frage;Antwort\nWas?;Das.\n",
        b"Frage;Antwort\nWas, bitte?;Das.\nWer;\n",
        b"Frage,Antwort\n",
        b'id-1,"Why, then?",Because it is so and no other way is known to anybody here\n'
        b'id-2,"Who, me?",Nobody is known to have done it in all of these many years\n',
        b"a\tb c d e f g h i j\tc\n1\t2\t3\n",
        b'"prompt","response"\n"Sky,\nagain?","Blue."\n',
    ],
)
def test_these_are_tables(data: bytes) -> None:
    source = open_source(io.BytesIO(data), LIMITS)
    assert source.format == "csv"


@pytest.mark.parametrize(
    "data", [PROSE.encode(), b"one", b"A sky.\n\nA sea, wide.\n", b"# Title\nx"]
)
def test_these_are_text(data: bytes) -> None:
    assert open_source(io.BytesIO(data), LIMITS).format == "text"


def test_blank_lines_divide_documents() -> None:
    text = "\n\nOne,\nstill one.\n\n \t\nTwo.\r\n\r\nThree."
    form, rows, notes = read(text.encode())
    assert form == "text"
    assert rows == [
        (3, {"text": "One,\nstill one."}),
        (7, {"text": "Two."}),
        (9, {"text": "Three."}),
    ]
    assert notes == ["read as plain text: 3 documents, with blank lines between them"]
    assert recognise([row for _, row in rows]) == "text"


def test_without_blank_lines_each_line_is_a_document() -> None:
    _, rows, notes = read(gzip.compress(PROSE.encode()))
    assert [row["text"] for _, row in rows] == PROSE.splitlines()
    assert notes == ["read as plain text: 2 documents, one a line"]


@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_a_document_over_the_limit_is_refused_and_the_next_one_read(between: str) -> None:
    text = between.join(["One.", "x" * 10_001, "Three."])
    _, rows, _ = read(text.encode())
    assert [row for _, row in rows] == [
        {"text": "One."},
        "is longer than 9 kB (IMPORT_MAX_ROW_BYTES)",
        {"text": "Three."},
    ]
    many = "One.\n\n" + "line of words\n" * 1000 + "\nThree."
    _, rows, _ = read(many.encode())
    assert [row for _, row in rows] == [
        {"text": "One."},
        "is longer than 9 kB (IMPORT_MAX_ROW_BYTES)",
        {"text": "Three."},
    ]


def test_other_encodings_are_read_and_said() -> None:
    text = "Der Himmel über uns, heute.\nEr ist blau.\n"
    _, rows, notes = read(text.encode("cp1252"))
    assert rows[0] == (1, {"text": "Der Himmel über uns, heute."})
    assert "read as Windows-1252; the first is line 1" in notes[1]
    _, rows, notes = read(text.encode("utf-16"))
    assert len(rows) == 2 and notes[0] == "read as UTF-16"
    _, rows, _ = read(b"A sky.\n\nHalf \xed\xa0\x80 of it.")
    assert rows[1] == (3, "is neither UTF-8 nor Windows-1252")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ReadError):
        read(bytes(range(256)) * 4)


def test_a_long_text_without_blank_lines_is_looked_at_once() -> None:
    """A search that begins anew at each character would take minutes."""
    line = "word " * 1900
    _, rows, _ = read("\n".join([line] * 300).encode())
    assert len(rows) == 300
