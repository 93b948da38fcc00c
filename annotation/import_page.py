"""What an import's page shows: how its file is read, its first rows, how far it is. Reads only."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from annotation import fetching, mappings, markdown
from annotation.columns import Column, columns_of, is_table, suggested
from annotation.errors import Refused
from annotation.forms.imports import (
    LICENCES,
    MAPPING,
    AboutForm,
    ColumnsForm,
    LayoutForm,
    NameForm,
    SkipForm,
    about_initial,
)
from annotation.layouts import LAYOUTS
from annotation.layouts.mapping import FIELDS
from annotation.models import ColumnMapping, Import, Prompt
from annotation.parsing import Preview, preview
from annotation.prompt_page import Turn, conversation
from annotation.readers.streams import in_words
from annotation.readers.tables import looks_like_row, numbered
from annotation.records import Record

OPEN = (Import.State.PREVIEWED, Import.State.FAILED)
MOVING = (Import.State.QUEUED, Import.State.RUNNING)
RECORDS = 20  # shown
CUT = 2_000  # characters of a text


def context(import_row: Import, **forms: Any) -> dict[str, Any]:
    """Everything for the page. `forms`: those that were sent and refused, by their names."""
    found: dict[str, Any] = {
        "import": import_row,
        "project": import_row.project,
        "layout_title": title(import_row),
        "failed": import_row.state == Import.State.FAILED,
        "running": import_row.state in MOVING,
        "coming": fetching.is_coming(import_row),
        "stopped": fetching.is_coming(import_row) and fetching.has_stopped(import_row),
        "licences": LICENCES,
        "about": forms.pop("about", None) or AboutForm(initial=about_initial(import_row)),
    }
    if import_row.state in MOVING or found["coming"]:
        found |= pace(import_row, {})
    if import_row.state in OPEN and import_row.path:
        about = found["about"]
        if not about.is_bound:
            found["about"] = SkipForm(initial=about_initial(import_row))
        found |= reading(import_row, **forms)
    return found


def reading(
    import_row: Import,
    *,
    layout_form: LayoutForm | None = None,
    columns_form: ColumnsForm | None = None,
    name_form: NameForm | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """The part that changes as one chooses. `problem`: why what was chosen is not in force."""
    columns, table = columns_here(import_row)
    seen = Preview(import_row.layout, error=problem) if problem else preview(import_row)
    names = [column.name for column in columns]
    saved = mappings.offered(import_row.workspace, names, numbered(len(names)) if table else ())
    no_answers = not any(one.answers for _, rows in seen.shown for one in rows)
    return {
        "import": import_row,
        "project": import_row.project,
        "layout_title": title(import_row),
        "preview": seen,
        "shown": [record(line, one) for line, rows in seen.shown for one in rows][:RECORDS],
        "start": start(import_row, seen),
        "table": table,
        "row_first": table and not import_row.no_header and looks_like_row(names),
        "layout_form": layout_form or layout_of(import_row, saved),
        "columns": columns_form
        or ColumnsForm(columns=columns, mapping=import_row.mapping or suggested(columns)),
        # To be looked at where nothing was recognised, and where nothing but prompts came of it.
        "columns_open": bool(import_row.mapping or columns_form or no_answers),
        "name_form": name_form or NameForm(),
        "saved": ColumnMapping.objects.filter(workspace=import_row.workspace).order_by("name"),
    }


def columns_here(import_row: Import) -> tuple[list[Column], bool]:
    """The file's columns, and whether it is a table; none where it cannot be read, which its
    preview says: then a table is one that was said to be one."""
    try:
        return columns_of(import_row), is_table(import_row)
    except Refused:
        return [], import_row.no_header


def layout_of(import_row: Import, saved: list[ColumnMapping]) -> LayoutForm:
    now = import_row.mapping, import_row.no_header
    same = [row for row in saved if (row.mapping, row.no_header) == now]
    value = import_row.layout
    if import_row.mapping:
        value = f"saved:{same[0].pk}" if same else MAPPING
    return LayoutForm(
        saved=saved, mapped=bool(import_row.mapping) and not same, initial={"layout": value}
    )


def title(import_row: Import) -> str:
    if import_row.mapping:
        # In our order: PostgreSQL keeps a JSON object's names in one of its own.
        used = {name.split(".")[0] for name in import_row.mapping}
        names = [name for name in (*FIELDS, "metadata") if name in used]
        return f"columns as mapped ({', '.join(names)})"
    return LAYOUTS[import_row.layout].title if import_row.layout in LAYOUTS else import_row.layout


def start(import_row: Import, found: Preview) -> dict[str, Any]:
    """The button that starts it: its words, and whether it skips the refused rows that were seen.

    A count only where the whole file was looked at."""
    skips = bool(found.refused) and not import_row.skip_bad
    rows = "row" if found.good == 1 else "rows"
    if import_row.state == Import.State.FAILED and not skips:
        words = "Try again"
    elif skips:
        words = (
            f"Import the {found.good:,} good {rows}" if found.complete else "Import the good rows"
        )
    elif found.complete:
        words = f"Import {found.good:,} {rows}"
    else:
        words = "Import"
    possible = bool(import_row.layout) and not found.error and found.good > 0
    return {"possible": possible, "words": words, "skips": skips}


@dataclass(frozen=True)
class Shown:
    """A record as annotators will see it; `orders`: the best answer first, = for a tie."""

    line: int | None
    record: Record
    question: str
    turns: list[Turn]
    context: str
    answers: list[tuple[str, str, str]]
    orders: list[tuple[str, str]]
    metadata: list[tuple[str, str]]


def record(line: int | None, one: Record) -> Shown:
    """A record for the page; very long texts are cut."""
    messages = [
        {**turn, "content": _cut(str(turn.get("content") or ""))} for turn in one.messages[-8:]
    ]
    letters = [chr(ord("A") + place) if place < 26 else str(place + 1) for place in range(1000)]
    return Shown(
        line=line,
        record=one,
        question=str(one.messages[-1].get("content") or "") if one.messages else "",
        turns=conversation(Prompt(messages=messages)),
        context=markdown.render(_cut(one.context)) if one.context else "",
        answers=[
            (letters[place % 1000], answer.author_name, markdown.render(_cut(answer.text)))
            for place, answer in enumerate(one.answers[:12])
        ],
        orders=[
            (
                ranking.rater,
                " > ".join(
                    " = ".join(letters[place % 1000] for place in group) for group in ranking.order
                ),
            )
            for ranking in one.rankings[:12]
        ],
        metadata=[(str(name), _short(value)) for name, value in list(one.metadata.items())[:12]],
    )


def _cut(text: str) -> str:
    return text if len(text) <= CUT else text[:CUT] + " …"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def limits() -> list[tuple[str, str]]:
    """What a file may cost, in words, with the setting that says so."""
    return [
        (f"{in_words(settings.IMPORT_MAX_BYTES)} after unpacking", "IMPORT_MAX_BYTES"),
        (f"unpacked at most {settings.IMPORT_MAX_RATIO} times its size", "IMPORT_MAX_RATIO"),
        (f"{settings.IMPORT_MAX_ROWS:,} rows", "IMPORT_MAX_ROWS"),
        (f"{in_words(settings.IMPORT_MAX_ROW_BYTES)} a row", "IMPORT_MAX_ROW_BYTES"),
        (f"{settings.IMPORT_MAX_DEPTH} levels of nesting", "IMPORT_MAX_DEPTH"),
    ]


def pace(import_row: Import, asked: Any) -> dict[str, Any]:
    """How far it is, how fast, and how long it takes yet.

    Nothing is stored for it: the page that polls says since when it has looked, and what it saw
    first (`at` in seconds, `rows`, `bytes`)."""
    now = timezone.now().timestamp()
    done, total = import_row.bytes_done, import_row.bytes_total
    at, rows, read = (_number(asked.get(name)) for name in ("at", "rows", "bytes"))
    fresh = not at or not now - 3600 < at <= now or rows > import_row.rows_done or read > done
    if fresh or import_row.state == Import.State.QUEUED:
        at, rows, read = now, import_row.rows_done, done
    passed = now - at
    speed = (import_row.rows_done - rows) / passed if passed >= 2 else 0
    flow = (done - read) / passed if passed >= 2 else 0
    left = (total - done) / flow if total and flow > 0 else None
    if left is None and import_row.rows_total and speed > 0:
        left = (import_row.rows_total - import_row.rows_done) / speed
    return {
        "since": f"at={at:.1f}&rows={rows:.0f}&bytes={read:.0f}",
        "share": min(100, int(100 * done / total)) if total else None,
        "speed": int(speed),
        "flow": in_words(int(flow)) if flow else "",
        "left": in_time(left) if left is not None else "",
        "read": in_words(done) if done else "",
        "of": in_words(total) if total else "",
    }


def _number(text: Any) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e15 else 0.0


def in_time(seconds: float) -> str:
    """About how long, rounded as one says it."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 100:
        return f"{round(seconds, -1):.0f} seconds"
    if seconds < 5_400:
        minutes = round(seconds / 60)
        return f"{minutes} minutes"
    return f"{seconds / 3600:.1f} hours"
