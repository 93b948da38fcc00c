"""Tasks with instances (self-instruct), questions with contexts (PubMedQA). Pure."""

from collections.abc import Mapping
from typing import Any

from annotation.errors import Refused
from annotation.layouts.fields import Row, answer, first, identity, rest, text
from annotation.records import Note, Record

INSTANCES = "instances"


def fits_instances(row: Row) -> bool:
    return "instruction" in row and isinstance(row.get(INSTANCES), list)


def convert_instances(row: Row, note: Note) -> list[Record]:
    """A prompt an instance: the task's instruction, with the instance's input as its context."""
    instances = row.get(INSTANCES)
    if not isinstance(instances, list):
        raise Refused(f"{INSTANCES} is no list")
    if not instances:
        note("no instances: a prompt without an answer")
    asked = text(row.get("instruction"), "instruction", note)
    name, metadata = identity(row), rest(row, ("instruction", INSTANCES))
    records = []
    for number, instance in enumerate(instances or [{}], 1):
        if not isinstance(instance, dict):
            raise Refused(f"instance {number} is no object")
        where = "" if len(instances) < 2 else f" of instance {number}"
        records.append(
            Record(
                messages=[{"role": "user", "content": asked}],
                external_id=f"{name}#{number}" if name and number > 1 else name,
                context=text(instance.get("input"), f"input{where}", note),
                metadata=metadata,
                answers=answer(instance.get("output"), f"output{where}", note),
            )
        )
    return records


LONG_ANSWER, CONTEXTS = ("long_answer", "LONG_ANSWER"), ("context", "CONTEXTS")


def fits_pubmedqa(row: Row) -> bool:
    return bool(first(row, LONG_ANSWER)) and bool(first(row, ("question", "QUESTION")))


def convert_pubmedqa(row: Row, note: Note) -> list[Record]:
    """The question, the abstract's parts as its context, the conclusion as its answer."""
    question, long = first(row, ("QUESTION", "question")), first(row, LONG_ANSWER)
    name = first(row, CONTEXTS)
    given, more = row.get(name), dict[str, Any]()
    if isinstance(given, Mapping):  # the form of the Hub: {contexts, labels, meshes}
        more = {key: value for key, value in given.items() if key != "contexts"}
        given = given.get("contexts")
    parts = given if isinstance(given, list) else [given]
    metadata = rest(row, (question, long, name, "pubid", "PMID")) | more
    record = Record(
        messages=[{"role": "user", "content": text(row.get(question), question, note)}],
        external_id=identity(row) or str(row.get("pubid") or row.get("PMID") or ""),
        context="\n\n".join(text(part, name, note) for part in parts),
        metadata={key.lower(): value for key, value in metadata.items()},
        answers=answer(row.get(long), long, note),
    )
    return [record]
