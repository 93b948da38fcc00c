"""Who changed what in a workspace."""

import pytest
from django.urls import reverse

from annotation import activity
from annotation.models import Activity, Project
from tests.annotation.factories import make_prompt, make_stage


def url(slug: str = "acme") -> str:
    return reverse("annotation:activity", args=[slug])


def whats() -> list[str]:
    return list(Activity.objects.order_by("pk").values_list("what", flat=True))


def test_what_leads_do_on_pages_is_noted(as_user, cast) -> None:
    client = as_user(cast.lee)
    prompt = make_prompt(cast.project)
    stage = make_stage(cast.project)
    client.post(reverse("annotation:project_settings", args=[cast.project.pk]), {"name": "Desk"})
    client.post(reverse("annotation:stage_state", args=[stage.pk]), {"state": "paused"})
    client.post(reverse("annotation:prompt_retire", args=[prompt.pk]))
    client.post(reverse("annotation:prompt_restore", args=[prompt.pk]))
    client.post(reverse("annotation:project_archive", args=[cast.project.pk]))
    assert whats() == [
        "project edited",
        "stage paused",
        "prompt retired",
        "prompt restored",
        "project archived",
    ]
    page = client.get(url()).content.decode()
    assert "Lee" in page and "stage paused" in page
    assert f'href="{reverse("annotation:stage", args=[stage.pk])}"' in page


def test_what_is_refused_is_not_noted(as_user, cast) -> None:
    stage = make_stage(cast.project, kind="rate", state="paused")
    as_user(cast.lee).post(reverse("annotation:stage_state", args=[stage.pk]), {"state": "open"})
    assert whats() == []


def test_an_annotator_at_work_is_no_activity(as_user, cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    as_user(cast.ana).get(reverse("annotation:work", args=[stage.pk]))
    assert whats() == []


@pytest.fixture
def many(cast):
    other = Project.objects.create(workspace=cast.acme, name="Second", slug="second")
    for number in range(activity.SIZE + 10):
        project = cast.project if number % 2 else other
        activity.note(cast.lee, "project edited", project, f"change {number}.")
    activity.note(
        cast.otto,
        "project edited",
        Project.objects.create(workspace=cast.other, name="Theirs", slug="theirs"),
    )
    return other


def test_it_is_paged_newest_first_and_by_project(as_user, cast, many) -> None:
    client = as_user(cast.lee)
    first = client.get(url())
    assert "change 59." in first.content.decode() and "change 9." not in first.content.decode()
    later = client.get(url(), {"before": first.context["before"]}).content.decode()
    assert "change 9." in later and "change 59." not in later
    one = client.get(url(), {"project": many.pk}).content.decode()
    assert "change 58." in one and "change 59." not in one


def test_other_workspaces_stay_out(as_user, cast, many) -> None:
    assert "Theirs" not in as_user(cast.lee).get(url()).content.decode()
    assert as_user(cast.otto).get(url()).status_code == 404


def test_what_people_typed_is_text(as_user, cast) -> None:
    activity.note(cast.lee, "project edited", cast.project, "<script>alert(1)</script>")
    assert "<script>alert" not in as_user(cast.lee).get(url()).content.decode()
