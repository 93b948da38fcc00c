"""The refused rows of a report as a table for a spreadsheet. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

# A spreadsheet takes such a cell for a formula; the full-width signs count there too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def as_csv(refused: Iterable[Mapping[str, Any]]) -> str:
    """Line and reason; reasons quote the file, so none of them may begin a formula."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["line", "reason"])
    for row in refused:
        line = row.get("line")
        table.writerow(["" if line is None else line, cell(str(row.get("reason", "")))])
    return text.getvalue()


def cell(text: str) -> str:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
