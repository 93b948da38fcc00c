"""What an import brought is taken into SQLite's index by a worker; what a search says till then."""

import pytest
from django.db import connection
from django.urls import reverse

from annotation import importing, prompt_list, search_index, tasks
from annotation.errors import Refused
from annotation.importing import Record, add_records
from annotation.models import Import, Project
from annotation.prompt_filters import Filters
from tests.annotation.factories import make_prompt

pytestmark = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="PostgreSQL keeps its index with the table"
)


@pytest.fixture
def many(monkeypatch, cast) -> Project:
    """Three prompts that an import brought, more than a search takes in itself."""
    monkeypatch.setattr(search_index, "A_SEARCH", 2)
    monkeypatch.setattr(search_index, "_seen", None)
    rows = [Record(messages=[{"role": "user", "content": f"needle {n}"}]) for n in range(3)]
    add_records(project=cast.project, records=rows, source="test")
    return cast.project


def found(project: Project) -> list[str]:
    page = prompt_list.page(project=project, filters=Filters(q="needle"), after="", before="")
    return [row.question for row in page.rows]


def test_a_search_takes_in_what_is_few(cast) -> None:
    make_prompt(cast.project, "needle")
    assert found(cast.project) == ["needle"]
    assert search_index.waiting(cast.project.pk) == (0, False)


def test_a_search_says_how_many_it_does_not_find_yet(many, cast, as_user) -> None:
    address = reverse("annotation:prompts", args=[many.pk])
    page = as_user(cast.rui).get(address, {"q": "needle"})
    assert not page.context["page"].rows
    assert "3 prompts that came in lately are not searchable yet" in page.content.decode()
    assert "searchable" not in as_user(cast.rui).get(address).content.decode()
    tasks.index_prompts()
    page = as_user(cast.rui).get(address, {"q": "needle"})
    assert len(page.context["page"].rows) == 3
    assert "searchable" not in page.content.decode()


def test_only_what_may_be_seen_is_counted(many, cast, monkeypatch) -> None:
    other = Project.objects.create(workspace=cast.acme, name="Other", slug="other")
    assert search_index.waiting(other.pk) == (0, False)
    make_prompt(many, "hidden", batch=Import.objects.create(project=many, state="running"))
    assert search_index.waiting(many.pk) == (3, False)
    monkeypatch.setattr(search_index, "COUNTED", 2)
    assert search_index.waiting(many.pk) == (1, True)


def test_nothing_is_done_with_all_that_match_while_some_are_missed(many) -> None:
    with pytest.raises(Refused, match="have just come in"):
        prompt_list.chosen(many, Filters(q="needle"), 10)
    search_index.take_in_all()
    assert len(prompt_list.chosen(many, Filters(q="needle"), 10)) == 3


def test_an_import_sends_for_a_worker(cast, monkeypatch, django_capture_on_commit_callbacks):
    sent: list[str] = []
    app = search_index.current_app
    monkeypatch.setattr(app, "send_task", lambda name, **_: sent.append(name))
    with django_capture_on_commit_callbacks(execute=True):
        rows = [Record(messages=[{"role": "user", "content": "needle"}])]
        add_records(project=cast.project, records=rows, source="test")
    assert sent == [tasks.index_prompts.name]


def test_the_sweeper_sends_again_if_nobody_is_at_it(many, monkeypatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(search_index, "send_for_more", lambda: sent.append(1))
    importing.sweep()
    importing.sweep()
    assert len(sent) == 2  # nothing has changed in between: the worker was lost
    search_index.take_in(1)
    importing.sweep()
    assert len(sent) == 2  # somebody is at it
    importing.sweep()
    assert len(sent) == 3
    search_index.take_in_all()
    importing.sweep()
    importing.sweep()
    assert len(sent) == 3


def test_the_index_is_built_by_short_transactions(many, monkeypatch) -> None:
    sizes: list[int] = []
    take_in = search_index.take_in
    monkeypatch.setattr(search_index, "take_in", lambda most: sizes.append(most) or take_in(most))
    search_index.take_in_all()
    assert sizes[0] == 2 and len(sizes) > 1
    assert len(found(many)) == 3
