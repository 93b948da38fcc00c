"""The tokenizer with its chat template and its pad (preflight needs no more than this)."""

import re
from datetime import datetime

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from exports.chat import TEMPLATES

# Tokens made to fill up, in the order in which they are taken where a tokenizer names none.
PADS = (
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|finetune_right_pad_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<unk>",
    "<|unk|>",
)

# How a template asks for today's date; and as all known ones do, the form of it written out.
ASKS = re.compile(r"strftime_now\s*\(")
ASKS_PLAINLY = re.compile(ASKS.pattern + r"""\s*(['"])([^'"]*)\1\s*\)""")


def load_tokenizer(
    path: str, template: dict[str, str] | None = None, *, chat: bool = True
) -> PreTrainedTokenizerBase:
    """The tokenizer with the chat template set and, where it has one to spare, a pad of its own.

    `template` is {"name", "text", "day"}, of which each may be missing; without name and text the
    model's own stays. `day`: what a template is told that asks for today's date, so that a text is
    the same tomorrow, and wherever the tokenizer goes.
    Raises ValueError where there is no tokenizer to read, or no template. `chat` False: for texts,
    which need none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The tokenizer of {path} cannot be read: {error}") from None
    if isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    name, text = (template or {}).get("name", "model"), (template or {}).get("text", "")
    tokenizer.chat_template = text or TEMPLATES.get(name) or tokenizer.chat_template
    if tokenizer.chat_template and (day := (template or {}).get("day")):
        tokenizer.chat_template = with_day(tokenizer.chat_template, day)
    if chat and not tokenizer.chat_template:
        raise ValueError(
            f"{path} has no chat template of its own: name one in the knob “template” "
            f"({', '.join(sorted(TEMPLATES))})."
        )
    set_pad(tokenizer)
    return tokenizer


def with_day(template: str, day: str) -> str:
    """The template with the day (ISO) written into it where it asks for today's date."""
    told = datetime.fromisoformat(day)
    return ASKS_PLAINLY.sub(lambda call: f"{call[1]}{told.strftime(call[2])}{call[1]}", template)


def is_dated(template: str) -> bool:
    """Whether a template still asks for today's date."""
    return bool(ASKS.search(template))


def set_pad(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a pad that is not its end token, out of tokens that it already has.

    Where pad is eos, whoever looks for the end by the pad finds the wrong one. Only a special token
    that the template does not write is taken; where there is none pad stays eos, and our code goes
    by lengths, never by comparing with the pad."""
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in taken:
        return
    known = tokenizer.get_vocab()
    special = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    special |= set(tokenizer.all_special_tokens)
    for token in (*PADS, *sorted(special)):
        free = token in special and known[token] not in taken
        if free and token not in (tokenizer.chat_template or ""):
            tokenizer.pad_token = token
            return
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ValueError("The tokenizer has no pad and no end token to fill batches with.")
        tokenizer.pad_token = tokenizer.eos_token
