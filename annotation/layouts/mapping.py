"""An explicit column mapping: which column holds the prompt, the response and so on. Pure."""

from collections.abc import Mapping
from typing import Any

from annotation.errors import Refused
from annotation.layouts.comparisons import convert_hh, last_turn, pair
from annotation.layouts.fields import Row, answer, prompt_messages, text
from annotation.records import Answer, Note, Record, same_answer

FIELDS = ("prompt", "response", "context", "system", "chosen", "rejected", "external_id")
NAMED = ("response.", "metadata.")  # a name of one's own follows: the answer's author, the key


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Raises Refused for a field that is none, and for a mapping without a prompt."""
    for name, column in mapping.items():
        if name not in FIELDS and not any(name.startswith(f) and name != f for f in NAMED):
            raise Refused(
                f"“{name}” is no field: map {', '.join(FIELDS)}, response.NAME or metadata.NAME to "
                "a column."
            )
        if not isinstance(column, str) or not column.strip():
            raise Refused(f"The field “{name}” is mapped to no column.")
    if ("chosen" in mapping) != ("rejected" in mapping):
        raise Refused("Map chosen and rejected together: a pair needs both.")
    if "chosen" in mapping and any(name.split(".")[0] == "response" for name in mapping):
        raise Refused("Map an answer, or chosen and rejected: a row is one or the other.")
    if "prompt" not in mapping and "chosen" not in mapping:
        raise Refused("Map the prompt to a column, or chosen and rejected to whole dialogues.")


def convert_mapped(mapping: Mapping[str, str], row: Row, note: Note) -> list[Record]:
    metadata = {
        name.removeprefix("metadata."): value
        for name in mapping
        if name.startswith("metadata.") and (value := _value(mapping, row, name)) is not None
    }
    external_id = _value(mapping, row, "external_id")
    known = {} if external_id is None else {"external_id": text(external_id, "", _silent)}
    if "prompt" not in mapping:
        sides = {side: _value(mapping, row, side) for side in ("chosen", "rejected")}
        records = convert_hh({**known, **sides}, note)
        records[0].metadata = metadata
        return records
    system, messages = prompt_messages(_needed(mapping, row, "prompt"), "the prompt", note)
    system = text(_value(mapping, row, "system"), "system", note) or system
    if "chosen" in mapping:
        sides = {
            side: last_turn(_needed(mapping, row, side), side) for side in ("chosen", "rejected")
        }
        record = pair(messages, system, sides["chosen"], sides["rejected"], known, metadata, note)
    else:
        record = Record(
            messages=messages,
            system=system,
            external_id=str(known.get("external_id", "")).strip(),
            metadata=metadata,
            answers=_answers(mapping, row, note),
        )
    record.context = text(_value(mapping, row, "context"), "context", note)
    return [record]


def _answers(mapping: Mapping[str, str], row: Row, note: Note) -> list[Answer]:
    """The response, and one answer of each response.NAME, written by NAME; equal ones once."""
    found = answer(_value(mapping, row, "response"), "the response", note)
    for name in mapping:
        if name.startswith("response."):
            author = name.removeprefix("response.")
            for one in answer(_value(mapping, row, name), f"the response “{author}”", note):
                if any(same_answer(one.text, other.text) for other in found):
                    note(f"the response “{author}” says the same as another one: taken once")
                    continue
                one.author_name = author
                found.append(one)
    return found


def _value(mapping: Mapping[str, str], row: Row, name: str) -> Any:
    """What the mapped column holds; the names of CSV columns are compared in lower case."""
    column = mapping.get(name, "")
    return row.get(column, row.get(column.strip().casefold()))


def _needed(mapping: Mapping[str, str], row: Row, name: str) -> Any:
    column = mapping[name]
    if column not in row and column.strip().casefold() not in row:
        raise Refused(f"has no column “{column}”")
    return _value(mapping, row, name)


def _silent(_: str) -> None:
    """An id may be a number: no note."""
