"""Instruction rows (Alpaca, GPTeacher, Dolly) and conversations (ShareGPT, OpenAI). Pure."""

import re

from annotation.layouts.fields import (
    Row,
    answer,
    conversation,
    first,
    identity,
    rest,
    text,
    tools_of,
    turns,
)
from annotation.records import Message, Note, Record

PROMPTS = ("instruction", "prompt", "question")
ANSWERS = ("response", "output", "completion", "answer")
SYSTEMS = ("system", "system_prompt")
CONVERSATIONS = ("conversations", "messages", "conversation")
BEFORE = "Below is an instruction that describes a task"
INPUT = re.compile(r"\n\n### (?:Input|Context):\n")


def fits_dolly(row: Row) -> bool:
    return fits_instruction(row) and "context" in row and "input" not in row


def fits_instruction(row: Row) -> bool:
    """A prompt with an answer, or a prompt among columns that hold nothing nested."""
    prompt = first(row, PROMPTS)
    if not prompt or isinstance(row[prompt], list | dict):
        return False
    return bool(first(row, ANSWERS)) or not any(isinstance(v, list | dict) for v in row.values())


def convert_instruction(row: Row, note: Note) -> list[Record]:
    """The input (Alpaca) or the context (Dolly) is the prompt's context."""
    prompt, spoken, system = first(row, PROMPTS), first(row, ANSWERS), first(row, SYSTEMS)
    asked = text(row.get(prompt), prompt or "the prompt", note)
    given = [text(row.get(name), name, note) for name in ("input", "context")]
    if asked.startswith(BEFORE) and (inner := _out_of_template(asked)) is not None:
        asked = inner[0]
        given.append(inner[1])
        note("the prompt stands in the Alpaca template, which was taken off")
    rendered = "text" if str(row.get("text")).startswith(BEFORE) else ""
    record = Record(
        messages=[{"role": "user", "content": asked}],
        external_id=identity(row),
        system=text(row.get(system), system, note),
        context="\n\n".join(part for part in given if part.strip()),
        metadata=rest(row, (prompt, spoken, system, rendered, "input", "context")),
        answers=answer(row.get(spoken), spoken, note),
    )
    return [record]


def _out_of_template(prompt: str) -> tuple[str, str] | None:
    """(instruction, input) of a prompt in Alpaca's template; None if it is none after all."""
    _, begin, rest = prompt.partition("\n\n### Instruction:\n")
    body, end, after = rest.rpartition("\n\n### Response:")
    if not begin or not end or after.strip():
        return None
    instruction, *given = INPUT.split(body, maxsplit=1)
    return instruction, "".join(given)


def fits_sharegpt(row: Row) -> bool:
    return isinstance(row.get("conversations"), list) and not {"chosen", "label"} & row.keys()


def fits_messages(row: Row) -> bool:
    return isinstance(row.get("messages"), list) and not {"chosen", "label"} & row.keys()


def convert_conversation(row: Row, note: Note) -> list[Record]:
    name = first(row, CONVERSATIONS) or "conversations"
    system = first(row, SYSTEMS)
    messages = turns(row.get(name), name)
    if (said := text(row.get(system), system, note)).strip():
        leading: Message = {"role": "system", "content": said}
        messages = [leading, *messages]
    tools, used = tools_of(row, note)
    metadata = rest(row, (name, system, *used))
    return conversation(messages, name, note, identity(row), metadata, tools)
