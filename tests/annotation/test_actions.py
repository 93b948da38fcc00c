"""What a lead does with many prompts at once, and its undo."""

import pytest
from django.urls import reverse

from annotation import actions, projects, queue, submissions, undoing
from annotation.errors import Refused
from annotation.models import Action, Item, Membership, Prompt
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(cast):
    cast.prompts = [make_prompt(cast.project, f"Question {n}") for n in range(5)]
    cast.stage = make_stage(cast.project)
    return cast


def ids(prompts) -> list[int]:
    return [prompt.pk for prompt in prompts]


def given(stage, user) -> Prompt | None:
    """What the queue gives the person now, handed in at once."""
    turn = queue.claim(stage, user)
    if turn is None:
        return None
    submissions.submit(submission=turn, user=user, content={"text": "An answer"})
    return turn.item.prompt


def test_assigned_items_go_to_these_people_only_and_first(desk):
    last = desk.prompts[3:]
    action = actions.assign(stage=desk.stage, prompts=ids(last), people=[desk.bea], author=desk.lee)
    assert action.said == "2 items of Write given to Bea"
    assert [given(desk.stage, desk.bea) for _ in range(2)] == last
    assert [given(desk.stage, desk.ana) for _ in range(4)] == [*desk.prompts[:3], None]


def test_an_item_that_somebody_passed_by_comes_to_them_when_it_is_free_again(desk):
    first = desk.prompts[:1]
    action = actions.assign(
        stage=desk.stage, prompts=ids(first), people=[desk.bea], author=desk.lee
    )
    assert given(desk.stage, desk.ana) == desk.prompts[1]
    assert undoing.undo(action=action, author=desk.lee) == "1 taken back."
    assert given(desk.stage, desk.ana) == desk.prompts[0]
    with pytest.raises(Refused, match="undone already"):
        undoing.undo(action=action, author=desk.lee)


def test_assigning_needs_people_of_the_stage_and_as_many_as_places(desk):
    with pytest.raises(Refused, match="does not work in"):
        actions.assign(
            stage=desk.stage, prompts=ids(desk.prompts), people=[desk.otto], author=desk.lee
        )
    projects.update_stage(stage=desk.stage, overlap=2)
    with pytest.raises(Refused, match="still need 2 people"):
        actions.assign(
            stage=desk.stage, prompts=ids(desk.prompts), people=[desk.bea], author=desk.lee
        )
    assert not Action.objects.exists()


def test_what_one_more_person_has_to_do_is_given_to_one(desk):
    projects.update_stage(stage=desk.stage, overlap=2)
    prompt = given(desk.stage, desk.ana)
    with pytest.raises(Refused, match="still need 1 person who did not have them"):
        actions.assign(stage=desk.stage, prompts=[prompt.pk], people=[desk.ana], author=desk.lee)
    actions.assign(stage=desk.stage, prompts=[prompt.pk], people=[desk.bea], author=desk.lee)
    assert given(desk.stage, desk.bea) == prompt
    for act in ({"people": [desk.bea]}, {"people": []}):
        with pytest.raises(Refused, match="None of these is open in Write"):
            actions.assign(stage=desk.stage, prompts=[prompt.pk], author=desk.lee, **act)
    assert Action.objects.count() == 1


def test_priorities_and_back(desk):
    last = desk.prompts[4]
    action = actions.prioritise(stage=desk.stage, prompts=[last.pk], priority=1, author=desk.lee)
    assert queue.claim(desk.stage, desk.bea).item.prompt == last
    assert undoing.undo(action=action, author=desk.lee) == (
        "0 taken back; 1 changed since and stay as they are."
    )
    other = actions.prioritise(
        stage=desk.stage, prompts=[desk.prompts[3].pk], priority=5, author=desk.lee
    )
    undoing.undo(action=other, author=desk.lee)
    assert [given(desk.stage, desk.ana) for _ in range(5)] == [*desk.prompts[:4], None]


def test_an_undo_leaves_what_a_later_act_changed(desk):
    def assign(prompts, person):
        return actions.assign(
            stage=desk.stage, prompts=ids(prompts), people=[person], author=desk.lee
        )

    def people() -> list[list[int]]:
        return list(
            Item.objects.filter(stage=desk.stage)
            .order_by("prompt")
            .values_list("people", flat=True)
        )

    first = assign(desk.prompts[:3], desk.ana)
    second = assign(desk.prompts[2:5], desk.bea)
    ana, bea = [desk.ana.pk], [desk.bea.pk]
    assert undoing.undo(action=first, author=desk.lee).startswith("2 taken back; 1 changed since")
    assert people() == [[], [], bea, bea, bea]
    Membership.objects.filter(user=desk.ana).update(is_active=False)
    assert undoing.undo(action=second, author=desk.lee) == "3 taken back."
    assert people() == [[], [], [], [], []], "nobody waits for somebody who has left"
    assert ana not in people()


def test_an_undo_leaves_prompts_that_were_retired_again(desk):
    first = actions.retire(project=desk.project, prompts=ids(desk.prompts[:2]), author=desk.lee)
    actions.restore(project=desk.project, prompts=ids(desk.prompts[:1]), author=desk.lee)
    actions.retire(project=desk.project, prompts=ids(desk.prompts[:1]), author=desk.lee)
    assert undoing.undo(action=first, author=desk.lee).startswith("1 taken back; 1 changed since")
    assert Prompt.objects.get(retired__isnull=False) == desk.prompts[0]


def test_retired_prompts_are_in_no_queue_until_it_is_undone(desk):
    while queue.fill(desk.stage):
        pass
    action = actions.retire(project=desk.project, prompts=ids(desk.prompts[:3]), author=desk.lee)
    assert action.said == "3 prompts retired"
    assert not Item.objects.filter(prompt__in=ids(desk.prompts[:3]), open=True).exists()
    assert given(desk.stage, desk.ana) == desk.prompts[3]
    undoing.undo(action=action, author=desk.lee)
    assert {given(desk.stage, desk.ana) for _ in range(5)} == {
        *desk.prompts[:3],
        desk.prompts[4],
        None,
    }


def test_a_stage_that_is_sent_its_prompts_has_those_only(desk):
    hard = make_stage(desk.project, takes_all=False)
    assert queue.claim(hard, desk.ana) is None
    assert queue.progress(hard)["items"] == 0
    action = actions.send(stage=hard, prompts=ids(desk.prompts[1:3]), author=desk.lee)
    assert action.said == "2 prompts sent to Write"
    again = actions.send(stage=hard, prompts=ids(desk.prompts[2:4]), author=desk.lee)
    assert again.said == "1 prompt sent to Write; 1 was there already"
    assert given(hard, desk.ana) == desk.prompts[1]
    assert undoing.undo(action=action, author=desk.lee).startswith("1 taken back; 1 changed")
    assert [given(hard, desk.ana) for _ in range(2)] == [desk.prompts[3], None]


def test_what_does_not_fit_is_said(desk):
    rank = make_stage(desk.project, "rank", takes_all=False)
    action = actions.send(stage=rank, prompts=ids(desk.prompts), author=desk.lee)
    assert action.said == (
        "0 prompts sent to Rank; 5 do not fit (without two different answers, or retired)"
    )


def test_another_round_over_the_same_prompts(desk):
    done = [given(desk.stage, desk.ana) for _ in range(2)]
    action = actions.open_round(stage=desk.stage, prompts=ids(desk.prompts), author=desk.lee)
    assert action.said.startswith("2 new rounds opened in Write; 3 left as they are")
    rounds = Item.objects.filter(stage=desk.stage, prompt__in=ids(done)).order_by("prompt", "round")
    assert [item.round for item in rounds] == [1, 2, 1, 2]
    assert {given(desk.stage, desk.bea) for _ in range(6)} == {*desk.prompts, None} - set()
    late = undoing.undo(action=action, author=desk.lee)
    assert late == "0 taken back; 2 changed since and stay as they are."


def test_too_many_and_none(desk):
    with pytest.raises(Refused, match="at least one"):
        actions.retire(project=desk.project, prompts=[], author=desk.lee)
    with pytest.raises(Refused, match="too many at once"):
        actions.retire(project=desk.project, prompts=range(10_001), author=desk.lee)


def test_a_prompt_is_given_from_its_own_page_and_back(desk, as_user):
    prompt = desk.prompts[2]
    client = as_user(desk.lee)
    page = reverse("annotation:prompt", args=[prompt.pk])
    assert "Give it to somebody" in client.get(page).content.decode()
    asked = {"prompt": prompt.pk, "back": prompt.pk, "where": "", "act": "assign"}
    address = reverse("annotation:prompts_act", args=[desk.project.pk])
    asked["stage"] = desk.stage.pk
    refused = client.post(address, asked, follow=True)
    assert refused.request["PATH_INFO"] == page and "Choose the people" in refused.content.decode()
    given_to = client.post(address, {**asked, "people": desk.bea.pk}, follow=True)
    text = given_to.content.decode()
    assert given_to.request["PATH_INFO"] == page
    assert "1 item of Write given to Bea." in text and ">Undo<" in text
    assert "Give it to somebody" not in as_user(desk.rui).get(page).content.decode()
