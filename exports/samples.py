"""A row as the model will see it: the text in pieces, the trained ones marked. Pure."""

from dataclasses import dataclass
from typing import Any

from exports import chat, formats

# Stands for the end mark of a model that we do not know yet.
END = "<|endoftext|>"
CAPTIONS = {
    "sft": "Marked: what is trained on.",
    "preference": "Marked: the answers that are compared, the better one first.",
    "unpaired": "Marked: the answer that is called good or bad.",
    "prompts": "The model continues from here; its own answer is what it learns from.",
    "text": "All of it is trained on.",
    "labels": "The label is what is to be told from the text.",
}


@dataclass(frozen=True)
class Rendered:
    title: str
    pieces: list[tuple[str, bool]]


def render(kind: str, row: dict[str, Any], template: str) -> list[Rendered]:
    """One text a row, two for a preference, the conversation told once.

    `template` is a name in chat.TEMPLATES."""
    if kind in formats.PLAIN:
        return [Rendered(str(row.get("label", "")), [(row["text"], kind == "text")])]
    text = chat.TEMPLATES[template]
    if kind == "prompts":
        asked = chat.render(row["prompt"], text, add_generation_prompt=True, eos_token=END)
        return [Rendered("", [(asked, False)])]
    found: list[Rendered] = []
    for name in formats.ANSWERS[kind]:
        pieces = chat.segments(chat.to_messages(row, name), text, eos_token=END)
        if found and pieces[0] == found[0].pieces[0]:
            pieces[0] = ("… ", False)  # the same conversation again
        found.append(Rendered(_title(kind, name, row), pieces))
    return found


def _title(kind: str, name: str, row: dict[str, Any]) -> str:
    if kind == "unpaired":
        return "good" if row["label"] else "bad"
    return name if kind == "preference" else ""
