"""What an annotator may hand in: checked and brought into one shape. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from annotation.errors import Refused

MAX_CHARACTERS = 1_000_000


def checked_text(text: object, what: str = "answer", may_be_empty: bool = False) -> str:
    """The text, line ends unified. Refused: empty, too long, or what not every database stores."""
    if not isinstance(text, str):
        raise Refused(f"The {what} is not text.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not may_be_empty and not text.strip():
        raise Refused(f"The {what} is empty. Write something, or skip with a reason.")
    if len(text) > MAX_CHARACTERS:
        raise Refused(
            f"The {what} has {len(text):,} characters; at most {MAX_CHARACTERS:,} can be kept."
        )
    if "\x00" in text:
        where = text.index("\x00") + 1
        raise Refused(f"The {what} has a NUL character at place {where:,}: take it out.")
    for place, character in enumerate(text, 1) if not _encodes(text) else ():
        if "\ud800" <= character <= "\udfff":
            raise Refused(
                f"The {what} has half of a character at place {place:,} (a lone surrogate, often "
                "from a broken copy of an emoji): type it again."
            )
    return text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_order(order: object, shown: Sequence[int]) -> list[list[int]]:
    """An ordering with ties over exactly the answers that were shown, each once."""
    if not isinstance(order, list | tuple) or not all(isinstance(g, list | tuple) for g in order):
        raise Refused("The ranking is not a list of groups.")
    if not all(type(answer) is int for group in order for answer in group):
        raise Refused("The ranking names something that is no answer.")
    groups = [sorted(group) for group in order if group]
    given = [answer for group in groups for answer in group]
    if missing := len(set(shown) - set(given)):
        raise Refused(
            f"{missing} of the {len(shown)} answers {'has' if missing == 1 else 'have'} no place "
            "yet. Give each a place; the same place for answers that are equally good."
        )
    if sorted(given) != sorted(shown):
        raise Refused("The ranking has answers that were not shown, or one of them twice.")
    return groups


def checked_strength(strength: object, order: list[list[int]], shown: Sequence[int]) -> int | None:
    """From -4 (the second shown is far better) to 4; it must say what the ordering says."""
    if strength is None or strength == "":
        return None
    if isinstance(strength, bool) or not isinstance(strength, int) or not -4 <= strength <= 4:
        raise Refused("The strength of a preference is a whole number from -4 to 4.")
    if len(shown) != 2:
        raise Refused("Only a comparison of two answers has a strength.")
    first_is_better = 0 if len(order) == 1 else 1 if order[0][0] == shown[0] else -1
    if (strength > 0) - (strength < 0) != first_is_better:
        raise Refused("The strength contradicts the ranking.")
    return strength


def checked_messages(
    messages: object, original: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """An edited conversation: the same turns by the same roles, with other words."""
    if not isinstance(messages, list) or len(messages) != len(original):
        raise Refused("An edited prompt keeps its turns: change their words only.")
    edited = []
    for place, (message, before) in enumerate(zip(messages, original, strict=True), 1):
        if not isinstance(message, dict) or message.get("role") != before["role"]:
            raise Refused("An edited prompt keeps its turns: change their words only.")
        empty = not before.get("content")
        content = checked_text(message.get("content") or "", f"prompt's turn {place}", empty)
        edited.append({**before, "content": content} if not empty or content else dict(before))
    return edited
