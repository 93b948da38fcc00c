"""A table with several answers to a prompt, a column each; maybe their ranks, or the best of them.

Pure."""

import re
from collections.abc import Sequence
from typing import Any

from annotation.errors import Refused
from annotation.layouts.answers import Answers, number, ranking
from annotation.layouts.fields import RATER, Row, first, identity, prompt_messages, rest, text
from annotation.layouts.instructions import PROMPTS, SYSTEMS
from annotation.records import Answer, Note, RankingIn, Record, is_blank

WORDS = r"(?:response|answer|completion|output|candidate|generation)"
COLUMN = re.compile(rf"{WORDS}[ _-]?(\d{{1,2}}|[a-e])", re.IGNORECASE)
ORIGINALS = ("original_response", "original-response", "original response")
ASKED = (*PROMPTS, "input", "user_input")
CHOICES = ("chosen", "best", "preferred", "preference", "winner", "label")
RANKS = ("{0}_rank", "{0}-rank", "{0} rank", "{0}.rank", "rank_{0}", "rank-{0}", "rank {0}")
RANKS_BY_MARK = ("rank_{0}", "rank-{0}", "rank {0}", "rank{0}")
TIE = ("tie", "both", "equal")


def answer_columns(row: Row) -> list[str]:
    """The columns that hold answers, the original one first, in the order of the row."""
    numbered = [name for name in row if COLUMN.fullmatch(name)]
    original = [name for name in ORIGINALS if name in row]
    return [*original, *numbered]


def fits_answer_columns(row: Row) -> bool:
    return bool(first(row, ASKED)) and len(answer_columns(row)) > 1


def convert_answer_columns(row: Row, note: Note) -> list[Record]:
    """Every answer keeps the name of its column. Ranks, the lowest best, or the best one's name."""
    columns = answer_columns(row)
    name, system_column = first(row, ASKED), first(row, SYSTEMS)
    system, messages = prompt_messages(row.get(name), name or "the prompt", note)
    answers = Answers()
    places: dict[str, int] = {}
    for column in columns:
        spoken = text(row.get(column), column, note)
        if is_blank(spoken):
            note(f"{column} is empty: it is left out")
            continue
        places[column], new = answers.add(Answer(spoken, metadata={"column": column}))
        if not new:
            note(f"{column} says the same as another answer: one is kept")
    rank_columns, rankings = _rankings(row, columns, places, answers, note)
    context_column = "context" if name == "input" else first(row, ("input", "context"))
    used = (name, system_column, context_column, *columns, *rank_columns)
    record = Record(
        messages=messages,
        system=text(row.get(system_column), system_column, note) or system,
        context=text(row.get(context_column), context_column, note),
        external_id=identity(row),
        metadata=rest(row, used),
        answers=answers.all,
        rankings=rankings,
    )
    return [record]


def _rankings(
    row: Row, columns: Sequence[str], places: dict[str, int], answers: Answers, note: Note
) -> tuple[list[str], list[RankingIn]]:
    """(the columns that were read for it, the ranking if there is one)"""
    named = {column: found for column in columns if (found := _rank_column(row, column))}
    if named:
        ranks: dict[int, float] = {}
        for column, place in places.items():
            rank = number(row.get(named.get(column, "")))
            if rank is None:
                note(f"{column} has no rank: it comes unranked")
            elif ranks.setdefault(place, rank) != rank:
                raise Refused(f"{column} says the same as another answer, with another rank")
        return list(named.values()), ranking(RATER, ranks)
    choice = first(row, CHOICES)
    if not choice or row[choice] in (None, ""):
        return [], []
    best = chosen_place(row[choice], places, answers)
    if best is None:
        if choice != "label":  # a label may be about anything
            raise Refused(f"{choice} is “{row[choice]}”, which names none of the answers")
        return [], []
    if len(answers.all) < 2:
        note(f"{choice}: fewer than two answers, no ranking")
        return [choice], []
    others = [place for place in range(len(answers.all)) if place != best]
    order = [[best], others] if best >= 0 else [list(range(len(answers.all)))]
    return [choice], [RankingIn(RATER, order)]


def _rank_column(row: Row, column: str) -> str:
    marked = COLUMN.fullmatch(column)
    names = [form.format(column) for form in RANKS]
    if marked:
        names += [form.format(marked[1]) for form in RANKS_BY_MARK]
    return first(row, names)


def chosen_place(value: Any, places: dict[str, int], answers: Answers) -> int | None:
    """The place of the answer that a value names: by column, by its number or by its text.

    -1 for a tie, None if it names none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    said = f"{value:g}" if isinstance(value, float) else str(value).strip()
    if (place := names_of(places).get(said.casefold())) is not None:
        return place
    texts = (answer.text.strip() for answer in answers.all)
    return next((place for place, text in enumerate(texts) if text == said), None)


def names_of(places: dict[str, int]) -> dict[str, int]:
    """By what a value may name an answer: its column, its number or letter; -1 for a tie."""
    marks = {m[1].casefold(): at for name, at in places.items() if (m := COLUMN.fullmatch(name))}
    return dict.fromkeys(TIE, -1) | marks | {name.casefold(): at for name, at in places.items()}
