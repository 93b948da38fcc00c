"""Text that people wrote or imported, as safe HTML: Markdown, code coloured, nothing fetched."""

import hashlib

import nh3
from django.core.cache import cache
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

VERSION = "1"  # of the rendering: a change of it empties the cache
TOO_LONG = 200_000  # characters beyond which text is shown as it is
TOO_LONG_TO_COLOUR = 20_000

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"),
    *("ul", "ol", "li", "pre", "code", "span", "em", "strong", "s", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}, "span": {"class"}}


def _coloured(code: str, language: str, _attributes: str) -> str:
    """Spans with classes for app.css; an unknown language or a very long text stays plain."""
    if not language or len(code) > TOO_LONG_TO_COLOUR:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


# HTML in the text is shown, not obeyed; an image becomes a link to it, so nothing is fetched.
_parser = MarkdownIt(
    "commonmark", {"html": False, "breaks": True, "maxNesting": 100, "highlight": _coloured}
)
_parser.enable(["table", "strikethrough"])
# Only links that leave: one into this site could act in the name of who clicks it.
_parser.validateLink = lambda url: url.lower().startswith(("http://", "https://", "mailto:"))  # type: ignore[method-assign]


def _image(self, tokens, index, options, env) -> str:  # type: ignore[no-untyped-def]
    token = tokens[index]
    source = escapeHtml(str(token.attrGet("src") or ""))
    label = escapeHtml(token.content or "image")
    return f'<a href="{source}">{label}</a>'


_parser.add_render_rule("image", _image)


def render(text: str) -> SafeString:
    """The text as sanitised HTML. Kept by the text's hash, so each text costs this once."""
    encoded = text.encode("utf-8", "replace")  # half a character becomes a question mark
    key = f"md{VERSION}:{hashlib.blake2b(encoded, digest_size=16).hexdigest()}"
    html = cache.get(key)
    if html is None:
        html = _render(encoded.decode())
        cache.set(key, html, 86_400)
    return mark_safe(html)  # noqa: S308 - nh3 has cleaned it


def _render(text: str) -> str:
    if len(text) > TOO_LONG:
        return f"<pre>{escapeHtml(text)}</pre>"
    return nh3.clean(
        _parser.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
