"""Guidelines: versions compared, examples as cards, read and understood before the next item."""

import pytest
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import guideline_text, projects
from annotation.models import GuidelineReading, Project, Submission
from tests.annotation.factories import make_prompt, make_stage

TEXT = """Be kind.

```good Short and polite
Thank you for **waiting**.
```
```bad
No <b>idea</b>.
```

Done."""


@pytest.fixture
def guidelines(cast):
    """Version 1, in a project that asks for it, with three prompts to write to."""
    projects.add_guidelines(project=cast.project, text="Be kind.\n\nBe brief.", author=cast.lee)
    cast.project.confirm_guidelines = True
    cast.project.save()
    for n in range(3):
        make_prompt(cast.project, f"Question {n}")
    return make_stage(cast.project)


def work(stage) -> str:
    return reverse("annotation:work", args=[stage.pk])


def read(client, stage, version: int = 1, **more):
    url = reverse("annotation:guidelines_read", args=[stage.project_id])
    return client.post(url, {"version": version, "stage": stage.pk} | more)


# Examples


def test_examples_are_cards_side_by_side_and_their_text_is_safe() -> None:
    html = guideline_text.render(TEXT)
    assert html.count('class="examples"') == 1 and html.count("<figure") == 2
    assert "<b>Good</b>: Short and polite" in html and "<strong>waiting</strong>" in html
    assert "<b>Not like this</b></figcaption>" in html and "&lt;b&gt;idea" in html
    assert html.index("Be kind.") < html.index("<figure") < html.index("Done.")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("```python\nx\n```", [""]),
        ("````\n```good\nno example\n```\n````", [""]),
        ("```good\nnever closed", ["good"]),
        ("~~~BAD\nx\n~~~", ["bad"]),
        ("```goodness\nx\n```", [""]),
        ("", []),
    ],
)
def test_only_a_fence_of_its_own_makes_an_example(text: str, kinds: list[str]) -> None:
    assert [part.kind for part in guideline_text.parts(text)] == kinds


def test_a_title_cannot_bring_markup() -> None:
    assert "<img" not in guideline_text.render("```good <img src=x>\nx\n```")


# What changed

LINES = st.lists(st.sampled_from(["a b\n", "c\n", "d e f\n", "\n", "g"]), max_size=12)


@given(LINES, LINES)
@settings(max_examples=150, deadline=None)
def test_a_difference_is_both_texts(a: list[str], b: list[str]) -> None:
    before, after = "".join(a), "".join(b)
    steps = guideline_text.diff(before, after)
    if not any(kind == "skip" for kind, _ in steps):
        assert "".join(text for kind, text in steps if kind != "ins") == before
        assert "".join(text for kind, text in steps if kind != "del") == after
    else:
        hidden = sum(int(text) for kind, text in steps if kind == "skip")
        kept = "".join(text for kind, text in steps if kind in ("same", "ins"))
        assert len(kept.splitlines()) + hidden == len(after.splitlines())


def test_what_is_far_from_a_change_is_left_out() -> None:
    before = "".join(f"line {n}\n" for n in range(50))
    steps = guideline_text.diff(before, before.replace("line 25\n", "line twenty-five\n"))
    assert ("skip", "23") in steps and ("skip", "22") in steps
    assert ("del", "25") in steps and ("ins", "twenty-five") in steps


def test_the_page_compares_versions(as_user, cast) -> None:
    for text in ("Be kind.", "Be very kind."):
        projects.add_guidelines(project=cast.project, text=text, author=cast.lee)
    url = reverse("annotation:guidelines", args=[cast.project.pk])
    page = as_user(cast.ana).get(url, {"version": 2, "against": 1}).content.decode()
    assert "<ins>very </ins>" in page or "<ins> very</ins>" in page
    assert "What changed since version 1" in page
    assert as_user(cast.ana).get(url, {"version": 2, "against": 7}).status_code == 404
    assert as_user(cast.ana).get(url, {"version": 2, "against": "x"}).status_code == 200


# Read and understood


def test_the_guidelines_come_before_the_first_item(as_user, cast, guidelines) -> None:
    ana = as_user(cast.ana)
    page = ana.get(work(guidelines)).content.decode()
    assert "Read the guidelines first" in page and "Be brief." in page
    assert not Submission.objects.exists()
    assert read(ana, guidelines).url == work(guidelines)
    assert "Question 0" in ana.get(work(guidelines)).content.decode()
    assert GuidelineReading.objects.get().user == cast.ana
    read(ana, guidelines)
    assert GuidelineReading.objects.count() == 1


def test_a_new_version_asks_after_the_item_in_hand_and_shows_what_is_new(
    as_user, cast, guidelines
) -> None:
    ana = as_user(cast.ana)
    read(ana, guidelines)
    ana.get(work(guidelines))
    held = Submission.objects.get()
    projects.add_guidelines(
        project=cast.project, text="Be kind.\n\nBe very brief.", author=cast.lee
    )
    form = {"submission": held.pk, "version": 0, "seconds": 5, "text": "An answer"}
    page = ana.post(work(guidelines), form, headers={"HX-Request": "true"}).content.decode()
    held.refresh_from_db()
    assert held.state == "submitted" and held.guidelines.number == 2
    assert "The guidelines have changed" in page and "<ins>" in page
    assert Submission.objects.count() == 1
    # The old version cannot be confirmed in its place.
    read(ana, guidelines, version=1)
    assert "The guidelines have changed" in ana.get(work(guidelines)).content.decode()
    read(ana, guidelines, version=2)
    assert "Question 1" in ana.get(work(guidelines)).content.decode()


def test_a_project_that_does_not_ask_pays_nothing(
    as_user, cast, guidelines, django_assert_num_queries
) -> None:
    Project.objects.update(confirm_guidelines=False)
    from annotation import desk
    from annotation import guidelines as acts

    seated = desk.at(guidelines, cast.ana)
    with django_assert_num_queries(0):
        assert acts.to_confirm(seated) is None
    page = as_user(cast.ana).get(work(guidelines)).content.decode()
    assert "Question 0" in page and "is new to you" not in page


def test_a_version_that_came_since_is_marked_until_it_is_read(as_user, cast, guidelines) -> None:
    Project.objects.update(confirm_guidelines=False)
    ana = as_user(cast.ana)
    ana.get(work(guidelines))
    projects.add_guidelines(project=cast.project, text="Other.", author=cast.lee)
    page = ana.get(work(guidelines)).content.decode()
    assert "Version 2 is new to you" in page and "version=2&amp;against=1" in page
    read(ana, guidelines, version=2)
    assert "is new to you" not in ana.get(work(guidelines)).content.decode()


def test_leads_see_who_has_read_them(as_user, cast, guidelines) -> None:
    confirm = reverse("annotation:guidelines_read", args=[cast.project.pk])
    as_user(cast.ana).post(confirm, {"version": 1})
    url = reverse("annotation:guidelines", args=[cast.project.pk])
    assert "Who has read them" not in as_user(cast.ana).get(url).content.decode()
    page = as_user(cast.lee).get(url).content.decode()
    assert "Who has read them" in page
    assert page.index("Bea<br>") < page.index("Ana<br>")


def test_a_lead_asks_for_it_in_the_settings(as_user, cast) -> None:
    url = reverse("annotation:project_settings", args=[cast.project.pk])
    form = {"name": "Support desk", "description": "", "confirm_guidelines": "on"}
    assert as_user(cast.lee).post(url, form).status_code == 302
    cast.project.refresh_from_db()
    assert cast.project.confirm_guidelines


def test_a_version_that_comes_between_two_turns_reaches_the_open_page(
    as_user, cast, guidelines
) -> None:
    Project.objects.update(confirm_guidelines=False)
    ana = as_user(cast.ana)
    page = ana.get(work(guidelines)).content.decode()
    first = cast.project.guidelines
    assert f'name="guidelines" value="{first.pk}" form="work-form"' in page

    def submit(shown: int) -> str:
        held = Submission.objects.get(state="claimed")
        form = {"submission": held.pk, "version": 0, "text": "An answer", "guidelines": shown}
        answer = ana.post(work(guidelines), form, headers={"HX-Request": "true"})
        return answer.content.decode()

    assert "guidelines-body" not in submit(first.pk)
    second = projects.add_guidelines(project=cast.project, text="Other.", author=cast.lee)
    page = submit(first.pk)
    assert 'id="guidelines-body" hx-swap-oob="true"' in page
    assert "Version 2 is new to you" in page and f'value="{second.pk}" form="work-form"' in page
