"""Reviewing by keyboard alone, over the demo: a decision brings the next one, nothing is lost."""

import json
from types import SimpleNamespace

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.test_access import log_in, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

STAGES = """
import json
from annotation import importing, projects, queue, submissions
from annotation.models import User, Workspace
from annotation.records import Answer, Record
demo, ana = Workspace.objects.get(slug="demo"), User.objects.get(email="ana@example.org")
made = {}
for kind in ("write", "rank"):
    project = projects.create_project(workspace=demo, name="Review " + kind)
    importing.add_records(project=project, source="tests", records=[
        Record(
            messages=[{"role": "user", "content": f"Is it open? {n}"}],
            answers=[Answer(text=f"Answer {m}", author_name=f"m{m}") for m in range(3)],
        )
        for n in range(4)
    ])
    stage = projects.create_stage(
        project=project, kind=kind, name="Review " + kind, people=[ana], review_share=100
    )
    for n in range(4):
        turn = queue.claim(stage, ana)
        said = {"text": f"Ana says {n}"}
        if kind == "rank":
            said = {"order": [[pk] for pk in turn.shown]}
        submissions.submit(submission=turn, user=ana, content=said)
    made[kind] = stage.pk
print("MADE", json.dumps(made))
"""
STORED = """
import json
from annotation.models import Submission
rows = Submission.objects.filter(stage={stage}).order_by("pk")
print("MADE", json.dumps([[row.review, [r.comment for r in row.reviews.all()]] for row in rows]))
"""


@pytest.fixture(scope="module")
def stages(demo) -> SimpleNamespace:
    def run(code: str):
        return json.loads(demo.shell(code).rpartition("MADE ")[2])

    made = run(STAGES)
    return SimpleNamespace(made=made, stored=lambda name: run(STORED.format(stage=made[name])))


@pytest.fixture
def rui(demo, browser):
    context = browser.new_context(base_url=demo.url, reduced_motion="reduce")
    context.add_init_script(AXE_SCRIPT)
    page = log_in(context, "rui")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors


def judged(page: Page, n: int) -> None:
    expect(page.locator(".judged")).to_have_text(f"Ana says {n}")
    page.wait_for_timeout(400)  # a key in the first moments decides nothing


def test_a_reviewer_decides_by_keys_and_loses_nothing(rui: Page, stages) -> None:
    rui.goto(f"/stages/{stages.made['write']}/review/")
    judged(rui, 0)
    rui.keyboard.press("j")
    judged(rui, 1)
    rui.keyboard.press("k")
    judged(rui, 0)
    rui.keyboard.press("a")
    rui.keyboard.press("a")  # the hand was quicker than the eye: only one is accepted
    judged(rui, 1)
    expect(rui.locator("#announce")).to_contain_text("Accepted.")
    rui.keyboard.press("r")
    rui.keyboard.type("Say a little more, and j is a letter here")
    rui.keyboard.press("Escape")
    rui.keyboard.press("j")
    judged(rui, 2)
    rui.keyboard.press("k")
    judged(rui, 1)
    rui.reload()
    judged(rui, 1)
    rui.keyboard.press("r")
    expect(rui.locator("#comment")).to_have_value("Say a little more, and j is a letter here")
    rui.keyboard.press("Control+Enter")
    judged(rui, 2)
    rui.keyboard.press("u")
    judged(rui, 1)
    expect(rui.locator("#review .notice.warn")).to_contain_text("returned it")
    rui.keyboard.press("j")
    judged(rui, 2)
    rui.keyboard.press("f")
    rui.locator("#text").fill("Rui says 2")
    rui.reload()
    expect(rui.locator("#text")).to_have_value("Rui says 2")  # kept in the browser
    rui.keyboard.press("Control+Enter")
    judged(rui, 3)
    said = "Say a little more, and j is a letter here"
    assert stages.stored("write") == [
        ["accepted", [""]],
        ["returned", [said]],
        ["fixed", [""]],
        ["waiting", []],
    ]


def test_returning_without_a_word_goes_nowhere(rui: Page, stages) -> None:
    rui.goto(f"/stages/{stages.made['rank']}/review/")
    expect(rui.locator("#return-open")).to_be_visible()
    rui.wait_for_timeout(400)
    rui.keyboard.press("r")
    rui.keyboard.press("Control+Enter")
    expect(rui.locator("#comment")).to_be_focused()
    expect(rui.locator("#announce")).to_contain_text("what is to be changed")
    assert [review for review, _ in stages.stored("rank")] == ["waiting"] * 4


def log_in_anew(page: Page) -> None:
    """In another tab: the tokens of the pages that are open are old then."""
    tab = page.context.new_page()
    tab.goto("/")
    tab.locator(".menu > summary").click()
    tab.get_by_role("button", name="Log out").click()
    tab.get_by_label("E-mail address").fill("rui@example.org")
    tab.get_by_label("Password").fill("annotune-demo")
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_url(lambda url: "/login" not in url)
    tab.close()


def test_who_logged_in_anew_sends_it_all_the_same(rui: Page, stages) -> None:
    rui.goto(f"/stages/{stages.made['rank']}/review/")
    first = rui.locator("[data-submission]").get_attribute("data-submission")
    rui.wait_for_timeout(400)
    rui.keyboard.press("r")
    rui.keyboard.type("A is better than B")
    log_in_anew(rui)
    rui.keyboard.press("Control+Enter")
    expect(rui.locator("#sent")).to_contain_text("Press once more")
    rui.keyboard.press("Control+Enter")
    expect(rui.locator(f"[data-submission='{first}']")).to_have_count(0)
    assert stages.stored("rank")[0] == ["returned", ["A is better than B"]]


def test_a_fix_that_was_refused_is_still_in_the_editor(rui: Page, stages) -> None:
    rui.goto(f"/stages/{stages.made['write']}/review/")
    rui.wait_for_timeout(400)
    rui.keyboard.press("f")
    rui.locator("#text").fill("Rui says it at length")
    editor = rui.url
    log_in_anew(rui)
    rui.keyboard.press("Control+Enter")
    expect(rui.get_by_role("heading")).to_contain_text("Not sent")
    rui.goto(f"/stages/{stages.made['write']}/review/")
    rui.goto(editor)
    expect(rui.locator("#text")).to_have_value("Rui says it at length")


def test_the_pages_of_review_are_for_all(rui: Page, stages) -> None:
    found = []
    rui.goto(f"/stages/{stages.made['rank']}/review/")
    found += violations(rui, "the inbox")
    rui.wait_for_timeout(400)
    rui.keyboard.press("r")
    found += violations(rui, "a comment")
    rui.keyboard.press("Escape")
    rui.keyboard.press("f")
    expect(rui.locator("#ranks")).to_be_visible()
    rui.go_back()
    rui.locator("#all-of-it").click()
    expect(rui.locator(".columns")).to_be_visible()
    found += violations(rui, "the item")
    assert not found, "\n".join(found)
