"""The loop, clicked through as people do: import, write, correct, rank, freeze, train, read."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

TOPICS = ["printer", "parcel", "refund", "device", "water", "moon", "paper", "desk", "sun", "week"]


def candidates_file(folder: Path) -> Path:
    """Forty prompts with two ranked answers each, in the layout of ranked candidates."""
    path = folder / "candidates.jsonl"
    with path.open("w") as file:
        for number in range(40):
            topic = TOPICS[number % len(TOPICS)]
            row = {
                "prompt_id": f"p{number:02}",
                "turns": [{"role": "prompter", "text": f"Question {number}: what of the {topic}?"}],
                "candidates": [
                    {"message_id": f"g{number}", "text": f"The {topic} is good, yes.", "rank": 0},
                    {"message_id": f"b{number}", "text": f"No {topic}, bad.", "rank": 1},
                ],
            }
            file.write(json.dumps(row) + "\n")
    return path


def choose(page: Page, name: str, value: str) -> None:
    """An option of a select, or a radio or checkbox."""
    field = page.locator(f"select[name={name}], input[name={name}][value={value}]").first
    if field.evaluate("e => e.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.check()


def new_stage(page: Page, project: str, kind: str, name: str) -> None:
    page.goto(project)
    page.get_by_role("link", name="New stage").click()
    choose(page, "kind", kind)
    page.locator("input[name=name]").fill(name)
    page.locator("main form button.main").click()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def work(page: Page, name: str) -> None:
    """Open the stage of that name from the home page."""
    page.goto("/")
    page.get_by_role("link", name=name, exact=True).first.click()
    page.locator("#work[data-kind]").wait_for()


def submit(page: Page) -> None:
    """Ctrl+Enter, and the next item (or the end) is there without a page load."""
    before = page.locator("#work-form input[name=submission]").input_value()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "old => { const now = document.querySelector('#work-form input[name=submission]');"
        " return !now || now.value !== old; }",
        arg=before,
    )


@pytest.mark.timeout(900)
def test_the_whole_loop(server, log_in, tmp_path: Path) -> None:
    lee = log_in("lee")

    # A project, its prompts and its stages
    lee.goto("/w/acme/projects/new/")
    lee.locator("input[name=name]").fill("Help desk")
    lee.locator("textarea[name=guidelines]").fill("# Be brief\n\nAnswer **first**, explain second.")
    lee.locator("main form button.main").click()
    expect(lee.locator("h1")).to_contain_text("Help desk")
    project = lee.url
    lee.get_by_role("link", name="Import", exact=True).click()
    lee.locator("input[type=file]").set_input_files(candidates_file(tmp_path))
    lee.get_by_role("button", name="Look at it").click()
    expect(lee.get_by_text("good rows")).to_be_visible()
    lee.locator("#start button.main").click()
    expect(lee.get_by_role("link", name="See the prompts")).to_be_visible(timeout=60_000)
    new_stage(lee, project, "write", "Write it")
    new_stage(lee, project, "correct", "Correct it")
    new_stage(lee, project, "rank", "Rank it")

    # Ana writes, corrects and ranks, by keyboard
    ana = log_in("ana")
    work(ana, "Write it")
    for number in range(3):
        ana.locator("#text").fill(f"Written answer number {number}, with **care**.")
        submit(ana)
    work(ana, "Correct it")
    ana.locator("#text").fill("A corrected answer, which is much better than it was.")
    expect(ana.locator("#diff ins").first).to_be_visible()
    submit(ana)
    work(ana, "Rank it")
    for _ in range(2):
        if ana.locator(".scale").count():
            ana.locator(".scale label").nth(1).click()  # the first asks for a reason
        else:
            for place, card in enumerate(ana.locator("#ranks .card").all(), 1):
                card.focus()
                ana.keyboard.press(str(place))
        submit(ana)

    # A reload keeps what was typed
    work(ana, "Write it")
    ana.locator("#text").fill("Half an answer")
    expect(ana.locator("#saved")).to_contain_text(re.compile("saved", re.I), timeout=10_000)
    ana.reload()
    expect(ana.locator("#text")).to_have_value("Half an answer")

    # Lee makes a dataset and freezes it
    lee.goto("/w/acme/datasets/new/")
    lee.locator("input[name=name]").fill("Answers")
    choose(lee, "kind", "sft")
    lee.locator("input[name=projects]").first.check()
    choose(lee, "answers", "imported")
    lee.locator("main form button.main").last.click()
    expect(lee.locator("h1")).to_contain_text("Answers")
    expect(lee.get_by_text("A row as the model will see it")).to_be_visible(timeout=60_000)
    lee.get_by_role("button", name="Freeze v1").click()
    expect(lee.locator(".versions code").first).to_be_visible(timeout=60_000)
    lee.reload()

    # Trains from the same page, watches it end, reads the numbers
    train = lee.locator("#train")
    train.get_by_label("How long").select_option("quick")
    train.get_by_label("Start from").select_option(index=0)
    train.get_by_role("button", name="Preflight").click()
    expect(train.locator(".preflight")).to_be_visible(timeout=120_000)
    train.get_by_role("button", name="Start", exact=True).click()
    lee.wait_for_url(re.compile(r"/runs/\d+/"), timeout=60_000)
    heading = lee.get_by_role("heading", name=re.compile("^Before and after"))
    expect(heading).to_be_visible(timeout=300_000)
    expect(lee.get_by_text("succeeded").first).to_be_visible()
    table = lee.locator("section", has=heading)
    expect(table.get_by_text(re.compile("loss", re.I)).first).to_be_visible()
    expect(lee.locator("svg").first).to_be_visible()
    run = lee.url

    # It can be measured from its own page; what the page asks by itself takes nothing away
    lee.get_by_text("Evaluate this model").click()
    asks = lee.locator("#evaluations .verdict > i")
    expect(asks).not_to_have_attribute("hx-trigger", re.compile("load"))
    expect(lee.locator("#evaluations").get_by_role("button", name="Preflight")).to_be_visible()

    # The model answers the project's prompts; what Ana ranked opens again
    lee.locator("select[name=project]").select_option(label="Help desk")
    lee.locator("input[name=limit]").fill("4")
    lee.get_by_role("button", name="Answer", exact=True).click()
    lee.wait_for_url(lambda url: url != run)
    expect(lee.get_by_role("heading", name="Where the answers are")).to_be_visible(timeout=300_000)

    # Otto sees nothing of it
    otto = log_in("otto")
    for address in (project, run):
        assert otto.request.get(address).status == 404


def test_two_tabs_keep_both_texts(server, log_in) -> None:
    """A stale tab's text is kept beside the newer one."""
    bea = log_in("bea")
    work(bea, "Small work")
    other = bea.context.new_page()
    other.goto(bea.url)
    bea.locator("#text").fill("From the first tab")
    expect(bea.locator("#saved")).to_contain_text(re.compile("saved", re.I), timeout=10_000)
    other.locator("#text").fill("From the second tab")
    stored = other.locator("#conflict").get_by_role("textbox")
    expect(stored).to_have_value("From the first tab", timeout=15_000)
    expect(other.locator("#text")).to_have_value("From the second tab")
