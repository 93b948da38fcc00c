"""The files of a dataset directory read as one: what `opened` gives for an import of a folder.

Which files those are stands in a small file of ours, written when the import is made. Rows are
numbered through; notes at the end say which of them are of which file."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from annotation.folders import inside
from annotation.readers import Limits, ReadError, open_source
from annotation.readers.streams import in_words
from annotation.readers.tables import plain
from annotation.records import Record

NAME = "folder.json"
NAMED = 20  # files, in notes


@dataclass(frozen=True)
class Stored:
    """A file of a split: its name in the directory, where it lies (empty: in the directory) and its
    size in bytes."""

    split: str
    name: str
    size: int
    at: str = ""


class Manifest(ContentFile):
    """The list of files, as something that can be stored like an upload."""

    def __init__(self, files: list[Stored], root: Path | None, left: list[str]) -> None:
        said = {"root": str(root or ""), "left": left, "files": [asdict(file) for file in files]}
        super().__init__(json.dumps(said).encode(), name=NAME)


class FolderFile:
    """Stands where an opened file stands: `seek`, `tell` in bytes of all files, `source`."""

    def __init__(self, path: str) -> None:
        with default_storage.open(path, "rb") as file:
            said = json.loads(file.read())
        self.root = Path(said["root"]) if said["root"] else None
        self.left: list[str] = said["left"]
        self.files = [Stored(**file) for file in said["files"]]
        self.size = sum(file.size for file in self.files)
        self.before = 0
        self.now: BinaryIO | None = None

    def __enter__(self) -> "FolderFile":
        return self

    def __exit__(self, *_: object) -> None:
        """Each file is closed when it is read."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """To the beginning; (0, 2): nothing moves, and the answer is the size."""
        if whence:
            return self.size
        self.before, self.now = 0, None
        return 0

    def tell(self) -> int:
        return min(self.before + (self.now.tell() if self.now else 0), self.size)

    def source(self, limits: Limits | None = None) -> "FolderSource":
        return FolderSource(self, limits or Limits.of_settings())

    @contextmanager
    def opened(self, file: Stored) -> Iterator[BinaryIO]:
        """One of the files. Raises ReadError if it is not there any more, Refused if it leads out
        of the directory by now."""
        try:
            if file.at:
                stream = cast(BinaryIO, default_storage.open(file.at, "rb"))
            else:
                assert self.root is not None
                stream = cast(BinaryIO, open(inside(self.root, file.name), "rb"))  # noqa: SIM115
        except OSError as error:
            raise ReadError(f"{file.name} cannot be opened ({error.strerror or error}).") from None
        with stream:
            self.now = stream
            yield stream
            self.now = None
        self.before += file.size


class FolderSource:
    """One reading of all files, in the shape of `readers.Source`."""

    format = "folder"

    def __init__(self, folder: FolderFile, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.notes: list[tuple[int | None, str]] = []
        self._starts: list[int] = []

    def rows(self) -> Iterator[tuple[int | None, Any]]:
        """(number, row) or (number, why it is no row). Raises ReadError; once only."""
        number = 0
        if self.folder.size > self.limits.bytes:
            raise ReadError(
                f"The files hold more than {in_words(self.limits.bytes)} (IMPORT_MAX_BYTES): "
                "import one split at a time, or let the operator raise the limit."
            )
        for file in self.folder.files:
            self._starts.append(number + 1)
            before = number
            with self.folder.opened(file) as stream:
                try:
                    for row in self._of(file, stream):
                        number += 1
                        if number > self.limits.rows:
                            raise ReadError(
                                f"The files hold more than {self.limits.rows:,} rows "
                                "(IMPORT_MAX_ROWS)."
                            )
                        yield number, row
                except ReadError as error:
                    raise ReadError(f"{file.name}: {error}", number + 1) from None
            if len(self._starts) <= NAMED and len(self.folder.files) > 1:
                self.notes.append((None, f"rows {before + 1:,} to {number:,}: {file.name}"))
        if len(self.folder.files) > NAMED:
            more = len(self.folder.files) - NAMED
            self.notes.append((None, f"and {more} more files"))
        if self.folder.left:
            names = ", ".join(self.folder.left[:NAMED])
            self.notes.append((None, f"not read: {names}"))

    def _of(self, file: Stored, stream: BinaryIO) -> Iterator[Any]:
        if file.name.endswith(".arrow"):
            yield from _arrow(stream)
            return
        source = open_source(stream, self.limits)
        for _, row in source.rows():
            yield row
        for line, text in source.notes:
            where = f"{file.name}, line {line}" if line else file.name
            self.notes.append((None, f"{where}: {text}"))

    def labelled(self, found: Iterator[Any]) -> Iterator[Any]:
        """Records with the split of their file as `metadata.split`, unless they have one."""
        for line, records in found:
            if not isinstance(records, str) and line:
                split = self.folder.files[bisect_right(self._starts, line) - 1].split
                for record in cast("list[Record]", records):
                    if split:
                        record.metadata = {"split": split, **record.metadata}
            yield line, records


def _arrow(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """The rows of a file that save_to_disk wrote. Raises ReadError."""
    try:
        with pyarrow.ipc.open_stream(stream) as table:
            for batch in table:
                for row in batch.to_pylist():
                    yield {str(key): plain(value) for key, value in row.items()}
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ReadError(f"The Arrow file is not whole or not readable ({reason}).") from None
