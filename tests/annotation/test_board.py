"""The project page as the lead's view: stages, pace, people, what waits."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import (
    adjudication,
    board,
    board_page,
    measuring,
    progress,
    projects,
    quality_page,
    queue,
    submissions,
)
from annotation.models import Item, Measurement, Membership, Role, Seat, Submission
from tests.annotation.factories import make_prompt, make_stage


def url(project, name: str = "project") -> str:
    return reverse(f"annotation:{name}", args=[project.pk])


def work(stage, user, times: int = 1, ago: int = 0) -> list[Submission]:
    done = []
    for _ in range(times):
        turn = queue.claim(stage, user)
        submissions.submit(submission=turn, user=user, content={"text": "Said."}, version=0)
        done.append(turn)
    moment = timezone.now() - timedelta(days=ago)
    Submission.objects.filter(pk__in=[turn.pk for turn in done]).update(submitted=moment)
    return done


@pytest.fixture
def stage(cast):
    stage = make_stage(cast.project)
    for number in range(6):
        make_prompt(cast.project, f"Question {number}")
    return stage


def test_what_is_counted(cast, stage) -> None:
    work(stage, cast.ana, 2, ago=1)
    work(stage, cast.bea)
    queue.claim(stage, cast.bea)
    found = board.compute(cast.project)
    assert found["prompts"] == 6
    line = found["stages"][str(stage.pk)]
    assert (line["submitted"], line["in_hand"], line["left"]) == (3, 1, 3)
    assert line["per_day"][-2:] == [2, 1] and sum(line["per_day"]) == 3
    assert found["people"][str(cast.ana.pk)]["per_day"][-2] == 2
    assert found["people"][str(cast.bea.pk)]["in_hand"] == 1
    assert len(found["days"]) == board.DAYS


def test_a_day_is_a_local_one(cast, stage, settings) -> None:
    """At 23:30 in Recife it is the next day in UTC."""
    (turn,) = work(stage, cast.ana)
    with timezone.override("America/Recife"):
        late = timezone.localtime().replace(hour=23, minute=30) - timedelta(days=1)
        Submission.objects.filter(pk=turn.pk).update(submitted=late)
        line = board.compute(cast.project)["stages"][str(stage.pk)]
    assert line["per_day"][-2:] == [1, 0]


def test_the_lead_sees_the_date_people_and_what_waits(as_user, cast, stage) -> None:
    projects.update_stage(stage=stage, overlap=2)
    work(stage, cast.ana, 3, ago=1)
    first = Item.objects.filter(stage=stage).first()
    Item.objects.filter(pk=first.pk).update(flagged=True, disagreement=70)
    waiting = Submission.objects.filter(stage=stage).order_by("-pk").first()
    Submission.objects.filter(pk=waiting.pk).update(review="waiting")
    page = as_user(cast.lee).get(url(cast.project)).content.decode()
    assert "a day it is done about" in page
    assert "1 to review" in page and "1 flagged" in page
    assert "<svg" in page and "yesterday" in page
    assert "not begun" in page  # Bea
    assert "in dispute" not in page  # a second person will do it


def test_in_dispute_is_what_waits_for_a_lead(as_user, cast, stage) -> None:
    """Once all have done it, until it is decided."""
    (turn,) = work(stage, cast.ana)
    assert not board_page.to_decide(stage).exists()
    Item.objects.filter(pk=turn.item_id).update(disagreement=70)
    assert list(board_page.to_decide(stage)) == [turn.item]
    client = as_user(cast.lee)
    assert "1 in dispute" in client.get(url(cast.project)).content.decode()
    [row], _ = quality_page.disputed(stage, cast.lee, waiting=True)
    assert (row.item, row.decided, row.coming) == (turn.item, False, 0)
    decision = adjudication.adjudicate(item=turn.item, author=cast.lee, submission=turn)
    assert not board_page.to_decide(stage).exists()
    assert quality_page.disputed(stage, cast.lee, waiting=True) == ([], False)
    assert quality_page.disputed(stage, cast.lee)[0][0].decided
    adjudication.withdraw(item=decision.item, author=cast.lee)
    assert board_page.to_decide(stage).exists()


def test_a_stage_that_nobody_has_begun_says_so(as_user, cast, stage) -> None:
    queue.fill(stage)
    page = as_user(cast.lee).get(url(cast.project)).content.decode()
    assert "Nobody has begun, so there is no date." in page and "for 7 days" not in page
    assert "Idle:" not in page


def test_annotators_see_neither_people_nor_dates(as_user, cast, stage) -> None:
    work(stage, cast.ana, 2, ago=1)
    page = as_user(cast.bea).get(url(cast.project)).content.decode()
    assert "2 of 6" in page
    assert "done about" not in page and "last handed in" not in page
    reviewer = as_user(cast.rui).get(url(cast.project)).content.decode()
    assert "last handed in" not in reviewer


def test_who_is_idle_and_who_is_away(cast, stage) -> None:
    work(stage, cast.ana, 1, ago=5)
    today = timezone.localdate()
    member = Membership.objects.filter(user=cast.bea)
    member.update(away_from=today, away_until=today + timedelta(days=3))
    found = board.board(cast.project)
    said = {row.member.user: row.said for row in board_page.people(cast.project, [stage], found)}
    assert said[cast.ana] == "idle"
    assert said[cast.bea].startswith("away until")


def test_nobody_is_idle_where_no_work_waits(cast, stage) -> None:
    work(stage, cast.ana, 6, ago=5)
    rows = board_page.people(cast.project, [stage], board.board(cast.project))
    assert [(row.member.user, row.said) for row in rows] == [(cast.ana, "")]


def test_a_paused_stage_has_no_date(as_user, cast, stage) -> None:
    work(stage, cast.ana, 2, ago=1)
    projects.set_state(stage=stage, state="paused")
    assert "Paused: no date" in as_user(cast.lee).get(url(cast.project)).content.decode()


@pytest.fixture
def large(cast, stage, monkeypatch):
    monkeypatch.setattr(board, "SMALL", 3)
    return cast.project


def test_a_large_project_is_counted_by_a_worker(as_user, cast, large, stage) -> None:
    client = as_user(cast.lee)
    page = client.get(url(large)).content.decode()
    assert "a worker is counting it" in page and 'hx-trigger="every 2s"' in page
    found = Measurement.objects.get(project=large)
    assert found.state == "queued"
    measuring.carry_out(found, lambda row: board.compute(row.project))
    page = client.get(url(large, "project_board")).content.decode()
    assert "0 of 6" in page and "Counted" in page and "every 2s" not in page
    for name, args in [("home", []), ("workspace", ["acme"]), ("stage", [stage.pk])]:
        page = client.get(reverse(f"annotation:{name}", args=args)).content.decode()
        assert "6" in page and "being counted" not in page, name


def test_a_large_project_is_not_counted_by_a_page(as_user, cast, large, stage, monkeypatch) -> None:
    def never(*_):
        raise AssertionError("a page counted a large project")

    monkeypatch.setattr(progress, "counted", never)
    monkeypatch.setattr(progress, "prompts_counted", never)
    client = as_user(cast.lee)
    for name, args in [
        ("home", []),
        ("workspace", ["acme"]),
        ("project", [large.pk]),
        ("stage", [stage.pk]),
    ]:
        response = client.get(reverse(f"annotation:{name}", args=args))
        assert response.status_code == 200, name


def test_it_is_counted_anew_when_the_lead_asks(as_user, cast, large) -> None:
    client = as_user(cast.lee)
    client.get(url(large))
    found = Measurement.objects.get(project=large)
    measuring.carry_out(found, lambda row: board.compute(row.project))
    client.get(url(large))
    assert Measurement.objects.get().state == "done"  # fresh: nobody is asked
    client.post(url(large, "project_board"))
    assert Measurement.objects.get().state == "queued"


def test_a_page_of_a_counted_project_writes_nothing(as_user, cast, large) -> None:
    client = as_user(cast.lee)
    client.get(url(large))
    found = Measurement.objects.get(project=large)
    measuring.carry_out(found, lambda row: board.compute(row.project))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        client.get(url(large))
    writes = [q["sql"] for q in queries if q["sql"].split()[0] in ("UPDATE", "INSERT", "DELETE")]
    assert not [sql for sql in writes if "annotation_" in sql]


def test_the_price_of_the_board_does_not_grow(as_user, cast, django_assert_max_num_queries) -> None:
    stage = make_stage(cast.project)
    for number in range(30):
        make_prompt(cast.project, f"Question {number}")
    work(stage, cast.ana, 5)
    for number in range(10):
        user = type(cast.ana).objects.create_user(f"p{number}@example.org", f"P{number}")
        Membership.objects.create(workspace=cast.acme, user=user, role=Role.ANNOTATOR)
        Seat.objects.create(stage=stage, user=user, submitted=1)
    client = as_user(cast.lee)
    with django_assert_max_num_queries(34):
        client.get(url(cast.project))


def test_what_is_to_come_of_few_among_many(cast, monkeypatch) -> None:
    """Nothing is looked through beyond the window where the worker has said what is there."""
    monkeypatch.setattr(progress, "WINDOW", 3)
    stage = make_stage(cast.project, "rank")
    for number in range(8):
        make_prompt(cast.project, f"Question {number}", answers=["A", "B"] if number > 5 else [])
    assert progress._to_come(stage) == 2  # all were looked through
    found = measuring.ask(project=cast.project, kind="board")
    measuring.carry_out(found, lambda row: board.compute(row.project))
    last = progress.newest_prompt(cast.project.pk)
    assert progress._measured(stage, last) == 2
    make_prompt(cast.project, "Newer", answers=["A", "B"])
    assert progress._measured(stage, progress.newest_prompt(cast.project.pk)) is None
    assert progress._to_come(stage) == 3
    queue.fill(stage)
    assert progress._to_come(stage) == 0
