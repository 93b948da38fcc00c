"""The report of an import: what became of each record of the file. Pure."""

import time
from typing import Any

MAX_REFUSED = 10_000  # rows named; a file with more is no file for this layout
MAX_NOTES = 1_000
KEYS = ["file", "layout", "rows", "imported", "updated", "unchanged", "refused", "notes"]
KEYS += ["prompts", "responses", "rankings", "seconds"]


def in_order(report: dict[str, Any]) -> dict[str, Any]:
    """A stored report as it was written: PostgreSQL keeps no order of keys."""
    return {key: report[key] for key in KEYS if key in report}


class Report:
    """rows = imported + updated + unchanged + refused, always."""

    def __init__(self, file: str, layout: str) -> None:
        self.file, self.layout = file, layout
        self.rows = 0
        self.counts = {"imported": 0, "updated": 0, "unchanged": 0}
        self.refused: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.more_notes = 0
        self.created = {"prompts": 0, "responses": 0, "rankings": 0}
        self._began = time.monotonic()

    def count(self, line: int | None, verdict: str, reason: str = "") -> None:
        self.rows += 1
        if verdict == "refused":
            self.refused.append({"line": line, "reason": reason})
        else:
            self.counts[verdict] += 1

    def note(self, line: int | None, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append({"line": line, "note": text})
        else:
            self.more_notes += 1

    def take(self, other: "Report") -> None:
        """Become what the other says; the clock goes on."""
        self.rows, self.counts = other.rows, other.counts
        self.refused, self.notes, self.more_notes = other.refused, other.notes, other.more_notes

    @property
    def is_full(self) -> bool:
        return len(self.refused) >= MAX_REFUSED

    def as_dict(self) -> dict[str, Any]:
        """The shape that the page, the command and the API give."""
        notes = sorted(self.notes, key=lambda entry: entry["line"] or 0)
        if self.more_notes:
            notes.append({"line": None, "note": f"{self.more_notes} more notes like these"})
        return {
            "file": self.file,
            "layout": self.layout,
            "rows": self.rows,
            **self.counts,
            "refused": sorted(self.refused, key=lambda entry: entry["line"] or 0),
            "notes": notes,
            **self.created,
            "seconds": round(time.monotonic() - self._began, 2),
        }
