"""Chat rendering: messages and a template's text to the text that a model sees. Pure.

The environment behaves as that of transformers' `apply_chat_template`, whose bytes it must give
(tests hold it to that), but needs no tokenizer: pages, preflight, training and serving render with
this file, so that all of them see the same text.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

Message = Mapping[str, Any]

# One line each, so that no white space between the tags can be mistaken for text.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ (message['content'] or '') + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ (message['content'] or '') + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
INSTRUCTION = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '### Response:\\n' }}"
    "{% generation %}{{ (message['content'] or '') }}{{ eos_token }}{% endgeneration %}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}"
    "{% elif message['role'] == 'user' %}"
    "{{ '### Instruction:\\n' + (message['content'] or '') + '\\n\\n' }}"
    "{% if message['context'] %}{{ '### Context:\\n' + message['context'] + '\\n\\n' }}{% endif %}"
    "{% else %}{{ (message['content'] or '') + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
)
# For models without a template of their own. The text is stored in the run and in its artifact.
TEMPLATES: dict[str, str] = {"chatml": CHATML, "instruction": INSTRUCTION}


class ChatError(ValueError):
    """The template cannot render these messages, or is no template; says why."""


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what the model is to write."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    @jinja2.pass_context
    def _mark(self, context: Context, caller: Macro) -> str:
        text: str = caller()
        opened, closed = context.get("_marks") or ("", "")
        return f"{opened}{text}{closed}"


class _Namespace(Namespace):
    """Templates come with models: nothing with an underscore is stored for them."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a template may not store {name!r}")
        super().__setitem__(name, value)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes HTML, which no model wants."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=64)
def _compile(template_text: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.globals["namespace"] = _Namespace
    return environment.from_string(template_text)


def render(
    messages: Sequence[Message],
    template_text: str,
    *,
    add_generation_prompt: bool = False,
    tools: list[dict[str, Any]] | None = None,
    bos_token: str = "",
    eos_token: str = "",
    _marks: tuple[str, str] | None = None,
) -> str:
    """The text that a model sees. Raises ChatError with what the template says."""
    # As transformers does: a key without a value is a missing key, and so is a missing token.
    chat = [{k: v for k, v in message.items() if v is not None} for message in messages]
    tokens = {"bos_token": bos_token, "eos_token": eos_token}
    try:
        return _compile(template_text).render(
            messages=chat,
            tools=tools,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            _marks=_marks,
            **{name: token for name, token in tokens.items() if token},
        )
    except jinja2.TemplateError as error:
        raise ChatError(f"The chat template says: {error}") from error
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise ChatError(f"The chat template does not fit these messages: {error}") from error


def segments(
    messages: Sequence[Message],
    template_text: str,
    *,
    every_turn: bool = False,
    tools: list[dict[str, Any]] | None = None,
    bos_token: str = "",
    eos_token: str = "",
) -> list[tuple[str, bool]]:
    """The rendered text in pieces, each with whether it is trained on; joined they are `render`.

    Trained is the last turn where it is the assistant's (`every_turn`: each of the assistant's
    turns) with its end mark. A template with `{% generation %}` says itself where that lies; in
    one without, it is what the answer adds to the text that asks for it. An earlier answer that the
    template shows otherwise than it shows a last one (without its thoughts) is not trained: the
    model will not be asked for it like that."""
    common: dict[str, Any] = {"tools": tools, "bos_token": bos_token, "eos_token": eos_token}
    whole = render(messages, template_text, **common)
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    if not every_turn:
        turns = [i for i in turns if i == len(messages) - 1]
    answers = [_answer(messages, turn, template_text, whole, common) for turn in turns]
    marked = _marked_spans(messages, template_text, whole, common)
    if marked is None:
        spans = [span for span in answers if span[0] < span[1]]
    else:
        # The marks may begin before the text that asks for the answer ends.
        starts = [start for start, _ in answers]
        spans = [
            (max([a, *(start for start in starts if start < b)]), b)
            for a, b in marked
            if starts and b > starts[0]
        ]
    pieces, place = [], 0
    for start, end in spans:
        pieces += [(whole[place:start], False), (whole[start:end], True)]
        place = end
    pieces.append((whole[place:], False))
    return [(text, trained) for text, trained in pieces if text]


def _shared(text: str, whole: str) -> str:
    """The longest common beginning."""
    if whole.startswith(text):
        return text
    pairs = enumerate(zip(text, whole, strict=False))
    return text[: next((i for i, (a, b) in pairs if a != b), len(whole))]


def _answer(
    messages: Sequence[Message], turn: int, template_text: str, whole: str, common: dict[str, Any]
) -> tuple[int, int]:
    """Where the answer that is message `turn` lies in `whole`: from the end of the text that a
    model is given to continue. Empty where `whole` shows the answer otherwise."""
    upto, before = messages[: turn + 1], messages[:turn]
    done = whole if len(upto) == len(messages) else render(upto, template_text, **common)
    start = 0
    if before:
        asking = render(before, template_text, add_generation_prompt=True, **common)
        start = len(_shared(asking, done))
    said = str(messages[turn].get("content") or "").strip()
    # An answer may begin as the text that asks goes on: “<table>” where that opens with “<think>”.
    # Where the template shows it otherwise, the same words further up are not the answer's.
    if 0 <= (place := done.rfind(said)) < start <= place + len(said):
        start = place
    end = len(_shared(done, whole))
    if end == len(done):
        return start, end
    # What ends a conversation is not what ends a turn: here the answer ends with its own text.
    last = whole.find(said, start) + len(said)
    return (start, last) if said in whole[start:end] else (start, start)


def _marked_spans(
    messages: Sequence[Message], template_text: str, whole: str, common: dict[str, Any]
) -> list[tuple[int, int]] | None:
    """Where the `{% generation %}` blocks lie in `whole`; None where the template has none."""
    if "endgeneration" not in template_text:
        return None
    # Noncharacters: no text has them, and if one has, another pair is free.
    pairs = ((chr(0xFDD0 + i), chr(0xFDD1 + i)) for i in range(0, 32, 2))
    free = (pair for pair in pairs if pair[0] not in whole and pair[1] not in whole)
    opened, closed = next(free, (chr(0xFFFE), chr(0xFFFF)))
    marked = render(messages, template_text, _marks=(opened, closed), **common)
    if marked.replace(opened, "").replace(closed, "") != whole:
        return None
    spans, start, place = [], 0, 0
    for char in marked:
        if char == opened:
            start = place
        elif char == closed:
            spans.append((start, place))
        else:
            place += 1
    return spans


def to_messages(row: Mapping[str, Any], answer: str = "completion") -> list[dict[str, Any]]:
    """A row's conversation: `messages`, or the prompt and the answer in the column named."""
    if "messages" in row:
        return [dict(message) for message in row["messages"]]
    turns = [*row["prompt"], *(row.get(answer) or [])]
    return [dict(message) for message in turns]
