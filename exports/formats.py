"""Row shapes: TRL's, conversational. Pure: no Django, so that recipes may read it."""

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pyarrow as pa


class Message(TypedDict):
    role: str
    content: str


class SFTRow(TypedDict):
    """Trained on is the completion: one message of the assistant."""

    prompt: list[Message]
    completion: list[Message]


class PreferenceRow(TypedDict):
    """`chosen` is better than `rejected`; `margin` (where asked for) says by how much."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    margin: NotRequired[float]


class PromptsRow(TypedDict):
    """What a policy answers while it learns."""

    prompt: list[Message]


class UnpairedRow(TypedDict):
    """A thumb: `label` says whether the completion is good."""

    prompt: list[Message]
    completion: list[Message]
    label: bool


class TextRow(TypedDict):
    """A document to be learnt as it is."""

    text: str


class LabelsRow(TypedDict):
    """A text and what it is."""

    text: str
    label: str


# kind -> (what it is for, the row)
KINDS: dict[str, tuple[str, type]] = {
    "sft": ("answers to learn from (SFT)", SFTRow),
    "preference": ("better and worse answers (reward model, DPO)", PreferenceRow),
    "unpaired": ("answers with a thumb up or down (KTO)", UnpairedRow),
    "prompts": ("prompts alone (PPO and other online RL)", PromptsRow),
    "text": ("documents (pre-training)", TextRow),
    "labels": ("texts with a label (classification)", LabelsRow),
}
# The columns that hold an answer to a prompt; a kind of PLAIN has texts and no prompt.
ANSWERS: dict[str, tuple[str, ...]] = {
    "sft": ("completion",),
    "preference": ("chosen", "rejected"),
    "unpaired": ("completion",),
    "prompts": (),
    "text": (),
    "labels": (),
}
PLAIN: dict[str, tuple[str, ...]] = {"text": ("text",), "labels": ("text", "label")}
# The user's turn of a prompt that has a context. In the `instruction` template it reads
# ### Instruction / ### Context / ### Response.
PROMPT_TEMPLATE = "{prompt}\n\n### Context:\n{context}"

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def schema(kind: str, *, margin: bool = False) -> pa.Schema:
    """The Parquet columns of a kind. Raises ValueError for a kind without rows."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    if kind in PLAIN:
        return pa.schema([(name, pa.string()) for name in PLAIN[kind]])
    columns = [("prompt", _MESSAGES), *((name, _MESSAGES) for name in ANSWERS[kind])]
    if kind == "unpaired":
        columns.append(("label", pa.bool_()))
    if margin and kind == "preference":
        columns.append(("margin", pa.float64()))
    return pa.schema(columns)


def check_prompt_template(template: str) -> None:
    """Raises ValueError unless it fills in {prompt}, and nothing but {prompt} and {context}."""
    if "\0" in template:
        raise ValueError("it holds a NUL character (U+0000), which no database stores")
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"not a template: {error}; a brace itself is written twice") from None
    for name, spec, conversion in fields:
        if name not in ("prompt", "context") or spec or conversion:
            raise ValueError(f"{{{name}}} is not known; there are {{prompt}} and {{context}}")
    if not any(name == "prompt" for name, *_ in fields):
        raise ValueError("{prompt} is missing: the question would be lost")


def conversation(
    messages: Iterable[Mapping[str, Any]],
    system: str = "",
    context: str = "",
    prompt_template: str = PROMPT_TEMPLATE,
) -> list[Message]:
    """A prompt as the model is given it: the system turn first, the context in the user's turn.

    Where there is a context, the last user turn is `prompt_template` filled in."""
    # Not Message(...), which takes three times as long, of millions of turns.
    turns: list[Message] = [
        {"role": m["role"], "content": m.get("content") or ""} for m in messages
    ]
    if context.strip():
        asked = [turn for turn in turns if turn["role"] == "user"]
        if asked:
            asked[-1]["content"] = prompt_template.format(
                prompt=asked[-1]["content"], context=context
            )
    if system.strip() and not (turns and turns[0]["role"] == "system"):
        turns.insert(0, Message(role="system", content=system))
    return turns


def answer(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def sft(prompt: list[Message], text: str) -> SFTRow:
    return {"prompt": prompt, "completion": answer(text)}


def preference(
    prompt: list[Message], chosen: str, rejected: str, margin: float | None = None
) -> PreferenceRow:
    row: PreferenceRow = {
        "prompt": prompt,
        "chosen": answer(chosen),
        "rejected": answer(rejected),
    }
    if margin is not None:
        row["margin"] = margin
    return row


def prompts(prompt: list[Message]) -> PromptsRow:
    return PromptsRow(prompt=prompt)


def unpaired(prompt: list[Message], text: str, label: bool) -> UnpairedRow:
    return UnpairedRow(prompt=prompt, completion=answer(text), label=label)


def document(text: str) -> TextRow:
    return TextRow(text=text)


def labels(text: str, label: str) -> LabelsRow:
    return LabelsRow(text=text, label=label)


def flat_columns(kind: str, *, margin: bool = False) -> list[str]:
    """The columns of a kind as a table of plain cells (CSV)."""
    if kind in PLAIN:
        return ["split", *PLAIN[kind]]
    columns = ["split", "system", "history", "prompt", *ANSWERS[kind]]
    if kind == "unpaired":
        return [*columns, "label"]
    return [*columns, "margin"] if margin and kind == "preference" else columns


def flat(kind: str, row: Mapping[str, Any], dump: Any) -> dict[str, Any]:
    """A row as plain cells: the system turn, the turns before as JSON (`dump`), the question, and
    the text of each answer."""
    if kind in PLAIN:
        return {name: row[name] for name in PLAIN[kind]}
    turns: Sequence[Mapping[str, str]] = row["prompt"]
    system = turns[0]["content"] if turns and turns[0]["role"] == "system" else ""
    if system:
        turns = turns[1:]
    cells: dict[str, Any] = {
        "system": system,
        "history": dump(list(turns[:-1])) if len(turns) > 1 else "",
        "prompt": turns[-1]["content"] if turns else "",
    }
    for name in ANSWERS[kind]:
        cells[name] = row[name][0]["content"]
    for name in ("label", "margin"):
        if name in row:
            cells[name] = row[name]
    return cells
