"""Rows of a snapshot: read, checked, and made into the tables of ids that trainers are given."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exports import chat, formats
from training.recipes.encoding import IGNORED as IGNORED
from training.recipes.encoding import Encoder
from training.recipes.found import agreed

# Arrow's own pool keeps some MiB of what a few rows took for as long as the run trains.
pa.set_memory_pool(pa.system_memory_pool())

SPLITS = ("train", "validation", "test")


# Snapshots


def rows_of(snapshot: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a split in their order; none where the split has no file. Raises ValueError where
    a file is not readable."""
    for file in _files(snapshot, split):
        try:
            for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=500):
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
    wanted = {field.name for field in formats.schema(kind)}
    found: set[str] = set()
    for file in (file for split in SPLITS for file in _files(snapshot, split)):
        try:
            found = set(pq.read_schema(file).names)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} is not a readable Parquet file: {error}") from None
        if kind == "sft" and "messages" in found:
            continue  # whole conversations, of which each answer is learned
        if not wanted <= found:
            raise ValueError(
                f"{snapshot} is no {kind} snapshot: {file.name} has the columns "
                f"{', '.join(sorted(found))}, and {', '.join(sorted(wanted - found))} is missing."
            )
    if not found:
        raise ValueError(f"{snapshot} holds no rows: there is no Parquet file in it.")


def kind_of(snapshot: str | Path) -> str:
    """The kind of a snapshot, by its columns. Raises ValueError where they are of none."""
    files = [file for split in SPLITS for file in _files(snapshot, split)]
    found = set(pq.read_schema(files[0]).names) if files else set()
    # The kinds with more columns first: what has a label or a rejected answer is told by it.
    for kind in ("preference", "unpaired", "sft", "labels", "text", "prompts"):
        if {field.name for field in formats.schema(kind)} <= found:
            return kind
    if "messages" in found:
        return "sft"
    has = ", ".join(sorted(found)) or "none"
    raise ValueError(f"{snapshot} is no snapshot that can be measured on: its columns are {has}.")


def evaluation_split(snapshot: str | Path) -> str:
    """The split that before and after are measured on: test, else validation, else "" for none."""
    return next((name for name in ("test", "validation") if count_of(snapshot, name)), "")


def no_test_note(split: str) -> str:
    """What to say where before and after are not measured on test rows."""
    if split:
        return f"The snapshot has no test rows: before and after are measured on {split} rows."
    return "The snapshot has no test and no validation rows: nothing is measured before and after."


def check_template(encoder: Encoder, conversations: Iterable[list[dict[str, Any]]]) -> None:
    """Raise ValueError where the template does not show plain messages, or where the tokenizer
    renders other bytes than we do: then a page, a preflight and another program would not see the
    same text."""
    said = [{"role": "user", "content": "asked"}, {"role": "assistant", "content": "answered"}]
    advice = "choose a named template (chatml, instruction), or a model for text"
    try:
        shown = encoder.render(said)
    except chat.ChatError as error:
        raise ValueError(f"A question and an answer cannot be shown ({error}): {advice}.") from None
    if not all(message["content"] in shown for message in said):
        raise ValueError(
            "The chat template leaves out what is said: it wants messages in parts, as models that "
            f"read images have them. For text {advice}."
        )
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


def question(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a row of conversation asks: its prompt, or all that comes before its last answer."""
    if "messages" not in row:
        return list(row["prompt"])
    turns = chat.to_messages(row)
    last = max((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
    return turns[:last] or turns


def reference(row: Mapping[str, Any]) -> str:
    """The last answer of a row of conversation."""
    turns = reversed(chat.to_messages(row))
    return next((str(t["content"] or "") for t in turns if t["role"] == "assistant"), "")


# Rows to tables


@dataclass
class Table:
    """Encoded rows of a split, and what had to be left out."""

    rows: pa.Table
    kind: str = ""
    names: tuple[str, ...] = ()  # of the labels, in the order of their numbers
    read: int = 0
    cut: int = 0  # rows of which only a part fits (of a document: that became several rows)
    empty: list[int] = field(default_factory=list)  # rows (from 1) with nothing left to train on

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def note(self, max_length: int) -> str:
        """What was left out, in a sentence; "" where all is whole."""
        said = []
        if self.empty:
            some = ", ".join(map(str, self.empty[:5])) + (" …" if len(self.empty) > 5 else "")
            number = len(self.empty)
            said.append(
                f"{number} of {self.read} rows {agreed(number, 'was', 'were')} left out, as "
                f"nothing of {agreed(number, 'it', 'them')} can be trained within {max_length} "
                f"tokens ({agreed(number, 'row', 'rows')} {some})"
            )
        if self.cut:
            done = "split into pieces of" if self.kind == "text" else "cut to"
            were = agreed(self.cut, "was", "were")
            said.append(f"{self.cut} of {self.read} rows {were} {done} {max_length} tokens")
        return "; ".join(said) + "." if said else ""


_IDS = pa.list_(pa.int32())
# What the trainers are given, per kind of snapshot. `answers` is the preference kind once more, as
# DPO reads it: the prompt apart.
COLUMNS: dict[str, pa.Schema] = {
    "sft": pa.schema([("input_ids", _IDS), ("labels", _IDS)]),
    "text": pa.schema([("input_ids", _IDS), ("labels", _IDS)]),
    "preference": pa.schema([("chosen_ids", _IDS), ("rejected_ids", _IDS)]),
    "answers": pa.schema([("prompt_ids", _IDS), ("chosen_ids", _IDS), ("rejected_ids", _IDS)]),
    "unpaired": pa.schema([("prompt_ids", _IDS), ("completion_ids", _IDS), ("label", pa.bool_())]),
    "labels": pa.schema([("input_ids", _IDS), ("label", pa.int64())]),
}


def encode(
    rows: Iterable[Mapping[str, Any]],
    encoder: Encoder,
    kind: str,
    stop: Callable[[], None] = lambda: None,
    *,
    names: Sequence[str] = (),
) -> Table:
    """Rows of a snapshot as the columns of their kind, 4 bytes a token. A long document becomes
    several rows. `names`: what the numbers of the labels stand for; a row whose label is none of
    them is left out. `stop` is called now and then and may raise."""
    schema = COLUMNS[kind]
    table = Table(schema.empty_table(), kind=kind, names=tuple(names))
    numbers = {name: i for i, name in enumerate(names)}
    batches: list[pa.RecordBatch] = []
    held: list[dict[str, Any]] = []
    for row in rows:
        table.read += 1
        if table.read == 1 and kind == "preference" and "margin" in row:
            schema = schema.append(pa.field("margin", pa.float64()))
        if table.read % 200 == 0:
            stop()
        try:
            columns, length, trained = encode_row(row, encoder, kind)
        except chat.ChatError as error:
            raise ValueError(f"Row {table.read}: {error}") from None
        table.cut += length > encoder.max_length
        if kind == "labels":
            columns["label"] = numbers.get(columns["label"])
        if not trained or (kind == "labels" and columns["label"] is None):
            table.empty.append(table.read)
            continue
        if kind == "text":
            parts = encoder.pieces(columns["input_ids"])
            held += [{"input_ids": ids, "labels": ids} for ids in parts]
        else:
            held.append(columns)
        if len(held) >= 1000:
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
    of an example, a document or an answer; 1 or 0 of a pair (0 where both answers are cut to the
    same) and of a labelled text (0 where it is empty). A document comes whole, a label by name."""
    if kind == "sft":
        example = encoder.example(chat.to_messages(row), every_turn="messages" in row)
        columns: dict[str, Any] = {"input_ids": example.input_ids, "labels": example.labels}
        return columns, example.length, example.trained
    if kind == "text":
        ids = encoder.document(row["text"]) if row["text"] else []
        return {"input_ids": ids, "labels": ids}, len(ids), max(len(ids) - 1, 0)
    if kind == "labels":
        ids, length = encoder.text(row["text"] or "")
        return {"input_ids": ids, "label": row["label"]}, length, int(bool(row["text"]))
    if kind == "unpaired":
        one = encoder.answers(row["prompt"], [row["completion"]])
        columns = {"prompt_ids": one.prompt_ids, "completion_ids": one.answer_ids[0]}
        return columns | {"label": row["label"]}, one.length, len(one.answer_ids[0])
    if kind == "answers":
        both = encoder.answers(row["prompt"], [row["chosen"], row["rejected"]])
        better, worse = both.answer_ids
        columns = {"prompt_ids": both.prompt_ids, "chosen_ids": better, "rejected_ids": worse}
        return columns, both.length, int(better != worse)
    pair = encoder.pair(row["prompt"], row["chosen"], row["rejected"])
    columns = {"chosen_ids": pair.chosen_ids, "rejected_ids": pair.rejected_ids}
    if "margin" in row:
        columns["margin"] = row["margin"] or 0.0
    return columns, pair.length, int(pair.chosen_ids != pair.rejected_ids)


def label_names(snapshot: str | Path) -> list[str]:
    """The labels of the training rows, sorted: the number of a label is its place in here."""
    return sorted({row["label"] for row in rows_of(snapshot, "train")} - {None})


def training_table(
    snapshot: str | Path, encoder: Encoder, kind: str, stop: Callable[[], None]
) -> Table:
    """The training rows. Raises ValueError where there are none, or none that trains anything."""
    names = label_names(snapshot) if kind == "labels" else ()
    table = encode(rows_of(snapshot, "train"), encoder, kind, stop, names=names)
    if not table.read:
        raise ValueError("The snapshot has no training rows.")
    if not len(table) and not table.cut:
        raise ValueError(
            f"None of the {table.read} training rows has anything to train on, whole as they are: "
            "their answers are empty or alike, or the chat template leaves them out."
        )
    if not len(table):
        raise ValueError(
            f"None of the {table.read} training rows has anything to train on within "
            f"{encoder.max_length} tokens: raise max_length, or choose shorter rows."
        )
    return table


def validation_table(
    snapshot: str | Path,
    encoder: Encoder,
    kind: str,
    most: int,
    stop: Callable[[], None],
    *,
    names: Sequence[str] = (),
) -> Table:
    """The first `most` validation rows, as a trainer looks at them."""
    rows = islice(rows_of(snapshot, "validation"), most)
    return encode(rows, encoder, kind, stop, names=names)


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
