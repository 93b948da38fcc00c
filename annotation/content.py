"""What an annotator may hand in: checked and brought into one shape. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.errors import Refused

MAX_CHARACTERS = 1_000_000  # of one text
MAX_DRAFT = 2_000_000  # characters of a draft, all its parts together
# A word, or one sign of a script that is written without spaces.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
FAR = 4  # the strength of a preference that has to be explained


def checked_text(
    text: object, what: str = "answer", may_be_empty: bool = False, field: str = ""
) -> str:
    """The text, line ends unified. Refused: empty, too long, or what not every database stores."""
    if not isinstance(text, str):
        raise Refused(f"The {what} is not text.", field=field)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not may_be_empty and not text.strip():
        message = f"The {what} is empty. Write something, or skip with a reason."
        raise Refused(message, field=field)
    if len(text) > MAX_CHARACTERS:
        raise Refused(
            f"The {what} has {len(text):,} characters; at most {MAX_CHARACTERS:,} can be kept.",
            field=field,
        )
    if "\x00" in text:
        where = text.index("\x00") + 1
        message = f"The {what} has a NUL character at place {where:,}: take it out."
        raise Refused(message, field=field)
    for place, character in enumerate(text, 1) if not _encodes(text) else ():
        if "\ud800" <= character <= "\udfff":
            raise Refused(
                f"The {what} has half of a character at place {place:,} (a lone surrogate, often "
                "from a broken copy of an emoji): type it again.",
                field=field,
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
            "yet. Give each a place; the same place for answers that are equally good.",
            field="order",
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
        what, field = f"prompt's turn {place}", f"message_{place - 1}"
        content = checked_text(message.get("content") or "", what, empty, field)
        edited.append({**before, "content": content} if not empty or content else dict(before))
    return edited


def checked_ranking(
    content: Mapping[str, Any], shown: Sequence[int], better_answer: bool = False
) -> dict[str, Any]:
    """{"order"}, and what was said beside it: "strength", "all_bad", "reason", "better"."""
    if len(shown) == 2 and not content.get("order"):
        raise Refused("Say which of the two is better, or that neither is.", field="strength")
    order = checked_order(content.get("order"), shown)
    clean: dict[str, Any] = {"order": order}
    strength = checked_strength(content.get("strength"), order, shown)
    if strength is not None:
        clean["strength"] = strength
    if content.get("all_bad"):
        clean["all_bad"] = True
    reason = checked_text(content.get("reason") or "", "reason", True, "reason").strip()
    if abs(strength or 0) == FAR and not reason:
        raise Refused("Say in a few words why it is far better.", field="reason")
    if reason:
        clean["reason"] = reason
    better = checked_text(content.get("better") or "", "better answer", True, "better")
    if better_answer and better.strip():
        clean["better"] = better
    return clean


def checked_tags(
    given: object, offered: Sequence[str], shown: Sequence[int]
) -> dict[str, list[str]]:
    """{response: [tag]} in the order in which they are offered; one that a lead has taken away
    meanwhile is left out."""
    tags = given if isinstance(given, Mapping) else {}
    chosen = {str(pk): [tag for tag in offered if tag in tags.get(str(pk), ())] for pk in shown}
    return {pk: ticked for pk, ticked in chosen.items() if ticked}


def suggestion_use(suggested: str, text: str) -> str:
    """What became of the text that the editor began with: kept, edited, or discarded when less
    than a fifth of its words are left (counted as a multiset)."""
    if text.replace("\r\n", "\n").strip() == suggested.replace("\r\n", "\n").strip():
        return "kept"
    before, after = (Counter(WORD.findall(each.lower())) for each in (suggested, text))
    left = sum((before & after).values())
    return "edited" if 5 * left >= sum(before.values()) else "discarded"


def checked_correction(content: Mapping[str, Any], original: str) -> dict[str, Any]:
    """{"text"}, with {"unchanged": True} if it says what the original says."""
    text = (
        original
        if content.get("unchanged")
        else checked_text(content.get("text"), "correction", field="text")
    )
    same = text.replace("\r\n", "\n") == original.replace("\r\n", "\n")
    return {"text": text, "unchanged": True} if same else {"text": text}


def checked_prompt(
    content: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], system: str, context: str
) -> dict[str, Any]:
    """Those of {"messages", "system", "context"} that were changed."""
    changed: dict[str, Any] = {}
    if content.get("messages") is not None:
        edited = checked_messages(content["messages"], messages)
        if edited != list(messages):
            changed["messages"] = edited
    for part, before in (("system", system), ("context", context)):
        if content.get(part) is not None:
            after = checked_text(content[part], part, may_be_empty=True, field=part)
            if after != before:
                changed[part] = after
    return changed


def checked_draft(content: Mapping[str, Any]) -> dict[str, Any]:
    """A draft is not judged. It is kept even if it holds what no database stores (that is made
    visible, and refused when it is handed in); only its size has a limit."""
    size = sum(len(text) for text in _texts(dict(content)))
    if size > MAX_DRAFT:
        raise Refused(f"The draft has {size:,} characters; at most {MAX_DRAFT:,} can be kept.")
    return {key: _storable(part) for key, part in content.items()}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = list(value.values()) if isinstance(value, dict) else value
    return [text for part in parts for text in _texts(part)] if isinstance(parts, list) else []


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _storable(part) for key, part in value.items()}
    return [_storable(part) for part in value] if isinstance(value, list) else value
