"""The lead's decision on an item."""

import pytest
from django.utils import timezone

from annotation import actions, adjudication, queue, submissions, undoing
from annotation.errors import Refused
from annotation.models import Adjudication, Item, Response
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def ranked(cast):
    make_prompt(cast.project, answers=["One", "Two", "Three"])
    cast.stage = make_stage(cast.project, "rank", overlap=2)
    cast.turns = []
    for user in (cast.ana, cast.bea):
        turn = queue.claim(cast.stage, user)
        order = [[pk] for pk in turn.shown]
        cast.turns.append(submissions.submit(submission=turn, user=user, content={"order": order}))
    cast.item = Item.objects.get(pk=turn.item_id)
    return cast


def test_one_of_the_submissions_is_chosen_and_then_another(ranked):
    first, second = ranked.turns
    adjudication.adjudicate(item=ranked.item, author=ranked.lee, submission=first, note="clear")
    adjudication.adjudicate(item=ranked.item, author=ranked.olga, submission=second)
    now = adjudication.in_force(ranked.item)
    assert (now.submission, now.author) == (second, ranked.olga)
    assert Adjudication.objects.count() == 2
    adjudication.withdraw(item=ranked.item, author=ranked.lee)
    assert adjudication.in_force(ranked.item) is None
    with pytest.raises(Refused, match="not decided"):
        adjudication.withdraw(item=ranked.item, author=ranked.lee)


def test_a_decision_of_ones_own_is_checked_like_any_work(ranked):
    a, b, c = ranked.item.candidates
    own = {"order": [[c], [a, b]]}
    decided = adjudication.adjudicate(item=ranked.item, author=ranked.lee, content=own)
    assert decided.content == own
    with pytest.raises(Refused, match="has no place yet"):
        adjudication.adjudicate(item=ranked.item, author=ranked.lee, content={"order": [[c], [a]]})
    assert adjudication.in_force(ranked.item) == decided


def test_who_did_the_item_does_not_decide_it(ranked):
    with pytest.raises(Refused, match="did this item yourself"):
        adjudication.adjudicate(item=ranked.item, author=ranked.ana, submission=ranked.turns[1])
    with pytest.raises(Refused, match="Choose one"):
        adjudication.adjudicate(item=ranked.item, author=ranked.lee)


def test_decided_work_is_not_taken_back_by_its_author(ranked):
    adjudication.adjudicate(item=ranked.item, author=ranked.lee, submission=ranked.turns[0])
    with pytest.raises(Refused, match="gone on from this work"):
        submissions.undo(stage=ranked.stage, user=ranked.ana)


def test_work_that_was_taken_back_meanwhile_is_not_chosen(ranked):
    seen = ranked.turns[1]  # as the lead's page read it
    submissions.undo(stage=ranked.stage, user=ranked.bea)
    with pytest.raises(Refused, match="not handed in"):
        adjudication.adjudicate(item=ranked.item, author=ranked.lee, submission=seen)
    assert not Adjudication.objects.exists()


def test_a_better_answer_of_the_leads_is_an_answer(ranked):
    own = {"order": [[pk] for pk in ranked.item.candidates], "better": "The best"}
    decided = adjudication.adjudicate(item=ranked.item, author=ranked.lee, content=own)
    assert (decided.response.text, decided.response.author) == ("The best", ranked.lee)
    adjudication.withdraw(item=ranked.item, author=ranked.lee)
    assert not Response.objects.filter(text="The best", withdrawn=None).exists()


def test_a_text_of_the_leads_is_an_answer_while_it_is_in_force(cast):
    prompt = make_prompt(cast.project)
    stage = make_stage(cast.project)
    turn = queue.claim(stage, cast.ana)
    submissions.submit(submission=turn, user=cast.ana, content={"text": "Ana's"})
    item = turn.item
    adjudication.adjudicate(item=item, author=cast.lee, content={"text": "Lee's"})
    answers = Response.objects.filter(prompt=prompt, withdrawn=None)
    assert [each.text for each in answers.order_by("pk")] == ["Ana's", "Lee's"]
    assert answers.get(text="Lee's").author == cast.lee
    adjudication.withdraw(item=item, author=cast.lee)
    assert [each.text for each in answers] == ["Ana's"]


def test_a_decision_keeps_an_item_that_nobody_has_done(cast):
    """Found by acts in any order: what is decided is not an untouched item that may go."""
    prompt = make_prompt(cast.project, answers=["One", "Two"])
    stage = make_stage(cast.project, "rank")
    queue.fill(stage)
    item = Item.objects.get(stage=stage)
    order = {"order": [[pk] for pk in item.candidates]}
    adjudication.adjudicate(item=item, author=cast.lee, content=order)
    Response.objects.filter(prompt=prompt, text="Two").update(withdrawn=timezone.now())
    queue.answers_arrived([prompt.pk])
    assert adjudication.in_force(item) is not None
    again = actions.open_round(stage=stage, prompts=[prompt.pk], author=cast.lee)
    assert again.changed == 0


def test_undoing_a_round_leaves_what_was_decided_in_it(cast):
    prompt = make_prompt(cast.project)
    stage = make_stage(cast.project, takes_all=False)
    sent = actions.send(stage=stage, prompts=[prompt.pk], author=cast.lee)
    item = Item.objects.get(stage=stage)
    adjudication.adjudicate(item=item, author=cast.lee, content={"text": "Lee's"})
    assert undoing.undo(action=sent, author=cast.lee).startswith("0 taken back")
    assert Item.objects.filter(pk=item.pk).exists()
