"""Projects and stages: set up, changed, paused, archived."""

import threading
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import IntegrityError, connections
from django.urls import reverse

from annotation import people, projects, queue, submissions
from annotation.errors import Refused
from annotation.models import Item, Project, Stage, Workspace
from tests.annotation.factories import make_prompt, make_stage


def post(client, view, /, *args, **data):
    return client.post(reverse(f"annotation:{view}", args=args), data)


# Projects ---------------------------------------------------------------------------------------


def test_a_project_is_made_with_its_guidelines(as_user, cast):
    client = as_user(cast.lee)
    response = post(client, "project_new", "acme", name="Science tutor", guidelines="Be **kind**.")
    project = Project.objects.get(name="Science tutor")
    assert response.url == reverse("annotation:project", args=[project.pk])
    assert (project.slug, project.guidelines.number) == ("science-tutor", 1)
    assert project.guidelines.author == cast.lee
    page = client.get(response.url).content.decode()
    assert "What to do next" in page and "Bring prompts in" in page


def test_a_project_without_a_name_is_not_made(as_user, cast):
    page = post(as_user(cast.lee), "project_new", "acme", guidelines="kept").content.decode()
    assert "This field is required" in page and "kept" in page
    assert Project.objects.count() == 1


def test_panels_for_leads_are_not_asked_for_by_a_reviewer(as_user, cast):
    panels = [reverse(name, args=[cast.project.pk]) for name in settings.PANELS["project"]]
    shown = {
        person: as_user(person)
        .get(reverse("annotation:project", args=[cast.project.pk]))
        .content.decode()
        for person in (cast.rui, cast.lee)
    }
    assert panels
    for panel in panels:
        assert panel in shown[cast.lee]
        assert panel not in shown[cast.rui]


def test_the_same_name_twice_gives_two_slugs(cast):
    again = projects.create_project(workspace=cast.acme, name="Support desk")
    assert again.slug == "support-desk-2"
    with pytest.raises(Refused, match="support-desk"):
        projects.create_project(workspace=cast.acme, name="X", slug="support-desk")


def test_the_identity_of_a_project_depends_on_names_only(cast):
    """The same data in another database freezes to the same bytes."""
    project = projects.create_project(workspace=cast.acme, name="Tutor")
    uuid = project.uuid
    project.delete()
    assert projects.create_project(workspace=cast.acme, name="Tutor").uuid == uuid


def test_settings_and_archive(as_user, cast):
    client, pk = as_user(cast.lee), cast.project.pk
    post(client, "project_settings", pk, name="Help desk", description="Letters")
    cast.project.refresh_from_db()
    assert (cast.project.name, cast.project.slug) == ("Help desk", "support-desk")
    post(client, "project_archive", pk)
    assert "archived" in client.get(reverse("annotation:project", args=[pk])).content.decode()
    post(client, "project_restore", pk)
    cast.project.refresh_from_db()
    assert cast.project.archived is None


# Guidelines -------------------------------------------------------------------------------------


def test_each_change_of_the_guidelines_is_a_version(as_user, cast):
    client, pk = as_user(cast.lee), cast.project.pk
    for text in ["One.", "Two <script>alert(1)</script>", "Two <script>alert(1)</script> "]:
        post(client, "guidelines_edit", pk, text=text)
    assert [v.number for v in cast.project.guideline_versions.order_by("number")] == [1, 2]
    page = as_user(cast.ana).get(reverse("annotation:guidelines", args=[pk])).content.decode()
    assert "Two" in page and "<script>alert" not in page
    old = client.get(reverse("annotation:guidelines", args=[pk]), {"version": 1})
    assert "One." in old.content.decode()
    for wrong in ("9", "x"):
        response = client.get(reverse("annotation:guidelines", args=[pk]), {"version": wrong})
        assert response.status_code == (404 if wrong == "9" else 200)


# Stages -----------------------------------------------------------------------------------------

STAGE = {
    "kind": "rank",
    "name": "Rank",
    "overlap": 3,
    "everyone": "yes",
    "source": "latest",
    "order": "arrival",
    "max_answers": 9,
    "lease_minutes": 60,
    "skips_to_close": 3,
}


def test_a_stage_is_opened(as_user, cast):
    response = post(as_user(cast.lee), "stage_new", cast.project.pk, **STAGE)
    assert response.url == reverse("annotation:project", args=[cast.project.pk])
    stage = Stage.objects.get()
    assert (stage.kind, stage.overlap, stage.open_to_all, stage.state) == ("rank", 3, True, "open")


def test_only_the_named_people_work_there(as_user, cast):
    make_prompt(cast.project)
    data = STAGE | {"kind": "write", "everyone": "no", "people": [cast.ana.pk]}
    post(as_user(cast.lee), "stage_new", cast.project.pk, **data)
    assert [stage.kind for stage, _ in queue.waiting_for(cast.ana)] == ["write"]
    assert queue.waiting_for(cast.bea) == []
    edit = {key: value for key, value in data.items() if key != "kind"}
    post(as_user(cast.lee), "stage_edit", Stage.objects.get().pk, **edit | {"people": cast.bea.pk})
    assert queue.waiting_for(cast.ana) == []
    assert len(queue.waiting_for(cast.bea)) == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"overlap": 0}, "overlap"),
        ({"everyone": "no"}, "Tick at least one person"),
        ({"kind": "correct", "source": "origin"}, "Name the author"),
        ({"max_answers": 10}, "max_answers"),
        ({"kind": "chat"}, "Select a valid choice"),
        ({"people": "99999", "everyone": "no"}, "Select a valid choice"),
    ],
)
def test_a_stage_that_cannot_be_is_refused_with_the_reason(as_user, cast, wrong, words):
    response = post(as_user(cast.lee), "stage_new", cast.project.pk, **STAGE | wrong)
    assert response.status_code == 200
    page = response.content.decode()
    assert words in page and "errorlist" in page
    assert not Stage.objects.exists()


def test_people_from_elsewhere_get_no_seat(cast):
    with pytest.raises(Refused, match="not in this workspace"):
        projects.create_stage(
            project=cast.project, kind="write", name="Write", people=[cast.ana, cast.otto]
        )
    assert not Stage.objects.exists()


def test_a_new_overlap_holds_for_the_items_that_are_there(as_user, cast):
    stage = make_stage(cast.project)
    make_prompt(cast.project)
    queue.fill(stage)
    data = {key: value for key, value in STAGE.items() if key != "kind"} | {"overlap": 2}
    post(as_user(cast.lee), "stage_edit", stage.pk, **data)
    assert Item.objects.get().needed == 2


def test_a_kind_is_not_changed(as_user, cast):
    stage = make_stage(cast.project)
    post(as_user(cast.lee), "stage_edit", stage.pk, **STAGE)
    stage.refresh_from_db()
    assert (stage.kind, stage.name) == ("write", "Rank")
    with pytest.raises(Refused, match="kind"):
        projects.update_stage(stage=stage, kind="rank")


def test_pause_and_open(as_user, cast):
    stage = make_stage(cast.project)
    make_prompt(cast.project)
    client = as_user(cast.lee)
    post(client, "stage_state", stage.pk, state="paused")
    assert queue.waiting_for(cast.ana) == []
    post(client, "stage_state", stage.pk, state="open")
    assert len(queue.waiting_for(cast.ana)) == 1
    url = reverse("annotation:stage_state", args=[stage.pk])
    page = client.post(url, {"state": "imported"}, follow=True).content.decode()
    assert "open or paused" in page
    Stage.objects.update(state="imported")
    page = client.post(url, {"state": "open"}, follow=True).content.decode()
    assert "imported work" in page


def test_the_stage_page_shows_who_did_what_and_what_is_flagged(as_user, cast):
    stage = make_stage(cast.project, skips_to_close=1)
    make_prompt(cast.project, "Is this <b>bold</b>?")
    submission = queue.claim(stage, cast.ana)
    submissions.skip(submission=submission, user=cast.ana, reason="unclear", note="What is it?")
    page = as_user(cast.rui).get(reverse("annotation:stage", args=[stage.pk])).content.decode()
    assert "Is this &lt;b&gt;bold&lt;/b&gt;?" in page
    assert "The prompt is unclear" in page and "What is it?" in page
    assert "stage_edit" not in page and "Pause" not in page


def test_guidelines_saved_at_once_get_a_number_each(shared_database) -> None:
    workspace = Workspace.objects.create(name="Acme", slug="acme", salt="s")
    project = Project.objects.create(workspace=workspace, name="P", slug="p")
    errors: list[BaseException] = []
    together = threading.Barrier(6)

    def save(number: int) -> None:
        try:
            together.wait()
            projects.add_guidelines(project=project, text=f"Text {number}", author=None)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=save, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    numbers = project.guideline_versions.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 5, 6]


def test_two_of_one_name_at_once_get_a_slug_each(cast, monkeypatch) -> None:
    """The second did not see the first when it looked for a free slug: the database refuses it."""
    real = people.free_slug
    stale = iter([True])

    def late(name: str, taken: set[str], *rest) -> str:
        return real(name, set() if next(stale, False) else taken, *rest)

    monkeypatch.setattr(people, "free_slug", late)
    second = projects.create_project(workspace=cast.acme, name=cast.project.name)
    assert second.slug == "support-desk-2"
    stale = iter([True])
    assert people.create_workspace(name="Acme", owner=cast.lee).slug == "acme-2"


def test_a_given_slug_that_is_taken_meanwhile_is_taken(db) -> None:
    looks = iter([[], ["given"]])
    rows = SimpleNamespace(values_list=lambda *args, **options: next(looks))

    def make(slug: str) -> None:
        raise IntegrityError

    assert people.with_free_slug(make, rows, "Name", "given", "project") is None
