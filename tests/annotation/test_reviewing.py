"""Accept, send back, fix: who may, what counts afterwards, and that nothing written is lost."""

import pytest

from annotation import places, projects, queue, review_page, reviewing, submissions
from annotation.errors import Refused
from annotation.models import (
    Item,
    Response,
    Stage,
    Submission,
    SubmissionVersion,
    Workspace,
)
from tests.annotation.factories import add_answer, make_prompt, make_stage

pytestmark = pytest.mark.django_db


def reviewed(project, kind="write", share=100, **fields) -> Stage:
    return make_stage(project, kind, review_share=share, **fields)


def do(stage, user, content) -> Submission:
    turn = queue.claim(stage, user)
    assert turn is not None
    return submissions.submit(submission=turn, user=user, content=content)


def live(prompt) -> list[str]:
    return list(
        Response.objects.filter(prompt=prompt, withdrawn=None)
        .order_by("pk")
        .values_list("text", flat=True)
    )


def test_a_share_is_drawn_by_number_and_handing_in_again_draws_nothing_new(cast):
    stage = reviewed(cast.project, share=30)
    for n in range(200):
        make_prompt(cast.project, f"Question {n}")
    drawn = [do(stage, cast.ana, {"text": f"Answer {n}"}).review for n in range(200)]
    assert 40 <= drawn.count("waiting") <= 80
    for _ in range(3):
        again = submissions.undo(stage=stage, user=cast.ana)
        was = again.review
        assert (
            submissions.submit(submission=again, user=cast.ana, content={"text": "Another"}).review
            == was
        )


@pytest.mark.parametrize("share, waits", [(0, ""), (100, "waiting")])
def test_none_and_all(cast, share, waits):
    stage = reviewed(cast.project, share=share)
    make_prompt(cast.project)
    assert do(stage, cast.ana, {"text": "An answer"}).review == waits


def test_the_inbox_has_what_waits_but_not_ones_own(cast):
    stage = reviewed(cast.project)
    for n in range(2):
        make_prompt(cast.project, f"Question {n}")
    anas = do(stage, cast.ana, {"text": "By Ana"})
    ruis = do(stage, cast.rui, {"text": "By Rui"})
    assert review_page.inbox(stage, cast.rui) == [anas.pk]
    assert review_page.inbox(stage, cast.lee) == [anas.pk, ruis.pk]
    assert reviewing.waiting(cast.acme, cast.rui) == [(stage, 1)]
    with pytest.raises(Refused, match="your own work"):
        reviewing.accept(submission=ruis, reviewer=cast.rui)


def test_accepted_work_stands_and_its_author_cannot_change_it(cast):
    stage = reviewed(cast.project)
    prompt = make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "Right"})
    review = reviewing.accept(submission=turn, reviewer=cast.rui, comment="good")
    turn.refresh_from_db()
    assert (turn.review, review.comment) == ("accepted", "good")
    assert not review_page.inbox(stage, cast.rui)
    for act in (
        lambda: submissions.undo(stage=stage, user=cast.ana),
        lambda: submissions.reopen(submission=turn, user=cast.ana),
    ):
        with pytest.raises(Refused, match="accepted this work"):
            act()
    assert live(prompt) == ["Right"]


def test_returned_work_comes_first_and_is_reviewed_again(cast):
    stage = reviewed(cast.project)
    first = make_prompt(cast.project, "First")
    for n in range(3):
        make_prompt(cast.project, f"More {n}")
    turn = do(stage, cast.ana, {"text": "Too short"})
    holding = queue.claim(stage, cast.ana)
    assert holding.pk != turn.pk
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="Say why.")
    assert live(first) == []  # it does not count while it is changed
    back = queue.claim(stage, cast.ana)
    assert (back.pk, back.review, back.draft) == (turn.pk, "returned", {"text": "Too short"})
    item = Item.objects.get(pk=turn.item_id)
    assert (item.taken, item.done) == (1, 0)
    again = submissions.submit(submission=back, user=cast.ana, content={"text": "Long enough"})
    assert again.review == "waiting" and live(first) == ["Long enough"]
    assert queue.claim(stage, cast.ana).pk == holding.pk
    events = SubmissionVersion.objects.filter(submission=turn).order_by("number")
    assert [each.event for each in events] == ["submit", "return", "resubmit"]
    assert [each.author for each in events] == [cast.ana, cast.rui, cast.ana]
    assert events[0].content["text"] == "Too short"


def test_returned_work_waits_for_days_but_who_chooses_other_work_gets_that(cast):
    stage = reviewed(cast.project)
    for n in range(3):
        make_prompt(cast.project, f"Question {n}")
    turn = do(stage, cast.ana, {"text": "One"})
    other = queue.claim(stage, cast.ana)
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="No.")
    back = queue.claim(stage, cast.ana)
    submissions.save_draft(
        submission=back, user=cast.ana, content={"text": "On"}, version=back.version
    )
    assert (back.claimed_until - other.claimed_until).days >= 13
    places.resume(other)
    assert queue.claim(stage, cast.ana).pk == other.pk


def test_a_return_needs_a_comment_and_work_that_nobody_built_on(cast):
    stage = reviewed(cast.project)
    prompt = make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "An answer"})
    with pytest.raises(Refused, match="Say what is to be changed"):
        reviewing.send_back(submission=turn, reviewer=cast.rui, comment=" ")
    answer = Response.objects.get(prompt=prompt)
    Response.objects.create(
        prompt=prompt, text="Better", origin="human", corrects=answer, fingerprint="x"
    )
    with pytest.raises(Refused, match="gone on from this work"):
        reviewing.send_back(submission=turn, reviewer=cast.rui, comment="No.")
    turn.refresh_from_db()
    assert (turn.state, turn.review) == ("submitted", "waiting")


def test_a_fix_keeps_both_texts_and_may_be_fixed_again(cast):
    stage = reviewed(cast.project)
    prompt = make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "Ana's words"})
    with pytest.raises(Refused, match="Nothing is changed"):
        reviewing.fix(submission=turn, reviewer=cast.rui, content={"text": "Ana's words"})
    reviewing.fix(submission=turn, reviewer=cast.rui, content={"text": "Rui's words"})
    assert live(prompt) == ["Ana's words", "Rui's words"]
    fixed = Response.objects.get(text="Rui's words")
    assert fixed.corrects.text == "Ana's words" and fixed.author == cast.rui
    turn.refresh_from_db()
    assert (turn.review, turn.draft["text"]) == ("fixed", "Ana's words")
    reviewing.fix(submission=turn, reviewer=cast.lee, content={"text": "Lee's words"})
    assert live(prompt) == ["Ana's words", "Lee's words"]
    last = SubmissionVersion.objects.filter(submission=turn).order_by("-number")[:2]
    assert [each.content["text"] for each in last] == ["Lee's words", "Rui's words"]


def test_a_fixed_ranking_counts_and_the_authors_stays(cast):
    stage = reviewed(cast.project, "rank")
    make_prompt(cast.project, answers=["One", "Two", "Three"])
    turn = queue.claim(stage, cast.ana)
    a, b, c = turn.shown
    submissions.submit(submission=turn, user=cast.ana, content={"order": [[a], [b], [c]]})
    reviewing.fix(submission=turn, reviewer=cast.rui, content={"order": [[c], [b], [a]]})
    turn.refresh_from_db()
    assert turn.ranking.order == [[c], [b], [a]]
    assert turn.draft["order"] == [[a], [b], [c]]


def test_a_correction_that_found_nothing_is_fixed_from_the_original(cast):
    stage = reviewed(cast.project, "correct")
    prompt = make_prompt(cast.project, answers=["Teh answer"])
    turn = queue.claim(stage, cast.ana)
    submissions.submit(submission=turn, user=cast.ana, content={"unchanged": True})
    reviewing.fix(submission=turn, reviewer=cast.rui, content={"text": "The answer"})
    assert Response.objects.get(text="The answer").corrects.text == "Teh answer"
    assert live(prompt) == ["Teh answer", "The answer"]


def test_a_stale_page_decides_nothing(cast):
    stage = reviewed(cast.project)
    make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "One"})
    seen = turn.version
    back = submissions.undo(stage=stage, user=cast.ana)
    with pytest.raises(Refused, match="author has it again"):
        reviewing.accept(submission=turn, reviewer=cast.rui, version=seen)
    submissions.submit(submission=back, user=cast.ana, content={"text": "Two"})
    with pytest.raises(Refused, match="changed it meanwhile"):
        reviewing.accept(submission=turn, reviewer=cast.rui, version=seen)


def test_of_two_reviewers_at_once_the_second_is_told(cast):
    stage = reviewed(cast.project)
    make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "One"})
    reviewing.accept(submission=turn, reviewer=cast.rui, version=turn.version)
    with pytest.raises(Refused, match="another reviewer changed it"):
        reviewing.send_back(submission=turn, reviewer=cast.lee, comment="No.", version=turn.version)
    turn.refresh_from_db()
    assert turn.review == "accepted"


def test_who_reviewed_an_item_does_not_get_it_and_who_has_it_does_not_review_it(cast):
    stage = reviewed(cast.project, overlap=3)
    make_prompt(cast.project)
    turn = do(stage, cast.ana, {"text": "Ana's"})
    mine = queue.claim(stage, cast.rui)
    with pytest.raises(Refused, match="at this item yourself"):
        reviewing.accept(submission=turn, reviewer=cast.rui)
    submissions.skip(submission=mine, user=cast.rui, reason="other")
    reviewing.accept(submission=turn, reviewer=cast.rui)
    reviewing.accept(submission=do(stage, cast.bea, {"text": "Bea's"}), reviewer=cast.lee)
    assert queue.claim(stage, cast.lee) is None


def test_another_share_holds_for_what_is_handed_in_already(cast, monkeypatch):
    monkeypatch.setattr(reviewing, "WINDOW", 7)  # a transaction each
    stage = reviewed(cast.project, share=0)
    for n in range(100):
        make_prompt(cast.project, f"Question {n}")
    turns = [do(stage, cast.ana, {"text": "An answer"}) for _ in range(100)]
    projects.update_stage(stage=stage, review_share=100)
    assert review_page.waiting(stage, cast.rui) == 100
    reviewing.accept(submission=turns[0], reviewer=cast.rui)
    projects.update_stage(stage=stage, review_share=50)
    half = review_page.waiting(stage, cast.rui)
    assert 30 <= half <= 70
    projects.update_stage(stage=stage, review_share=0)
    assert not review_page.inbox(stage, cast.rui)
    turns[0].refresh_from_db()
    assert turns[0].review == "accepted"


def test_what_waits_is_counted_to_a_thousand_and_only_here(cast, monkeypatch):
    monkeypatch.setattr(reviewing, "MOST", 3)
    stage, quiet = reviewed(cast.project), reviewed(cast.project, share=0)
    for n in range(6):
        make_prompt(cast.project, f"Question {n}")
        do(stage, cast.ana, {"text": "An answer"})
        do(quiet, cast.ana, {"text": "An answer"})
    assert reviewing.waiting(cast.acme, cast.rui) == [(stage, 4)]
    assert reviewing.waiting(cast.acme, cast.ana) == []
    assert reviewing.waiting(Workspace.objects.create(name="Third", slug="third"), cast.rui) == []


def test_a_better_answer_is_fixed_too(cast):
    stage = reviewed(cast.project, "rank")
    prompt = make_prompt(cast.project, answers=["One"])
    add_answer(prompt, "Two")
    turn = queue.claim(stage, cast.ana)
    order = [[turn.shown[0]], [turn.shown[1]]]
    submissions.submit(submission=turn, user=cast.ana, content={"order": order, "better": "Three"})
    reviewing.fix(submission=turn, reviewer=cast.rui, content={"order": order, "better": "Four"})
    assert live(prompt) == ["One", "Two", "Three", "Four"]
    assert Response.objects.get(text="Four").corrects.text == "Three"


def test_an_answer_goes_on_when_its_review_is_over(cast):
    write, rank = reviewed(cast.project), make_stage(cast.project, "rank")
    prompt = make_prompt(cast.project, answers=["Imported"])
    turn = do(write, cast.ana, {"text": "Ana's"})
    assert queue.claim(rank, cast.bea) is None
    reviewing.accept(submission=turn, reviewer=cast.rui)
    ranking = queue.claim(rank, cast.bea)
    assert ranking is not None and len(ranking.shown) == 2
    assert Response.objects.offered().filter(prompt=prompt).count() == 2


def test_a_smaller_share_lets_answers_go_on(cast):
    write, rank = reviewed(cast.project), make_stage(cast.project, "rank")
    make_prompt(cast.project, answers=["Imported"])
    do(write, cast.ana, {"text": "Ana's"})
    assert queue.claim(rank, cast.bea) is None
    projects.update_stage(stage=write, review_share=0)
    assert queue.claim(rank, cast.bea) is not None
