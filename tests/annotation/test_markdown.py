"""Text that others wrote, as HTML: what is shown, and what never gets through."""

import re

import pytest

from annotation.markdown import render

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](file:///etc/passwd)",
    "[x](/logout/)",
    "[x](//evil.example/)",
    "![x](http://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<!--><script>alert(1)</script>-->",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```python onload=alert(1)\nx\n```",
    "<style>*{display:none}</style>",
    "<form action=/x><input name=y></form>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    '[x](http://e.example "onmouseover=alert(1)")',
    '[x](http://e.example/"onmouseover="alert(1))',
    "[a]: javascript:alert(1)\n\n[a]",
    "<div style=position:fixed>",
    "\x00<script>alert(1)</script>",
]
LIVE = re.compile(
    r"<\s*(script|img|svg|iframe|style|form|input|base|meta|math|object|embed|link|div)\b", re.I
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_live_gets_through(attack: str) -> None:
    html = render(attack)
    assert not LIVE.search(html)
    for tag in re.findall(r"<[^>]*>", html):
        assert not re.search(r"\son\w+\s*=|style\s*=|\ssrc\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
    for href in re.findall(r'href="([^"]*)"', html):
        assert href.startswith(("http://", "https://", "mailto:")), href


def test_what_is_shown() -> None:
    assert render("**bold** and `code`") == ("<p><strong>bold</strong> and <code>code</code></p>\n")
    assert "<table>" in render("|a|b|\n|-|-|\n|1|2|")
    assert "<br>" in render("one\ntwo")  # an answer's lines are the writer's
    assert '<ol start="3">' in render("3. three")


def test_html_is_shown_as_text() -> None:
    assert render("use <b>bold</b>") == "<p>use &lt;b&gt;bold&lt;/b&gt;</p>\n"


def test_code_is_coloured_by_classes() -> None:
    html = render("```python\ndef f(): return 1\n```")
    assert '<span class="k">def</span>' in html
    assert render("```nosuchlanguage\n<x>\n```").count("&lt;x&gt;") == 1


def test_an_image_becomes_a_link() -> None:
    html = render("![a cat](http://example.org/cat.png)")
    assert html.startswith('<p><a href="http://example.org/cat.png"')
    assert "a cat" in html


def test_links_leave_in_a_tab_of_their_own() -> None:
    html = render("[x](https://example.org)")
    assert 'target="_blank"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_huge_and_odd_texts_are_shown() -> None:
    assert render("<b>" + "x" * 300_000).startswith("<pre>&lt;b&gt;")
    assert "deep" in render("> " * 40 + "deep")
    assert render("") == ""
    assert render("half \ud83d a character")
