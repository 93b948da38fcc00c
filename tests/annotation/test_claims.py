"""Open claims move, or go back; people go on leave, and leave for good; nothing is lost."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from annotation import claims, leave, leaving, people, queue, submissions, zones
from annotation.errors import Refused
from annotation.models import Item, Membership, Role, Seat, Submission, SubmissionVersion
from annotation.people import Actor
from tests.annotation.factories import make_prompt, make_stage

EMPTY = {"stage": "", "to": ""}


@pytest.fixture
def stage(cast):
    for n in range(3):
        make_prompt(cast.project, f"Question {n}")
    return make_stage(cast.project)


@pytest.fixture
def held(cast, stage) -> Submission:
    """Ana holds the first item, with a draft."""
    turn = queue.claim(stage, cast.ana)
    return submissions.save_draft(
        submission=turn, user=cast.ana, content={"text": "half an answer"}, version=0
    )


def member(user) -> Membership:
    return Membership.objects.select_related("workspace", "user").get(user=user)


def check_places() -> None:
    """Each item counts those who hold or did it."""
    for item in Item.objects.all():
        turns = Submission.objects.filter(item=item)
        assert item.taken == turns.filter(state__in=["claimed", "draft", "submitted"]).count()
        assert item.open == (item.taken < item.needed)


# Moving


def test_what_is_given_back_is_there_for_others_and_the_draft_stays(cast, stage, held) -> None:
    done = claims.release(workspace=cast.acme, user=cast.ana, by=cast.lee)
    assert (done.moved, done.returned) == (0, 1)
    held.refresh_from_db()
    assert held.state == "expired" and held.draft == {"text": "half an answer"}
    event = SubmissionVersion.objects.get()
    assert event.event == "release" and event.author == cast.lee
    check_places()
    for _ in range(3):
        turn = queue.claim(stage, cast.bea)
        if turn.item_id == held.item_id:
            break
        submissions.submit(submission=turn, user=cast.bea, content={"text": "b"})
    assert turn.item_id == held.item_id


def test_a_moved_item_is_the_others_and_comes_first(cast, stage, held) -> None:
    done = claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    assert (done.moved, done.returned) == (1, 0)
    turn = queue.claim(stage, cast.bea)
    assert turn.item_id == held.item_id and turn.draft == {}
    assert turn.claimed_until > timezone.now() + timedelta(days=6)
    check_places()
    submissions.submit(submission=turn, user=cast.bea, content={"text": "whole"})
    check_places()
    # Ana's own half is there, late by now, and the first submit is no second one.
    held.refresh_from_db()
    late = submissions.submit(submission=held, user=cast.ana, content={"text": "mine"})
    assert late.state == "late"


def test_a_first_submit_after_a_release_is_no_second_one(cast, stage, held) -> None:
    claims.release(workspace=cast.acme, user=cast.ana, by=None)
    held.refresh_from_db()
    submissions.submit(submission=held, user=cast.ana, content={"text": "whole"})
    events = SubmissionVersion.objects.order_by("number").values_list("event", flat=True)
    assert list(events) == ["release", "submit"]


def test_an_item_that_the_other_cannot_have_goes_back(cast, stage, held) -> None:
    stage.overlap = 2
    stage.save()
    queue.overlap_changed(stage)
    other = queue.claim(stage, cast.bea)
    assert other.item_id == held.item_id
    submissions.skip(submission=other, user=cast.bea, reason="unclear")
    done = claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    assert (done.moved, done.returned) == (0, 1)
    assert "Bea cannot have them: Write" in done.said(cast.bea)
    check_places()


def test_nobody_gets_an_item_about_their_own_answer(cast) -> None:
    prompt = make_prompt(cast.project, "Q", ["one"])
    prompt.responses.update(author=cast.bea)
    stage = make_stage(cast.project, "correct")
    assert queue.claim(stage, cast.ana)
    done = claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    assert (done.moved, done.returned) == (0, 1)


def test_a_stage_for_chosen_people_takes_nobody_else(cast, stage, held) -> None:
    type(stage).objects.update(open_to_all=False)
    Seat.objects.update(assigned=True)
    done = claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    assert done.moved == 0
    check_places()


@pytest.mark.parametrize("who", ["ana", "otto"])
def test_only_to_another_member(cast, stage, held, who: str) -> None:
    with pytest.raises(Refused):
        claims.move(workspace=cast.acme, user=cast.ana, to=getattr(cast, who), by=cast.lee)
    held.refresh_from_db()
    assert held.state == "draft"


def test_nothing_is_moved_to_somebody_who_is_away(cast, stage, held) -> None:
    leave.set_leave(membership=member(cast.bea), first=date(2020, 1, 1), last=None)
    with pytest.raises(Refused, match="away until further notice"):
        claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)


def test_items_of_one_stage_only(cast, stage, held) -> None:
    other = make_stage(cast.project, "write")
    queue.claim(other, cast.ana)
    claims.release(workspace=cast.acme, user=cast.ana, by=cast.lee, stage=stage)
    assert [row[0] for row in claims.by_stage(cast.acme, cast.ana)] == [other]
    assert claims.counts(cast.acme, [cast.ana.pk, cast.bea.pk]) == {cast.ana.pk: 1}


def test_what_was_kept_for_one_person_goes_along(cast, stage) -> None:
    queue.fill(stage)
    Item.objects.update(people=[cast.ana.pk])
    assert queue.claim(stage, cast.bea) is None
    claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    assert all(item.people == [cast.bea.pk] for item in Item.objects.all())
    Seat.objects.update(cursors={})
    assert queue.claim(stage, cast.bea)
    claims.release(workspace=cast.acme, user=cast.bea, by=cast.lee)
    assert not Item.objects.exclude(people=[]).exists()


def test_nobody_stands_in_where_they_cannot_have_the_item(cast, stage) -> None:
    """An item for somebody who may not have it would be nobody's."""
    turn = queue.claim(stage, cast.bea)
    submissions.submit(submission=turn, user=cast.bea, content={"text": "Bea's"})
    closed = make_stage(cast.project, open_to_all=False)
    Seat.objects.create(stage=closed, user=cast.ana, assigned=True)
    assert queue.claim(closed, cast.ana)
    Item.objects.update(people=[cast.ana.pk], open=True, needed=2)
    claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=None)
    here = Item.objects.filter(stage=stage)
    assert here.get(pk=turn.item_id).people == []
    assert {tuple(item.people) for item in here.exclude(pk=turn.item_id)} == {(cast.bea.pk,)}
    assert {tuple(item.people) for item in Item.objects.filter(stage=closed)} == {()}
    check_places()


# Deactivation


def lee(cast) -> Actor:
    return Actor(user=cast.lee, role=Role.LEAD)


def test_a_deactivated_person_loses_nothing(cast, stage, held) -> None:
    left = leaving.deactivate(membership=member(cast.ana), by=lee(cast))
    assert left.items.returned == 1 and left.empty == []
    check_places()
    people.reactivate(membership=member(cast.ana), by=lee(cast))
    again = queue.claim(stage, cast.ana)
    assert again.pk == held.pk and again.draft == {"text": "half an answer"}


def test_another_takes_over_claims_and_seats(cast, stage, held) -> None:
    type(stage).objects.update(open_to_all=False)
    Seat.objects.update(assigned=True)
    left = leaving.deactivate(membership=member(cast.ana), by=lee(cast), to=cast.bea)
    assert left.items.moved == 1 and left.empty == []
    assert queue.claim(stage, cast.bea).item_id == held.item_id
    assert Seat.objects.filter(user=cast.ana, assigned=True).exists()


def test_a_stage_without_people_is_named(as_user, cast, stage, held) -> None:
    type(stage).objects.update(open_to_all=False)
    Seat.objects.update(assigned=True)
    url = reverse("annotation:member_deactivate", args=[member(cast.ana).pk])
    page = as_user(cast.lee).post(url, EMPTY, follow=True).content.decode()
    assert "Nobody is chosen for Write now" in page and "1 item back in the queue" in page


def test_a_refused_deactivation_changes_nothing(cast, stage, held) -> None:
    with pytest.raises(Refused):
        leaving.deactivate(membership=member(cast.ana), by=lee(cast), to=cast.otto)
    assert member(cast.ana).is_active
    held.refresh_from_db()
    assert held.state == "draft"


# Leave and time zones


@pytest.mark.parametrize(
    ("zone", "today"), [("Pacific/Auckland", "2026-12-02"), ("America/Recife", "2026-12-01")]
)
def test_a_day_of_leave_is_a_day_where_they_are(cast, zone: str, today: str) -> None:
    now = datetime(2026, 12, 1, 18, tzinfo=UTC)
    ana = member(cast.ana)
    ana.user.timezone = zone
    assert str(zones.today(ana.user, now)) == today
    leave.set_leave(membership=ana, first=date(2026, 12, 2), last=date(2026, 12, 3))
    assert leave.is_away(ana, now) == (today == "2026-12-02")
    assert not leave.is_away(ana, now + timedelta(days=3))
    assert leave.said(ana, now + timedelta(days=3)) == ""


def test_leave_ends_after_it_begins(cast) -> None:
    with pytest.raises(Refused, match="before the first"):
        leave.set_leave(membership=member(cast.ana), first=date(2026, 5, 2), last=date(2026, 5, 1))
    with pytest.raises(Refused, match="from which day"):
        leave.set_leave(membership=member(cast.ana), first=None, last=date(2026, 5, 1))


def test_pages_say_who_is_away_and_what_they_hold(as_user, cast, stage, held) -> None:
    url = reverse("annotation:member_leave", args=[member(cast.ana).pk])
    days = {"away_from": str(timezone.localdate()), "away_until": ""}
    page = as_user(cast.lee).post(url, days, follow=True).content.decode()
    assert "away until further notice and holds 1 item" in page
    listed = as_user(cast.lee).get(reverse("annotation:people", args=["acme"])).content.decode()
    assert "away until further notice" in listed and "1 in hand" in listed
    page = as_user(cast.lee).get(reverse("annotation:stage", args=[stage.pk])).content.decode()
    assert "away until further notice" in page


def test_a_wrong_date_stands_beside_its_field(as_user, cast) -> None:
    url = reverse("annotation:member_leave", args=[member(cast.bea).pk])
    days = {"away_from": "2026-05-02", "away_until": "2026-05-01"}
    answer = as_user(cast.lee).post(url, days)
    assert answer.status_code == 400 and b"before the first" in answer.content


def test_a_person_sets_their_own_leave_and_nobody_elses(as_user, cast) -> None:
    mine, beas = member(cast.ana).pk, member(cast.bea).pk
    ana = as_user(cast.ana)
    days = {"account": "1", f"{mine}-away_from": "2030-01-01", f"{mine}-away_until": ""}
    ana.post(reverse("annotation:member_leave", args=[mine]), days)
    assert member(cast.ana).away_from == date(2030, 1, 1)
    assert b"away from 1 January 2030" in ana.get(reverse("annotation:account")).content
    assert ana.post(reverse("annotation:member_leave", args=[beas]), days).status_code == 403


def test_hours_are_shown_in_ones_own_zone(as_user, cast, stage, held) -> None:
    SubmissionVersion.objects.all().delete()
    when = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
    Submission.objects.update(created=when)
    url = reverse("annotation:turn", args=[held.pk])
    assert "22:30" in as_user(cast.ana).get(url).content.decode()
    form = {"name": "Ana", "timezone": "Asia/Kolkata"}
    as_user(cast.ana).post(reverse("annotation:account"), form)
    assert "22 Nov 2026, 04:00" in as_user(cast.ana).get(url).content.decode()
    assert "22:30" in as_user(cast.lee).get(url).content.decode()
    wrong = as_user(cast.ana).post(
        reverse("annotation:account"), {"name": "Ana", "timezone": "Mars/Base"}
    )
    assert wrong.status_code == 400


def test_an_item_never_counts_more_than_it_needs(cast, stage, held) -> None:
    claims.move(workspace=cast.acme, user=cast.ana, to=cast.bea, by=cast.lee)
    claims.move(workspace=cast.acme, user=cast.bea, to=cast.ana, by=cast.lee)
    held.refresh_from_db()
    assert held.state == "draft" and held.draft == {"text": "half an answer"}
    assert not Item.objects.filter(taken__gt=F("needed")).exists()
    check_places()
