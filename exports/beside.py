"""The rules about rows beside other rows: duplicates, what is nearly equal, and balance. They are
asked in sorting order, so that the result does not depend on the order of arrival."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exports import balance
from exports.leaks import Leaks
from exports.near import Near
from exports.rules import Selection, numbers
from exports.shelf import Shelf, Shelved
from exports.splits import SPLITS

TRAIN, VALIDATION, TEST = map(SPLITS.index, ("train", "validation", "test"))
BATCH = 2_000  # rows whose texts are in memory together
Beat = Callable[[int], None]


def parts(row: dict[str, Any]) -> tuple[str, ...]:
    """The texts that must be nearly equal one by one: what was asked, and each answer."""
    if "text" in row:
        return (row["text"],)
    asked = "\n".join(turn["content"] for turn in row["prompt"])
    answers = (row[name] for name in ("completion", "chosen", "rejected") if name in row)
    return (asked, *(answer[-1]["content"] for answer in answers))


def question(row: dict[str, Any]) -> str:
    """What a model is asked: the whole conversation so far, as a last turn such as “Go on” says
    nothing by itself; without the system text, which many share. Or the document."""
    if "text" in row:
        return str(row["text"])
    return "\n".join(turn["content"] for turn in row["prompt"] if turn["role"] != "system")


def apply(selection: Selection, shelf: Shelf, beat: Beat) -> dict[int, int]:
    """Drop rows, each with its reason. Returns {a dropped near-duplicate: the row that stays}."""
    shelf.drop_duplicates()
    groups = _near(selection, shelf, beat) if selection.near else {}
    if selection.near_test:
        _leaks(selection, shelf, beat)
    if selection.max_per_prompt:
        _per_prompt(selection.max_per_prompt, shelf)
    if selection.max_longer:
        _lengths(selection.max_longer, shelf)
    if selection.max_annotator:
        _dominance(selection.max_annotator, shelf)
    if selection.weights:
        _mix(dict.fromkeys(selection.projects, 1.0) | numbers(selection.weights), shelf)
    return groups


def _per_prompt(most: int, shelf: Shelf) -> None:
    gone = balance.per_prompt(shelf.kept("id", "prompt").tolist(), most)
    shelf.drop(sorted(gone), f"more than {most} rows of the prompt")


def _lengths(most: int, shelf: Shelf) -> None:
    rows = shelf.kept("id", "length", "other")
    pairs = rows[rows["other"] >= 0].tolist()
    gone = balance.lengths(pairs, most / 100)
    shelf.drop(sorted(gone), f"the longer answer wins in more than {most} %")


def _dominance(most: int, shelf: Shelf) -> None:
    ids = shelf.kept("id")["id"]
    named = [(pk, tuple(line.provenance["annotators"])) for pk, line in _read(shelf, ids)]
    gone = balance.dominance(named, most / 100)
    shelf.drop(sorted(gone), f"more than {most} % by one annotator")


def _mix(weights: dict[str, float], shelf: Shelf) -> None:
    names = shelf.projects()
    gone = balance.mix(
        ((pk, names[at]) for pk, at in shelf.kept("id", "project").tolist()), weights
    )
    shelf.drop(sorted(gone), "more than the project's share of the mix")


def _read(shelf: Shelf, ids: Any) -> Iterator[tuple[int, Shelved]]:
    return zip(ids.tolist(), shelf.read(ids), strict=True)


def _near(selection: Selection, shelf: Shelf, beat: Beat) -> dict[int, int]:
    ids = shelf.kept("id")["id"]
    near = Near(selection.near / 100)
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        near.add(batch.tolist(), list(map(parts, shelf.contents(batch))))
        beat(35 * start // len(ids))
    groups = near.groups(
        lambda asked: list(map(parts, shelf.contents(asked))),
        lambda done, of: beat(35 + 35 * done // max(of, 1)),
    )
    shelf.drop(sorted(groups), f"near-duplicate of another row ({selection.near} %)")
    return groups


def _leaks(selection: Selection, shelf: Shelf, beat: Beat) -> None:
    """Training rows whose question is nearly that of a test row; where it is asked, also those near
    a validation row, and validation rows near a test row."""
    if not selection.near_validation:
        _apart(TEST, (TRAIN,), selection.near_test, shelf, lambda done: beat(70 + 30 * done // 100))
        return
    held = (TRAIN, VALIDATION)
    _apart(TEST, held, selection.near_test, shelf, lambda done: beat(70 + 15 * done // 100))
    _apart(
        VALIDATION, (TRAIN,), selection.near_test, shelf, lambda done: beat(85 + done * 15 // 100)
    )


def _apart(guarded: int, others: tuple[int, ...], alike: int, shelf: Shelf, beat: Beat) -> None:
    """Drop of the other splits what is nearly equal (per cent) to a row of the guarded one."""
    held = shelf.ids(SPLITS[guarded])
    asked = np.sort(np.concatenate([shelf.ids(SPLITS[split]) for split in others]))
    if not len(held):
        return
    leaks = Leaks(alike / 100)
    leaks.guard(map(question, shelf.contents(held)))
    gone: list[int] = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        hits = leaks.find(list(map(question, shelf.contents(batch))))
        gone += batch[hits].tolist()
        beat(100 * start // len(asked))
    shelf.drop(gone, f"nearly equal to a {SPLITS[guarded]} prompt ({alike} %)")
