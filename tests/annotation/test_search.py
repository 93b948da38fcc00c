"""Full-text search: what is found, that nothing is missed, and what the databases do for it."""

import pytest
from django.db import connection
from django.urls import reverse

from annotation import importing, prompts, search, search_index
from annotation.importing import Record
from annotation.models import Import, Prompt
from tests.annotation.factories import make_prompt


def named(project, typed: str) -> list[str]:
    """The external ids that the index gives, in order of arrival."""
    assert search_index.take_in()
    query = search.parse(typed)
    assert query.chunks
    ids = search.found(project.pk, query, None, False, 100)
    return [Prompt.objects.get(pk=pk).external_id for pk in ids]


@pytest.fixture
def rows(cast):
    make_prompt(cast.project, "Do you ship a parcel to Réunion by air-mail?", external_id="post-1")
    make_prompt(cast.project, "The parcel\nis late. Ship it again!", external_id="late_2")
    make_prompt(cast.project, "An unrelated question about 3.14", external_id="pi")
    return cast.project


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("parcel", ["post-1", "late_2"]),
        ("PARCEL ship", ["post-1", "late_2"]),
        ("ship parc", ["post-1", "late_2"]),  # the last word may be a beginning
        ("parc ship", []),  # and no other
        ('"ship a parcel"', ["post-1"]),
        ('"parcel ship"', []),
        ('"parc', []),  # nor one in quotes, closed or not
        ("réunion", ["post-1"]),
        ("RÉUNION", ["post-1"]),
        ("reunion", []),
        ("air-mail", ["post-1"]),
        ("mail", ["post-1"]),
        ("post-1", ["post-1"]),
        ("late_2", ["late_2"]),
        ("is late", ["late_2"]),
        ("14", ["pi"]),
        ("3.14", ["pi"]),
        ("parcel AND OR NOT", []),  # words, no language
        ("NEAR(parcel)", []),
        ("parcel*", ["post-1", "late_2"]),
        ("body:parcel", []),
        ("'", []),
    ],
)
def test_words_phrases_and_the_beginning_of_the_last(rows, typed, found):
    if any(map(str.isalnum, typed)):
        assert named(rows, typed) == found
    else:
        assert not search.parse(typed).chunks


def test_every_turn_the_system_message_and_the_context_are_searched(cast):
    prompt = make_prompt(cast.project, "first question", external_id="a")
    messages = [
        {"role": "user", "content": "earlier turn"},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]},
        {"role": "user", "content": "later turn"},
    ]
    Prompt.objects.filter(pk=prompt.pk).update(
        messages=messages, system="a butler", context="a bill"
    )
    for word in ("earlier", "later", "butler", "bill"):
        assert named(cast.project, word) == ["a"]
    assert named(cast.project, "first") == []  # what it said before the edit


def test_other_projects_and_unfinished_imports_stay_out(cast, as_user):
    from annotation.models import Project

    other = Project.objects.create(workspace=cast.acme, name="Other", slug="other")
    make_prompt(other, "a zebra", external_id="theirs")
    batch = Import.objects.create(project=cast.project, state="running")
    make_prompt(cast.project, "a zebra", external_id="hidden", batch=batch)
    make_prompt(cast.project, "a zebra", external_id="ours")
    page = as_user(cast.rui).get(
        reverse("annotation:prompts", args=[cast.project.pk]), {"q": "zebra"}
    )
    assert [row.external_id for row in page.context["page"].rows] == ["ours"]


def test_what_is_deleted_is_found_no_longer(rows):
    assert named(rows, "unrelated") == ["pi"]
    Prompt.objects.filter(external_id="pi").delete()
    assert named(rows, "unrelated") == []
    Prompt.objects.create(project=rows, external_id="x", messages=[], fingerprint="", root_key="")
    Prompt.objects.filter(external_id="x").delete()  # never taken in
    assert named(rows, "x") == []


def test_no_row_is_missed_whoever_wrote_it(cast):
    """By an import, by hand, in bulk, by a query that changes rows: each is found at once."""
    records = [
        Record(external_id="i", messages=[{"role": "user", "content": "needle one"}], answers=[])
    ]
    importing.add_records(project=cast.project, records=records, source="t", user=cast.lee)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {search_index.NOTED}")
            assert cursor.fetchone() == (1,)  # the import leaves it to a worker, or to a search
    prompts.add_prompt(
        project=cast.project,
        external_id="h",
        messages=[{"role": "user", "content": "needle two"}],
    )
    Prompt.objects.bulk_create(
        Prompt(project=cast.project, external_id=f"b{n}", context="needle", root_key="")
        for n in range(3)
    )
    Prompt.objects.filter(external_id="b0").update(context="thread")
    assert named(cast.project, "needle") == ["i", "h", "b1", "b2"]
    Prompt.objects.filter(external_id="b1").update(context="thread")
    Prompt.objects.filter(external_id="b0").update(context="needle")
    assert named(cast.project, "needle") == ["i", "h", "b0", "b2"]
    search_index.compact()
    assert named(cast.project, "needle thread") == []
    assert named(cast.project, "thread") == ["b1"]


def test_what_is_left_to_be_taken_in_is_told(cast):
    for n in range(5):
        make_prompt(cast.project, f"needle {n}")
    if connection.vendor == "sqlite":
        assert not search_index.take_in(3)
    assert search_index.take_in(3)
    assert len(named(cast.project, "needle")) == 5


def test_the_index_is_made_anew_over_what_is_there(rows):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # which changes no table that has checks to come
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        search_index.make(cursor, connection.vendor)
    assert named(rows, "parcel") == ["post-1", "late_2"]
    make_prompt(rows, "a third parcel", external_id="new")
    assert named(rows, "parcel") == ["post-1", "late_2", "new"]


def test_the_triggers_outlive_the_migrations(db):
    """A migration that rebuilds the table of prompts on SQLite drops them: it must make them."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL keeps its index with the table")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        names = {row[0] for row in cursor.fetchall()}
    assert {f"{search_index.TABLE}_{event}" for event in ("added", "gone", "changed")} <= names


@pytest.mark.parametrize("typed", ["東京", "京タ", "%", "เชียง"])
def test_what_has_no_words_is_looked_for_by_letters(cast, as_user, typed):
    make_prompt(cast.project, "東京タワーはどこ? 100 % เที่ยวเชียงใหม่", external_id="tower")
    make_prompt(cast.project, "Where?", external_id="other")
    page = as_user(cast.rui).get(
        reverse("annotation:prompts", args=[cast.project.pk]), {"q": typed}
    )
    assert [row.external_id for row in page.context["page"].rows] == ["tower"]


def test_the_plan_of_a_search(rows):
    """Read from the index, in the order of the prompts where the index has it: nothing is sorted
    (SQLite), and no text is read that the index does not name."""
    query = search.parse("parcel shi")
    if connection.vendor == "sqlite":
        sql = f"SELECT rowid FROM {search_index.TABLE} WHERE {search_index.TABLE} MATCH %s "
        sql += "AND rowid > %s ORDER BY rowid LIMIT 51"
        values = [search._fts5(rows.pk, query), 1]
        plan = explain("EXPLAIN QUERY PLAN " + sql, values)
        assert "VIRTUAL TABLE INDEX" in plan and "TEMP B-TREE" not in plan, plan
        return
    condition, values = search._tsquery(rows.pk, query)
    sql = f"EXPLAIN SELECT id FROM annotation_prompt WHERE {condition}"
    plan = explain(sql, values)
    assert f"{search_index.TABLE}_index" in plan and "Seq Scan" not in plan, plan


def explain(sql: str, values: list) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(sql, values)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
