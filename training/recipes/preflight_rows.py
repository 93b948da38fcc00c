"""What preflight says of rows: some of them as the model will see them, with what is trained and
what is cut; prompts that stand on both sides of the split; labels; how full packed rows get."""

import heapq
import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from unicodedata import normalize

from exports import chat
from training.recipes.encoding import IGNORED, Encoder
from training.recipes.found import agreed

SHOWN = 3  # longest rows, and as many random ones
PART = 1500  # characters of a part that is shown; of a longer one its two ends
PARTS = 60
WHOLE = 2**40  # a max_length that cuts nothing
TRAINED, CUT = "trained", "cut"  # marks of a part; "" is read, and not learned
BARS = 16

Row = Mapping[str, Any]


# Rows as the model sees them


@dataclass
class Shown:
    """Keeps the longest rows and some random ones while rows go by."""

    seed: int
    longest: list[tuple[int, int, Row]] = field(default_factory=list)  # length, -number, row
    drawn: list[tuple[int, Row]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(f"preflight {self.seed}")

    def see(self, number: int, row: Row, length: int) -> None:
        """`number`: the row's, from 1."""
        push = heapq.heappush if len(self.longest) < SHOWN else heapq.heappushpop
        push(self.longest, (length, -number, row))
        # Each row so far is drawn with the same chance (reservoir sampling).
        place = number - 1 if number <= SHOWN else self._random.randrange(number)
        if place < SHOWN:
            self.drawn[place : place + 1] = [(number, row)]

    def samples(self, encoder: Encoder, kind: str, room: int) -> list[dict[str, Any]]:
        rows = [("longest", -number, row) for _, number, row in sorted(self.longest, reverse=True)]
        known = {number for _, number, _ in rows}
        rows += [("drawn", number, row) for number, row in self.drawn if number not in known]
        return [
            {"which": which, "row": number, **sample(row, encoder, kind, room)}
            for which, number, row in rows
        ]


def sample(row: Row, encoder: Encoder, kind: str, room: int) -> dict[str, Any]:
    """{"texts": [{"name", "parts": [[text, mark]], "tokens", "lost"}]}: of a pair both answers.
    `lost`: tokens of the answer that are cut. `room`: what a prompt has, where it is answered."""
    return {
        "texts": [
            {"name": each.name, "parts": _parts(each, encoder), "tokens": len(each.ids),
             "lost": each.lost}
            for each in marked(row, encoder, kind, room)
        ]
    }  # fmt: skip


@dataclass
class Marked:
    """A text before it is cut, with a mark for each token. `lost`: tokens to learn that are cut."""

    name: str
    ids: list[int]
    marks: list[str]
    lost: int = 0


def marked(row: Row, encoder: Encoder, kind: str, room: int) -> list[Marked]:
    """The texts of a row: one, or the two answers of a pair, each with the prompt before it."""
    whole = Encoder(encoder.tokenizer, WHOLE)
    if kind == "sft":
        example = whole.example(chat.to_messages(row), every_turn="messages" in row)
        marks = [TRAINED if label != IGNORED else "" for label in example.labels]
        lost = marks[encoder.max_length :].count(TRAINED)
        return [Marked("", example.input_ids, _cut_behind(marks, encoder.max_length), lost)]
    if kind == "prompts":
        ids = whole.prompt(row["prompt"])
        return [Marked("", ids, [CUT if i < len(ids) - room else "" for i in range(len(ids))])]
    if kind == "text":  # a long one is learned in several rows
        ids = whole.document(row["text"] or "")
        return [Marked("", ids, ["", *([TRAINED] * (len(ids) - 1))])]
    if kind == "labels":
        ids, _ = whole.text(row["text"] or "")
        kept = len(encoder.text(row["text"] or "")[0])
        after = len(whole.text("")[0]) // 2  # a BERT's end mark stays
        marks = [CUT if kept - after <= i < len(ids) - after else "" for i in range(len(ids))]
        return [Marked(str(row["label"]), ids, marks)]
    return _answers(row, encoder, whole, kind)


def _answers(row: Row, encoder: Encoder, whole: Encoder, kind: str) -> list[Marked]:
    """Of kinds preference (as a reward model reads a pair), answers (as DPO does) and unpaired."""
    names = ["completion"] if kind == "unpaired" else ["chosen", "rejected"]
    every = [row[name] for name in names]
    full = whole.answers(row["prompt"], every)
    if kind == "preference":
        pair = encoder.pair(row["prompt"], *every)
        before, after = map(len, encoder.frame)  # what a BERT-like model has around it
        asked = pair.start - before
        kept = [len(x) - pair.start - after for x in (pair.chosen_ids, pair.rejected_ids)]
    else:
        cut = encoder.answers(row["prompt"], every)
        asked, kept = len(cut.prompt_ids), [len(ids) for ids in cut.answer_ids]
    if kind == "unpaired":
        names = ["thumb up" if row["label"] else "thumb down"]
    first = len(full.prompt_ids) - asked
    question = [CUT if i < first else "" for i in range(len(full.prompt_ids))]
    found = []
    for name, ids, size in zip(names, full.answer_ids, kept, strict=True):
        marks = _cut_behind([TRAINED] * len(ids), size)
        if kind == "preference" and size < len(ids):
            # Its last token stays, where the reward is read.
            marks[size - 1], marks[-1] = CUT, TRAINED
        found.append(Marked(name, full.prompt_ids + ids, question + marks, len(ids) - size))
    return found


def _cut_behind(marks: list[str], room: int) -> list[str]:
    return marks[:room] + [CUT] * (len(marks) - room)


def _parts(text: Marked, encoder: Encoder) -> list[tuple[str, str]]:
    """The text in parts, each with its mark: decoded from what the trainer is given, no guess."""
    runs: list[tuple[list[int], str]] = []
    for token, mark in zip(text.ids, text.marks, strict=True):
        if not runs or runs[-1][1] != mark:
            runs.append(([], mark))
        runs[-1][0].append(token)
    parts = [(_ends(str(encoder.tokenizer.decode(some))), mark) for some, mark in runs]
    return parts if len(parts) <= PARTS else [*parts[: PARTS - 2], (" … ", ""), parts[-1]]


def _ends(text: str) -> str:
    half = PART // 2
    return text if len(text) <= PART else f"{text[:half]} […] {text[-half:]}"


# Prompts on both sides


@dataclass
class Shared:
    """Prompts of the evaluated rows that are among the training rows, too: equal but for case,
    spaces and how characters are composed."""

    asked: dict[bytes, str] = field(default_factory=dict)  # of validation and test
    met: set[bytes] = field(default_factory=set)

    def expect(self, rows: Iterable[Row]) -> None:
        for row in rows:
            text = question(row)
            self.asked.setdefault(_key(text), text)

    def see(self, row: Row) -> None:
        """A training row."""
        if self.asked and (key := _key(question(row))) in self.asked:
            self.met.add(key)

    def facts(self) -> dict[str, Any]:
        found = [text for key, text in self.asked.items() if key in self.met]
        return {
            "count": len(found),
            "of": len(self.asked),
            "examples": [text if len(text) <= 160 else f"{text[:160]} …" for text in found[:SHOWN]],
        }


def question(row: Row) -> str:
    """What a row asks; of a document or a labelled text the text."""
    if "text" in row:
        return row["text"] or ""
    turns = row.get("prompt") or (row.get("messages") or [])[:-1]
    return "\n".join(str(turn["content"] or "") for turn in turns)


def _key(text: str) -> bytes:
    plain = " ".join(normalize("NFKC", text).casefold().split())
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()


# Labels


def label_warnings(train: Counter[str], held_out: Counter[str]) -> list[str]:
    """Raises ValueError where there is nothing to tell apart."""
    if len(train) < 2:
        raise ValueError(
            f"The training rows have one label only ({next(iter(train), 'none')}): a classifier "
            "needs two."
        )
    unknown = sorted(held_out.keys() - train.keys())
    if not unknown:
        return []
    rows = sum(held_out[name] for name in unknown)
    some = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
    return [
        f"Of the validation and test rows {rows} {agreed(rows, 'is', 'are')} left out: no training "
        f"row has a label of theirs ({some}), so it cannot be learned."
    ]


# Lengths


def packed(lengths: Sequence[int], room: int) -> list[int]:
    """Tokens in each row when rows are packed into ones of `room`: best fit, the longest first."""
    spaces: list[int] = []  # what is left in each row, in order
    for length in sorted((min(n, room) for n in lengths), reverse=True):
        place = bisect_left(spaces, length)
        left = spaces.pop(place) if place < len(spaces) else room
        insort(spaces, left - length)
    return [room - space for space in spaces]


def histogram(lengths: Sequence[int], bars: int = BARS) -> dict[str, list[int]]:
    """{"edges", "counts"}: bars of equal, round width up to the longest row."""
    width = max(1, -(-(max(lengths) + 1) // bars))
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128) if s >= width or s == 128)
    width = -(-width // step) * step
    counts = [0] * -(-(max(lengths) + 1) // width)
    for length in lengths:
        counts[length // width] += 1
    return {"edges": [i * width for i in range(len(counts) + 1)], "counts": counts}
