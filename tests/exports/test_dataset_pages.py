"""The pages of datasets: made, looked at, changed, frozen, by a lead and by nobody else."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import people
from exports import datasets as acts
from exports import previews, snapshots
from exports.formats import PROMPT_TEMPLATE
from exports.models import Dataset, Preview, Snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


def new(lee, **fields):
    values = {"name": "Mine", "kind": "sft", "projects": "support-desk", "answers": "written"}
    return lee.post(reverse("exports:dataset_new", args=["acme"]), values | fields)


def page(lee, dataset, **query) -> str:
    return lee.get(reverse("exports:dataset", args=[dataset.pk]), query).content.decode()


def test_roles(check_roles, sft, cast) -> None:
    check_roles(reverse("exports:datasets", args=["acme"]), at_least="lead")
    check_roles(reverse("exports:dataset_new", args=["acme"]), at_least="lead")
    check_roles(reverse("exports:project_panel", args=[cast.project.pk]), at_least="lead")
    for name in ("dataset", "dataset_edit", "figures", "versions"):
        check_roles(reverse(f"exports:{name}", args=[sft.pk]), at_least="lead")
    for name in ("dataset_freeze", "dataset_count"):
        url = reverse(f"exports:{name}", args=[sft.pk])
        check_roles(url, at_least="lead", method="post")


def test_wrong_methods(lee, sft) -> None:
    for name in ("dataset_freeze", "dataset_count"):
        assert lee.get(reverse(f"exports:{name}", args=[sft.pk])).status_code == 405
    for name in ("dataset", "figures", "versions"):
        assert lee.post(reverse(f"exports:{name}", args=[sft.pk])).status_code == 405


def test_the_list_before_and_after(lee, cast) -> None:
    url = reverse("exports:datasets", args=["acme"])
    assert "No dataset yet" in lee.get(url).content.decode()
    new(lee)
    shown = lee.get(url).content.decode()
    assert "Mine" in shown and "not yet" in shown


def test_the_lists_show_the_newest_ready_version_in_as_many_queries_for_many(
    lee, cast, django_assert_num_queries
) -> None:
    urls = [reverse("exports:datasets", args=["acme"])]
    urls.append(reverse("exports:project_panel", args=[cast.project.pk]))

    def add(name: str) -> None:
        new(lee, name=name)
        for number, state in enumerate(("ready", "ready", "failed"), 1):
            dataset = Dataset.objects.get(name=name)
            Snapshot.objects.create(dataset=dataset, number=number, state=state, selection={})

    add("One")
    for url in urls:
        lee.get(url)
        with CaptureQueriesContext(connection) as alone:
            assert ">v2<" in lee.get(url).content.decode()
        asked = len(alone)
        for number in range(3):
            add(f"More {number} of {url}")
        with django_assert_num_queries(asked):
            shown = lee.get(url).content.decode()
        assert shown.count(">v2<") >= 4 and ">v3<" not in shown


def test_two_datasets_of_one_name_at_once_get_a_slug_each(sft, monkeypatch) -> None:
    """The second did not see the first when it looked for a free slug: the database refuses it."""
    real, stale = people.free_slug, iter([True])

    def late(name: str, taken: set[str], *rest) -> str:
        return real(name, set() if next(stale, False) else taken, *rest)

    monkeypatch.setattr(people, "free_slug", late)
    second = acts.create(
        workspace=sft.workspace, name=sft.name, kind="sft", values=sft.selection, user=None
    )
    assert (sft.name, second.slug) == (second.name, f"{sft.slug}-2")


def test_a_new_dataset(lee, cast) -> None:
    response = new(lee, min_length="20", answers=["written", "model"], test="10")
    dataset = Dataset.objects.get()
    assert response.url == reverse("exports:dataset", args=[dataset.pk])
    assert (dataset.slug, dataset.kind, dataset.created_by) == ("mine", "sft", cast.lee)
    assert dataset.selection["answers"] == ["written", "model"]
    assert (dataset.selection["min_length"], dataset.selection["test"]) == (20, 10.0)
    new(lee)
    assert set(Dataset.objects.values_list("slug", flat=True)) == {"mine", "mine-2"}


def test_line_ends_of_a_browser_do_not_come_into_the_rows(lee) -> None:
    new(lee, prompt_template=PROMPT_TEMPLATE.replace("\n", "\r\n"))
    dataset = Dataset.objects.get()
    assert dataset.selection["prompt_template"] == PROMPT_TEMPLATE
    edit = lee.get(reverse("exports:dataset_edit", args=[dataset.pk])).content.decode()
    assert "another template" not in edit


def test_rules_of_other_kinds_are_not_read(lee) -> None:
    new(lee, kind="preference", pairs="best", include_imported="on", best_ranked="on")
    stored = Dataset.objects.get().selection
    assert stored["pairs"] == "best" and "best_ranked" not in stored and "answers" not in stored


def test_a_new_dataset_from_a_project(lee, cast) -> None:
    url = reverse("exports:dataset_new", args=["acme"])
    shown = lee.get(url, {"project": "support-desk"}).content.decode()
    box = next(line for line in shown.split("<input") if 'value="support-desk"' in line)
    assert "checked" in box


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": " "}, "This field is required"),
        ({"projects": []}, "This field is required"),
        ({"projects": "secret"}, "secret is not one of the available choices"),
        ({"answers": []}, "Choose at least one."),
        ({"test": "60", "validation": "40"}, "less than 10 % to train on"),
        ({"test": "100"}, "outside 0 to 90"),
        ({"min_length": "few"}, "whole number"),
        ({"prompt_template": "{context}"}, "{prompt} is missing"),
        ({"kind": "video"}, "video is not one of the available choices"),
    ],
)
def test_a_mistake_is_shown_beside_its_field(lee, fields, words: str) -> None:
    response = new(lee, **fields)
    shown = response.content.decode()
    assert response.status_code == 200 and words in shown and "Not saved" in shown
    assert not Dataset.objects.exists()
    if "name" not in fields:
        assert 'value="Mine"' in shown, "what was typed is kept"


def test_rules_are_changed_and_the_page_looks_again(lee, sft) -> None:
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    assert "60</b><small>rows kept" in page(lee, sft)
    url = reverse("exports:dataset_edit", args=[sft.pk])
    assert 'value="Support SFT"' in lee.get(url).content.decode()
    values = {"name": "Longer", "projects": "support-desk", "answers": "written", "min_length": 30}
    assert lee.post(url, values).url == reverse("exports:dataset", args=[sft.pk])
    sft.refresh_from_db()
    assert (sft.name, sft.kind, sft.selection["min_length"]) == ("Longer", "sft", 30)
    assert "looking again" in page(lee, sft)
    previews.compute(sft.pk)
    shown = page(lee, sft)
    assert "shorter than 30 characters" in shown and "looking again" not in shown
    assert "Not saved" in lee.post(url, values | {"projects": []}).content.decode()


def test_the_page_before_the_first_look(lee, sft) -> None:
    shown = page(lee, sft)
    assert "looking" in shown and 'hx-trigger="every 1s"' in shown and "never frozen" in shown
    assert Preview.objects.get().state == "queued"


def test_what_the_rules_give(lee, pairs) -> None:
    previews.refresh(dataset=pairs)
    previews.compute(pairs.pk)
    shown = page(lee, pairs)
    assert "120</b><small>pairs kept" in shown and "60</b><small>prompts" in shown
    assert '?show=dropped&amp;reason=tie">tie</a></td><td class="n">60</td>' in shown
    assert 'role="img"' in shown and "Answers by length in characters" in shown
    assert "the longer answer wins in 50 %" in shown
    assert "&lt;|im_start|&gt;user" in shown and "<mark>long answer" in shown
    assert 'hx-trigger="every 1s"' not in shown
    other = page(lee, pairs, template="instruction", row="3")
    assert "### Instruction:" in other and "### Response:" in other
    assert "chatml" in page(lee, pairs, template="nonsense", row="x")


def test_imported_text_is_shown_and_not_obeyed(lee, sft, desk, cast) -> None:
    Dataset.objects.filter(pk=sft.pk).update(
        selection=sft.selection | {"min_length": 80, "test": 0, "validation": 0}
    )
    desk.answer(desk.prompt("<script>ask()</script>"), "<img src=x onerror=alert(1)>" * 3)
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    shown = page(lee, sft)
    assert "&lt;img src=x onerror" in shown and "<img src=x" not in shown
    assert "<script>ask" not in shown


def test_a_prompts_dataset(lee, sft) -> None:
    new(lee, kind="prompts")
    dataset = Dataset.objects.get(kind="prompts")
    previews.refresh(dataset=dataset)
    previews.compute(dataset.pk)
    shown = page(lee, dataset)
    assert "60</b><small>prompts kept" in shown and "Length of the question" in shown
    assert "assistant\n</pre>" in shown


def test_rules_that_no_longer_fit_say_so(lee, sft) -> None:
    Dataset.objects.filter(pk=sft.pk).update(selection={"projects": ["gone"]})
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    assert "no project gone here" in page(lee, sft)
    response = lee.post(reverse("exports:dataset_freeze", args=[sft.pk]), follow=True)
    assert "no longer fit" in response.content.decode() and not Snapshot.objects.exists()


def test_an_unchanged_look_is_not_repeated(sft, desk, monkeypatch) -> None:
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    first = Preview.objects.get()
    assert previews.refresh(dataset=sft).state == "done", "fresh"
    Preview.objects.update(computed=timezone.now() - timedelta(minutes=5))
    assert previews.refresh(dataset=sft).state == "queued", "old"

    def never(*_):
        raise AssertionError("the data were read again")

    with monkeypatch.context() as patch:
        patch.setattr(previews, "gather", never)
        previews.compute(sft.pk)
    again = Preview.objects.get()
    assert again.state == "done" and again.key == first.key and again.result == first.result
    desk.answer(desk.prompt("A new one?"), "Yes.")
    previews.refresh(dataset=sft, force=True)
    previews.compute(sft.pk)
    assert sum(Preview.objects.get().result["counts"].values()) == 61


def test_a_look_that_died_is_taken_up_again(sft) -> None:
    previews.refresh(dataset=sft)
    Preview.objects.update(state="running")
    assert previews.refresh(dataset=sft).state == "running"
    Preview.objects.update(started=timezone.now() - timedelta(minutes=5))
    assert previews.refresh(dataset=sft).state == "queued"


def test_a_look_that_breaks_says_so(lee, sft, monkeypatch) -> None:
    def broken(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(previews, "gather", broken)
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    assert "It broke off (ZeroDivisionError" in page(lee, sft)


def test_each_rule_says_what_it_leaves_out(lee, sft) -> None:
    acts.change(dataset=sft, name="Short", values=sft.selection | {"min_length": 30})
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    shown = page(lee, sft)
    left = Preview.objects.get().result["dropped"]["shorter than 30 characters"]
    assert f'from 30 characters <b class="num">−{left}</b>' in shown
    assert "reason=shorter+than+30+characters" in shown


def test_how_far_a_count_is(lee, sft) -> None:
    previews.refresh(dataset=sft)
    Preview.objects.update(state="running", progress=40, started=timezone.now())
    assert 'value="40" aria-label="Counting"' in page(lee, sft)


def test_a_count_whose_worker_was_killed_says_that_it_waits_for_that(lee, sft) -> None:
    previews.refresh(dataset=sft)
    for seconds, said in ((2, False), (30, True)):
        last = timezone.now() - timedelta(seconds=seconds)
        Preview.objects.update(state="running", started=last)
        assert bool(re.search(r"not been heard of for 3\d s", page(lee, sft))) is said


def test_look_again(lee, sft) -> None:
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    lee.post(reverse("exports:dataset_count", args=[sft.pk]))
    assert Preview.objects.get().state == "queued"


def test_freeze_from_the_page(lee, sft, cast) -> None:
    response = lee.post(reverse("exports:dataset_freeze", args=[sft.pk]), follow=True)
    assert "Support SFT v1 is being frozen" in response.content.decode()
    assert "waiting for a worker" in response.content.decode()
    versions = reverse("exports:versions", args=[sft.pk])
    assert "HX-Refresh" not in lee.get(versions).headers
    snapshot = Snapshot.objects.get()
    assert snapshot.created_by == cast.lee
    snapshots.freeze_queued(snapshot.pk)
    assert lee.get(versions).headers["HX-Refresh"] == "true"
    shown = page(lee, sft)
    assert snapshot.dataset.name in shown and "last frozen" in shown and "Freeze v2" in shown


def test_a_second_tab_freezes_nothing_twice(lee, sft) -> None:
    assert 'name="number" value="1"' in page(lee, sft)
    url = reverse("exports:dataset_freeze", args=[sft.pk])
    told = [
        lee.post(url, {"number": "1"}, follow=True).content.decode() for _ in ("a tab", "another")
    ]
    assert "is being frozen" in told[0] and "v1 of Support SFT is there already" in told[1]
    assert Snapshot.objects.count() == 1
    assert 'name="number" value="2"' in told[1]


def test_the_panel_of_a_project(lee, sft, cast) -> None:
    url = reverse("exports:project_panel", args=[cast.project.pk])
    shown = lee.get(url).content.decode()
    assert "Support SFT" in shown and "?project=support-desk" in shown and "<html" not in shown
