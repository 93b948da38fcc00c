"""Files as streams of rows: what each format gives, and the one sentence for what is no file."""

import gzip
import io
import json
import zlib
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from annotation.readers import Limits, ReadError, open_source
from annotation.readers.streams import Gunzip

LIMITS = Limits(bytes=64 * 1024**2, ratio=200, rows=1000, row_bytes=10_000, depth=50)
ROWS = [{"instruction": f"Say {n}.", "response": f"É{n}"} for n in range(5)]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def read(data: bytes, limits: Limits = LIMITS) -> tuple[str, list, list]:
    source = open_source(io.BytesIO(data), limits)
    rows = list(source.rows())
    return source.format, rows, [note for _, note in source.notes]


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ReadError) as error:
        read(data, limits)
    return str(error.value)


def numbered(rows: list) -> list:
    return list(enumerate(rows, 1))


@pytest.mark.parametrize(
    "data",
    [
        JSONL,
        JSONL.rstrip(b"\n"),
        JSONL.replace(b"\n", b"\r\n"),
        JSONL.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + JSONL,
        gzip.compress(JSONL),
        gzip.compress(JSONL[:60]) + gzip.compress(JSONL[60:]),
        gzip.compress(JSONL) + b"\0" * 512,
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=4).encode(),
        gzip.compress(json.dumps({"data": ROWS}).encode()),
    ],
)
def test_the_same_rows_in_every_json_dress(data: bytes) -> None:
    assert read(data)[1] == numbered(ROWS)
    assert read(data)[2] == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_read_and_said(encoding: str) -> None:
    _, rows, notes = read(JSONL.decode().encode(encoding))
    assert rows == numbered(ROWS)
    assert notes == [f"read as {encoding.upper()}"]


def test_windows_1252_is_read_line_by_line_and_said() -> None:
    mixed = JSONL + '{"instruction": "café – “so”"}\n'.encode("cp1252")
    _, rows, notes = read(mixed)
    assert rows[-1] == (6, {"instruction": "café – “so”"})
    assert notes == ["a line is not UTF-8 and read as Windows-1252; the first is line 6"]


def test_what_is_neither_is_refused_by_line() -> None:
    _, rows, _ = read(JSONL + b'{"a": "x\xed\xa0\x80"}\n')
    assert rows[-1] == (6, "is not UTF-8 (byte 9 is 0xED)")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": "x', "is not JSON (unexpected end of data"),
        (b'{"a": 1,}', "is not JSON (trailing comma"),
        (b'{"a": 1}{"b": 2}', "more text follows after the object"),
        (b"[1]", "is a list, not an object"),
        (b'"text"', "is a text, not an object"),
        (b"null", "is null, not an object"),
        (b"12", "is a number, not an object"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": 1e400}', "a number that is too large"),
        (b'{"a": "x\x00y"}', "a NUL byte inside a text"),
        (b'{"a": "\\ud800"}', "half of a character"),
        (b'{"a": ' + b"[" * 60 + b"]" * 60 + b"}", "nested deeper than 50"),
        (b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}", "nested too deep"),
        (b'{"a": "first", "a": "second"}', "has the key “a” twice"),
        (b'{"a": "' + b"x" * 10_001 + b'"}', "is longer than 9 kB"),
    ],
)
def test_a_bad_line_is_refused_and_the_rest_is_read(line: bytes, reason: str) -> None:
    _, rows, _ = read(JSONL + line + b"\n\n  \n" + JSONL)
    assert len(rows) == 11
    assert rows[5][0] == 6 and reason in rows[5][1]
    assert rows[6] == (9, ROWS[0])  # blank lines count as lines and are no rows


def test_separators_inside_a_text_end_no_line() -> None:
    text = "one\u2028two\u2029three\x85four"
    data = json.dumps({"a": text}, ensure_ascii=False).encode() + b"\n"
    assert read(data * 2)[1] == numbered([{"a": text}] * 2)


def test_a_keyed_object_gives_its_entries_with_the_key_as_id() -> None:
    data = json.dumps({"k1": {"q": "a"}, "k2": {"q": "b", "id": 7}}, indent=1).encode()
    assert read(data)[1] == [(1, {"q": "a", "id": "k1"}), (2, {"q": "b", "id": 7})]


def test_an_object_alone_is_one_row() -> None:
    one = {"conversations": [{"from": "human", "value": "hi"}], "id": "a"}
    assert read(json.dumps(one).encode())[1] == [(1, one)]
    assert read(json.dumps(one, indent=2).encode())[1] == [(1, one)]
    assert read(json.dumps(ROWS[0], indent=2).encode())[1] == [(1, ROWS[0])]


def test_an_array_larger_than_the_window_is_cut_at_its_elements() -> None:
    rows = [{"n": n, "text": "}],[{" * (n % 700)} for n in range(900)]
    for indent in (None, 2):
        assert read(json.dumps(rows, indent=indent).encode())[1] == numbered(rows)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \n\t", "nothing but white space"),
        (b"[]", "holds no rows"),
        (b"a,b\n", "a header and no rows"),
        (b'[{"a": 1}, {"b": "x', "ends in the middle of row 2"),
        (b'[{"a": 1}', "ends too early"),
        (b'[{"a": 1} {"b": 2}]', "broken after row 1"),
        (b'[{"a": 1}] tail', "More text follows"),
        (b"[" * 100_000, "nested too deep"),
        (b"PK\x03\x04...", "a zip archive"),
        (b"BZh9...", "bzip2"),
        (b"PAR1" + b"x" * 50, "Parquet file is not whole"),
        (gzip.compress(gzip.compress(JSONL)), "compressed twice"),
        (gzip.compress(b"PK\x03\x04..."), "gzipped file holds a zip archive"),
        (gzip.compress(JSONL)[:-20], "ends too early"),
        (gzip.compress(JSONL)[:-8] + b"\1\2\3\4" + gzip.compress(JSONL)[-4:], "checksum"),
        (b"id,a,a\n1,2,3\n", "“a” twice"),
        (b'id,a\n1,"open\n2,b\n3,"c"\n', "row of line 2 a quote opens"),
    ],
)
def test_one_clear_sentence_for_a_file_that_is_none(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_garbage_after_the_compressed_data_is_noted() -> None:
    _, rows, notes = read(gzip.compress(JSONL) + b"garbage")
    assert rows == numbered(ROWS)
    assert notes == ["7 bytes after the compressed data are no gzip and were left out"]


@pytest.mark.parametrize("unit", [b'{"a": "b"}\n', b"x"])
def test_a_bomb_is_given_back_after_a_bounded_number_of_bytes(unit: bytes) -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    head = squeeze.compress(b'{"a": "')
    bomb = head + b"".join(squeeze.compress(unit * 100_000) for _ in range(400)) + squeeze.flush()
    wide = Limits(bytes=10**10, ratio=200, rows=10**9, row_bytes=10_000, depth=50)
    assert "decompression bomb" in refusal(bomb, wide)
    packed = Gunzip(io.BytesIO(bomb), wide)
    with pytest.raises(ReadError):
        while packed.read(1 << 16):
            pass
    assert packed.produced <= max(16 * 1024**2, 200 * len(bomb)) + (1 << 18)


def test_limits_on_bytes_and_rows() -> None:
    small = Limits(bytes=100, ratio=200, rows=3, row_bytes=10_000, depth=50)
    assert "larger than 1 kB" in refusal(JSONL * 100, small)
    assert "unpacks to more than" in refusal(gzip.compress(JSONL * 100), small)
    few = Limits(bytes=10**6, ratio=200, rows=3, row_bytes=10_000, depth=50)
    assert "more than 3 rows" in refusal(JSONL, few)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_tables_with_any_separator(mark: str) -> None:
    lines = [
        ("\ufeff ID ", "Instruction", "Response "),
        ("1", '"two\r\nlines, a ; | and a ""quote"""', "x"),
        ("2", "", "y"),
    ]
    form, rows, _ = read("\r\n".join(mark.join(line) for line in lines).encode())
    assert form == "csv"
    assert rows == [
        (2, {"id": "1", "instruction": 'two\nlines, a ; | and a "quote"', "response": "x"}),
        (4, {"id": "2", "instruction": "", "response": "y"}),
    ]


def test_ragged_rows_are_refused_by_line() -> None:
    _, rows, _ = read(b"a,b\n1,2\n1\n\n1,2,3\n")
    assert rows[1:] == [(3, "has 1 cell; the header has 2"), (5, "has 3 cells; the header has 2")]


def test_parquet_rows_are_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "x"
    table = pyarrow.table({"a": ["x", None], "b": [[1, 2], []], "c": [b"bytes", None]})
    parquet.write_table(table, path)
    _, rows, _ = read(path.read_bytes())
    assert rows == [
        (1, {"a": "x", "b": [1, 2], "c": "bytes"}),
        (2, {"a": None, "b": [], "c": None}),
    ]


def test_a_parquet_bomb_is_given_back_by_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "x"
    parquet.write_table(
        pyarrow.table({"a": ["x" * 30_000_000]}), path, compression="zstd", use_dictionary=False
    )
    assert path.stat().st_size < 100_000
    assert "decompression bomb" in refusal(path.read_bytes())


def test_names_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "wrong.parquet"
    path.write_bytes(gzip.compress(JSONL))
    with path.open("rb") as file:
        assert [row for _, row in open_source(file, LIMITS).rows()] == ROWS
