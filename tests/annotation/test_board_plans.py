"""The board's own questions are answered by indexes, on SQLite as on PostgreSQL: no full scan.

A table of few rows is scanned by any planner, so the plans are asked for with statistics (SQLite)
or without the scan (PostgreSQL) of a table that is large."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from annotation import board_page, prompt_page, queue, reviewing
from annotation.models import Item, Prompt, Submission
from tests.annotation.factories import make_prompt, make_stage

SQLITE = connection.vendor == "sqlite"


@pytest.fixture
def stage(cast):
    stage = make_stage(cast.project)
    for number in range(5):
        make_prompt(cast.project, f"Question {number}", answers=["A", "B"])
    queue.fill(stage)
    queue.claim(stage, cast.ana)
    with connection.cursor() as cursor:
        if SQLITE:
            cursor.execute("ANALYZE")
            for table, index, rows in [
                ("submission", "submission_in_stage", "2000000 1000000 500000"),
                ("submission", "submission_to_review", "20000 10000 10000 1"),
                ("item", "annotation_item_stage_id_e9eb9fd1", "1000000 500000"),
                ("item", "sqlite_autoindex_annotation_item_1", "1000000 500000 1 1"),
                ("item", "item_on_list", "5000 2500 1"),
                ("prompt", "annotation_prompt_parent_id_51c6e42e", "1000000 1000000"),
            ]:
                cursor.execute("DELETE FROM sqlite_stat1 WHERE idx = %s", [index])
                cursor.execute(
                    "INSERT INTO sqlite_stat1 VALUES (%s, %s, %s)",
                    [f"annotation_{table}", index, rows],
                )
            cursor.execute("ANALYZE sqlite_schema")
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return stage


def plan(rows: "QuerySet[Any]") -> str:
    return rows.explain()


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (lambda stage: Item.objects.filter(stage=stage, flagged=True), "item_on_list"),
        (lambda stage: board_page.divided(stage), "item_disagreement"),
        (lambda stage: Submission.objects.filter(stage=stage, state="draft"), "submission"),
    ],
    ids=["flagged", "in dispute", "in hand"],
)
def test_what_waits_is_found_by_its_index(stage, rows: Callable[[Any], Any], index: str) -> None:
    found = plan(rows(stage).order_by()[:1001])
    assert index in found and "SCAN annotation" not in found and "Seq Scan" not in found, found


def test_what_waits_for_a_review_is_counted_by_its_index(cast, stage) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert reviewing.counted([stage.pk], but=cast.rui) == {stage.pk: 0}
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN QUERY PLAN " if SQLITE else "EXPLAIN ") + queries[0]["sql"])
        found = str(cursor.fetchall())
    # PostgreSQL chooses by its statistics, which are of other tests: an index it must be.
    assert ("submission_to_review" if SQLITE else "(stage_id = t.id)") in found, found
    assert "SCAN s" not in found and "Seq Scan on annotation_submission" not in found, found


def test_the_next_turns_are_found_by_their_answers(stage) -> None:
    answers = list(Prompt.objects.first().responses.values_list("pk", flat=True))
    found = plan(prompt_page.continuing(answers))
    assert "parent_id" in found and "SCAN annotation_prompt" not in found, found
    assert "Seq Scan on annotation_prompt" not in found, found
