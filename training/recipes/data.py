"""Rows of a snapshot as tokens: rendered, cut and masked once, for preflight, training and
evaluation alike, so that what is counted is what is trained."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from exports import chat, formats

SPLITS = ("train", "validation", "test")
IGNORED = -100  # the label of a token that is not trained on


# Snapshots


def rows_of(snapshot: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a split in their order; none where the split has no file. Raises ValueError where
    a file is not readable."""
    for file in _files(snapshot, split):
        try:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=500):
                yield from batch.to_pylist()
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} is not a readable Parquet file: {error}") from None


def count_of(snapshot: str | Path, split: str) -> int:
    """Rows of a split, from the files' own counts."""
    return sum(pq.read_metadata(file).num_rows for file in _files(snapshot, split))


def _files(snapshot: str | Path, split: str) -> list[Path]:
    return sorted((Path(snapshot) / "data").glob(f"{split}-*.parquet"))


def check_snapshot(snapshot: str | Path, kind: str) -> None:
    """Raise ValueError where the folder is no snapshot, or not one of the kind."""
    if not (Path(snapshot) / "data").is_dir():
        raise ValueError(f"{snapshot} is no snapshot: it has no folder `data`.")
    wanted = {"prompt", *formats.ANSWERS[kind]}
    found: set[str] = set()
    for file in (file for split in SPLITS for file in _files(snapshot, split)):
        try:
            found = set(pq.read_schema(file).names)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} is not a readable Parquet file: {error}") from None
        if not wanted <= found:
            raise ValueError(
                f"{snapshot} is no {kind} snapshot: {file.name} has the columns "
                f"{', '.join(sorted(found))}, and {', '.join(sorted(wanted - found))} is missing."
            )
    if not found:
        raise ValueError(f"{snapshot} holds no rows: there is no Parquet file in it.")


def evaluation_split(snapshot: str | Path) -> str:
    """The split that before and after are measured on: test, else validation, else "" for none."""
    return next((name for name in ("test", "validation") if count_of(snapshot, name)), "")


def no_test_note(split: str) -> str:
    """What to say where before and after are not measured on test rows."""
    if split:
        return f"The snapshot has no test rows: before and after are measured on {split} rows."
    return "The snapshot has no test and no validation rows: nothing is measured before and after."


# Tokens


@dataclass(frozen=True)
class Example:
    """A row to learn an answer from."""

    input_ids: list[int]
    labels: list[int]
    length: int  # before it was cut

    @property
    def trained(self) -> int:
        """Tokens that are trained on. The first token of a row is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])


@dataclass(frozen=True)
class Pair:
    chosen_ids: list[int]
    rejected_ids: list[int]
    start: int  # where the answers begin
    length: int  # of the longer one, before it was cut


class Encoder:
    """Messages to the ids that a model sees, through the tokenizer's template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.template = str(tokenizer.chat_template)
        self.tokens: dict[str, Any] = {
            "bos_token": tokenizer.bos_token or "",
            "eos_token": tokenizer.eos_token or "",
        }

    @cached_property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer: the special token that the template writes after one (a base
        model's eos may be another), and the tokenizer's eos."""
        mark = chr(0x2042)  # an asterism, which no template writes
        probe = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
        after = self.render(probe).rpartition(mark)[2]
        ids = self._ids(after)[:1]
        special = set(self.tokenizer.all_special_ids)
        special |= {i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special}
        found = [i for i in ids if i in special]
        eos = self.tokenizer.eos_token_id
        return found + [eos] if eos is not None and eos not in found else found

    def render(self, messages: list[dict[str, Any]], *, asking: bool = False) -> str:
        return chat.render(messages, self.template, add_generation_prompt=asking, **self.tokens)

    def prompt(self, messages: list[dict[str, Any]], room: int | None = None) -> list[int]:
        """The ids that ask for an answer. Where they are more than `room`, the start is cut."""
        ids = self._ids(self.render(messages, asking=True))
        return ids if room is None else ids[-room:]

    def example(self, messages: list[dict[str, Any]]) -> Example:
        """A conversation whose last turn is learned. A row that is too long loses its end."""
        ids, trained = self._split(messages)
        labels = [i if t else IGNORED for i, t in zip(ids, trained, strict=True)]
        return Example(ids[: self.max_length], labels[: self.max_length], len(ids))

    def dialogue(self, messages: list[dict[str, Any]]) -> list[int]:
        """A conversation with its last answer, as a reward model reads it."""
        prompt, answer = self._parts(messages)
        return self._fit(prompt, [answer])[1][0]

    def pair(
        self,
        prompt: list[dict[str, Any]],
        chosen: list[dict[str, Any]],
        rejected: list[dict[str, Any]],
    ) -> Pair:
        """Two answers to one prompt, cut alike."""
        asked, better = self._parts([*prompt, *chosen])
        _, worse = self._parts([*prompt, *rejected])
        start, (chosen_ids, rejected_ids) = self._fit(asked, [better, worse])
        return Pair(chosen_ids, rejected_ids, start, len(asked) + max(len(better), len(worse)))

    def _fit(self, prompt: list[int], answers: list[list[int]]) -> tuple[int, list[list[int]]]:
        """Where the answers start, and each of them behind the prompt, within max_length. First the
        prompt loses its start, down to a quarter; then an answer its end, but for its last token,
        where the reward is read."""
        before, after = self._frame
        room = self.max_length - len(before) - len(after)
        left = max(room - max(map(len, answers)), room // 4)
        prompt = prompt[len(prompt) - left :] if len(prompt) > left else prompt
        room -= len(prompt)
        cut = [a if len(a) <= room else a[: room - 1] + a[-1:] for a in answers]
        start = len(before) + len(prompt)
        return start, [before + prompt + answer + after for answer in cut]

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """What a BERT-like model wants around each text; nothing for the others."""
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return ([cls], [sep]) if cls is not None and sep is not None else ([], [])

    def _parts(self, messages: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
        ids, trained = self._split(messages)
        start = trained.index(True) if True in trained else len(ids)
        return ids[:start], ids[start:]

    def _split(self, messages: list[dict[str, Any]]) -> tuple[list[int], list[bool]]:
        """Ids of the conversation up to the end of its last answer, and which of them are trained:
        the answer with the token that ends it."""
        pieces = chat.segments(messages, self.template, **self.tokens)
        ids: list[int] = []
        trained: list[bool] = []
        for text, is_trained in pieces:
            piece = self._ids(text)
            ids += piece
            trained += [is_trained] * len(piece)
        last = max((i for i, t in enumerate(trained) if t), default=-1)
        first = trained.index(True) if last >= 0 else 0
        ends = [i for i in range(first, last + 1) if ids[i] in self.end_ids]
        if ends:
            last = ends[-1]  # a template's line break behind the end is nothing to learn
        ids, trained = ids[: last + 1], trained[: last + 1]
        if last >= 0 and not ends and self.end_ids:
            ids.append(self.end_ids[-1])  # the template does not end an answer; the model must
            trained.append(True)
        return ids, trained

    def _ids(self, text: str) -> list[int]:
        # The template writes the special tokens itself. Pieces are split where a prompt ends, as
        # they are when the model is asked: what it learns is what it will see.
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def check_template(encoder: Encoder, conversations: Iterable[list[dict[str, Any]]]) -> None:
    """Raise ValueError where the tokenizer renders other bytes than we do: then a page, a preflight
    and another program would not see the same text."""
    for messages in conversations:
        for asking in (False, True):
            ours = encoder.render(messages, asking=asking)
            theirs = encoder.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=asking
            )
            if ours != theirs:
                raise ValueError(
                    f"The chat template renders differently here and in transformers: {ours!r} "
                    f"and {theirs!r}."
                )


# Rows to tables


@dataclass
class Table:
    """Encoded rows of a split, and what had to be left out."""

    rows: pa.Table
    read: int = 0
    cut: int = 0  # rows of which only a part fits
    empty: list[int] = field(default_factory=list)  # rows (from 1) with nothing left to train on

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def note(self, max_length: int) -> str:
        """What was left out, in a sentence; "" where all is whole."""
        said = []
        if self.empty:
            some = ", ".join(map(str, self.empty[:5])) + (" …" if len(self.empty) > 5 else "")
            said.append(
                f"{len(self.empty)} of {self.read} rows were left out, as nothing of them can be "
                f"trained within {max_length} tokens (rows {some})"
            )
        if self.cut:
            said.append(f"{self.cut} of {self.read} rows were cut to {max_length} tokens")
        return "; ".join(said) + "." if said else ""


_IDS = pa.list_(pa.int32())
EXAMPLES = pa.schema([("input_ids", _IDS), ("labels", _IDS)])
PAIRS = pa.schema([("chosen_ids", _IDS), ("rejected_ids", _IDS)])


def encode(
    rows: Iterable[Mapping[str, Any]],
    encoder: Encoder,
    kind: str,
    stop: Callable[[], None] = lambda: None,
) -> Table:
    """Rows of an sft or preference snapshot as ids, 4 bytes a token. `stop` is called now and then
    and may raise."""
    schema = EXAMPLES if kind == "sft" else PAIRS
    table = Table(schema.empty_table())
    batches: list[pa.RecordBatch] = []
    held: list[dict[str, Any]] = []
    for row in rows:
        table.read += 1
        if table.read == 1 and "margin" in row:
            schema = schema.append(pa.field("margin", pa.float64()))
        if table.read % 200 == 0:
            stop()
        try:
            columns, length, trained = encode_row(row, encoder, kind)
        except chat.ChatError as error:
            raise ValueError(f"Row {table.read}: {error}") from None
        table.cut += length > encoder.max_length
        if not trained:
            table.empty.append(table.read)
            continue
        held.append(columns)
        if len(held) == 1000:
            batches.append(pa.RecordBatch.from_pylist(held, schema))
            held = []
    if held:
        batches.append(pa.RecordBatch.from_pylist(held, schema))
    table.rows = pa.Table.from_batches(batches, schema)
    return table


def encode_row(
    row: Mapping[str, Any], encoder: Encoder, kind: str
) -> tuple[dict[str, Any], int, int]:
    """The columns for the trainer, the length before cutting, and how much is left to train: tokens
    of an example, 1 or 0 of a pair (0 where both answers are cut to the same)."""
    if kind == "sft":
        example = encoder.example(chat.to_messages(row))
        columns: dict[str, Any] = {"input_ids": example.input_ids, "labels": example.labels}
        return columns, example.length, example.trained
    pair = encoder.pair(row["prompt"], row["chosen"], row["rejected"])
    columns = {"chosen_ids": pair.chosen_ids, "rejected_ids": pair.rejected_ids}
    if "margin" in row:
        columns["margin"] = row["margin"] or 0.0
    return columns, pair.length, int(pair.chosen_ids != pair.rejected_ids)


def training_table(
    snapshot: str | Path, encoder: Encoder, kind: str, stop: Callable[[], None]
) -> Table:
    """The training rows. Raises ValueError where there are none, or none that trains anything."""
    table = encode(rows_of(snapshot, "train"), encoder, kind, stop)
    if not table.read:
        raise ValueError("The snapshot has no training rows.")
    if not len(table):
        raise ValueError(
            f"None of the {table.read} training rows has anything to train on within "
            f"{encoder.max_length} tokens: raise max_length, or choose shorter rows."
        )
    return table


def read_prompts(path: str | Path) -> list[dict[str, Any]]:
    """{"key", "messages"} per line of a JSONL file. Raises ValueError that names the line."""
    prompts = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                prompts.append({"key": row["key"], "messages": list(row["messages"])})
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is no prompt with `key` and `messages`: {error}"
                ) from None
    return prompts
