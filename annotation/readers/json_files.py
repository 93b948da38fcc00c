"""JSON Lines and JSON documents (array, keyed object, object around an array), streamed."""

import codecs
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from annotation.readers.streams import CHUNK, Limits, ReadError, from_cp1252, in_words, lines

Row = dict[str, Any]
Found = tuple[int, "Row | str"]  # a number, and the row or why it is none
WHITE = " \t\r\n"
# Keys whose list belongs to one row; a list under another key holds the rows.
OF_ONE_ROW = {"conversations", "messages", "turns", "candidates", "instances"}
KINDS = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}


class Foreign:
    """Counts the lines that were no UTF-8 and were read as Windows-1252."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0

    def add(self, number: int) -> None:
        self.count += 1
        self.first = self.first or number

    def note(self) -> str:
        which = "a line is" if self.count == 1 else f"{self.count} lines are"
        return f"{which} not UTF-8 and read as Windows-1252; the first is line {self.first}"


def read_jsonl(stream: io.BufferedReader, limits: Limits, foreign: Foreign) -> Iterator[Found]:
    for number, line in lines(stream, limits):
        if line is None:
            yield number, f"is longer than {in_words(limits.row_bytes)} (IMPORT_MAX_ROW_BYTES)"
        elif line and not line.isspace():
            yield number, parse(line, limits, foreign, number)


def parse(line: bytes, limits: Limits, foreign: Foreign, number: int) -> Row | str:
    """The object in the line, or the reason why there is none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            line.decode()
        except UnicodeDecodeError as where:
            text = from_cp1252(line)
            if text is None:
                return f"is not UTF-8 (byte {where.start + 1} is 0x{line[where.start]:02X})"
            foreign.add(number)
            return parse(text.encode(), limits, foreign, number)
        return _why(error, line)
    if type(row) is not dict:
        return f"is {KINDS.get(type(row), 'a number')}, not an object"
    if line.count(b"[") + line.count(b"{") > limits.depth and _depth(row) > limits.depth:
        return f"is nested deeper than {limits.depth} levels (IMPORT_MAX_DEPTH)"
    # To look for each of very many keys takes longer than to parse once more.
    doubtful = len(row) > 100 or any(line.count(b'"%s"' % key.encode()) > 1 for key in row)
    if doubtful and (key := _doubled(line)):
        return f"has the key “{key}” twice"
    return row


def _why(error: orjson.JSONDecodeError, line: bytes) -> str:
    """The parser's message in the words of the person who has the file."""
    message = error.msg.split(": line")[0]
    if "surrogate" in message:
        return "holds half of a character (a lone surrogate, \\ud800 to \\udfff)"
    if "depth" in message or "recursion" in message.lower():
        return "is nested too deep"
    if "infinity" in message:
        return "holds a number that is too large"
    if "control character" in message:
        what = "a NUL byte" if b"\0" in line else "a raw control character"
        return f"is not JSON: {what} inside a text"
    if "content after" in message:
        message = "more text follows after the object"
    return f"is not JSON ({message}, at character {error.pos + 1})"


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        inner, level = todo.pop()
        deepest = max(deepest, level)
        if isinstance(inner, dict):
            todo.extend((v, level + 1) for v in inner.values() if isinstance(v, dict | list))
        elif isinstance(inner, list):
            todo.extend((v, level + 1) for v in inner if isinstance(v, dict | list))
    return deepest


def _doubled(line: bytes) -> str:
    """A key that stands twice in one object; empty if none does."""
    found: list[str] = []

    def pairs(entries: list[tuple[str, Any]]) -> None:
        if len(counts := Counter(key for key, _ in entries)) < len(entries):
            found.extend(key for key, count in counts.items() if count > 1)

    json.JSONDecoder(object_pairs_hook=pairs, parse_int=len, parse_float=len).decode(line.decode())
    return found[0] if found else ""


class Text:
    """A window on a long JSON text. Values are cut out by the standard library's scanner, which
    knows where one ends; their content is parsed again by `parse`, with its checks."""

    def __init__(self, stream: io.BufferedReader, limits: Limits) -> None:
        self.stream, self.limits = stream, limits
        self.buffer, self.at, self.ended = "", 0, False
        self.foreign = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder(
            parse_int=len, parse_float=len, parse_constant=len, strict=False
        ).raw_decode

    def more(self) -> bool:
        """Take in more of the stream; false at its end."""
        data = self.stream.read(CHUNK)
        if not data:
            self.ended = True
        self.buffer = self.buffer[self.at :] + self._decoded(data)
        self.at = 0
        return not self.ended

    def _decoded(self, data: bytes) -> str:
        if self.foreign:
            return data.decode("cp1252", "replace")
        try:
            return self._utf8.decode(data, final=not data)
        except UnicodeDecodeError as error:
            text = from_cp1252(error.object)
            if text is None:
                raise ReadError("The file is neither UTF-8 nor Windows-1252.") from None
            self.foreign = True
            return text

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in WHITE:
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                return ""

    def expect(self, characters: str, number: int) -> str:
        char = self.peek()
        if not char:
            raise ReadError(f"The JSON ends too early, after row {number}: it is cut off.", number)
        if char not in characters:
            raise ReadError(
                f"The JSON is broken after row {number}: “{char}” stands there.", number
            )
        self.at += 1
        return char

    def value(self, number: int) -> str:
        """The text of the next value."""
        self.peek()
        while True:
            try:
                _, end = self._scan(self.buffer, self.at)
                if end < len(self.buffer) or self.ended:
                    break
            except RecursionError:
                raise ReadError(f"Row {number} is nested too deep.", number) from None
            except ValueError as error:
                if self.ended:
                    raise ReadError(
                        f"The JSON ends in the middle of row {number}, or is broken there "
                        f"({str(error).split(':')[0]}).",
                        number,
                    ) from None
            if len(self.buffer) - self.at > self.limits.row_bytes + CHUNK:
                raise ReadError(
                    f"Row {number} is broken or larger than {in_words(self.limits.row_bytes)} "
                    "(IMPORT_MAX_ROW_BYTES).",
                    number,
                )
            self.more()
        text, self.at = self.buffer[self.at : end], end
        return text


def read_document(stream: io.BufferedReader, limits: Limits, foreign: Foreign) -> Iterator[Found]:
    text = Text(stream, limits)
    rows = _array(text, 0) if text.peek() == "[" else _object(text)
    for number, (value, key) in enumerate(rows, 1):
        if text.foreign and not foreign.count:
            foreign.add(number)
        if len(value) > limits.row_bytes:
            yield number, f"is longer than {in_words(limits.row_bytes)} (IMPORT_MAX_ROW_BYTES)"
            continue
        row = parse(value.encode("utf-8", "surrogatepass"), limits, foreign, number)
        if key is not None and isinstance(row, dict):
            row.setdefault("id", key)
        yield number, row
    if text.peek():
        raise ReadError("More text follows after the end of the JSON.")


def _array(text: Text, number: int) -> Iterator[tuple[str, str | None]]:
    text.expect("[", number)
    if text.peek() == "]":
        text.at += 1
        return
    while True:
        number += 1
        yield text.value(number), None
        if text.expect(",]", number) == "]":
            return


def _object(text: Text) -> Iterator[tuple[str, str | None]]:
    """Entries of a keyed object, the rows of the list in an object, or the object as one row."""
    text.peek()
    if (first := _first_entry(text)) == "one":
        yield text.value(1), None
        return
    text.expect("{", 0)
    number = 0
    while True:
        key = json.loads(text.value(number + 1))
        text.expect(":", number)
        if first == "rows" and text.peek() == "[":
            for value, _ in _array(text, number):
                number += 1
                yield value, None
        elif first == "rows":
            text.value(number)
        else:
            number += 1
            yield text.value(number), str(key)
        if text.expect(",}", number) == "}":
            return


def _first_entry(text: Text) -> str:
    """ "entries", "rows" or "one": how the object holds its rows, by what its first key holds."""
    while len(text.buffer) - text.at < 4096 and text.more():
        pass
    at = text.at + 1
    try:
        while text.buffer[at] in WHITE:
            at += 1
        key, at = json.JSONDecoder().raw_decode(text.buffer, at)
        while text.buffer[at] in WHITE + ":":
            at += 1
    except (ValueError, IndexError):
        return "one"
    if text.buffer[at] == "{":
        return "entries"
    return "rows" if text.buffer[at] == "[" and key not in OF_ONE_ROW else "one"
