"""Rubrics with the keyboard alone: one question by its digit, several, and the editor of them."""

import json
from types import SimpleNamespace

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.test_access import violations

pytestmark = pytest.mark.browser

STAGES = """
import json
from annotation import importing, projects
from annotation.models import User, Workspace
from annotation.records import Answer, Record
acme, ana = Workspace.objects.get(name="Acme"), User.objects.get(email="ana@example.org")
def rating(title, about="prompt"):
    return {"title": title, "type": "rating", "about": about, "low": 1, "high": 5}
topic = {"title": "Topic", "type": "label", "about": "prompt",
         "options": [{"label": "Science"}, {"label": "Sport"}]}
flags = {"title": "Flags", "type": "labels", "about": "answer", "required": False,
         "options": [{"label": "Rude"}, {"label": "Made up"}]}
why = {"title": "Why", "type": "text", "about": "answer", "required": False}
made = {}
for name, kind, questions, answers in (
    ("one", "rate", [rating("Hard")], 0), ("label", "rate", [topic], 0),
    ("three", "rate", [topic, rating("Helpful", "answer"), flags, why], 2),
    ("touch", "rate", [rating("Hard")], 0), ("plain", "rate", [topic, rating("Hard")], 0),
    ("rank", "rank", [rating("Helpful", "answer")], 3), ("edit", "write", [], 0),
):
    project = projects.create_project(workspace=acme, name="Rate " + name)
    importing.add_records(project=project, source="tests", records=[
        Record(
            messages=[{"role": "user", "content": f"Is it open? {number}"}],
            answers=[Answer(text=f"Answer {n}", author_name=f"m{n}") for n in range(answers)],
        )
        for number in range(2)
    ])
    stage = projects.create_stage(
        project=project, kind=kind, name="Rate " + name, people=[ana], tags=[],
        rate_answers=answers > 0, questions=questions,
    )
    made[name] = stage.pk
print("MADE", json.dumps(made))
"""
STORED = """
import json
from annotation.models import Submission
rows = Submission.objects.filter(stage={stage}, state="submitted").order_by("submitted")
def letters(row, value):
    if not isinstance(value, dict):
        return value
    return {{"ABC"[row.shown.index(int(pk))]: each for pk, each in value.items()}}
print("MADE", json.dumps([
    {{key: letters(row, value) for key, value in row.ratings.items()}} for row in rows
]))
"""
RUBRIC = """
import json
from annotation.models import Stage
print("MADE", json.dumps(Stage.objects.get(pk={stage}).rubric))
"""


@pytest.fixture(scope="module")
def stages(server) -> SimpleNamespace:
    """`open(page, name)` goes to work in a stage; `stored(name)` reads what was handed in."""

    def run(code: str):
        return json.loads(server.manage("shell", "-c", code).rpartition("MADE ")[2])

    made = run(STAGES)

    def go(page: Page, name: str, what: str = "work") -> None:
        page.goto(f"/stages/{made[name]}/{what}/")

    return SimpleNamespace(
        open=go,
        stored=lambda name: run(STORED.format(stage=made[name])),
        rubric=lambda name: run(RUBRIC.format(stage=made[name])),
    )


def turn(page: Page) -> str:
    return page.locator("#work-form [name=submission]").input_value()


def handed_in(page: Page, before: str) -> None:
    """The next item is there."""
    expect(page.locator("#work-form [name=submission]")).not_to_have_value(before)


@pytest.mark.parametrize(
    "name, key, said", [("one", "hard", [4, 2]), ("label", "topic", ["sport"])]
)
def test_a_single_question_is_handed_in_by_its_digit(stages, log_in, name, key, said):
    page = log_in("ana")
    stages.open(page, name)
    first = turn(page)
    page.keyboard.press("9")  # offers nothing, hands nothing in
    page.keyboard.press("4" if name == "one" else "2")
    handed_in(page, first)
    if name == "one":
        page.evaluate("document.activeElement.blur()")  # nothing has the focus: the digit counts
        page.keyboard.press("2")
        expect(page.locator(".empty")).to_be_visible()
    assert stages.stored(name) == [{key: value} for value in said]


def test_several_questions_by_keyboard_and_a_mistake_beside_its_question(stages, log_in):
    page = log_in("ana")
    stages.open(page, "three")
    first = turn(page)
    focused = page.locator(".ask:focus-within")
    expect(focused).to_contain_text("Topic")
    page.keyboard.press("2")
    expect(focused).to_contain_text("Helpful")
    page.keyboard.press("Control+Enter")  # not complete
    mistake = page.locator("[data-letter=A] .errorlist")
    expect(mistake).to_have_text("“Helpful” is not answered yet.")
    expect(focused).to_contain_text("Helpful")
    assert page.locator("[name=q_topic]:checked").get_attribute("value") == "sport"
    also = page.locator("[data-letter=B] .errorlist")  # all that is missing is marked at once
    expect(also).to_have_text("“Helpful” is not answered yet.")
    page.keyboard.press("5")
    expect(mistake).to_have_count(0)  # mended
    expect(also).to_be_visible()
    expect(focused).to_contain_text("Flags")
    page.keyboard.press("2")
    page.keyboard.press("1")
    page.keyboard.press("1")  # and off again
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the second of the flags
    expect(focused).to_contain_text("Why")
    page.keyboard.type("It is 1 of 2.")  # digits in a text are text
    page.locator("[name=q_flags_A]").first.focus()
    page.keyboard.press("Enter")  # on, past the text that may be left out
    expect(page.locator("[data-letter=B] .ask:focus-within")).to_contain_text("Helpful")
    page.keyboard.press("3")
    expect(page.locator("#work-form .errorlist, .notice.bad")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    handed_in(page, first)
    assert stages.stored("three") == [
        {
            "topic": "sport",
            "helpful": {"A": 5, "B": 3},
            "flags": {"A": ["made-up"]},
            "why": {"A": "It is 1 of 2."},
        }
    ]


def test_beside_a_ranking_digits_answer_the_question_only_inside_it(stages, log_in):
    page = log_in("ana")
    stages.open(page, "rank")
    page.locator(".card[data-letter=A]").focus()
    page.keyboard.press("2")
    expect(page.locator("[name=rank_A]:checked")).to_have_value("2")
    assert page.locator("[name=q_helpful_A]:checked").count() == 0
    page.locator("[name=q_helpful_A]").first.focus()
    page.keyboard.press("5")
    expect(page.locator("[name=q_helpful_A]:checked")).to_have_value("5")
    page.keyboard.press("Enter")  # no submit: on to the next question
    expect(page.locator("[name=rank_A]:checked")).to_have_value("2")
    assert page.locator("[name=rank_B]:checked, [name=rank_C]:checked").count() == 0


def test_by_touch_with_room_for_a_finger(stages, log_in):
    page = log_in("ana", has_touch=True, viewport={"width": 390, "height": 800})
    stages.open(page, "touch")
    first, steps = turn(page), page.locator(".step")
    for n in range(steps.count()):
        box = steps.nth(n).bounding_box()
        assert box and box["width"] >= 36 and box["height"] >= 36
    steps.nth(3).tap()
    page.locator("#submit").tap()
    handed_in(page, first)
    assert stages.stored("touch") == [{"hard": 4}]


@pytest.mark.parametrize(
    "person, name, what",
    [("ana", "three", "work"), ("ana", "rank", "work"), ("lee", "three", "rubric")],
)
def test_axe_finds_nothing_also_beside_mistakes(stages, log_in, person, name, what):
    page = log_in(person)
    stages.open(page, name, what)
    if what == "rubric":
        page.locator("[id='0-title']").fill("")
        page.locator(".rubric-save .main").click()
    elif name == "three":
        page.locator("#submit").click()
        page.locator("#rate .errorlist").first.wait_for()
    page.evaluate(AXE_SCRIPT)
    assert not violations(page, f"{name} {what}")


def test_without_scripts(stages, log_in):
    page = log_in("ana", java_script_enabled=False)
    stages.open(page, "plain")
    page.get_by_role("radio", name="Sport").check()
    page.locator("#submit").click()
    expect(page.locator("#id_q_hard_error")).to_have_text("“Hard” is not answered yet.")
    page.locator(".step input").nth(3).check()
    first = turn(page)
    page.locator("#submit").click()
    handed_in(page, first)
    assert stages.stored("plain") == [{"topic": "sport", "hard": 4}]


def test_the_editor_by_keyboard(stages, log_in):
    page = log_in("lee")
    stages.open(page, "edit", "rubric")
    page.locator("[id='0-title']").focus()
    page.keyboard.type("Tone")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Tone")
    page.keyboard.press("Alt++")
    expect(page.locator("[id='1-title']")).to_be_focused()
    page.keyboard.type("Topic")
    page.locator("[id='1-type']").focus()
    page.keyboard.type("label: one")
    expect(page.locator("[id='1-low']")).to_be_hidden()
    page.locator("[id='1-more']").focus()
    page.keyboard.type("Science\nSport")
    expect(preview).to_contain_text("Sport")
    page.locator("[id='1-title']").focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("[id='0-title']")).to_have_value("Topic")
    expect(page.locator("[id='0-title']")).to_be_focused()
    expect(page.locator("#said")).to_have_text("Now question 1")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/stages/*/")
    expect(page.locator(".messages")).to_contain_text("The rubric is saved.")
    assert [q["key"] for q in stages.rubric("edit")] == ["topic", "tone"]
    assert [o["value"] for o in stages.rubric("edit")[0]["options"]] == ["science", "sport"]


def test_the_editor_without_scripts(stages, log_in):
    page = log_in("lee", java_script_enabled=False)
    stages.open(page, "plain", "rubric")
    page.locator("#add").click()
    page.locator("[id='2-title']").fill("Depth")
    page.locator("[id='2-up']").click()
    page.locator("[id='1-title']").press("Enter")  # saves: no other button is pressed by it
    page.wait_for_url("**/stages/*/")
    assert [q["key"] for q in stages.rubric("plain")] == ["topic", "depth", "hard"]
