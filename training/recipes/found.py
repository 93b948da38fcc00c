"""What preflight finds, on its way to preflight.json."""

from dataclasses import dataclass, field
from typing import Any


def agreed(number: int, one: str, many: str) -> str:
    """The word that goes with the number: "is" or "are"."""
    return one if number == 1 else many


@dataclass
class Found:
    """What preflight.json will say."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)  # tokens of each row, before it is cut
    untrainable: int = 0
    labels: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": not self.refusals,
            "refusals": self.refusals,
            "warnings": self.warnings,
            **self.facts,
        }
