"""From a file to lines of UTF-8, in constant memory: unpacking, encodings, line ends, limits."""

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.conf import settings

from annotation.errors import Refused

CHUNK = 256 * 1024
# Below this many bytes a high ratio hurts nobody.
RATIO_FLOOR = 16 * 1024**2
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
ARCHIVES = {
    b"PK\x03\x04": "a zip archive (or an Excel workbook)",
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"SQLite format 3": "an SQLite database",
}
# What no text in Windows-1252 holds: bytes without a character, and UTF-8's surrogates.
NOT_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]|\xed[\xa0-\xbf][\x80-\xbf]|\xff\xfe|\xfe\xff")
ENCODINGS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]


class ReadError(Refused):
    """The file as a whole cannot be read; `line`, if known, is where reading stopped."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Limits:
    """What one file may cost: bytes after unpacking, their ratio to the bytes before, rows, bytes
    of one row, nesting."""

    bytes: int
    ratio: int
    rows: int
    row_bytes: int
    depth: int

    @classmethod
    def of_settings(cls) -> "Limits":
        return cls(
            settings.IMPORT_MAX_BYTES,
            settings.IMPORT_MAX_RATIO,
            settings.IMPORT_MAX_ROWS,
            settings.IMPORT_MAX_ROW_BYTES,
            settings.IMPORT_MAX_DEPTH,
        )


def size_of(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def in_words(size: int) -> str:
    """4 MB, 512 kB."""
    return f"{size // 1024**2:,} MB" if size >= 1024**2 else f"{max(size // 1024, 1)} kB"


def refuse_archives(head: bytes, where: str = "The file is") -> None:
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            raise ReadError(f"{where} {name}: unpack it and import the files in it one by one.")


class Gunzip(io.RawIOBase):
    """All members of a gzip file, one after another; refuses what grows beyond the limits."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.file, self.limits = file, limits
        self.size = size_of(file)
        self.produced = 0
        self.note = ""
        self._inflate: zlib._Decompress | None = None
        self._pending = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._ended:
            if self._inflate is None and not self._next_member():
                break
            if data := self._some(len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _next_member(self) -> bool:
        while len(self._pending) < 2 and (more := self.file.read(CHUNK)):
            self._pending += more
        if not self._pending.startswith(GZIP):
            self._ended = True
            rest = len(self._pending) + sum(len(more) for more in iter(self._read, b""))
            if self._pending.strip(b"\0"):
                self.note = f"{rest} bytes after the compressed data are no gzip and were left out"
            return False
        self._inflate = zlib.decompressobj(wbits=31)
        return True

    def _read(self) -> bytes:
        return self.file.read(CHUNK)

    def _some(self, want: int) -> bytes:
        assert self._inflate is not None
        try:
            data = self._inflate.decompress(self._pending, want)
        except zlib.error as error:
            what = "its checksum does not match" if "check" in str(error) else "it is broken inside"
            raise ReadError(f"The gzip data is damaged ({what}): get the file again.") from None
        self._pending = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._pending = self._inflate.unused_data
            self._inflate = None
        elif not data and not self._pending:
            self._pending = self._read()
            if not self._pending:
                raise ReadError("The gzip data ends too early (cut off): get the file again.")
        self.produced += len(data)
        if self.produced > self.limits.bytes:
            raise ReadError(
                f"The file unpacks to more than {in_words(self.limits.bytes)} "
                "(IMPORT_MAX_BYTES): split it."
            )
        if self.produced > max(RATIO_FLOOR, self.limits.ratio * self.size):
            raise ReadError(
                f"The file unpacks to more than {self.limits.ratio} times its size "
                "(IMPORT_MAX_RATIO), as a decompression bomb does: unpack it yourself "
                "and look into it."
            )
        return data


class Recode(io.RawIOBase):
    """A stream in another encoding as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self.stream, self.encoding = stream, encoding
        self._decode = codecs.getincrementaldecoder(encoding)()
        self._out = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._out:
            data = self.stream.read(CHUNK)
            try:
                text = self._decode.decode(data, final=not data)
            except UnicodeError:
                raise ReadError(f"The file begins as {self.encoding} and breaks it.") from None
            self._out = text.encode("utf-8", "surrogatepass")
            if not data:
                break
        part, self._out = self._out[: len(buffer)], self._out[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def as_utf8(stream: io.BufferedReader, notes: list[tuple[int | None, str]]) -> io.BufferedReader:
    """The stream without byte order mark, recoded where the mark says so, with \\n line ends."""
    head = stream.peek(CHUNK)
    for mark, encoding in ENCODINGS:
        if head.startswith(mark):
            if encoding == "utf-8":
                stream.read(len(mark))
                break
            notes.append((None, f"read as {encoding.upper()}"))
            return _without_returns(io.BufferedReader(Recode(stream, encoding), CHUNK))
    else:
        sample = head[:1000]
        for encoding, places in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
            if len(sample) > 8 and places.count(0) > len(places) * 0.7:
                notes.append((None, f"read as {encoding.upper()}"))
                return _without_returns(io.BufferedReader(Recode(stream, encoding), CHUNK))
    return _without_returns(stream)


def _without_returns(stream: io.BufferedReader) -> io.BufferedReader:
    head = stream.peek(CHUNK)
    if b"\r" in head[:-1] and b"\n" not in head:
        return io.BufferedReader(Returns(stream), CHUNK)
    return stream


class Returns(io.RawIOBase):
    """A stream whose lines end in a lone carriage return, with \\n instead."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        data = self.stream.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


def lines(stream: io.BufferedReader, limits: Limits) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, the line without its end); None for a line over the limit."""
    number = 0
    while line := stream.readline(limits.row_bytes + 2):
        number += 1
        content = line.rstrip(b"\r\n")
        if len(content) <= limits.row_bytes:
            yield number, content
            continue
        while not line.endswith(b"\n") and (line := stream.readline(CHUNK)):
            pass
        yield number, None


def from_cp1252(data: bytes) -> str | None:
    """The text, if the bytes may be Windows-1252; None if they are neither that nor UTF-8."""
    return None if NOT_CP1252.search(data) else data.decode("cp1252")
