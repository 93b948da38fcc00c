"""The rubric as a lead types it: rows of plain values, one a question, in the order on the page.

A row: {"key", "title", "help", "type", "about", "required", "low", "high", "kept", "more",
"errors"}.
`kept` holds the options that are there, (value, label) each, so that a new label keeps its value;
`more` is the text area in which further ones are typed, one a line."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import QueryDict

from annotation.errors import Refused
from annotation.models import Stage, Submission
from annotation.rubric import MAX_QUESTIONS, Question, checked_rubric, in_force, options
from annotation.work_page import questions_for

TYPES = [
    ("rating", "rating: a number on a scale"),
    ("label", "label: one of several"),
    ("labels", "labels: any of several"),
    ("text", "text: a note"),
]
ABOUT = [("prompt", "the prompt"), ("answer", "each answer")]

Row = dict[str, Any]


def blank(stage: Stage) -> Row:
    about = "answer" if stage.shows_answers else "prompt"
    return {
        **dict.fromkeys(("key", "title", "help", "more"), ""),
        **{"type": "rating", "about": about, "required": True, "low": "1", "high": "5"},
        **{"kept": [], "errors": {}},
    }


def row_of(question: Question) -> Row:
    """A question that is stored, as a row."""
    offered = [] if question["type"] in ("rating", "text") else options(question)
    return {
        **{part: question[part] for part in ("key", "title", "help", "type", "about", "required")},
        **{"low": str(question.get("low", 1)), "high": str(question.get("high", 5))},
        **{"kept": [(option["value"], option["label"]) for option in offered]},
        **{"more": "", "errors": {}},
    }


def rows_from(data: QueryDict) -> list[Row]:
    """What the form holds: as many rows as it says."""
    given = data.get("count", "")
    count = min(int(given), 2 * MAX_QUESTIONS) if given.isdecimal() and len(given) < 4 else 0
    rows = []
    for n in range(count):
        words = ("key", "title", "help", "type", "about", "low", "high", "more")
        row: Row = {part: data.get(f"{n}-{part}", "") for part in words}
        row["required"] = bool(data.get(f"{n}-required"))
        pairs = zip(data.getlist(f"{n}-value"), data.getlist(f"{n}-label"), strict=False)
        rows.append({**row, "kept": list(pairs), "errors": {}})
    return rows


def typed(rows: Sequence[Row]) -> list[Row]:
    """Without the new ones in which nothing was typed."""
    return [row for row in rows if any((row["key"], row["title"], row["help"], row["more"]))]


def question_of(row: Row) -> dict[str, Any]:
    """As rubric.checked_rubric takes it."""
    question: dict[str, Any] = {
        part: row[part]
        for part in ("key", "title", "help", "type", "about", "required")
        if row[part]
    }
    question["required"] = row["required"]
    for end in ("low", "high"):
        number = row[end].strip()
        question[end] = int(number) if number.isdecimal() and len(number) < 4 else row[end]
    kept = [{"value": value, "label": label} for value, label in row["kept"]]
    question["options"] = kept + [{"label": line} for line in row["more"].splitlines()]
    return question


def refuse(rows: Sequence[Row], refused: Refused) -> str:
    """Puts the message beside its field; returns it where it has none."""
    place, _, part = refused.field.partition("-")
    if not place.isdecimal() or int(place) >= len(rows):
        return str(refused)
    rows[int(place)]["errors"][part] = str(refused)
    return ""


def rearranged(rows: list[Row], act: str, stage: Stage) -> tuple[list[Row], str, str]:
    """The rows after a button that saves nothing: add, up-N, down-N, remove-N, drop-N-OPTION,
    restore-KEY. With it the id of what gets the focus, and what is said aloud."""
    what, _, rest = act.partition("-")
    rows = list(rows)
    if what == "add":
        return [*rows, blank(stage)], f"{len(rows)}-title", f"Question {len(rows) + 1} added"
    if what == "restore":
        back = [row_of(question) for question in stage.rubric if question["key"] == rest]
        if not back or any(row["key"] == rest for row in rows):
            return rows, "", ""
        return rows + back, f"{len(rows)}-title", f"Asked again, as question {len(rows) + 1}"
    place, _, option = rest.partition("-")
    if not place.isdecimal() or len(place) > 3 or int(place) >= len(rows):
        return rows, "", ""
    n = int(place)
    if what == "remove":
        del rows[n]
        focus = f"{min(n, len(rows) - 1)}-title" if rows else "add"
        return rows, focus, f"Question {n + 1} removed"
    if what == "drop" and option.isdecimal() and len(option) < 4:
        rows[n]["kept"] = [pair for m, pair in enumerate(rows[n]["kept"]) if m != int(option)]
        return rows, f"{n}-more", "Option removed"
    if what in ("up", "down"):
        to = n + (1 if what == "down" else -1)
        if 0 <= to < len(rows):
            rows[n], rows[to] = rows[to], rows[n]
            end = to in (0, len(rows) - 1)
            focus = {"up": "down", "down": "up"}[what] if end else what
            return rows, f"{to}-{focus}", f"Now question {to + 1}"
    return rows, "", ""


def preview(stage: Stage, rows: Sequence[Row]) -> dict[str, Any]:
    """{"prompt", "answer": as annotators see them, "unfinished": how many cannot be shown yet}."""
    found: list[Mapping[str, Any]] = []
    new = typed(rows)
    for row in new:
        try:
            found.append(checked_rubric([question_of(row)], [*stage.rubric, *found])[0])
        except Refused:
            continue
    shown = Stage(kind=Stage.Kind.RATE, rubric=in_force(found))
    turn = Submission(shown=[1])
    return {
        "prompt": questions_for(shown, turn, {}, {}),
        "answer": questions_for(shown, turn, {}, {}, 1) if stage.shows_answers else [],
        "unfinished": len(new) - len(found),
    }
