"""Conditions on metadata and on rubric answers, as a selection writes them. Pure.

"topic=billing", "topic!=x", "score>=3", "has topic", "no topic"; names with dots reach into nested
objects ("source.year>2020"). "7.helpful>=4": what stage 7 said to its question helpful."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIGNS = (">=", "<=", "!=", "=", ">", "<")
ALLOWED = "NAME=VALUE, NAME!=VALUE, NAME>=VALUE, NAME<=VALUE, NAME>VALUE, NAME<VALUE"
_SPLIT = re.compile(r"(>=|<=|!=|=|>|<)")
_DATE = re.compile(r"\d{4}-\d\d")
_WRONG = {"==": "=", "=>": ">=", "=<": "<=", "<>": "!="}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Condition:
    """`sign`: one of SIGNS, "has" or "no"; the latter two have no value."""

    name: str
    sign: str
    value: str = ""

    def __str__(self) -> str:
        if self.sign in ("has", "no"):
            return f"{self.sign} {self.name}"
        return f"{self.name}{self.sign}{self.value}"

    def test(self, found: Any) -> bool:
        """Whether the value fulfils it; of a list (several labels, tags) it is enough that one
        does, except that != wants none to be equal. What is not there fulfils "no" and "!=" only.

        Numbers are compared as numbers; dates and other text letter by letter; and what is no
        number, nor a date, is neither above nor below a number."""
        if self.sign == "has":
            return found not in (None, "", [], {})
        if self.sign == "no":
            return found in (None, "", [], {})
        each = list(found) if isinstance(found, list | tuple) else [found]
        if self.sign == "!=":
            return not any(_compare("=", one, self.value) for one in each)
        return any(_compare(self.sign, one, self.value) for one in each)


def _compare(sign: str, found: Any, wanted: str) -> bool:
    if found is None or isinstance(found, Mapping):
        return False
    if isinstance(found, bool):
        return sign == "=" and str(found).lower() == wanted.lower()
    other = _number(wanted)
    if isinstance(found, str):
        if sign == "=":
            return found == wanted  # the label "01" is not the label "1"
        one = _number(found)
        if one is not None and other is not None:
            return _ordered(sign, one, other)
        if other is not None and not _DATE.match(found):
            return False
        return _ordered(sign, found, wanted)
    if other is None:
        return False
    return bool(found == other) if sign == "=" else _ordered(sign, found, other)


def _ordered(sign: str, one: Any, other: Any) -> bool:
    if sign == ">=":
        return bool(one >= other)
    if sign == "<=":
        return bool(one <= other)
    return bool(one > other) if sign == ">" else bool(one < other)


def _number(text: str) -> int | float | None:
    """Whole numbers stay whole: they are compared exactly, however long."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if len(text) < 300 and text.lstrip("+-").isdigit() else float(text)


def _parts(text: str) -> list[str]:
    """[name, sign, value], or fewer where there is no sign. Raises ValueError for a sign that other
    languages have."""
    parts = [part.strip() for part in _SPLIT.split(text, maxsplit=1)]
    if len(parts) == 3 and (sign := _WRONG.get(parts[1] + parts[2][:1])):
        raise ValueError(f"{text!r}: write {sign} for {parts[1] + parts[2][:1]}")
    return parts


def question(named: str) -> tuple[int, str] | None:
    """(stage, key) of "7.helpful"; None of what names no rubric's question ("metadata.topic",
    "rankings", "")."""
    stage, mark, key = named.partition(".")
    if not mark or not key or not stage.isascii() or not stage.isdigit() or len(stage) > 18:
        return None
    return int(stage), key


def parse_metadata(text: str) -> Condition:
    """A condition on a prompt's metadata. Raises ValueError, naming it and what is allowed."""
    parts = _parts(text)
    if len(parts) == 3:
        name, sign, value = parts
        if not name:
            raise ValueError(f"{text!r} names nothing; write {ALLOWED}, has NAME or no NAME")
        if sign in (">", "<", ">=", "<=") and not value:
            raise ValueError(f"{text!r} says nothing to compare with; write {name}{sign}3")
        return Condition(name, sign, value)
    word, _, name = text.strip().partition(" ")
    if word in ("has", "no") and name.strip():
        return Condition(name.strip(), word)
    raise ValueError(f"{text!r} is no condition; write {ALLOWED}, has NAME or no NAME")


def parse_rating(text: str) -> Condition:
    """A condition on what was said to a rubric's question, "7.helpful>=4": the name is that of
    `unification.question`. Raises ValueError, naming it and what is allowed."""
    example = "write STAGE.QUESTION, a sign and a value, such as 7.helpful>=4"
    parts = _parts(text)
    if len(parts) != 3 or question(parts[0]) is None or not parts[2]:
        signs = ", ".join(SIGNS)
        raise ValueError(f"{text!r} is no condition on a rating; {example}; signs: {signs}")
    name, sign, value = parts
    if sign in (">", "<", ">=", "<=") and _number(value) is None:
        raise ValueError(f"{text!r}: {sign} wants a number; {example}")
    return Condition(name, sign, value)


def looked_up(metadata: Mapping[str, Any], name: str) -> Any:
    """The value under a name, or None. A name with dots is first looked for as it is, then as a
    way into nested objects, the longest names first: {"a.b": {"c": 1}} has a.b.c.

    Each object is asked once for each rest of the name, so it takes no longer than to read all."""
    if name in metadata:
        return metadata[name]
    waiting: list[tuple[Mapping[str, Any], int]] = [(metadata, 0)]
    asked: set[tuple[int, int]] = set()
    while waiting:
        inside, start = waiting.pop()
        if (id(inside), start) in asked:
            continue
        asked.add((id(inside), start))
        found = inside.get(name[start:])
        if found is not None:
            return found
        ways = [
            key
            for key, value in inside.items()
            if isinstance(value, Mapping) and name.startswith(f"{key}.", start)
        ]
        waiting += [(inside[key], start + len(key) + 1) for key in sorted(ways, key=len)]
    return None


def unmet(metadata: Mapping[str, Any], conditions: tuple[Condition, ...]) -> str:
    """Why the metadata does not fit, or nothing: the first condition that does not hold."""
    for condition in conditions:
        if not condition.test(looked_up(metadata, condition.name)):
            return f"its metadata do not fulfil “{condition}”"
    return ""
