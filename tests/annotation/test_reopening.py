"""Second thoughts: any turn reopened, and questions answered that were added later."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotation import queue, ratings, rounds, submissions
from annotation.errors import Refused
from annotation.models import Item, Ranking, Response, Seat, Stage, Submission
from tests.annotation.factories import make_prompt, make_stage

State = Submission.State
TONE = {"key": "tone", "title": "Tone", "type": "rating", "about": "prompt", "required": True}
TONE |= {"low": 1, "high": 5, "help": ""}


def submit(submission, user, **content) -> Submission:
    return submissions.submit(submission=submission, user=user, content=content)


def events(submission) -> list[str]:
    return list(submission.history.order_by("number").values_list("event", flat=True))


@pytest.fixture
def two_written(cast):
    """Ana has answered two prompts, first "one", then "two"."""
    make_prompt(cast.project, "first")
    make_prompt(cast.project, "second")
    stage = make_stage(cast.project)
    return stage, [submit(queue.claim(stage, cast.ana), cast.ana, text=t) for t in ("one", "two")]


def test_any_turn_is_reopened_with_its_text_and_shown_first(cast, two_written) -> None:
    stage, (first, second) = two_written
    again = submissions.reopen(submission=first, user=cast.ana)
    assert (again.state, again.draft["text"], again.submitted) == (State.DRAFT, "one", None)
    assert queue.claim(stage, cast.ana) == first
    assert [r.text for r in Response.objects.filter(withdrawn=None)] == ["two"]
    item = Item.objects.get(pk=first.item_id)
    assert (item.taken, item.done, item.open) == (1, 0, False)
    assert Seat.objects.get(user=cast.ana).submitted == 1
    submit(queue.claim(stage, cast.ana), cast.ana, text="one, better")
    assert events(first) == ["submit", "reopen", "resubmit"]
    assert Response.objects.filter(withdrawn=None).count() == 2


def test_reopening_is_refused_where_the_stage_says_so(cast, two_written) -> None:
    stage, (first, _) = two_written
    Stage.objects.filter(pk=stage.pk).update(reopen=False)
    first.stage.refresh_from_db()
    with pytest.raises(Refused, match="ask a lead"):
        submissions.reopen(submission=first, user=cast.ana)


def test_only_ones_own_and_only_what_is_handed_in(cast, two_written) -> None:
    _, (first, _) = two_written
    with pytest.raises(Refused, match="another person"):
        submissions.reopen(submission=first, user=cast.bea)
    submissions.reopen(submission=first, user=cast.ana)
    first.refresh_from_db()
    with pytest.raises(Refused, match="among your drafts"):
        submissions.reopen(submission=first, user=cast.ana)


def test_a_better_answer_that_others_rank_keeps_the_ranking(cast) -> None:
    make_prompt(cast.project, answers=["one", "two", "three"])
    stage = make_stage(cast.project, "rank")
    turn = queue.claim(stage, cast.ana)
    a, b, c = turn.shown
    submit(turn, cast.ana, order=[[a], [b, c]], better="The best of all.", all_bad=True)
    better = Response.objects.get(submission=turn)
    assert (better.text, better.author, better.corrects) == ("The best of all.", cast.ana, None)
    assert Ranking.objects.get().all_bad
    # The next round holds the best of the last and what is new; not for its author.
    assert queue.claim(stage, cast.ana) is None
    theirs = queue.claim(stage, cast.bea)
    assert set(theirs.shown) == {a, better.pk}
    with pytest.raises(Refused, match="gone on from this work"):
        submissions.reopen(submission=turn, user=cast.ana)


def test_taking_a_better_answer_back_takes_its_round_back(cast) -> None:
    make_prompt(cast.project, answers=["one", "two", "three"])
    stage = make_stage(cast.project, "rank")
    turn = queue.claim(stage, cast.ana)
    submit(turn, cast.ana, order=[[pk] for pk in turn.shown], better="Better.")
    assert Item.objects.filter(stage=stage).count() == 2
    again = submissions.reopen(submission=turn, user=cast.ana)
    assert again.draft["better"] == "Better."
    assert Item.objects.filter(stage=stage).count() == 1
    assert not Response.objects.filter(submission=turn, withdrawn=None).exists()


def test_a_skip_and_late_work_come_back_while_there_is_a_place(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    turn = queue.claim(stage, cast.ana)
    skipped = submissions.skip(submission=turn, user=cast.ana, reason="unclear")
    again = submissions.reopen(submission=skipped, user=cast.ana)
    assert again.state == State.CLAIMED and Seat.objects.get().skipped == 0
    # Bea takes the place after Ana's time is over; what Ana sends then is late.
    Submission.objects.filter(pk=turn.pk).update(claimed_until=timezone.now() - timedelta(days=1))
    queue.expire(stage)
    theirs = queue.claim(stage, cast.bea)
    turn.refresh_from_db()
    late = submit(turn, cast.ana, text="too late")
    assert late.state == State.LATE
    with pytest.raises(Refused, match="stays late"):
        submissions.reopen(submission=late, user=cast.ana)
    late.refresh_from_db()
    assert late.state == State.LATE  # nothing of the refused act is left
    submissions.skip(submission=theirs, user=cast.bea, reason="other")
    again = submissions.reopen(submission=late, user=cast.ana)
    assert (again.state, again.draft["text"]) == (State.DRAFT, "too late")
    assert events(turn) == ["skip", "reopen", "late", "reopen"]


def test_a_question_added_later_is_answered_without_reopening(
    cast, two_written, django_assert_num_queries
) -> None:
    stage, (first, _) = two_written
    Stage.objects.filter(pk=stage.pk).update(rubric=[TONE])
    with pytest.raises(Refused, match="“Tone” is not answered yet") as refused:
        submissions.complete(submission=first, user=cast.ana, ratings={})
    assert refused.value.field == "tone"
    done = submissions.complete(submission=first, user=cast.ana, ratings={"tone": 4})
    assert (done.state, done.ratings) == (State.SUBMITTED, {"tone": 4})
    assert Response.objects.filter(withdrawn=None).count() == 2
    assert events(first) == ["submit", "complete"]
    # A question that is removed keeps its answers, also through a later change.
    Stage.objects.filter(pk=stage.pk).update(
        rubric=[{**TONE, "removed": True}, {**TONE, "key": "depth", "title": "Depth"}]
    )
    done = submissions.complete(submission=done, user=cast.ana, ratings={"depth": 2})
    assert done.ratings == {"tone": 4, "depth": 2}
    with django_assert_num_queries(1):
        assert ratings.kept(stage, ["tone", "depth", "none"]) == {"tone": 1, "depth": 1, "none": 0}
    again = submissions.reopen(submission=done, user=cast.ana)
    again = submit(again, cast.ana, text="one", ratings={"depth": 5})
    assert again.ratings == {"tone": 4, "depth": 5} == again.draft["ratings"]


def test_what_is_a_draft_is_not_completed(cast) -> None:
    make_prompt(cast.project)
    turn = queue.claim(make_stage(cast.project, rubric=[TONE]), cast.ana)
    with pytest.raises(Refused, match="not handed in"):
        submissions.complete(submission=turn, user=cast.ana, ratings={"tone": 4})


def test_a_round_that_nobody_could_do_is_not_opened(cast) -> None:
    """Ana and Bea each write a better answer; the two are left to nobody who wrote neither."""
    make_prompt(cast.project, answers=["one", "two"])
    stage = make_stage(cast.project, "rank", open_to_all=False)
    for person in (cast.ana, cast.bea):
        Seat.objects.create(stage=stage, user=person, assigned=True)
    first = queue.claim(stage, cast.ana)
    submit(first, cast.ana, order=[[pk] for pk in first.shown], better="Ana's")
    second = queue.claim(stage, cast.bea)
    best = Response.objects.get(text="Ana's").pk
    order = [[best], [pk for pk in second.shown if pk != best]]
    submit(second, cast.bea, order=order, better="Bea's")
    assert not Item.objects.filter(stage=stage, open=True).exists()
    Seat.objects.create(stage=stage, user=cast.lee, assigned=True)
    rounds.answers_arrived([first.item.prompt_id])
    assert set(queue.claim(stage, cast.lee).shown) == {best, Response.objects.get(text="Bea's").pk}
