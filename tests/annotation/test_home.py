"""The first page: what waits, one key away; and a workspace's projects."""

import threading
import time

import pytest
from django.urls import reverse

from annotation import people, progress, projects, queue, reviewing, submissions
from annotation.models import Import, Role
from tests.annotation.factories import make_prompt, make_stage

HOME = reverse("annotation:home")


def test_an_annotator_sees_what_waits_and_goes_on(as_user, cast):
    stage = make_stage(cast.project)
    for number in range(3):
        make_prompt(cast.project, f"Question {number}")
    page = as_user(cast.ana).get(HOME).content.decode()
    assert f'href="{reverse("annotation:work", args=[stage.pk])}" data-continue' in page
    assert "Write, Support desk" in page
    assert "3 left" in page
    assert "New project" not in page


def test_an_annotator_without_work_is_told_so(as_user, cast):
    page = as_user(cast.ana).get(HOME).content.decode()
    assert "Nothing waits for you" in page
    assert "data-continue" not in page


def test_a_lead_sees_projects_and_imports(as_user, cast):
    make_stage(cast.project, overlap=2)
    make_prompt(cast.project)
    Import.objects.create(project=cast.project, filename="answers.jsonl", state="running")
    Import.objects.create(project=cast.project, filename="old.jsonl", state="done")
    page = as_user(cast.lee).get(HOME).content.decode()
    assert "0 of 1" in page
    assert "answers.jsonl" in page
    assert "old.jsonl" not in page


def test_who_has_worked_goes_on_there_and_a_lead_who_has_not_sees_projects_first(as_user, cast):
    make_stage(cast.project)
    later = make_stage(cast.project)
    projects.update_stage(stage=later, name="Later")
    make_prompt(cast.project)
    assert queue.claim(later, cast.ana)
    assert "<b>Later, Support desk</b>" in as_user(cast.ana).get(HOME).content.decode()
    page = as_user(cast.lee).get(HOME).content.decode()
    assert "data-continue" not in page
    assert page.index("New project") < page.index("What waits for you")


def test_returned_work_is_what_one_goes_on_with(as_user, cast):
    stage, later = make_stage(cast.project, review_share=100), make_stage(cast.project)
    for number in range(2):
        make_prompt(cast.project, f"Question {number}")
    turn = queue.claim(stage, cast.ana)
    submissions.submit(submission=turn, user=cast.ana, content={"text": "Short"})
    assert queue.claim(later, cast.ana)  # the one that they worked in last
    goes = 'href="{}" data-continue'
    page = as_user(cast.ana).get(HOME).content.decode()
    assert goes.format(reverse("annotation:work", args=[later.pk])) in page
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="Say more")
    page = as_user(cast.ana).get(HOME).content.decode()
    assert goes.format(reverse("annotation:work", args=[stage.pk])) in page


def test_somebody_without_a_workspace_makes_one(as_user, cast):
    people.deactivate(
        membership=people.add_member(workspace=cast.other, user=cast.ana, role=Role.ANNOTATOR),
        by=people.SHELL,
    )
    cast.otto.memberships.all().delete()
    response = as_user(cast.otto).get(HOME)
    assert response.url == reverse("annotation:workspace_new")


def test_the_workspace_is_switched_and_remembered(as_user, cast):
    people.add_member(workspace=cast.acme, user=cast.otto, role=Role.LEAD)
    client = as_user(cast.otto)
    assert "Support desk" in client.get(HOME).content.decode()
    assert "Support desk" not in client.get(HOME, {"workspace": "other"}).content.decode()
    assert "Support desk" not in client.get(HOME).content.decode()
    client.get(reverse("annotation:workspace", args=["acme"]))
    assert "Support desk" in client.get(HOME).content.decode()


def test_a_workspace_of_others_is_not_switched_to(as_user, cast):
    page = as_user(cast.otto).get(HOME, {"workspace": "acme"}).content.decode()
    assert "Support desk" not in page


def test_an_archived_project_is_out_of_the_lists(as_user, cast):
    stage = make_stage(cast.project)
    make_prompt(cast.project)
    projects.archive(project=cast.project)
    assert "Support desk" not in as_user(cast.ana).get(HOME).content.decode()
    url = reverse("annotation:workspace", args=["acme"])
    assert "Support desk" not in as_user(cast.ana).get(url).content.decode()
    assert "Archived (1)" in as_user(cast.lee).get(url).content.decode()
    assert stage.name


@pytest.mark.parametrize("name", ["home", "workspace"])
def test_the_price_of_a_page_does_not_grow_with_prompts(
    as_user, cast, name, django_assert_max_num_queries
):
    make_stage(cast.project)
    for number in range(30):
        make_prompt(cast.project, f"Question {number}")
    args = [] if name == "home" else ["acme"]
    client = as_user(cast.lee)
    with django_assert_max_num_queries(30):
        client.get(reverse(f"annotation:{name}", args=args))


def test_of_many_who_arrive_at_once_one_counts_for_all() -> None:
    counted, arrived = [], threading.Barrier(4)

    def count() -> int:
        counted.append(1)
        time.sleep(0.05)  # long enough for the others to find nothing yet
        return progress.LARGE

    def arrive() -> None:
        arrived.wait()
        assert progress.believed("many", count, lambda found: found) == progress.LARGE

    people = [threading.Thread(target=arrive) for _ in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(counted) == 1
