"""Two answers and a label (LLMBar, MT-bench), one answer and a thumb (KTO), answers with scores
(GPT-4-LLM). Pure."""

from typing import Any

from annotation.errors import Refused
from annotation.layouts.answers import Answers, number, ranking
from annotation.layouts.comparisons import TURNS, last_turn, pair
from annotation.layouts.fields import (
    ASSISTANT,
    RATER,
    USER,
    Row,
    answer,
    first,
    identity,
    must_answer,
    note_order,
    prompt_messages,
    rest,
    split_system,
    text,
    tools_of,
    turns,
)
from annotation.layouts.instructions import ANSWERS, CONVERSATIONS, PROMPTS, SYSTEMS
from annotation.records import Answer, Note, RankingIn, Record, same_answer

# LLMBar, MT-bench -------------------------------------------------------------------------------

OUTPUTS = ("output_1", "output_2")
ORDERS = {"1": [[0], [1]], "2": [[1], [0]], "0": [[0, 1]]}


def fits_llmbar(row: Row) -> bool:
    return {*OUTPUTS, "input", "label"} <= row.keys()


def convert_llmbar(row: Row, note: Note) -> list[Record]:
    """The label names the better output, 1 or 2; 0 is a tie."""
    said = [must_answer(row.get(name), name, note) for name in OUTPUTS]
    if same_answer(*said):
        raise Refused("output_1 and output_2 are the same answer")
    label = row.get("label")
    level = None if isinstance(label, bool) else number(label)
    order = ORDERS.get(f"{level:g}" if level is not None else "")
    if order is None:
        raise Refused(f"the label is {label!r}; 1, 2 or 0 (a tie) is expected")
    system, messages = prompt_messages(row.get("input"), "input", note)
    record = Record(
        messages=messages,
        system=system,
        external_id=identity(row),
        metadata=rest(row, ("input", "label", *OUTPUTS)),
        answers=[Answer(spoken) for spoken in said],
        rankings=[RankingIn(RATER, order)],
    )
    return [record]


# GPT-4-LLM --------------------------------------------------------------------------------------

PAIR = ("completion_a", "completion_b")
SCORED = "responses_and_scores"


def fits_scored(row: Row) -> bool:
    return "user_input" in row and (SCORED in row or row.keys() >= set(PAIR))


def convert_scored(row: Row, note: Note) -> list[Record]:
    """Of completion_a and completion_b the first was ranked higher; the highest score is best."""
    if SCORED not in row:
        system, messages = prompt_messages(row.get("user_input"), "user_input", note)
        metadata = rest(row, ("user_input", *PAIR))
        better, worse = (row.get(name) for name in PAIR)
        return [pair(messages, system, better, worse, row, metadata, note, PAIR)]
    scored = row[SCORED]
    if not isinstance(scored, list):
        raise Refused(f"{SCORED} is no list")
    answers, ranks = Answers(), dict[int, float]()
    for place, entry in enumerate(scored, 1):
        _add_scored(place, entry, answers, ranks, note)
    system, messages = prompt_messages(row.get("user_input"), "user_input", note)
    record = Record(
        messages=messages,
        system=system,
        external_id=identity(row),
        metadata=rest(row, ("user_input", SCORED)),
        answers=answers.all,
        rankings=ranking(RATER, ranks),
    )
    return [record]


def _add_scored(
    place: int, entry: Any, answers: Answers, ranks: dict[int, float], note: Note
) -> None:
    if not isinstance(entry, dict):
        raise Refused(f"response {place} is no object")
    spoken = must_answer(entry.get("response"), f"response {place}", note)
    score = number(entry.get("score"))
    author = entry.get("source")
    metadata = rest(entry, ("response", "source"))
    at, new = answers.add(
        Answer(spoken, author_name=author if isinstance(author, str) else "", metadata=metadata)
    )
    if new and score is None:
        note(f"response {place} has no score: it comes unranked")
    elif new and score is not None:
        ranks[at] = -score
    elif score is not None and ranks.get(at) != -score:
        raise Refused(f"response {place} is there already, with another score")
    else:
        note(f"response {place} is there already: one is kept")


# KTO --------------------------------------------------------------------------------------------

THUMBS = {"true": True, "false": False, "1": True, "0": False, True: True, False: False}
LABEL = "label"


def fits_thumb(row: Row) -> bool:
    if LABEL not in row or _thumb(row[LABEL]) is None or "text" in row:
        return False
    beside = bool(first(row, PROMPTS)) and bool(first(row, ANSWERS))
    return beside or isinstance(row.get(first(row, CONVERSATIONS)), list)


def convert_thumb(row: Row, note: Note) -> list[Record]:
    """The label is about the last answer; the turns before it are its prompt."""
    thumb = _thumb(row.get(LABEL))
    if thumb is None:
        raise Refused(f"the label is {row.get(LABEL)!r}; true or false is expected")
    system_column = first(row, SYSTEMS)
    if name := first(row, CONVERSATIONS):
        system, messages = split_system(turns(row[name], name))
        note_order(messages, note)
        if not messages or messages[-1]["role"] != ASSISTANT:
            raise Refused(f"{name} does not end with an answer, which the label is about")
        spoken = messages.pop()["content"]
        used: tuple[str, ...] = (name,)
    else:
        name, answered = first(row, (*PROMPTS, *TURNS)), first(row, ANSWERS)
        system, messages = prompt_messages(row.get(name), name or "the prompt", note)
        spoken = last_turn(row.get(answered), answered)
        used = (name, answered)
    tools, left = tools_of(row, note)
    answers = answer(must_answer(spoken, "the answer", note), "the answer", note)
    answers[0].metadata = {LABEL: thumb}
    record = Record(
        messages=messages or [{"role": USER, "content": ""}],
        system=text(row.get(system_column), system_column, note) or system,
        external_id=identity(row),
        tools=tools,
        metadata=rest(row, (*used, LABEL, system_column, *left)),
        answers=answers,
    )
    return [record]


def _thumb(value: Any) -> bool | None:
    if isinstance(value, str):
        value = value.strip().lower()
    return THUMBS.get(value) if isinstance(value, str | bool | int) else None
