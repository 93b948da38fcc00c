"""Writing and correcting: what was typed survives whatever happens, and the focus has a place.

The web alone, over a home that each test has for itself, so that it can be stopped and killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import PASSWORD, ROOT, free_port, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CAST = """
from annotation import importing, people, projects
from annotation.models import Membership, Role, Stage, User
from annotation.records import Answer, Record
olga = User.objects.create_user("olga@example.org", "Olga", "a long password")
bea = User.objects.create_user("bea@example.org", "Bea", "a long password")
acme = people.create_workspace(name="Acme", owner=olga)
Membership.objects.create(workspace=acme, user=bea, role=Role.ANNOTATOR)
desk = projects.create_project(workspace=acme, name="Desk")
importing.add_records(project=desk, source="tests", records=[
    Record(messages=[{"role": "user", "content": f"Question {n}? مرحبا"}],
           answers=[Answer(text=f"The answer {n} is six.", author_name="m1", origin="model")])
    for n in range(4)
])
asked = {"key": "hard", "title": "How hard?", "help": "", "type": "rating", "about": "prompt",
         "required": False, "low": 1, "high": 5}
some = {"key": "about", "title": "What is in it?", "help": "", "type": "labels", "about": "prompt",
        "required": False, "options": [{"value": v, "label": v.title()} for v in ("code", "law")]}
for kind in ("write", "correct"):
    projects.create_stage(project=desk, kind=kind, name=kind.title())
projects.create_stage(project=desk, kind="write", name="Suggested")
Stage.objects.filter(name="Suggested").update(source="origin", source_name="m1")
Stage.objects.filter(kind="correct").update(tags=["wrong fact", "too long"], rubric=[asked, some])
"""
ASIDE = "() => document.activeElement !== document.body && document.activeElement.isConnected"


class Web:
    """The web process of one test: started, stopped in its tracks, killed, started again."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {**os.environ, "ANNOTUNE_HOME": str(home), "ANNOTUNE_PORT": str(self.port)}
        self.env.pop("DATABASE_URL", None)

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "config.wsgi", "--threads", "4"]
        command += ["--bind", f"127.0.0.1:{self.port}", "--log-level", "critical"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, start_new_session=True)
        wait_for(self.url)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(timeout=30)

    def ask(self, expression: str) -> str:
        """What the database says."""
        code = f"from annotation.models import Submission, Response; print({expression})"
        command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submitted(self) -> str:
        return self.ask("Submission.objects.filter(state='submitted').count()")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory) -> Path:
    home: Path = tmp_path_factory.mktemp("furnished")
    env = {**os.environ, "ANNOTUNE_HOME": str(home)}
    env.pop("DATABASE_URL", None)
    for command in (["migrate", "-v0"], ["shell", "-v0", "-c", CAST]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True)
    return home


@pytest.fixture
def web(furnished: Path, tmp_path: Path) -> Iterator[Web]:
    server = Web(Path(shutil.copytree(furnished, tmp_path / "home")))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def at_work(web: Web, browser: Browser) -> Iterator[Callable[..., Page]]:
    """`at_work("Write")`: Bea at that stage, logged in, in a browser of her own."""
    contexts = []

    def enter(stage: str, **options) -> Page:
        context = browser.new_context(base_url=web.url, **options)
        contexts.append(context)
        page = context.new_page()
        log_in(page)
        page.goto(web.url + "/")
        page.get_by_role("link", name=stage, exact=True).first.click()
        page.locator("html[data-keys] #work-form").wait_for()  # the scripts have begun
        return page

    yield enter
    for context in contexts:
        context.close()


def log_in(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("E-mail address").fill("bea@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("Draft saved", timeout=15_000)


def number(page: Page) -> str:
    return page.locator("#work-form [name=submission]").input_value()


def next_item(page: Page, act: Callable[[], None]) -> None:
    before = number(page)
    act()
    expect(page.locator("#work-form [name=submission]")).not_to_have_value(before, timeout=15_000)


def test_a_lost_connection(web: Web, at_work) -> None:
    page = at_work("Write")
    page.context.set_offline(True)
    page.locator("#text").fill("Written in a tunnel")
    expect(page.locator("#saved")).to_contain_text("kept in this browser", timeout=15_000)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#trouble")).to_contain_text("no connection")
    expect(page.locator("#text")).to_have_value("Written in a tunnel")
    page.context.set_offline(False)
    saved(page)
    assert web.ask("Submission.objects.get().draft['text']") == "Written in a tunnel"
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    assert web.submitted() == "1"


def test_a_reload_before_anything_was_sent(at_work) -> None:
    """From the browser's own copy: text, boxes and radios, ticked and not ticked."""
    page = at_work("Correct")
    page.route("**/draft/", lambda route: route.abort())
    page.locator("#text").fill("The answer is seven.")
    page.locator("[value='too long']").check()
    for name in ("code", "law"):
        page.locator(f"[value={name}]").check()
    page.locator("[value=code]").uncheck()
    page.locator("[name=q_hard][value='4']").check()
    page.reload()
    expect(page.locator("#text")).to_have_value("The answer is seven.")
    for name, ticked in (("too long", 1), ("wrong fact", 0), ("code", 0), ("law", 1), ("4", 1)):
        expect(page.locator(f"#work-form [value='{name}']")).to_be_checked(checked=bool(ticked))
    expect(page.locator("#diff ins")).to_have_text("seven")
    page.unroute("**/draft/")
    page.locator("#text").press("End")
    saved(page)


def test_typing_before_the_scripts_are_there(web: Web, at_work) -> None:
    page = at_work("Write")
    held: list[Route] = []
    page.route("**/work.js", lambda route: held.append(route))
    page.goto(page.url, wait_until="commit")
    page.locator("#text").fill("Quicker than the page")
    held[0].continue_()
    saved(page)
    assert web.ask("Submission.objects.get().draft['text']") == "Quicker than the page"


def test_what_was_refused_is_kept(at_work) -> None:
    page = at_work("Correct")
    page.route("**/draft/", lambda route: route.abort())
    page.locator("[value='too long']").check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#work .notice[role=alert]")).to_contain_text("Nothing is changed")
    page.reload()
    expect(page.locator("[value='too long']")).to_be_checked()


def test_a_mended_mistake_is_said_no_longer(at_work) -> None:
    page = at_work("Write")
    page.locator("#text").fill(" ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#text-error")).to_be_visible()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("Something")
    expect(page.locator("#text-error, .notice.bad")).to_have_count(0)
    expect(page.locator("#text")).not_to_have_attribute("aria-invalid", "true")


def test_a_server_killed_in_mid_submit(web: Web, at_work) -> None:
    page = at_work("Write")
    page.locator("#text").fill("Sent to a server that dies")
    web.signal(signal.SIGSTOP)
    with page.expect_request(lambda r: r.method == "POST" and r.url.endswith("/work/")):
        page.keyboard.press("Control+Enter")
    web.kill()
    expect(page.locator("#trouble")).to_contain_text("kept in this browser", timeout=30_000)
    expect(page.locator("#text")).to_have_value("Sent to a server that dies")
    web.start()
    page.reload()
    expect(page.locator("#text")).to_have_value("Sent to a server that dies")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    assert web.submitted() == "1"
    assert web.ask("Response.objects.get(origin='human').text") == "Sent to a server that dies"


def test_an_answer_that_got_lost(web: Web, at_work) -> None:
    """The server took the work and the connection broke: the second submit adds nothing."""
    page = at_work("Write")

    def swallow(route: Route) -> None:
        route.fetch()
        route.abort()

    page.locator("#text").fill("Taken, and never answered")
    page.route("**/work/", swallow)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#trouble")).to_contain_text("no connection", timeout=15_000)
    page.unroute("**/work/")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    assert web.submitted() == "1"


def test_a_save_whose_answer_got_lost_is_no_conflict(web: Web, at_work) -> None:
    page = at_work("Write")

    def swallow(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/draft/", swallow)
    page.locator("#text").fill("First")
    expect(page.locator("#saved")).to_contain_text("kept in this browser", timeout=15_000)
    page.unroute("**/draft/")
    page.locator("#text").fill("First and second")
    page.keyboard.press("Control+s")
    saved(page)
    expect(page.locator("#conflict [data-conflict]")).to_have_count(0)
    assert web.ask("Submission.objects.get().draft['text']") == "First and second"


def two_versions(at_work) -> Page:
    """A tab that is stale: it says "mine is long", stored is "stored is long"."""
    first = at_work("Write")
    second = first.context.new_page()
    second.goto(first.url)
    first.locator("#text").fill("stored is long")
    saved(first)
    second.locator("#text").fill("mine is long")
    expect(second.locator("#conflict").get_by_role("textbox")).to_have_value(
        "stored is long", timeout=15_000
    )
    return second


def test_a_stale_tab_shows_both_and_the_difference(at_work) -> None:
    page = two_versions(at_work)
    expect(page.locator("#text")).to_have_value("mine is long")
    expect(page.locator("#conflict del")).to_have_text("stored")
    expect(page.locator("#conflict ins")).to_have_text("mine")
    page.reload()  # and they are two still
    expect(page.locator("#conflict del")).to_have_text("stored")
    expect(page.locator("#text")).to_have_value("mine is long")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    expect(page.locator("#text")).to_have_value("stored is long")
    expect(page.locator("#text")).to_be_focused()
    page.get_by_role("button", name="Bring mine back").click()
    expect(page.locator("#text")).to_have_value("mine is long")
    saved(page)


def test_a_stale_tab_can_put_both_together(web: Web, at_work) -> None:
    page = two_versions(at_work)
    page.get_by_role("button", name="Put both together").click()
    expect(page.locator("#text")).to_have_value("mine is long\n\nstored is long")
    saved(page)
    assert web.ask("len(Submission.objects.get().draft['text'])") == "28"


def test_a_stale_submit_shows_both(at_work) -> None:
    first = at_work("Write")
    second = first.context.new_page()
    second.goto(first.url)
    first.locator("#text").fill("stored is long")
    saved(first)
    second.locator("#text").fill("mine is long")
    second.keyboard.press("Control+Enter")
    expect(second.locator("#conflict del")).to_have_text("stored")
    second.get_by_role("button", name="Keep mine").click()
    next_item(second, lambda: second.keyboard.press("Control+Enter"))


def test_logged_out_and_in_again_in_another_tab(web: Web, at_work) -> None:
    page = at_work("Write")
    page.context.clear_cookies()
    page.locator("#text").fill("Written while nobody")
    page.keyboard.press("Control+Enter")
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("logged out")
    with page.context.expect_page() as opened:
        trouble.get_by_role("link").click()
    log_in(opened.value)
    expect(page.locator("#text")).to_have_value("Written while nobody")
    next_item(page, lambda: page.locator("#text").press("Control+Enter"))
    assert web.ask("Response.objects.get(origin='human').text") == "Written while nobody"


def test_undo_brings_back_what_was_submitted_and_keeps_what_was_begun(web: Web, at_work) -> None:
    page = at_work("Write")
    first = number(page)
    page.locator("#text").fill("Too early")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    page.locator("#text").fill("Begun already")
    page.keyboard.press("Escape")
    next_item(page, lambda: page.keyboard.press("Control+z"))
    assert number(page) == first
    expect(page.locator("#text")).to_have_value("Too early")
    assert "Begun already" in web.ask("[s.draft.get('text') for s in Submission.objects.all()]")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    expect(page.locator("#text")).to_have_value("Begun already")


def test_skip_needs_a_reason_and_keeps_the_text(web: Web, at_work) -> None:
    page = at_work("Write")
    page.locator("#text").fill("Half of it")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#skip-error")).to_have_text("Choose a reason first.")
    expect(page.locator("#skip [name=reason]").first).to_be_focused()
    page.keyboard.press("2")
    expect(page.locator("#skip-error")).to_be_empty()
    next_item(page, lambda: page.keyboard.press("Enter"))
    assert web.ask("Submission.objects.get(state='skipped').draft['text']") == "Half of it"


def test_the_focus_always_has_a_place(at_work) -> None:
    page = at_work("Write")
    said, text = page.locator("#announce"), page.locator("#text")
    expect(text).to_be_focused()
    text.fill("One")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    expect(said).to_have_text("Submitted. Next item.")
    expect(text).to_be_focused()
    page.keyboard.press("Escape")
    assert page.evaluate(ASIDE)
    for key in ("s", "g", "?"):
        page.keyboard.press(key)
        expect(page.locator(".sheet:popover-open")).to_have_count(1)
        page.keyboard.press("Escape")
        expect(page.locator(".sheet:popover-open")).to_have_count(0)
        assert page.evaluate(ASIDE), key
    page.locator("#flag").focus()
    page.keyboard.press("f")
    expect(said).to_have_text("Flagged for the lead.")
    expect(page.locator("#flag")).to_be_focused()
    page.keyboard.press("u")
    expect(said).to_have_text("Taken back. It is yours to change.")
    assert page.evaluate(ASIDE)
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(said).to_have_text("Skipped. Next item.")
    assert page.evaluate(ASIDE)
    page.keyboard.press("Control+Enter")  # empty: refused beside the field
    expect(page.locator("#text-error, #work .notice[role=alert]").first).to_be_visible()
    assert page.evaluate(ASIDE)


def test_keys_can_be_switched_off(at_work) -> None:
    page = at_work("Write")
    sheet = page.locator("#skip")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#letters").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(sheet).not_to_be_visible()
    expect(page.locator("#skip-open kbd")).not_to_be_visible()
    page.keyboard.press("Control+Shift+P")
    expect(page.locator("#preview")).to_be_visible()
    page.keyboard.press("Control+Shift+P")
    page.locator("[popovertarget=keys]").first.click()
    page.locator("#letters").check()
    page.locator("#all-keys").uncheck()
    page.locator("#keys button").click()
    for keys in ("s", "Control+Shift+P", "?"):
        page.keyboard.press(keys)
        expect(sheet).not_to_be_visible()
        expect(page.locator("#preview")).not_to_be_visible()
        expect(page.locator("#keys")).not_to_be_visible()
    page.reload()  # it is remembered
    page.locator("#text").fill("Only this key is left")
    next_item(page, lambda: page.keyboard.press("Control+Enter"))


def test_revert_can_be_taken_back(web: Web, at_work) -> None:
    page = at_work("Correct")
    text = page.locator("#text")
    original = text.input_value()
    text.fill("A correction of an hour")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator("#trouble")).to_contain_text("You have changed the text")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(text).to_have_value(original)
    saved(page)
    page.reload()
    page.get_by_role("button", name="Bring it back").click()
    expect(text).to_have_value("A correction of an hour")
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Digit1")
    expect(page.get_by_label("wrong fact")).to_be_checked()
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    assert "wrong fact" in web.ask("Submission.objects.get(state='submitted').tags")
    next_item(page, lambda: page.keyboard.press("n"))
    assert web.ask("Submission.objects.filter(unchanged=True).count()") == "1"


def test_a_suggestion_can_be_emptied_and_had_back(web: Web, at_work) -> None:
    page = at_work("Suggested")
    text = page.locator("#text")
    suggested = text.input_value()
    assert suggested.startswith("The answer")
    page.get_by_role("button", name="Start empty").click()
    expect(text).to_have_value("")
    expect(page.locator("#count")).to_have_text("0 words · about 0 tokens")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(text).to_have_value(suggested)
    next_item(page, lambda: page.keyboard.press("Control+Enter"))
    assert web.ask("Submission.objects.get(state='submitted').suggestion_use") == "kept"


def test_a_phone(at_work) -> None:
    """Nothing overlaps at 390 px, each control of the bar is thumb-high, no key is shown."""
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    page = at_work("Correct", **phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    parts = page.locator(".bar :is(button, a):visible").all()
    boxes = [box for part in parts if (box := part.bounding_box())]
    for place, a in enumerate(boxes):
        assert a["height"] >= 36 and a["x"] >= 0 and a["x"] + a["width"] <= 390
        for b in boxes[place + 1 :]:
            aside = a["x"] + a["width"] <= b["x"] + 0.5 or b["x"] + b["width"] <= a["x"] + 0.5
            assert aside or a["y"] + a["height"] <= b["y"] + 0.5 or b["y"] + b["height"] <= a["y"]
    expect(page.locator(".bar kbd:visible")).to_have_count(0)
    expect(page.locator(".answer kbd:visible")).to_have_count(0)


def test_two_versions_on_a_phone_come_into_sight(at_work) -> None:
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    page = at_work("Write", **phone)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#text").fill("stored is long")
    saved(other)
    page.locator("#text").fill("a line\n" * 80)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("button", name="Keep mine")).to_be_in_viewport(timeout=15_000)


def test_a_key_without_its_control_is_left_alone(at_work) -> None:
    page = at_work("Write")
    page.keyboard.press("Escape")
    page.evaluate(
        "addEventListener('keydown', (event) => { window.taken = event.defaultPrevented })"
    )
    for key, taken in [("n", False), ("r", False), ("q", False), ("m", False), ("s", True)]:
        page.keyboard.press(key)
        assert page.evaluate("window.taken") is taken, key


def test_of_a_long_text_the_changes_show_what_changed(at_work) -> None:
    page = at_work("Correct")
    expect(page.locator("#diff")).to_be_hidden()  # nothing changed yet
    page.locator("#text").fill("one two three " * 500)
    page.locator("#text").press("Control+End")
    page.locator("#text").press_sequentially("last")
    expect(page.locator("#diff ins").last).to_contain_text("last")


def test_each_paragraph_goes_its_own_way(at_work) -> None:
    """Arabic from the right, English from the left, in one preview."""
    page = at_work("Write")
    page.locator("#text").fill("مرحبا بالعالم\n\nThen English")
    page.keyboard.press("Control+Shift+P")
    expect(page.locator("#preview p")).to_have_count(2)
    sides = page.locator("#preview").evaluate(
        """panel => [...panel.querySelectorAll("p")].map(p => {
            const range = document.createRange(); range.selectNodeContents(p);
            const text = range.getBoundingClientRect(), box = p.getBoundingClientRect();
            return text.left - box.left > box.right - text.right ? "right" : "left"; })"""
    )
    assert sides == ["right", "left"]


def test_the_number_of_tokens_is_about_right(at_work) -> None:
    """Against what the tokenizer of SmolLM2 gives for these texts."""
    page = at_work("Write")
    for text, tokens in (("The quick brown fox jumps over the lazy dog.", 10), ("", 0)):
        assert abs(page.evaluate("text => window.aboutTokens(text)", text) - tokens) <= 1
