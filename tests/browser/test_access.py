"""Access for all: every page of the site, in both themes and widths, by axe and by what axe cannot
see. The pages are those of tests/site_map.py over the demo; each is visited once."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PASSWORD = "annotune-demo"
OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {
        "target-size": {"enabled": True},  # the one of WCAG 2.2; off unless asked for
        "empty-table-header": {"enabled": False},  # tables that people write may have one
    },
    "resultTypes": ["violations"],
}
WIDE, NARROW, NARROWEST = (1280, 800), (390, 844), (320, 640)
# The package's page for programmers; its markup is not ours.
FOREIGN = "/api/docs/"
# What takes the focus and looks just as before, and so do its label and what stands beside it.
UNSEEN_FOCUS = """() => {
  const looks = (node) => [node, node.nextElementSibling, node.closest("label, li, article")]
    .map((each) => { if (!each) return ""; const s = getComputedStyle(each);
      return s.outlineStyle + s.outlineWidth + s.outlineColor + s.boxShadow + s.borderColor; }).join();
  const found = [];
  for (const node of document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")) {
    if (node.disabled || node.tabIndex < 0 || !node.checkVisibility()) continue;
    document.activeElement?.blur();
    const before = looks(node);
    node.focus({ preventScroll: true, focusVisible: true });
    if (document.activeElement !== node || looks(node) === before) found.push(node.outerHTML.slice(0, 160));
  }
  return found;
}"""  # noqa: E501
# What is wider than the window and is not inside something that scrolls by itself.
TOO_WIDE = """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
  [...document.body.querySelectorAll("*")].filter((node) => {
    if (node.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let up = node.parentElement; up; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return false;
    return true;
  }).map((node) => node.outerHTML.slice(0, 160)).slice(0, 3)"""


def log_in(context: BrowserContext, name: str) -> Page:
    page = context.new_page()
    page.goto("/login/")
    page.get_by_label("E-mail address").fill(f"{name}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    return page


@pytest.fixture(scope="module")
def visitors(demo, browser) -> Iterator[dict[str, Page]]:
    """A page for each who visits: the people of the demo, and one who is not logged in."""
    pages = {}
    for who in demo.pages:
        context = browser.new_context(base_url=demo.url, reduced_motion="reduce")
        context.add_init_script(AXE_SCRIPT)
        pages[who] = context.new_page() if who == "open" else log_in(context, who)
    yield pages
    for page in pages.values():
        page.context.close()


def size(page: Page, width_and_height: tuple[int, int]) -> None:
    page.set_viewport_size({"width": width_and_height[0], "height": width_and_height[1]})
    # The page has heard of it: its scripts come before the next frame.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def violations(page: Page, where: str) -> list[str]:
    """What axe finds on the page as it stands, in both themes and widths; a line each."""
    found = []
    for window in (WIDE, NARROW):
        size(page, window)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            result: dict[str, Any] = page.evaluate("options => axe.run(options)", OPTIONS)
            for broken in result["violations"]:
                for node in broken["nodes"]:
                    said = f"{node['html'][:160]} {' '.join(node['failureSummary'].split())[:300]}"
                    found.append(f"{where}, {window[0]} {theme}, {broken['id']}: {said}")
    return found


@pytest.fixture(scope="module")
def findings(demo, visitors) -> dict[str, list[str]]:
    """Each whole page, visited once; fragments are seen on the pages that load them."""
    found: dict[str, list[str]] = {"axe": [], "focus": [], "width": [], "console": []}
    for who, addresses in demo.pages.items():
        page = visitors[who]
        said: list[str] = []
        page.on("console", lambda each, said=said: each.type == "error" and said.append(each.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        for address in addresses:
            answer = page.request.get(address)
            assert answer.ok, (who, address, answer.status)
            if address == FOREIGN or "<html" not in answer.text()[:200]:
                continue
            where = f"{who} {address}"
            size(page, WIDE)
            page.goto(address)
            page.wait_for_function("() => !document.querySelector('[hx-trigger=load]')")
            found["axe"] += violations(page, where)
            size(page, NARROWEST)
            found["width"] += [f"{where}: {each}" for each in page.evaluate(TOO_WIDE)]
            size(page, WIDE)
            found["focus"] += [f"{where}: {each}" for each in page.evaluate(UNSEEN_FOCUS)]
            found["console"] += [f"{where}: {each}" for each in said]
            said.clear()
    return found


@pytest.mark.parametrize("question", ["axe", "focus", "width", "console"])
def test_every_page(findings, question: str) -> None:
    """axe finds nothing; the focus is seen wherever it goes; nothing has to be scrolled sideways
    at 320 pixels; and nothing complains in the console."""
    assert not findings[question], "\n".join(findings[question])


def work_of(demo, page: Page, kind: str) -> None:
    """Open the demo's work of that kind."""
    for address in demo.pages["ana"]:
        if address.endswith("/work/"):
            page.goto(address)
            if page.locator(f"#work[data-kind={kind}] #work-form").count():
                return
    pytest.fail(f"the demo has no {kind} for Ana")


@pytest.mark.parametrize("key, sheet", [("s", "#skip"), ("?", "#keys"), ("g", "#guidelines")])
def test_a_sheet_opens_and_closes_by_key(demo, visitors, key: str, sheet: str) -> None:
    """axe finds nothing in it; the focus can leave it, and comes back to where it was."""
    page = visitors["ana"]
    size(page, WIDE)
    work_of(demo, page, "rank")
    start = page.locator("#flag")
    start.focus()
    page.keyboard.press(key)
    expect(page.locator(sheet)).to_be_visible()
    assert not (found := violations(page, sheet)), "\n".join(found)
    size(page, WIDE)
    page.keyboard.press("Escape")
    expect(page.locator(sheet)).to_be_hidden()
    expect(start).to_be_focused()


def test_the_menu_by_keyboard(demo, visitors) -> None:
    """Opened by Enter, closed by Escape, with the focus on what opened it."""
    page = visitors["olga"]
    page.goto("/")
    opener = page.locator(".menu > summary")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert not (found := violations(page, "menu")), "\n".join(found)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
    expect(opener).to_be_focused()


def test_two_versions_beside_each_other(demo, visitors) -> None:
    """The conflict is announced, and axe finds nothing in it."""
    page = visitors["ana"]
    work_of(demo, page, "write")
    other = page.context.new_page()
    other.goto(page.url)
    for tab, text in ((page, "From the first tab"), (other, "From the second tab")):
        tab.locator("#text").fill(text)
        tab.keyboard.press("Control+s")
        expect(tab.locator("#saved")).to_contain_text("aved" if tab is page else "wo versions")
    assert other.locator("#conflict [role=alert]").count()
    assert not (found := violations(other, "conflict")), "\n".join(found)
    other.close()


def test_a_refused_form_says_so_beside_the_field(demo, visitors) -> None:
    """The message is tied to its field, the field is marked, and axe finds nothing."""
    page = visitors["olga"]
    page.goto("/w/demo/projects/new/")
    page.locator("form.panel, main form").first.evaluate("form => form.noValidate = true")
    page.locator("main form button.main").first.click()
    field = page.locator("main [name=name]")
    expect(field).to_have_attribute("aria-invalid", "true")
    tied = (field.get_attribute("aria-describedby") or "").split()
    assert any(page.locator(f"#{each}.errorlist").count() for each in tied), tied
    assert not (found := violations(page, "refused form")), "\n".join(found)
