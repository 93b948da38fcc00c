"""Texts that attack, and accidents, on every screen: no script runs, nothing is fetched from
elsewhere, nothing complains, and a megabyte is shown in a bounded time."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.dirty import DIRTY
from tests.browser.test_access import log_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def dirty(demo) -> dict[str, list[str]]:
    told = demo.shell("from tests.browser.dirty import tell; tell()")
    return dict(json.loads(told))


@pytest.fixture
def watched(demo, browser) -> Iterator[Page]:
    """Olga's page. A dialog, a script of somebody else's, a request to elsewhere or a word in the
    console fails the test."""
    context = browser.new_context(base_url=demo.url)
    page = log_in(context, "olga")
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda each: each.type == "error" and wrong.append(each.text))
    page.on("popup", lambda other: wrong.append(other.url))
    page.on(
        "request", lambda each: each.url.startswith(("data:", demo.url)) or wrong.append(each.url)
    )
    page.set_default_timeout(30_000)
    yield page
    context.close()
    assert not wrong, wrong


def is_harmless(page: Page) -> None:
    assert page.evaluate("() => window.__xss") is None, page.url
    assert page.locator("iframe, svg[onload], [onerror], [onclick]").count() == 0, page.url
    assert page.locator("a[href^='javascript:' i]").count() == 0, page.url


def test_every_screen(dirty, watched: Page) -> None:
    for address in dirty["pages"] + dirty["work"]:
        answer = watched.goto(address)
        assert answer is not None and answer.status == 200, address
        watched.wait_for_function("() => !document.querySelector('[hx-trigger=load]')")
        is_harmless(watched)


def test_written_previewed_saved_and_shown_again(dirty, watched: Page) -> None:
    """What an annotator writes comes back to them, to the lead and to the next stage as text."""
    watched.goto(dirty["work"][0])
    text = "\n\n".join(DIRTY[:8])
    watched.locator("#text").fill(text)
    watched.locator("#preview-switch").click()
    expect(watched.locator("#preview")).to_be_visible()
    is_harmless(watched)
    watched.locator("#preview-switch").click()
    watched.keyboard.press("Control+s")
    expect(watched.locator("#saved")).to_contain_text("aved")
    watched.reload()
    shown = watched.locator("#text").input_value()
    assert shown.splitlines() == text.splitlines()
    before = watched.locator("#work-form [name=submission]").input_value()
    watched.keyboard.press("Control+Enter")
    expect(watched.locator("#work-form [name=submission]")).not_to_have_value(before)
    is_harmless(watched)
    watched.goto(dirty["work"][0].replace("/work/", "/turns/"))
    watched.locator(f"main a[href='/turns/{before}/']").first.click()
    expect(watched.locator("main")).to_contain_text("window.__xss = 6")
    is_harmless(watched)


def test_a_corrected_text_and_its_difference(dirty, watched: Page) -> None:
    watched.goto(dirty["work"][1])
    watched.locator("#text").fill(DIRTY[4])
    expect(watched.locator("#diff ins").first).to_be_visible()
    is_harmless(watched)


def test_a_megabyte(dirty, watched: Page) -> None:
    """Shown within the page's time limit, and the page answers to a key afterwards."""
    for address in dirty["huge"]:
        answer = watched.goto(address)
        assert answer is not None and answer.status == 200, address
        is_harmless(watched)
        watched.keyboard.press("Tab")
        assert watched.evaluate("() => document.activeElement !== document.body"), address
