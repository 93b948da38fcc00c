"""A record: one prompt on its way in, with its answers and rankings. Pure, and checked here."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation.errors import Refused

ID_LENGTH = 200  # characters of an external id, of a rater and of an author's name
ROLES = {"system", "user", "assistant", "tool"}
# A row may unfold into many prompts that each hold the conversation so far; not into a flood.
UNFOLDED_BYTES = 64 * 1024**2
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
CONTROL_BYTES = bytes(code for code in range(128) if CONTROL.match(chr(code)))
UNCLEAN = CONTROL_BYTES + b"\0"
NOTHING_SAID = {"n/a", "na", "none", "null", "nan", "tbd", "todo", ".", "-", "?"}
LONG = 20  # characters: what is longer is none of those

Message = dict[str, Any]
Note = Callable[[str], None]


@dataclass(slots=True)
class Answer:
    """`origin` empty: as the caller of the importer says ("imported" for files).

    `corrects`: the place of another answer of the record, before this one, that it corrects."""

    text: str
    author_name: str = ""
    origin: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    corrects: int | None = None


@dataclass(slots=True)
class RankingIn:
    """`order` holds places in the record's `answers`, best first, ties together: [[1], [0, 2]]."""

    rater: str
    order: list[list[int]]
    strength: int | None = None


@dataclass(slots=True)
class Record:
    """`external_id` empty: the prompt's fingerprint identifies it.

    No messages, an `external_id` that is there, and answers: they are added to that prompt.
    No messages and an `external_id` that is not there: a document."""

    messages: list[Message] = field(default_factory=list)
    external_id: str = ""
    system: str = ""
    context: str = ""
    tools: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    rankings: list[RankingIn] = field(default_factory=list)
    # Names the comparison in its source, where it may say the same as another one and is not it.
    comparison: str = ""
    # (place of a record in the same row, place of one of its answers): the answer it continues.
    parent: tuple[int, int] | None = None


def is_blank(text: str) -> bool:
    """Nothing to read: white space and characters without width only."""
    return not (text[:1].isalnum() or text.strip().strip(INVISIBLE).strip())


def same_answer(one: str, other: str) -> bool:
    """Equal but for white space at the ends and the Unicode form of the same characters."""
    one, other = one.strip(), other.strip()
    if one == other:
        return True
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def check(records: Sequence[Record], note: Note) -> None:
    """Raises Refused for what no row may hold; notes what is odd."""
    if len(records) == 1 and _is_plain(records[0]):
        return
    unfolded = 0
    for place, record in enumerate(records):
        _check_prompt(record)
        if record.answers:
            _check_answers(record)
        if record.rankings:
            _check_rankings(record)
        if record.parent is not None:
            before, answer = record.parent
            if not (0 <= before < place and 0 <= answer < len(records[before].answers)):
                raise Refused("the prompt continues an answer that the row does not hold")
        for text in _texts(record):
            unfolded += len(text)
            if "\0" in text:
                raise Refused("holds a NUL character (U+0000), which no database stores")
    if unfolded > UNFOLDED_BYTES:
        raise Refused(
            f"unfolds to {unfolded // 1024**2} MB, as each of its {len(records)} prompts holds the "
            f"conversation so far; {UNFOLDED_BYTES // 1024**2} MB is the limit: cut it"
        )
    if records:
        _note_oddities(records[-1], note)


def _is_plain(record: Record) -> bool:
    """One user turn, its answers, and nothing that could be wrong or odd: most rows are so, and
    this is a third of the work of looking closely."""
    if len(record.messages) != 1 or record.rankings or record.parent or record.metadata:
        return False
    message, name = record.messages[0], record.external_id
    if len(message) != 2 or message.get("role") != "user" or record.tools is not None:
        return False
    if record.comparison or (name and not (name.isalnum() and len(name) <= ID_LENGTH)):
        return False
    for answer in record.answers:
        if answer.metadata or answer.corrects is not None or len(answer.text) < LONG:
            return False
        if len(answer.author_name) > ID_LENGTH or "###" in answer.text or "<|" in answer.text:
            return False
        if not (
            _is_clean(answer.text) and (not answer.author_name or _is_clean(answer.author_name))
        ):
            return False
    content = message.get("content")
    return (
        isinstance(content, str)
        and _is_clean(content)
        and (not record.system or _is_clean(record.system))
        and (not record.context or _is_clean(record.context))
    )


def _is_clean(text: str) -> bool:
    """ASCII that begins with a letter, a digit or a mark, and holds no control characters."""
    if not text.isascii() or text[:1] <= " ":
        return False
    data = text.encode()
    return len(data.translate(None, UNCLEAN)) == len(data)


def _check_prompt(record: Record) -> None:
    if len(record.external_id) > ID_LENGTH:
        raise Refused(f"the id has {len(record.external_id)} characters; {ID_LENGTH} is the limit")
    if record.external_id != record.external_id.strip() or not record.external_id.isprintable():
        raise Refused("the id begins or ends with white space or holds control characters")
    if not record.messages:
        if not record.external_id:
            raise Refused("the prompt is empty")
        return
    for message in record.messages:
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise Refused(f"the role {role!r} is none of {', '.join(sorted(ROLES))}")
        if content is not None and not isinstance(content, str):
            raise Refused("a turn's content is no text")
        if is_blank(content or "") and not message.get("tool_calls"):
            raise Refused(
                "the prompt is empty" if len(record.messages) == 1 else f"an empty {role} turn"
            )
    if record.messages[-1]["role"] == "assistant" and not record.messages[-1].get("tool_calls"):
        raise Refused("the prompt ends with an assistant turn: nothing is left to answer")


def _check_answers(record: Record) -> None:
    for number, answer in enumerate(record.answers, 1):
        if is_blank(answer.text):
            raise Refused(f"answer {number} is empty")
        if len(answer.author_name) > ID_LENGTH:
            raise Refused(f"the author's name of answer {number} is over {ID_LENGTH} characters")
        if answer.corrects is not None and not 0 <= answer.corrects < number - 1:
            raise Refused(f"answer {number} corrects an answer that does not stand before it")


def _check_rankings(record: Record) -> None:
    raters = [ranking.rater for ranking in record.rankings]
    if len(set(raters)) < len(raters):
        raise Refused("a rater ranks twice in one row")
    for ranking in record.rankings:
        if not ranking.rater or len(ranking.rater) > ID_LENGTH:
            raise Refused(f"a rater's name is empty or over {ID_LENGTH} characters")
        places = [place for group in ranking.order for place in group]
        if len(set(places)) < len(places) or len(places) < 2:
            raise Refused("a ranking orders fewer than two answers, or one of them twice")
        if not all(0 <= place < len(record.answers) for place in places):
            raise Refused("a ranking names an answer that the row does not hold")
        if any(not group for group in ranking.order):
            raise Refused("a ranking has an empty place")
        if ranking.strength is not None and not -4 <= ranking.strength <= 4:
            raise Refused("a ranking's strength is not between -4 and 4")


def _note_oddities(record: Record, note: Note) -> None:
    """Of a row's last record: the earlier ones of a conversation are contained in it."""
    controls: set[str] = set()
    for text in _prose(record):
        if not text.isprintable() and _has_controls(text):
            controls.update(CONTROL.findall(text))
        if ("Ã" in text or "â€" in text) and _twice_encoded(text):
            note("looks like UTF-8 that was encoded twice (“Ã©” for “é”); taken as it is")
    if controls:
        names = ", ".join(f"U+{ord(char):04X}" for char in sorted(controls))
        note(f"holds control characters ({names}); taken as they are")
    for answer in record.answers:
        spoken = answer.text.strip()
        if len(spoken) < 5 and spoken.lower() in NOTHING_SAID:
            note(f"an answer is only “{answer.text.strip()}”")
        if "###eos_token###" in answer.text or "<|endoftext|>" in answer.text:
            note("an answer holds a model's end mark as text; taken as it is")


def _has_controls(text: str) -> bool:
    """Without a regular expression, which takes as long as all other checks together."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, CONTROL_BYTES)) < len(data)


def _twice_encoded(text: str) -> bool:
    """Whether some word, undone once, is UTF-8 again."""
    for word in text.split():
        if not word.isascii():
            try:
                if word.encode("cp1252").decode("utf-8") != word:
                    return True
            except UnicodeError:
                continue
    return False


def _prose(record: Record) -> list[str]:
    texts = [record.system, record.context]
    texts += [message.get("content") or "" for message in record.messages]
    texts += [answer.text for answer in record.answers]
    return texts


def _texts(record: Record) -> list[str]:
    texts = [record.external_id, record.comparison, *_prose(record)]
    for message in record.messages:
        if len(message) > 2:
            texts += strings(message)
    if record.metadata:
        texts += strings(record.metadata)
    if record.tools is not None:
        texts += strings(record.tools)
    for answer in record.answers:
        texts.append(answer.author_name)
        if answer.metadata:
            texts += strings(answer.metadata)
    texts += [ranking.rater for ranking in record.rankings]
    return texts


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)
