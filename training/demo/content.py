"""What the demo says: prompts, answers and annotators' work, written for it and kept as JSONL.

A line is one prompt:

    id, messages, system?, context?, metadata {topic, language}
    answers      [{author, origin, quality, text}]; quality 1 to 5 is what the story's annotators
                 think of it, and is not imported
    written      what an annotator writes in the stage Write
    corrected    what an annotator makes of the answer by DRAFTER; or `unchanged`: it was fine
    draft        {"write" or "correct": text}: begun and left
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.records import Answer, Record

FOLDER = Path(__file__).parent
DRAFTER = "draft-a"  # the model whose answers are corrected
# How good the story's annotators find what they write themselves, and what they correct.
WRITTEN, CORRECTED = 5.0, 4.5


@dataclass(frozen=True)
class Row:
    """One prompt of the demo. `quality`: text of an answer -> 1 (poor) to 5."""

    record: Record
    written: str = ""
    corrected: str = ""
    unchanged: bool = False
    draft: dict[str, str] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)

    @property
    def is_corrected(self) -> bool:
        return self.unchanged or bool(self.corrected)


@dataclass(frozen=True)
class Topic:
    """One project's content."""

    slug: str  # of the project, and with "_" for "-" the files' name
    name: str
    description: str

    @property
    def guidelines(self) -> str:
        return self._file("md").read_text("utf-8")

    @property
    def first_guidelines(self) -> str:
        """What the guidelines were at the beginning: without their last section."""
        return self.guidelines.rpartition("\n## ")[0]

    def rows(self) -> Iterator[Row]:
        with self._file("jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield read(json.loads(line))

    def _file(self, ending: str) -> Path:
        return FOLDER / f"{self.slug.replace('-', '_')}.{ending}"


def read(line: dict[str, Any]) -> Row:
    answers = line["answers"]
    quality = {answer["text"]: float(answer["quality"]) for answer in answers}
    for key, value in (("written", WRITTEN), ("corrected", CORRECTED)):
        if line.get(key):
            quality[line[key]] = value
    return Row(
        record=Record(
            external_id=line["id"],
            messages=line["messages"],
            system=line.get("system", ""),
            context=line.get("context", ""),
            metadata=line["metadata"],
            answers=[Answer(a["text"], a["author"], a["origin"]) for a in answers],
        ),
        written=line.get("written", ""),
        corrected=line.get("corrected", ""),
        unchanged=line.get("unchanged", False),
        draft=line.get("draft", {}),
        quality=quality,
    )


TOPICS = (
    Topic("support-desk", "Support desk", "Answers to customers of an invoicing service."),
    Topic("science-tutor", "Science tutor", "Explanations for learners of 10 to 20 years."),
)
