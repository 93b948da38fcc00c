"""Comparisons: HH-RLHF pairs, pairs beside a prompt, ranked candidates, PandaLM's raters. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from annotation.errors import Refused
from annotation.layouts.answers import Answers, by_rank
from annotation.layouts.fields import (
    ASSISTANT,
    RATER,
    USER,
    Row,
    first,
    identity,
    must_answer,
    note_order,
    prompt_messages,
    rest,
    split_system,
    text,
    turns,
)
from annotation.layouts.instructions import PROMPTS
from annotation.records import Answer, Message, Note, RankingIn, Record, same_answer

MARK = re.compile(r"\n\n(Human|Assistant):")
INSIDE = re.compile(r"(?:^|\n)[ \t]*(Human|Assistant):")
SIDES = ("chosen", "rejected")
TURNS = ("turns", "messages", "conversations")
RATERS = ("annotator1", "annotator2", "annotator3")


# HH-RLHF ------------------------------------------------------------------------------------


def fits_hh(row: Row) -> bool:
    return all(isinstance(row.get(name), str) for name in ("chosen", "rejected")) and not first(
        row, (*PROMPTS, *TURNS)
    )


def convert_hh(row: Row, note: Note) -> list[Record]:
    """Two whole dialogues that differ in the last turn: one prompt, two answers, one ranking."""
    chosen, rejected = _dialogue(row, "chosen"), _dialogue(row, "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise Refused("chosen and rejected answer different prompts")
    note_order(chosen[:-1], note)
    _note_marks([*chosen, rejected[-1]], note)
    messages = chosen[:-1]
    metadata = rest(row, ("chosen", "rejected"))
    return [pair(messages, "", chosen[-1]["content"], rejected[-1]["content"], row, metadata, note)]


def _dialogue(row: Row, name: str) -> list[Message]:
    whole = row.get(name)
    if not isinstance(whole, str):
        raise Refused(f"{name} is missing or no text")
    if whole.startswith(("Human:", "Assistant:")):
        whole = "\n\n" + whole
    before, *parts = MARK.split(whole)
    if not parts or before.strip():
        raise Refused(f"{name} has no role marks where turns begin (a blank line, then “Human:”)")
    dialogue: list[Message] = [
        {"role": USER if mark == "Human" else ASSISTANT, "content": said.removeprefix(" ")}
        for mark, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    if dialogue[-1]["role"] == USER:
        raise Refused(f"{name} ends with a Human turn: no answer stands there")
    if len(dialogue) == 1:
        raise Refused(f"{name} has an answer and no prompt")
    return dialogue


def _note_marks(dialogue: list[Message], note: Note) -> None:
    """A mark without its blank line begins no turn: the text stays as it is."""
    for number, message in enumerate(dialogue, 1):
        if found := INSIDE.search(message["content"]):
            which = "the rejected answer" if number == len(dialogue) else f"turn {number}"
            note(f"the role mark “{found[1]}:” stands inside {which}; taken as text")
            break


def pair(
    messages: list[Message],
    system: str,
    chosen: Any,
    rejected: Any,
    row: Row,
    metadata: dict[str, Any],
    note: Note,
    names: Sequence[str] = ("chosen", "rejected"),
) -> Record:
    """Two answers to a prompt, the better one first. Raises Refused for what cannot be compared."""
    answers = [
        must_answer(said, name, note) for said, name in zip((chosen, rejected), names, strict=True)
    ]
    if same_answer(*answers):
        raise Refused(f"{names[0]} and {names[1]} are the same answer")
    return Record(
        messages=messages,
        system=system,
        external_id=identity(row),
        metadata=metadata,
        answers=[Answer(said) for said in answers],
        rankings=[RankingIn(RATER, [[0], [1]])],
    )


# Pairs beside their prompt --------------------------------------------------------------------


def fits_pairs(row: Row) -> bool:
    if not {"chosen", "rejected"} <= row.keys():
        return False
    return bool(first(row, (*PROMPTS, *TURNS))) or isinstance(row["chosen"], list)


def convert_pairs(row: Row, note: Note) -> list[Record]:
    """A prompt and two answers, or two whole conversations that differ in the last turn."""
    name = first(row, (*PROMPTS, *TURNS))
    whole = [turns(row.get(side), side) for side in SIDES if _is_long(row.get(side))]
    if len(whole) == 2:
        if whole[0][:-1] != whole[1][:-1]:
            raise Refused("chosen and rejected answer different prompts")
        # TRL's form; the column prompt, where there is one, says the first turn again.
        system, messages = split_system(whole[0][:-1])
        note_order(messages, note)
        system = text(row.get("system"), "system", note) or system
        metadata = rest(row, (*SIDES, "system", name))
        better, worse = (
            last_turn(conversation[-1:], side)
            for conversation, side in zip(whole, SIDES, strict=True)
        )
        return [pair(messages, system, better, worse, row, metadata, note)]
    system, messages = prompt_messages(row.get(name), name, note)
    used = (name, "chosen", "rejected", "system")
    chosen, rejected = (last_turn(row.get(side), side) for side in ("chosen", "rejected"))
    system = text(row.get("system"), "system", note) or system
    return [pair(messages, system, chosen, rejected, row, rest(row, used), note)]


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def last_turn(value: Any, name: str) -> Any:
    """An answer that is a text, a turn, or a list with one assistant turn."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise Refused(f"{name} has {len(value)} turns; one answer is expected")
    turn = turns(value, name)[0]
    if turn["role"] != ASSISTANT:
        raise Refused(f"{name} is no assistant's turn")
    return turn["content"]


# Ranked candidates ----------------------------------------------------------------------------


def fits_ranked(row: Row) -> bool:
    return isinstance(row.get("candidates"), list) and bool(first(row, (*TURNS, *PROMPTS)))


def convert_ranked(row: Row, note: Note) -> list[Record]:
    """Lower ranks are better, equal ranks tie, a candidate without a rank is not ranked."""
    name = first(row, (*TURNS, *PROMPTS))
    system, messages = prompt_messages(row.get(name), name or "the prompt", note)
    candidates = row.get("candidates")
    if not isinstance(candidates, list):
        raise Refused("candidates is no list")
    answers, ranks = _candidates(candidates, note)
    order = _order(ranks)
    ranked = sum(len(group) for group in order)
    if not answers:
        note("no candidates: a prompt without an answer")
    elif ranked < 2:
        note(f"{ranked} ranked candidate{'' if ranked == 1 else 's'}: no ranking")
    record = Record(
        messages=messages,
        system=system,
        external_id=identity(row),
        metadata=rest(row, (name, "candidates")),
        answers=answers,
        rankings=[RankingIn(RATER, order)] if ranked >= 2 else [],
    )
    return [record]


def _candidates(candidates: Sequence[Any], note: Note) -> tuple[list[Answer], list[float | None]]:
    answers = Answers()
    ranks: list[float | None] = []
    for number, candidate in enumerate(candidates, 1):
        if not isinstance(candidate, dict):
            raise Refused(f"candidate {number} is no object")
        said = must_answer(
            candidate.get("text", candidate.get("content")), f"candidate {number}", note
        )
        rank = _rank(candidate.get("rank"), number, note)
        author = candidate.get("model") or candidate.get("author") or ""
        metadata = rest(candidate, ("text", "content", "rank", "model", "author"))
        twin, new = answers.add(Answer(said, author_name=str(author), metadata=metadata))
        if not new:
            if ranks[twin] != rank:
                raise Refused(
                    f"candidates {twin + 1} and {number} are the same answer with different ranks"
                )
            note(f"candidates {twin + 1} and {number} are the same answer: one is kept")
            continue
        if rank is None:
            note(f"candidate {number} has no rank: it comes unranked")
        ranks.append(rank)
    return answers.all, ranks


def _rank(value: Any, number: int, note: Note) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            rank = float(value)
        except ValueError:
            raise Refused(f"the rank of candidate {number} is “{value}”, not a number") from None
        note(f"the rank of candidate {number} is the text “{value}”; taken as a number")
        value = rank
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise Refused(f"the rank of candidate {number} is not a number")
    return value


def _order(ranks: Sequence[float | None]) -> list[list[int]]:
    return by_rank({at: rank for at, rank in enumerate(ranks) if rank is not None})


# PandaLM --------------------------------------------------------------------------------------


def fits_pandalm(row: Row) -> bool:
    return {"instruction", "response1", "response2"} <= row.keys() and RATERS[0] in row


def convert_pandalm(row: Row, note: Note) -> list[Record]:
    """Two systems' answers and three raters: 1 or 2 is the better one, 0 a tie.

    `idx` names the comparison and not the prompt, which is known by its content: two systems may
    say the same as two others, and were judged again."""
    said = [must_answer(row.get(name), name, note) for name in ("response1", "response2")]
    if same_answer(*said):
        raise Refused("response1 and response2 are the same answer")
    systems = str(row.get("cmp_key") or "").split("_")
    authors = systems if len(systems) == 2 else ["", ""]
    orders = {1: [[0], [1]], 2: [[1], [0]], 0: [[0, 1]]}
    rankings = []
    for rater in RATERS:
        label = row.get(rater)
        if isinstance(label, str) and label.strip() in ("0", "1", "2"):
            label = int(label)
        if label is None:
            note(f"{rater} gave no label")
        elif isinstance(label, bool) or label not in orders:
            raise Refused(f"{rater}'s label is {label!r}; 1, 2 or 0 (a tie) is expected")
        else:
            rankings.append(RankingIn(rater, orders[label]))
    used = ("instruction", "input", "response1", "response2", "idx", "cmp_key", *RATERS)
    record = Record(
        messages=[{"role": USER, "content": text(row.get("instruction"), "instruction", note)}],
        context=text(row.get("input"), "input", note),
        metadata=rest(row, used),
        answers=[Answer(s, author_name=a) for s, a in zip(said, authors, strict=True)],
        rankings=rankings,
        comparison=str(row.get("idx", "")),
    )
    return [record]
