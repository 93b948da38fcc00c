"""Argilla's own files: `records.to_json`, and the table of `to_datasets`. Pure.

Neither file says which question is of which type, so it is told by name and values: see
`docs/imports.md`."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.errors import Refused
from annotation.layouts.answer_columns import COLUMN, ORIGINALS, names_of
from annotation.layouts.answers import Answers, number, ranking
from annotation.layouts.fields import Row, first, identity, prompt_messages, text
from annotation.layouts.instructions import ANSWERS, PROMPTS, SYSTEMS
from annotation.records import Answer, Note, RankingIn, Record, is_blank

ASKED = (*PROMPTS, "text", "input", "chat", "messages", "conversation")
GIVEN = ("context", "input")
OWN = ("id", "status", "_server_id", "inserted_at", "updated_at", "external_id")
SUBMITTED = "submitted"
COMPARED = 10_000  # questions times answers, beyond which nobody asks about each
LONG = 40  # characters: a value beyond is text, below it may be a label
# A question about one of these asks for a text.
ANSWERING = re.compile("response|answer|completion|output|correct|rewrite", re.IGNORECASE)
ASKING = re.compile("instruction|prompt|question", re.IGNORECASE)
GIVING = re.compile("context|input", re.IGNORECASE)
JUDGING = re.compile(
    r"quality|label|rating|score|class|best|prefer|choice|rank|categor|sentiment|topic|flag|valid",
    re.IGNORECASE,
)
PART = re.compile(r"(.+)\.(responses|suggestion)(?:\.(users|status|score|agent))?")


@dataclass
class Question:
    """`said` holds (who, what) of what was submitted, `left` the states of the rest."""

    said: list[tuple[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    suggestion: Any = None
    agent: str = ""
    score: Any = None


Questions = dict[str, Question]


def fits_records(row: Row) -> bool:
    known = ("responses", "suggestions")
    return isinstance(row.get("fields"), dict) and any(name in row for name in known)


def convert_records(row: Row, note: Note) -> list[Record]:
    """`records.to_json`: fields, metadata, suggestions and responses in objects of their own."""
    questions: Questions = {}
    for name, suggestion in _object(row, "suggestions").items():
        if isinstance(suggestion, dict):
            found = questions.setdefault(name, Question())
            found.suggestion, found.score = suggestion.get("value"), suggestion.get("score")
            found.agent = str(suggestion.get("agent") or "")
    for name, given in _object(row, "responses").items():
        found = questions.setdefault(name, Question())
        for one in given if isinstance(given, list) else []:
            if isinstance(one, dict):
                _take(found, one.get("user_id"), one.get("value"), one.get("status"))
    return record_of(row, _object(row, "fields"), _object(row, "metadata"), questions, note)


def _object(row: Row, name: str) -> dict[str, Any]:
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"{name} is no object")
    return value


def fits_table(row: Row) -> bool:
    return any(PART.fullmatch(name) for name in row)


def convert_table(row: Row, note: Note) -> list[Record]:
    """`to_datasets`: fields and metadata stand side by side, a question in up to six columns."""
    parts: dict[str, dict[str, Any]] = {}
    fields: dict[str, Any] = {}
    for name, value in row.items():
        if matched := PART.fullmatch(name):
            parts.setdefault(matched[1], {})[".".join(filter(None, matched.groups()[1:]))] = value
        elif name not in OWN:
            fields[name] = value
    questions = {name: _question(name, columns) for name, columns in parts.items()}
    return record_of(row, fields, {}, questions, note)


def _question(name: str, columns: Mapping[str, Any]) -> Question:
    found = Question(
        suggestion=columns.get("suggestion"),
        agent=str(columns.get("suggestion.agent") or ""),
        score=columns.get("suggestion.score"),
    )
    values = columns.get("responses") or []
    users = columns.get("responses.users") or [None] * len(values)
    states = columns.get("responses.status") or [None] * len(values)
    lists = (values, users, states)
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) > 1:
        raise Refused(
            f"{name} has responses, users and status that are no lists of one length; a CSV keeps "
            "no lists: export Parquet or JSON"
        )
    for user, value, state in zip(users, values, states, strict=True):
        _take(found, user, value, state)
    return found


def _take(found: Question, user: Any, value: Any, state: Any) -> None:
    if state not in (None, "", SUBMITTED):
        found.left.append(str(state))
    elif value is not None:
        found.said.append((str(user or ""), value))


# What the questions come to -------------------------------------------------------------------


def record_of(
    row: Row, fields: dict[str, Any], metadata: dict[str, Any], questions: Questions, note: Note
) -> list[Record]:
    asked = first(fields, ASKED) or next(iter(fields), "")
    given = "" if not asked else first({n: 0 for n in fields if n != asked}, GIVEN)
    system_field = first(fields, SYSTEMS)
    system, messages = prompt_messages(fields.get(asked), asked or "the prompt", note)
    record = Record(
        messages=messages,
        system=text(fields.get(system_field), system_field, note) or system,
        context=text(fields.get(given), given, note),
        external_id=identity(row),
    )
    answers = Answers()
    places: dict[str, int] = {}
    metadata = dict(metadata)
    for name, value in fields.items():
        if name in (asked, given, system_field) or value in (None, ""):
            continue
        if _is_answer(name) and isinstance(value, str) and not is_blank(value):
            places[name], _ = answers.add(Answer(value, metadata={"field": name}))
        else:
            metadata[name] = value
    record.metadata = metadata
    named = names_of(places)
    for name, question in questions.items():
        for state, count in sorted(Counter(question.left).items()):
            note(f"{name}: {count} of status {state} left out")
        _answer_question(name, question, record, answers, places, named, note)
    _compared(questions, record, places)
    record.answers = answers.all
    _merge_raters(record)
    return [record]


def _is_answer(name: str) -> bool:
    known = (*ANSWERS, *ORIGINALS, "generation", "generations", "chosen", "rejected")
    return name in known or bool(COLUMN.fullmatch(name))


def _answer_question(
    name: str,
    question: Question,
    record: Record,
    answers: Answers,
    places: dict[str, int],
    named: dict[str, int],
    note: Note,
) -> None:
    """Texts become answers (or the prompt), orders become rankings, the rest metadata."""
    left: list[Any] = []
    for user, value in question.said:
        order = _order(value, places, named)
        if order is not None:
            record.rankings.append(RankingIn(user or "annotator", order))
        elif isinstance(value, str) and _is_text(name, value):
            if not ANSWERING.search(name) and (GIVING.search(name) or ASKING.search(name)):
                _new_prompt(name, value, record, note)
            elif not is_blank(value):
                corrects = next(iter(places.values())) if len(places) == 1 else None
                answers.add(Answer(value, author_name=user, corrects=corrects))
        else:
            left.append(value)
    if left:
        record.metadata[name] = left[0] if len(left) == 1 else left
    draft = question.suggestion
    if draft is None or draft == "":
        return
    about_prompt = not ANSWERING.search(name) and (GIVING.search(name) or ASKING.search(name))
    if isinstance(draft, str) and _is_text(name, draft) and not about_prompt:
        metadata = {} if question.score is None else {"score": question.score}
        answers.add(Answer(draft, author_name=question.agent, origin="model", metadata=metadata))
    else:
        record.metadata[f"{name}.suggestion"] = draft


def _is_text(name: str, value: str) -> bool:
    if JUDGING.search(name):
        return False
    named = ANSWERING.search(name) or ASKING.search(name) or GIVING.search(name)
    return bool(named) or len(value) > LONG


def _new_prompt(name: str, value: str, record: Record, note: Note) -> None:
    """The last turn, or the context, in the words of the first who changed it; the old words stay
    as metadata."""
    given = bool(GIVING.search(name))
    before = record.context if given else record.messages[-1]["content"]
    if value.strip() == str(before).strip() or (is_blank(value) and not given):
        return
    what = "original context" if given else "original prompt"
    if what in record.metadata:
        note(f"{name}: several changed it; the first change is taken")
        return
    record.metadata[what] = before
    if given:
        record.context = value
        return
    record.messages = [*record.messages[:-1], {**record.messages[-1], "content": value}]


def _order(value: Any, places: dict[str, int], by_name: dict[str, int]) -> list[list[int]] | None:
    """The order of answers that a value gives: a list of fields, of {value, rank}, or one field."""
    if len(set(places.values())) < 2:
        return None
    if isinstance(value, list) and len(value) > 1:
        named = [str(one.get("value") if isinstance(one, dict) else one) for one in value]
        if not all(one in places for one in named) or len(set(named)) < len(named):
            return None
        ranks = {
            places[name]: number(one.get("rank")) if isinstance(one, dict) else float(at)
            for at, (name, one) in enumerate(zip(named, value, strict=True))
        }
        known = {place: rank for place, rank in ranks.items() if rank is not None}
        found = ranking("", known)
        return found[0].order if found else None
    if isinstance(value, str):
        best = by_name.get(value.strip().casefold())
        if best is None:
            return None
        others = sorted({place for place in places.values() if place != best})
        return [[best], others] if best >= 0 else [others]
    return None


def _compared(questions: Questions, record: Record, places: dict[str, int]) -> None:
    """Ratings of several answers, each by a question of its own, put them in an order."""
    scores: dict[str, dict[int, float]] = {}
    if len(questions) * len(places) > COMPARED:
        return
    for name, question in questions.items():
        about = [place for column, place in places.items() if _is_about(name, column)]
        if len(about) != 1:
            continue
        for user, value in question.said:
            if (score := number(value)) is not None and not isinstance(value, str):
                scores.setdefault(user or "annotator", {})[about[0]] = -score
    for user, ranks in scores.items():
        record.rankings += ranking(user, ranks)


def _is_about(question: str, column: str) -> bool:
    return bool(
        re.search(rf"(?<![a-z0-9]){re.escape(column)}(?![a-z0-9])", question, re.IGNORECASE)
    )


def _merge_raters(record: Record) -> None:
    """A rater ranks once in a row: a second question of theirs gets its own name."""
    taken: Counter[str] = Counter()
    for one in record.rankings:
        taken[one.rater] += 1
        if taken[one.rater] > 1:
            one.rater = f"{one.rater} ({taken[one.rater]})"
