"""The card of a dataset directory: what its README.md says before its text. Pure."""

import re
from typing import Any

import yaml

from annotation.errors import Refused

CARD = "README.md"
CARD_BYTES = 256 * 1024
MOST = 4 * CARD_BYTES  # characters and values, each as often as it is referred to


def front_matter(text: str) -> dict[str, Any]:
    """What a card says between its two lines of ---; nothing if it has none.

    Raises Refused if that is no YAML."""
    match = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", text, re.DOTALL)
    if not match or len(match[1]) > CARD_BYTES:
        return {}
    try:
        said = yaml.load(match[1], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        why = str(error).split("\n")[0][:120]
        raise Refused(f"The front matter of {CARD} is no YAML ({why}).") from None
    _weigh(said)
    return said if isinstance(said, dict) else {}


def _weigh(said: Any) -> None:
    """YAML's references let a few lines stand for more than any memory holds.

    Raises Refused for a card that says much more than it is long."""
    weight, waiting = 0, [said]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
        weight += len(value) if isinstance(value, str) else 1
        if weight > MOST:
            raise Refused(f"The front matter of {CARD} refers to itself too often to be read.")


def licence_of(card: dict[str, Any]) -> str:
    """The card's licence ids with commas between; its name for one that is “other”."""
    said = card.get("license", card.get("licence"))
    names = [str(name) for name in (said if isinstance(said, list) else [said]) if name]
    if names == ["other"] and card.get("license_name"):
        names = [str(card["license_name"])]
    return ", ".join(name for name in names if name.isprintable())[:100]
