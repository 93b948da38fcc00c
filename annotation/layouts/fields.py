"""What the layouts share: taking text out of a row, and conversations turn by turn. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from annotation.errors import Refused
from annotation.layouts.tools import CALLS, RESULTS, call, tools
from annotation.records import Answer, Message, Note, Record, is_blank

Row = Mapping[str, Any]
Found = tuple[int, "dict[str, Any] | str"]  # a line, and its row or why it is none
USER, ASSISTANT = "user", "assistant"
ROLE_WORDS = {
    **dict.fromkeys(("human", "user", "prompter"), USER),
    **dict.fromkeys(("gpt", "assistant", "model", "bot"), ASSISTANT),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", *RESULTS), "tool"),
    **dict.fromkeys(CALLS, ASSISTANT),
}
RATER = "imported"  # who ranked, where the file does not say
# Each prompt of a conversation holds the turns so far: the square of them is stored.
MAX_TURNS = 1_000
IDS = ("external_id", "id", "prompt_id", "uuid")


def text(value: Any, name: str, note: Note) -> str:
    """The value as text; nothing for null. Numbers and truth values as JSON spells them, noted.

    Raises Refused for lists and objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        spelt = json.dumps(value)
        note(f"{name} is {spelt} and no text; taken as the text “{spelt}”")
        return spelt
    raise Refused(f"{name} is {'a list' if isinstance(value, list) else 'an object'}, not text")


def first(row: Row, names: Iterable[str]) -> str:
    """The first of the names that the row has; empty if it has none."""
    for name in names:  # a generator would take longer than the rest of the row
        if name in row:
            return name
    return ""


def answer(value: Any, name: str, note: Note) -> list[Answer]:
    """One answer, or none for an empty value, which is noted."""
    if value is None:
        return []
    spoken = text(value, name, note)
    if is_blank(spoken):
        note(f"{name} is empty: the prompt comes without it")
        return []
    return [Answer(spoken)]


def must_answer(value: Any, name: str, note: Note) -> str:
    """An answer that a comparison cannot do without. Raises Refused for an empty one."""
    spoken = text(value, name, note)
    if is_blank(spoken):
        raise Refused(f"{name} is empty: there is nothing to compare")
    return spoken


def identity(row: Row) -> str:
    """The row's id as text; empty if it has none."""
    value = row.get(first(row, IDS))
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def rest(row: Row, used: Iterable[str]) -> dict[str, Any]:
    """The columns that a layout has no place for, as metadata."""
    taken = {*used, *IDS}
    extra = dict(row["metadata"]) if isinstance(row.get("metadata"), dict) else {}
    for name, value in row.items():
        if name not in taken and not (name == "metadata" and extra) and value not in (None, ""):
            extra[name] = value
    return extra


def turns(value: Any, name: str) -> list[Message]:
    """A conversation in whatever spelling as messages. Raises Refused with the turn's number."""
    if not isinstance(value, list):
        raise Refused(f"{name} is no list of turns")
    if len(value) > MAX_TURNS:
        raise Refused(f"{name} has {len(value)} turns; {MAX_TURNS} is the limit")
    return [_turn(turn, number) for number, turn in enumerate(value, 1)]


def _turn(turn: Any, number: int) -> Message:
    if not isinstance(turn, dict):
        raise Refused(f"turn {number} is no object")
    word = turn.get("role", turn.get("from"))
    role = ROLE_WORDS.get(str(word).strip().lower())
    if role is None:
        raise Refused(f"turn {number} has the role “{word}”, which is none of the known ones")
    content = _spoken(turn.get("content", turn.get("value", turn.get("text"))), number)
    if str(word).strip().lower() in CALLS and (called := call(content)):
        return called
    message: Message = {"role": role, "content": content}
    for extra in ("name", "tool_calls", "tool_call_id"):
        if turn.get(extra):
            message[extra] = turn[extra]
    if not isinstance(content, str) and not (content is None and message.get("tool_calls")):
        raise Refused(f"turn {number} has no text")
    return message


def _spoken(content: Any, number: int) -> Any:
    """A turn's text, also where it comes in parts, as in OpenAI's messages."""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return content
    kinds = {str(part.get("type")) for part in content} - {"text"}
    if kinds:
        raise Refused(f"turn {number} holds what is no text ({', '.join(sorted(kinds))})")
    return "\n".join(str(part.get("text") or "") for part in content)


def tools_of(row: Row, note: Note) -> tuple[list[Any] | None, tuple[str, ...]]:
    """(the tools that a conversation may call, the columns that were read for them)."""
    name = first(row, ("tools", "functions"))
    value = row.get(name)
    if value in (None, "", [], "[]"):
        return None, (name,)
    found = tools(value)
    if found is None:
        note(f"{name} is no list of tools: it is kept as metadata")
        return None, ()
    return found, (name,)


def conversation(
    messages: list[Message],
    name: str,
    note: Note,
    external_id: str,
    metadata: dict[str, Any],
    tools: list[Any] | None = None,
) -> list[Record]:
    """Every assistant turn is an answer to a prompt: the conversation so far.

    A leading system turn is the system text. What ends with the user is a prompt to answer; a call
    of a tool is a turn of the conversation and no answer."""
    if not messages:
        raise Refused(f"{name} is empty")
    system, messages = split_system(messages)
    note_order(messages, note)
    records: list[Record] = []

    def add(so_far: list[Message], answers: list[Answer]) -> None:
        number = len(records) + 1
        records.append(
            Record(
                messages=so_far,
                external_id=f"{external_id}#{number}" if external_id and records else external_id,
                system=system,
                tools=tools,
                metadata=metadata,
                answers=answers,
                parent=(number - 2, 0) if records else None,
            )
        )

    for place, message in enumerate(messages):
        if message["role"] != ASSISTANT or message.get("tool_calls") or place == 0:
            continue
        if messages[place - 1]["role"] == ASSISTANT:
            raise Refused(f"turn {place + 1} follows an assistant turn and is one itself")
        last = place == len(messages) - 1
        if not last and is_blank(message["content"]):
            raise Refused(f"turn {place + 1} is empty")
        add(messages[:place], answer(message["content"], "the last turn", note))
    if messages[-1]["role"] != ASSISTANT:
        who = "the user's turn" if messages[-1]["role"] == USER else "what a tool gave back"
        note(f"ends with {who}: a prompt without an answer")
        add(messages, [])
    elif messages[-1].get("tool_calls"):
        note("ends with the call of a tool, which is no answer: it is left out")
    if not records:
        raise Refused(f"{name} holds no turn to answer")
    return records


def split_system(messages: list[Message]) -> tuple[str, list[Message]]:
    if messages and messages[0]["role"] == "system":
        return str(messages[0]["content"]), messages[1:]
    return "", messages


def note_order(messages: list[Message], note: Note) -> None:
    if messages and messages[0]["role"] == ASSISTANT:
        note("the conversation begins with the assistant")
    for one, other in zip(messages, messages[1:], strict=False):
        if one["role"] == other["role"] in (USER, ASSISTANT) and not one.get("tool_calls"):
            who = "user" if one["role"] == USER else "assistant"
            note(f"two {who} turns in a row; both are kept")
            break


def prompt_messages(value: Any, name: str, note: Note) -> tuple[str, list[Message]]:
    """(system, messages) of a prompt that is a text or a list of turns."""
    if isinstance(value, list):
        system, messages = split_system(turns(value, name))
        note_order(messages, note)
        return system, messages
    return "", [{"role": USER, "content": text(value, name, note)}]
