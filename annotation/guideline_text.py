"""Guidelines as pages show them: Markdown with examples, and what changed between two versions.
Pure, but for the cache of rendered text.

An example is a fenced block that says what it is an example of, with a title if it has one:

    ```good Polite and short
    Thank you for waiting. Your parcel leaves today.
    ```
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from annotation import markdown
from annotation.word_diff import word_diff

KINDS = {"good": "Good", "bad": "Not like this"}
MOST_LINES = 4_000  # beyond which a difference is searched for by words alone
AROUND = 2  # unchanged lines shown on either side of a change
_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*([^\s`]*)[ \t]*([^`]*)$")

Step = tuple[str, str]  # kind (same, del, ins) and text


@dataclass(frozen=True)
class Part:
    """A piece of guidelines: plain Markdown (kind ""), or an example of its kind."""

    kind: str
    title: str
    text: str


def parts(text: str) -> list[Part]:
    """The text cut at its examples; a fence within another fence is the other's text."""
    return [part for part in _parts(text) if part.kind or part.text.strip()]


def _parts(text: str) -> Iterator[Part]:
    kind = title = fence = ""
    lines: list[str] = []
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found and not found[2] and found[1].startswith(fence):
                fence = ""
                if kind:
                    yield Part(kind, title, "\n".join(lines))
                    kind, lines = "", []
                    continue
        elif found:
            fence = found[1]
            if found[2].lower() in KINDS:
                yield Part("", "", "\n".join(lines))
                kind, title, lines = found[2].lower(), found[3].strip(), []
                continue
        lines.append(line)
    yield Part(kind, title, "\n".join(lines))


def render(text: str) -> SafeString:
    """Safe HTML; examples are cards, neighbours side by side."""
    html: list[SafeString] = []
    beside: list[SafeString] = []
    for part in parts(text):
        if part.kind:
            beside.append(_card(part))
            continue
        html += _row(beside)
        beside = []
        html.append(markdown.render(part.text))
    return mark_safe("\n".join([*html, *_row(beside)]))  # noqa: S308 - each part is safe


def _row(cards: list[SafeString]) -> list[SafeString]:
    if not cards:
        return []
    row = format_html_join("", "{}", ((card,) for card in cards))
    return [format_html('<div class="examples">{}</div>', row)]


def _card(part: Part) -> SafeString:
    return format_html(
        '<figure class="example {}"><figcaption><b>{}</b>{}</figcaption>{}</figure>',
        part.kind,
        KINDS[part.kind],
        f": {part.title}" if part.title else "",
        markdown.render(part.text),
    )


def diff(before: str, after: str) -> list[Step]:
    """What changed, in order: whole lines first, words within the lines that changed. Unchanged
    lines far from a change are left out ("skip" and how many)."""
    a, b = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if max(len(a), len(b)) > MOST_LINES:
        return word_diff(before, after)
    steps: list[Step] = []
    codes = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    for place, (kind, i, j, k, m) in enumerate(codes):
        if kind == "equal":
            steps += _near(a[i:j], first=place == 0, last=place == len(codes) - 1)
        else:
            steps += word_diff("".join(a[i:j]), "".join(b[k:m]))
    return steps


def _near(lines: list[str], *, first: bool, last: bool) -> list[Step]:
    head, tail = (0 if first else AROUND), (0 if last else AROUND)
    hidden = len(lines) - head - tail
    if hidden < 2:
        return [("same", "".join(lines))]
    around = [("same", "".join(lines[:head])), ("skip", str(hidden))]
    around.append(("same", "".join(lines[head + hidden :])))
    return [step for step in around if step[1]]
