"""Ranking and comparing, as hands do it: keys, mouse, touch, and without scripts."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

STAGES = """
import json
from annotation import importing, projects
from annotation.models import Stage, User, Workspace
from annotation.records import Answer, Record
acme, ana = Workspace.objects.get(name="Acme"), User.objects.get(email="ana@example.org")
code = "Use `range`:\\n\\n```python\\nfor n in range(3):\\n    print(n)\\n```\\n\\n"
code += "| a | b |\\n|---|---|\\n"
short = ["Open at ten.", code + "| 1 | 2 |", code + "| 1 | 3 |", "Closed today.", "مفتوح اليوم."]
water = "Water rises from the {} as vapour, falls as rain and runs back through the rivers. "
seas = ("sea", "ocean", "lake")
long = ["\\n\\n".join(water.format(word) * 3 for _ in range(20)) for word in seas]
late = [long[0] + "\\n\\nThe " + word for word in ("end.", "last.", "rest.")]
made = {}
for name, answers, prompts in (
    ("keys", short, 1), ("mouse", short[:3], 1), ("touch", short[:3], 1), ("tags", short[:3], 1),
    ("marks", short, 1), ("plain", short[:3], 1), ("step", long[:2], 1), ("list", long, 1),
    ("pair", short[:2], 3), ("off", short[:3], 1), ("late", late, 1),
    ("layout", short[:3], 1),
):
    project = projects.create_project(workspace=acme, name="Rank " + name)
    importing.add_records(project=project, source="tests", records=[
        Record(
            messages=[{"role": "user", "content": f"Is it open? {number}"}],
            answers=[Answer(text=text, author_name=f"model {n}") for n, text in enumerate(answers)],
        )
        for number in range(prompts)
    ])
    stage = projects.create_stage(project=project, kind="rank", name="Rank " + name, people=[ana])
    Stage.objects.filter(pk=stage.pk).update(tags=["wrong", "too long", "unsafe"])
    made[name] = stage.pk
print("MADE", json.dumps(made))
"""
STORED = """
import json
from annotation.models import Ranking
rows = Ranking.objects.filter(submission__stage={stage}).select_related("submission")
def letters(row):
    place = row.submission.shown.index
    return [sorted("ABCDEFGHI"[place(pk)] for pk in group) for group in row.order]
print("MADE", json.dumps([
    {{"order": letters(row), "strength": row.strength, "all_bad": row.all_bad,
     "reason": row.submission.reason, "tags": sorted(row.submission.tags.values())}}
    for row in rows.order_by("pk")
]))
"""


@pytest.fixture(scope="module")
def stages(server) -> SimpleNamespace:
    """`open(page, name)` goes to work in a stage; `stored(name)` reads what was handed in."""

    def run(code: str):
        said = server.manage("shell", "-c", code)
        return json.loads(said.rpartition("MADE ")[2])

    made = run(STAGES)

    def go(page: Page, name: str) -> None:
        page.goto(f"/stages/{made[name]}/work/")
        page.locator("#work-form").wait_for()

    return SimpleNamespace(open=go, stored=lambda name: run(STORED.format(stage=made[name])))


def card(page: Page, letter: str) -> Locator:
    return page.locator(f".answers .card[data-letter={letter}]")


def order(page: Page) -> list[str]:
    """What the list shows, ties together, without a place in brackets: ["B", "AC", "(D)"]."""
    return page.locator("#ranks > li").evaluate_all(
        "rows => rows.map(row => {"
        " const names = [...row.querySelectorAll('.card')].map(card => card.dataset.letter);"
        " return row.matches('.unplaced') ? `(${names.join('')})` : names.join(''); })"
    )


def finish(page: Page) -> None:
    """Ctrl+Enter, and the stage's next item (or its end) stands there."""
    old = page.locator("[name=submission]").first.input_value()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "old => document.querySelector('#work-form [name=submission]')?.value !== old", arg=old
    )


def test_five_answers_by_keyboard(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "keys")
    expect(card(page, "A")).to_be_focused()

    # Too early: it says what is missing and goes there
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#saved")).to_have_text("5 answers have no place yet")
    expect(card(page, "A")).to_be_focused()

    for digit in "21254":  # A second, B first, C level with A, D fifth, E fourth
        page.keyboard.press(digit)
    assert order(page) == ["B", "AC", "E", "D"]
    expect(card(page, "E")).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    assert order(page) == ["B", "E", "AC", "D"]
    page.keyboard.press("=")
    assert order(page) == ["BE", "AC", "D"]
    expect(page.locator("#said")).to_have_text("E: place 1, level with B")
    expect(card(page, "E")).to_be_focused()
    page.keyboard.press("=")
    page.keyboard.press("Alt+ArrowUp")
    assert order(page) == ["E", "B", "AC", "D"]
    expect(card(page, "E")).to_have_attribute("aria-label", "Answer E, place 1")

    page.keyboard.press("ArrowDown")
    expect(card(page, "B")).to_be_focused()
    page.keyboard.press("Shift+Digit2")
    page.keyboard.press("b")
    expect(page.locator("#all-bad")).to_be_checked()
    page.keyboard.press("w")
    page.keyboard.type("Open from ten to four.")
    page.keyboard.press("Escape")
    expect(card(page, "B")).to_be_focused()
    finish(page)
    (ranking,) = stages.stored("keys")
    assert ranking["order"] == [["E"], ["B"], ["A", "C"], ["D"]]
    assert ranking["all_bad"] and ranking["tags"] == [["too long"]]


def middle(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def edge(locator: Locator, share: float) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] * share


def drag_all(page: Page, drag: Callable[[str, tuple[float, float]], None]) -> None:
    """Each answer gets its place by a drag: C best, then A and B alike, then B on its own."""
    drag("C", edge(card(page, "A"), 0.1))
    assert order(page) == ["C", "(A)", "(B)"]
    drag("A", edge(card(page, "C"), 0.9))
    assert order(page) == ["C", "A", "(B)"]
    drag("B", middle(card(page, "A")))
    assert order(page) == ["C", "AB"]
    drag("B", edge(card(page, "C"), 0.1))
    assert order(page) == ["B", "C", "A"]


def test_drag_with_the_mouse(stages, log_in) -> None:
    page = log_in("ana", viewport={"width": 1280, "height": 1400}, reduced_motion="reduce")
    stages.open(page, "mouse")

    def drag(letter: str, to: tuple[float, float]) -> None:
        page.mouse.move(*middle(card(page, letter).locator("header > b")))
        page.mouse.down()
        page.mouse.move(to[0], to[1], steps=8)
        page.mouse.up()

    drag_all(page, drag)
    finish(page)
    assert stages.stored("mouse")[0]["order"] == [["B"], ["C"], ["A"]]


def test_drag_with_a_finger(stages, log_in) -> None:
    phone = {"width": 390, "height": 1400}
    page = log_in("ana", viewport=phone, has_touch=True, is_mobile=True, reduced_motion="reduce")
    stages.open(page, "touch")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    device = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y} for x, y in points]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    def drag(letter: str, to: tuple[float, float]) -> None:
        x, y = middle(card(page, letter).locator(".grip"))
        touch("touchStart", (x, y))
        for step in range(1, 9):
            touch("touchMove", (x + (to[0] - x) * step / 8, y + (to[1] - y) * step / 8))
        touch("touchEnd")

    drag_all(page, drag)
    page.locator("#submit").click()  # a tap right after a drag is not a tap to Chromium
    page.wait_for_function("() => !document.querySelector('#work-form')")
    assert stages.stored("touch")[0]["order"] == [["B"], ["C"], ["A"]]


def test_tags_survive_a_reload_and_a_lost_connection(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "tags")
    page.keyboard.press("Shift+Digit1")
    page.keyboard.press("Shift+Digit3")
    page.keyboard.press("2")
    expect(page.locator("#saved")).to_have_text("Draft saved", timeout=10_000)
    page.reload()
    for tag, chosen in (("wrong", True), ("too long", False), ("unsafe", True)):
        expect(card(page, "A").locator(f"[value='{tag}']")).to_be_checked(checked=chosen)

    # What the server never got comes back from this browser
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('cut')); }")
    card(page, "B").focus()
    page.keyboard.press("Shift+Digit1")
    page.keyboard.press("Shift+Digit2")
    card(page, "A").focus()
    page.keyboard.press("Shift+Digit1")
    page.reload()
    for letter, chosen in (("A", [False, False, True]), ("B", [True, True, False])):
        boxes = card(page, letter).locator(".chips input")
        expect(boxes).to_have_count(3)
        for box, ticked in zip(boxes.all(), chosen, strict=True):
            expect(box).to_be_checked(checked=ticked)


def test_differences_are_marked_and_leave_no_trace(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "marks")
    texts = page.locator(".answers .text")
    before = texts.evaluate_all("all => all.map(text => text.innerHTML)")
    words = texts.evaluate_all("all => all.map(text => text.textContent)")
    for letter in "ABCDE":
        card(page, letter).focus()
        page.keyboard.press("d")
        assert card(page, letter).locator("mark").count() == 0  # the one that others differ from
        others = page.locator(f".answers .card:not([data-letter={letter}])")
        for other in others.all():
            assert other.locator("mark").count() > 0
        assert texts.evaluate_all("all => all.map(text => text.textContent)") == words
        assert page.locator(":is(tr, tbody, ul, ol, table) > mark").count() == 0
        page.keyboard.press("d")
        assert texts.evaluate_all("all => all.map(text => text.innerHTML)") == before
    # It follows the focus
    page.keyboard.press("d")
    page.keyboard.press("ArrowUp")
    expect(card(page, "D").locator("mark")).to_have_count(0)
    expect(page.locator("#differences")).to_have_attribute("aria-pressed", "true")


def shares(page: Page) -> list[float]:
    return page.locator(".answers .text").evaluate_all(
        "all => all.map(text => text.scrollTop / (text.scrollHeight - text.clientHeight))"
    )


def test_long_answers_scroll_in_step(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "step")
    text = card(page, "A").locator(".text")
    in_step = page.locator("#in-step")
    expect(in_step).to_have_attribute("aria-pressed", "true")  # side by side they do
    text.evaluate("text => { text.scrollTop = (text.scrollHeight - text.clientHeight) / 2 }")
    page.wait_for_function("() => document.querySelectorAll('.answers .text')[1].scrollTop > 0")
    assert shares(page) == pytest.approx([0.5, 0.5], abs=0.02)
    page.keyboard.press("y")
    expect(in_step).to_have_attribute("aria-pressed", "false")
    text.evaluate("text => text.scrollTop = 0")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert shares(page) == pytest.approx([0, 0.5], abs=0.02)
    page.reload()
    expect(in_step).to_have_attribute("aria-pressed", "false")  # remembered
    page.keyboard.press("x")
    tall = text.evaluate("text => text.scrollHeight <= text.clientHeight + 1")
    assert tall

    stages.open(page, "list")  # one below the other each scrolls by itself
    expect(in_step).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("y")
    page.keyboard.press("PageDown")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.answers .text')].every(text => text.scrollTop > 0)"
    )


def test_a_difference_below_the_fold_is_gone_to(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "late")
    sign = page.locator(".answers mark").first
    page.keyboard.press("d")
    expect(sign).to_be_attached()
    seen = sign.evaluate(
        "mark => { const own = mark.getBoundingClientRect(),"
        " all = mark.closest('.text').getBoundingClientRect();"
        " return own.top >= all.top && own.bottom <= all.bottom; }"
    )
    assert seen


def test_a_pair_by_keyboard(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "pair")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#saved")).to_have_text("Say first which is better, or that neither is")
    card(page, "A").focus()
    page.keyboard.press("ArrowRight")
    expect(card(page, "B")).to_be_focused()
    page.keyboard.press("Shift+Digit1")
    reason = page.locator("#reason")
    expect(reason).to_be_hidden()
    page.keyboard.press("8")
    expect(reason).to_be_visible()
    expect(card(page, "B")).to_be_focused()  # a digit only selects
    page.keyboard.press("Control+Enter")
    expect(reason).to_be_focused()
    expect(reason).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("A is wrong, 8 times out of 10.")
    finish(page)
    expect(card(page, "A")).to_be_focused()
    page.keyboard.press("2")
    page.keyboard.press("t")
    finish(page)
    page.keyboard.press("b")
    finish(page)
    far, tied, bad = stages.stored("pair")
    assert (far["order"], far["strength"]) == ([["B"], ["A"]], -4)
    assert far["reason"].startswith("A is wrong") and far["tags"] == [["wrong"]]
    assert tied["strength"] == 0 and not tied["all_bad"] and bad["all_bad"]


def test_single_letters_can_be_switched_off(stages, log_in) -> None:
    page = log_in("ana")
    stages.open(page, "off")
    page.evaluate("localStorage.setItem('annotune:letters', 'off')")
    for key in "bdw":
        page.keyboard.press(key)
    expect(page.locator("#all-bad")).not_to_be_checked()
    expect(page.locator("#differences")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#better")).to_be_hidden()


def test_keys_are_where_the_hand_finds_them(stages, log_in) -> None:
    """On a French keyboard Shift makes the digits; on a Russian one no key writes a d."""
    page = log_in("ana")
    stages.open(page, "layout")

    def press(key: str, code: str, **more: bool) -> None:
        page.evaluate(
            "init => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', init))",
            {"key": key, "code": code, "bubbles": True, "cancelable": True, **more},
        )

    press("1", "Digit1", shiftKey=True)
    expect(card(page, "A").locator("[value=wrong]")).to_be_checked()
    assert order(page) == ["(A)", "(B)", "(C)"]
    press("é", "Digit2")
    assert order(page) == ["A", "(B)", "(C)"]
    press("в", "KeyD")
    expect(page.locator("#differences")).to_have_attribute("aria-pressed", "true")

    page.keyboard.press("?")
    keys = page.locator("#keys")
    expect(keys.get_by_text("Move the answer")).to_be_visible()
    expect(keys.get_by_text("Focus A or B")).to_be_hidden()


def test_escape_lets_go_of_a_dragged_answer(stages, log_in) -> None:
    page = log_in("ana", viewport={"width": 1280, "height": 1400})
    stages.open(page, "layout")
    before = order(page)
    page.mouse.move(*middle(card(page, "C").locator("header > b")))
    page.mouse.down()
    page.mouse.move(*edge(card(page, "A"), 0.5), steps=5)
    expect(page.locator(".drop-onto")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".drop-onto, .held")).to_have_count(0)
    page.mouse.up()
    assert order(page) == before


def test_without_scripts_it_is_a_form(stages, log_in) -> None:
    page = log_in("ana", java_script_enabled=False)
    stages.open(page, "plain")
    for letter, place in (("A", 2), ("B", 1), ("C", 2)):
        card(page, letter).locator(f"[name=rank_{letter}][value='{place}']").check(force=True)
    card(page, "B").locator("[value=unsafe]").check(force=True)
    page.locator("#submit").click()
    expect(page.locator("#work-form")).to_have_count(0)
    (ranking,) = stages.stored("plain")
    assert ranking["order"] == [["B"], ["A", "C"]]
    assert ranking["tags"] == [["unsafe"]]
