"""Argilla's datasets on the Hub before version 2: fields, and questions with their responses. Pure.

A question is a column of responses, {user_id, value, status} each, in either spelling of the
curated Dolly; beside it may stand `QUESTION-suggestion` and its `-metadata`."""

from typing import Any

from annotation.layouts.argilla import OWN, SUBMITTED, Question, Questions, record_of
from annotation.layouts.curated import responses
from annotation.layouts.fields import Row
from annotation.records import Note, Record

PARTS = {"user_id", "value", "status"}
DRAFT, ABOUT = "-suggestion", "-suggestion-metadata"


def fits_feedback(row: Row) -> bool:
    return any(_is_question(value) for value in row.values())


def _is_question(value: Any) -> bool:
    one = value[0] if isinstance(value, list) and value else value
    return isinstance(one, dict) and one.keys() >= PARTS


def convert_feedback(row: Row, note: Note) -> list[Record]:
    """As the files of version 2: see `argilla`."""
    questions: Questions = {}
    for name in row:
        if _is_question(row[name]) or name + DRAFT in row:
            questions[name] = _question(row, name)
    taken = {name + end for name in questions for end in ("", DRAFT, ABOUT)} | set(OWN)
    fields = {name: value for name, value in row.items() if name not in taken | {"metadata"}}
    metadata = row.get("metadata")
    return record_of(row, fields, metadata if isinstance(metadata, dict) else {}, questions, note)


def _question(row: Row, name: str) -> Question:
    found = Question(suggestion=row.get(name + DRAFT))
    about = row.get(name + ABOUT)
    if isinstance(about, dict):
        found.agent, found.score = str(about.get("agent") or ""), about.get("score")
    for user, value, status in responses(row.get(name), name):
        if status not in ("", SUBMITTED):
            found.left.append(status)
        elif value is not None:
            found.said.append((user, value))
    return found
