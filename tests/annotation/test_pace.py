"""One's own pace and what came back, on the home page; each person's, on the lead's stage page."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from annotation import pace, progress, queue, submissions
from annotation.models import Item, Seat, Stage, Submission
from tests.annotation.factories import make_prompt, make_stage

HOME = reverse("annotation:home")


@pytest.fixture
def stage(cast) -> Stage:
    for n in range(6):
        make_prompt(cast.project, f"Question {n}?")
    return make_stage(cast.project)


def hand_in(stage: Stage, user, seconds: int, days_ago: float = 0) -> Submission:
    turn = queue.claim(Stage.objects.select_related("project").get(pk=stage.pk), user)
    submissions.submit(submission=turn, user=user, content={"text": "Yes."}, active_seconds=seconds)
    when = timezone.now() - timedelta(days=days_ago)
    Submission.objects.filter(pk=turn.pk).update(submitted=when)
    return turn


def test_days_count_what_was_handed_in_on_them(cast, stage) -> None:
    for seconds, days_ago in [(30, 0), (90, 0), (60, 3), (999, 20)]:
        hand_in(stage, cast.ana, seconds, days_ago)
    hand_in(stage, cast.bea, 500)
    mine = pace.mine(cast.ana)
    assert len(mine.days) == pace.DAYS
    assert (mine.today.items, mine.today.seconds) == (2, 120)
    assert [day.items for day in mine.days if day.items] == [1, 2]
    assert (mine.items, mine.seconds, mine.typical) == (3, 180, 60)


def test_without_any_time_there_is_no_typical_one(cast, stage) -> None:
    hand_in(stage, cast.ana, 0)
    assert pace.mine(cast.ana).typical is None


@pytest.mark.parametrize("values", [[], [0, 0], [5], [1, 2, 3, 10**9]])
def test_bars_stay_in_their_box(values) -> None:
    for bar, value in zip(pace.bars(values), values, strict=True):
        assert bar["x"] >= 0 and bar["x"] + bar["width"] <= pace.WIDTH
        assert bar["y"] >= 0 and bar["y"] + bar["height"] == pytest.approx(pace.HEIGHT)
        assert (bar["height"] > 0) == (value > max(values) / pace.HEIGHT / 20)


def test_pace_is_seen_by_oneself_and_by_leads_only(as_user, cast, stage) -> None:
    hand_in(stage, cast.ana, 125)
    assert "Your pace" in as_user(cast.ana).get(HOME).content.decode()
    assert "Your pace" not in as_user(cast.bea).get(HOME).content.decode()
    here = reverse("annotation:stage", args=[stage.pk])
    assert "2 min" in as_user(cast.lee).get(here).content.decode()
    reviewer = as_user(cast.rui).get(here).content.decode()
    assert "2 min" not in reviewer and "median" not in reviewer


def test_the_chart_has_words(as_user, cast, stage) -> None:
    hand_in(stage, cast.ana, 125)
    page = as_user(cast.ana).get(HOME).content.decode()
    assert 'aria-label="Items a day, the last 14 days"' in page
    assert "1 item</title>" in page and "2 min</title>" in page
    assert "The same as a table" in page


def test_stages_say_what_is_done_and_left_and_lead_to_my_work(as_user, cast, stage) -> None:
    hand_in(stage, cast.ana, 10)
    page = as_user(cast.ana).get(HOME).content.decode()
    assert f'href="{reverse("annotation:turns", args=[stage.pk])}"' in page
    assert "5 left" in page


def test_what_came_back_stands_on_the_home_page(as_user, cast, stage) -> None:
    ana = as_user(cast.ana)
    turn = hand_in(stage, cast.ana, 10)
    assert "Came back to you" not in ana.get(HOME).content.decode()
    submissions.reopen(submission=Submission.objects.get(pk=turn.pk), user=cast.ana)
    assert "reopened, not handed in again" in ana.get(HOME).content.decode()
    Submission.objects.filter(pk=turn.pk).update(
        state="expired", claimed_until=None, draft={"text": "kept"}
    )
    Item.objects.filter(pk=turn.item_id).update(open=True, taken=0)
    assert "Came back to you" not in ana.get(HOME).content.decode()  # it is theirs to go on with
    Item.objects.filter(pk=turn.item_id).update(open=False)
    assert "your text is kept" in ana.get(HOME).content.decode()


def test_new_questions_bring_work_back(as_user, cast, stage) -> None:
    hand_in(stage, cast.ana, 10)
    tone = {"key": "tone", "title": "Tone", "help": "", "type": "text", "about": "prompt"}
    ana = as_user(cast.ana)
    Stage.objects.update(rubric=[{**tone, "required": False}])
    assert "Came back to you" not in ana.get(HOME).content.decode()
    Stage.objects.update(rubric=[{**tone, "required": True}])
    page = ana.get(HOME).content.decode()
    assert "1 item of yours in Write lacks an answer to a new question" in page
    Stage.objects.update(rubric=[{**tone, "required": True, "removed": True}])
    assert "Came back to you" not in ana.get(HOME).content.decode()


# A page costs the same in a large project


def test_a_large_stage_is_counted_once_in_a_while(cast, stage, monkeypatch) -> None:
    queue.fill(stage)
    assert progress.progress(stage)["items"] == 6
    Item.objects.last().delete()
    assert progress.progress(stage)["items"] == 5  # a small one each time
    monkeypatch.setattr(progress, "LARGE", 5)
    monkeypatch.setattr(progress, "ROWS_A_SECOND", 0.01)
    assert progress.progress(stage)["items"] == 5
    Item.objects.last().delete()
    assert progress.progress(stage)["items"] == 5
    cache.clear()
    assert progress.progress(stage)["items"] == 4


def test_much_left_is_believed_for_a_while(cast, stage, monkeypatch) -> None:
    monkeypatch.setattr(progress, "LARGE", 3)
    assert progress.waiting_for(cast.ana) == [(stage, 6)]
    hand_in(stage, cast.ana, 1)
    make_prompt(cast.project, "One more?")
    assert progress.waiting_for(cast.ana) == [(stage, 5)]  # less what was finished since
    cache.clear()
    assert progress.waiting_for(cast.ana) == [(stage, 6)]
    assert Seat.objects.get().submitted == 1


def test_flagged_counts_only_what_is_on_the_list(cast, stage) -> None:
    queue.fill(stage)
    items = list(Item.objects.all())
    Item.objects.filter(pk__in=[items[0].pk, items[1].pk]).update(flagged=True)
    type(items[0].prompt).objects.filter(pk=items[0].prompt_id).update(retired=timezone.now())
    assert progress.progress(stage)["flagged"] == 1
