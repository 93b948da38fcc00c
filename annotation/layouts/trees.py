"""Trees of messages (OpenAssistant): a prompter's turn is a prompt, its replies its answers. Pure.

What cannot come in is reported message by message; what hangs below it goes with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.errors import Refused
from annotation.layouts.answers import Answers, number, ranking
from annotation.layouts.fields import ASSISTANT, MAX_TURNS, RATER, ROLE_WORDS, USER, Row, rest
from annotation.records import ID_LENGTH, Answer, Message, Note, Record, is_blank

# Who wrote it is personal data that the rows do not need: the same person, all over the file.
DELETED = "is deleted in its source"
UNFOLDED = 500_000  # turns of all prompts of a tree, each of which holds those before it
STRUCTURE = (
    *("message_id", "parent_id", "message_tree_id", "user_id", "text", "role", "rank", "replies"),
    *("model_name", "labels", "emojis", "deleted"),
)


@dataclass(slots=True, eq=False)
class Node:
    """A message, where it stood, and the messages below it."""

    name: str
    row: Row
    line: int | None = None
    children: list["Node"] = field(default_factory=list)


Report = Callable[[Node, str], None]


def fits_tree(row: Row) -> bool:
    prompt = row.get("prompt")
    return isinstance(prompt, dict) and "role" in prompt and "text" in prompt


def convert_tree(row: Row, note: Note) -> list[Record]:
    """A nested tree, as published: one row. What cannot come in is noted by its message's id."""
    prompt = row.get("prompt")
    if not isinstance(prompt, dict):
        raise Refused("prompt is no message")
    faults: list[str] = []

    def report(node: Node, reason: str) -> None:
        faults.append(f"the message “{node.name}” {reason}")

    root = _nested(prompt, report)
    records = tree_records(root, report, note)
    if not records:
        raise Refused(faults[0])
    for fault in faults:
        note(f"{fault}: it is left out")
    records[0].metadata |= rest(row, ("prompt", "message_tree_id"))
    return records


def _nested(prompt: Row, report: Report) -> Node:
    root = Node(_name(prompt), prompt)
    seen, todo = {root.name}, [root]
    while todo:
        node = todo.pop()
        replies = node.row.get("replies")
        for reply in replies if isinstance(replies, list) else []:
            if not isinstance(reply, dict):
                report(node, "has a reply that is no message")
                continue
            child = Node(_name(reply), reply)
            if child.name and child.name in seen:
                report(child, "stands in the tree twice")
                continue
            seen.add(child.name)
            node.children.append(child)
            todo.append(child)
    return root


def _name(row: Row) -> str:
    name = row.get("message_id")
    return name if isinstance(name, str) else ""


def tree_records(root: Node, report: Report, note: Note) -> list[Record]:
    """A record a prompter's turn, parents first. Empty if the first message cannot come in."""
    if reason := fault(root, None, 1):
        _leave_out(root, reason, report)
        return []
    records: list[Record] = []
    unfolded = 0
    todo: list[tuple[Node, list[Message], tuple[int, int] | None]] = [(root, [], None)]
    while todo:
        node, before, parent = todo.pop()
        messages = [*before, _message(node)]
        unfolded += len(messages)
        if unfolded > UNFOLDED:
            raise Refused(f"unfolds to more than {UNFOLDED:,} turns: cut the tree")
        record = Record(
            messages=messages,
            external_id=node.name,
            metadata=_metadata(node.row),
            parent=parent,
        )
        below = _answers(node, record, report, note)
        for child, place in reversed(below):
            so_far = [*messages, _message(child)]
            for turn in reversed(child.children):
                if reason := fault(turn, child, len(so_far) + 1):
                    _leave_out(turn, reason, report)
                else:
                    todo.append((turn, so_far, (len(records), place)))
        records.append(record)
    return records


def _answers(node: Node, record: Record, report: Report, note: Note) -> list[tuple[Node, int]]:
    """Fill in the answers and their ranking; (message, place of its answer) of those that came."""
    answers = Answers()
    ranks: dict[int, float] = {}
    came: list[tuple[Node, int]] = []
    for child in node.children:
        if reason := fault(child, node, len(record.messages) + 1):
            _leave_out(child, reason, report)
            continue
        place, new = answers.add(_answer(child))
        came.append((child, place))
        rank = child.row.get("rank")
        if not new:
            note(f"the message “{child.name}” says the same as its sibling: one answer")
        elif rank is not None and (level := number(rank)) is not None:
            ranks[place] = level
        elif rank is not None:
            note(f"the rank of the message “{child.name}” is no number: it comes unranked")
    record.answers = answers.all
    record.rankings = ranking(RATER, ranks)
    return came


def _answer(node: Node) -> Answer:
    row = node.row
    model = row.get("model_name")
    metadata = _metadata(row) | ({"message_id": node.name} if node.name else {})
    return Answer(
        row["text"],
        author_name=model if isinstance(model, str) else "",
        origin="model" if row.get("synthetic") is True else "",
        metadata=metadata,
    )


def fault(node: Node, parent: Node | None, depth: int) -> str:
    """Why a message cannot come in where it stands; empty if it can."""
    row = node.row
    if row.get("deleted") is True:
        return DELETED
    word = row.get("role")
    role = _role(node)
    if role not in (USER, ASSISTANT):
        return f"has the role “{word}”; prompter or assistant is expected"
    if parent is None and role != USER:
        return "begins a tree and is the assistant's: a prompt is expected there"
    if parent is not None and role == _role(parent):
        return f"is the {word}'s and follows one of the {word}'s"
    text = row.get("text")
    if not isinstance(text, str) or is_blank(text):
        return "has no text"
    if "\0" in text:
        return "holds a NUL character (U+0000), which no database stores"
    if len(node.name) > ID_LENGTH or node.name != node.name.strip() or not node.name.isprintable():
        return f"has an id that is over {ID_LENGTH} characters or holds control characters"
    if depth > MAX_TURNS:
        return f"stands deeper than {MAX_TURNS:,} turns"
    return ""


def _leave_out(node: Node, reason: str, report: Report) -> None:
    report(node, reason)
    todo = [(child, node) for child in node.children]
    while todo:
        below, above = todo.pop()
        gone = below.row.get("deleted") is True
        why = f"continues the message “{above.name}”, which does not come in"
        report(below, DELETED if gone else why)
        todo += [(child, below) for child in below.children]


def _role(node: Node) -> str | None:
    return ROLE_WORDS.get(str(node.row.get("role")).strip().lower())


def _message(node: Node) -> Message:
    return {"role": _role(node), "content": node.row["text"]}


def _metadata(row: Row) -> dict[str, Any]:
    """Labels and emojis as {name: value}, however they are spelt, and what else is known."""
    found = rest(row, STRUCTURE)
    for name, kind in (("labels", "value"), ("emojis", "count")):
        if values := _named(row.get(name), kind):
            found[name] = values
    return found


def _named(value: Any, kind: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    names, numbers = value.get("name"), value.get(kind)
    if isinstance(names, list) and isinstance(numbers, list):
        return {str(name): number for name, number in zip(names, numbers, strict=False)}
    return {
        str(name): inner.get(kind) if isinstance(inner, dict) else inner
        for name, inner in value.items()
    }
