"""Every form on every page, filled with what no field wants: no breakdown, a message beside the
field, and what was typed is still there. The forms are found on the pages of tests/site_map.py."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import pytest
from django.test import Client

from tests.site_map import VIEWS, View
from tests.test_every_view import ask, world  # noqa: F401

TYPED = "What somebody typed"
# As bytes: a lone surrogate is no text, and no browser sends one; programs do.
BAD = {
    "nul": f"{TYPED} \0 and more".encode(),
    "1 MB": TYPED.encode() + b" word" * 220_000,
    "surrogate": TYPED.encode() + b" \xed\xa0\x80 and more",
    "empty": b"",
    "markup": TYPED.encode() + b""" "'><script>window.__xss = 1</script>""",
}
# What no field takes. Half a character becomes U+FFFD on its way in, and may be kept as that.
REFUSED = {"nul", "1 MB"}
TEXTS = {"text", "email", "password", "search", "url", "textarea"}
PAGES = [view for view in VIEWS if view.method == "get" and view.who in ("page", "own", "open")]


@dataclass
class Form:
    action: str
    texts: list[str] = field(default_factory=list)
    rest: list[tuple[str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """The forms of a page that are sent by POST, and what a browser would send with them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.now: Form | None = None
        self.select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.now = Form(have.get("action") or have.get("hx-post", ""))
            if have.get("method") == "post" or "hx-post" in have:
                self.found.append(self.now)
        elif self.now is None:
            return
        elif tag == "select":
            self.select = have.get("name", "")
        elif tag == "option" and self.select:
            if "selected" in have or self.select not in dict(self.now.rest):
                self.now.rest.append((self.select, have.get("value", "")))
        elif tag in ("input", "textarea") and have.get("name") and "readonly" not in have:
            self.control(have.get("type", "text") if tag == "input" else tag, have)

    def control(self, kind: str, have: dict[str, str]) -> None:
        assert self.now is not None
        if kind in TEXTS:
            self.now.texts.append(have["name"])
        elif kind == "radio" and have["name"] not in dict(self.now.rest) or "checked" in have:
            self.now.rest.append((have["name"], have.get("value", "on")))
        elif kind in ("hidden", "number"):
            self.now.rest.append((have["name"], have.get("value") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.now = None
        elif tag == "select":
            self.select = ""


class Tied(HTMLParser):
    """Fields that are marked as wrong, with what they or their group say is about them; all ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.wrong: list[tuple[str, list[str]]] = []
        self.ids: set[str] = set()
        self.groups: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        self.ids.add(have.get("id", ""))
        about = have.get("aria-describedby", "").split()
        if tag == "fieldset":
            self.groups.append(about)
        if have.get("aria-invalid") == "true":
            self.wrong.append((have.get("name", tag), sum(self.groups, about)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "fieldset":
            self.groups.pop()


@pytest.mark.parametrize("view", PAGES, ids=str)
def test_what_no_field_wants(view: View, world) -> None:  # noqa: F811
    user = None if view.who == "open" else world.olga
    page = ask(view, world, user)
    if not page.headers.get("Content-Type", "").startswith("text/html"):
        return
    client = Client()
    if user is not None:
        client.force_login(user)
    for bad in BAD:
        for form in Forms(page.content.decode()).found:
            if form.texts:
                send(client, form, bad, page.wsgi_request.path)


def send(client: Client, form: Form, bad: str, path: str) -> None:
    said = quote(BAD[bad], safe="")
    body = "&".join([urlencode(form.rest), *(f"{quote(name)}={said}" for name in form.texts)])
    kind = "application/x-www-form-urlencoded"
    answer = client.post(form.action or path, body, content_type=kind)
    where = f"{bad} {form.action or path} {form.texts}"
    assert answer.status_code < 500, where
    if answer.status_code == 302:
        assert bad not in REFUSED, where
        answer = client.get(answer.url)
        assert answer.status_code < 500, where
    page = answer.content.decode()
    assert "<script>window.__xss" not in page, where
    if bad in REFUSED:
        tied = Tied(page)
        assert tied.wrong or 'role="alert"' in page, where
        for name, about in tied.wrong:
            assert set(about) & tied.ids, f"{where}: nothing is said about {name}"
        shown = [name for name in form.texts if "password" not in name and name != "note"]
        assert TYPED in page or not shown, where


def test_lone_surrogates_from_a_program(as_user, cast) -> None:
    """JSON can spell half a character; no database stores it."""
    lee = as_user(cast.lee)
    half = '"half a character: \\ud83d"'
    message = f'{{"role": "user", "content": {half}}}'
    for address, body in (
        ("/api/projects/", f'{{"workspace": "acme", "name": {half}}}'),
        (f"/api/projects/{cast.project.pk}/prompts/", f'[{{"messages": [{message}]}}]'),
        ("/api/workspaces/acme/datasets/", f'{{"name": {half}, "kind": "sft", "selection": {{}}}}'),
    ):
        answer = lee.post(address, body, content_type="application/json")
        assert answer.status_code in (200, 400, 422), (address, answer.status_code)
        assert "\\ud83d" not in answer.content.decode(), address
