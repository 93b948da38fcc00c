"""What an import changes in prompts that are there: kept aside until its end."""

from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

from annotation.batch_rows import Place
from annotation.errors import Refused
from annotation.models import Prompt
from annotation.prompts import text_is_fixed

SPOOL_BYTES = 8 * 1024**2
CHANGES = 500  # staged changes a statement


class Numbers:
    """A set of row ids, a bit each: ids of one file lie close together."""

    BLOCK = 4096

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def add(self, number: int) -> None:
        block, bit = divmod(number, self.BLOCK)
        self._blocks[block] = self._blocks.get(block, 0) | 1 << bit

    def has(self, number: int) -> bool:
        block, bit = divmod(number, self.BLOCK)
        return bool(self._blocks.get(block, 0) >> bit & 1)


class Changes:
    """A JSON object a line, in a file where they are many."""

    def __init__(self) -> None:
        self._lines = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115
        self._changed: dict[int, str] = {}  # pk -> digest of the content that the file gives it
        # Prompts that were there and that the file has named: it may not name them otherwise.
        self._met = Numbers()

    def close(self) -> None:
        self._lines.close()

    def earlier(self, target: Place) -> str:
        """Digest of the content that the file has given the prompt; nothing where it has not."""
        known = target.content if target.mine or self._met.has(target.pk) else ""
        return self._changed.get(target.pk, known)

    def meet(self, pk: int) -> None:
        self._met.add(pk)

    def add(self, change: dict[str, Any], content: str) -> None:
        self._changed[change["pk"]] = content
        self._lines.write(orjson.dumps(change) + b"\n")

    def apply(self) -> None:
        """Raises Refused for a text that somebody has begun to work on since its row was read."""
        self._lines.seek(0)
        chunk: list[dict[str, Any]] = []
        for line in self._lines:
            chunk.append(orjson.loads(line))
            if len(chunk) == CHANGES:
                _apply(chunk)
                chunk = []
        _apply(chunk)


def _apply(changes: Sequence[dict[str, Any]]) -> None:
    """Through the ORM: changes are few beside rows, and each names its own fields.

    Raises Refused for a text that somebody has begun to work on since its row was read."""
    for change in changes:
        rows = Prompt.objects.filter(pk=change.pop("pk"))
        if "messages" in change and text_is_fixed(prompt := rows.get()):
            raise Refused(
                f"Nothing was imported: somebody began to work on the prompt "
                f"“{prompt.external_id}”, which would change, while the file came in. Start it "
                "again: the row is then refused by name."
            )
        rows.update(**change)
