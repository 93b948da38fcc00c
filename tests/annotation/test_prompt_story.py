"""A prompt's page: everything that ever happened to it."""

from django.urls import reverse

from annotation import comments, flagged, prompts, queue, reviewing, submissions
from annotation.models import Action, Item, Prompt, Response
from annotation.prompt_story import items, story
from tests.annotation.factories import make_prompt, make_stage


def page_of(as_user, user, prompt) -> str:
    return as_user(user).get(reverse("annotation:prompt", args=[prompt.pk])).content.decode()


def hand_in(stage, user, text: str = "Because."):
    turn = queue.claim(stage, user)
    submissions.submit(submission=turn, user=user, content={"text": text}, version=0)
    turn.refresh_from_db()
    return turn


def test_it_tells_all_of_it_newest_first(as_user, cast) -> None:
    stage = make_stage(cast.project, overlap=2, review_share=100)
    prompt = make_prompt(cast.project, answers=[("An older answer", "gpt-x")])
    turn = hand_in(stage, cast.ana)
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="Say why.")
    bea = queue.claim(stage, cast.bea)
    flagged.press(turn=bea, user=cast.bea, on=True)
    submissions.skip(submission=bea, user=cast.bea, reason="unclear", note="Which sky?")
    comments.add(prompt=prompt, author=cast.lee, text="The one above.")
    found = story(prompt)
    said = [f"{event.who} {event.what}".strip() for event in found]
    assert said[-1] == "the prompt came"
    for words in (
        "an answer, now withdrawn, of gpt-x came",
        "Ana submitted",
        "Rui returned the work of Ana",
        "Bea flagged it",
        "Bea skipped it",
        "Lee commented",
    ):
        assert words in said, said
    assert [event.when for event in found] == sorted((e.when for e in found), reverse=True)
    page = page_of(as_user, cast.lee, prompt)
    assert "Say why." in page and "Which sky?" in page and "The one above." in page
    assert "answer A of gpt-x came" in page.lower() or "Answer A of gpt-x came" in page


def test_edits_and_bulk_acts_are_in_it(as_user, cast) -> None:
    prompt, other = make_prompt(cast.project, "One"), make_prompt(cast.project, "Two")
    client = as_user(cast.lee)
    client.post(reverse("annotation:prompt_retire", args=[prompt.pk]))
    Action.objects.create(
        project=cast.project,
        kind="restore",
        said="1 prompt restored",
        changed=1,
        author=cast.lee,
        before={"prompts": [prompt.pk]},
    )
    said = [event.what for event in story(prompt)]
    assert "prompt retired" in said and "in bulk: 1 prompt restored" in said
    assert len(story(other)) == 1


def test_an_act_on_its_items_is_in_it(cast) -> None:
    stage = make_stage(cast.project)
    prompt = make_prompt(cast.project)
    queue.fill(stage)
    item = Item.objects.get(prompt=prompt)
    for before in ({str(item.pk): 0}, {"items": [item.pk]}):
        Action.objects.create(
            project=cast.project, stage=stage, kind="send", said="sent", changed=1, before=before
        )
    assert [event.what for event in story(prompt)].count("in bulk: sent") == 2


def test_where_it_stands(cast) -> None:
    stage = make_stage(cast.project, overlap=2)
    prompt = make_prompt(cast.project)
    hand_in(stage, cast.ana)
    (place,) = items(prompt)
    assert (place.state, place.who) == ("waits for 1 more", [("Ana", "submitted")])
    queue.claim(stage, cast.bea)
    assert items(prompt)[0].state == "in hand"
    hand_in(stage, cast.bea)
    assert items(prompt)[0].state == "done"


def test_who_has_it_in_hand_sees_nothing_of_others(as_user, cast) -> None:
    stage = make_stage(cast.project, overlap=2)
    prompt = make_prompt(cast.project)
    hand_in(stage, cast.ana, "A telling answer.")
    assert "A telling answer." in page_of(as_user, cast.rui, prompt)
    queue.claim(stage, cast.rui)
    page = page_of(as_user, cast.rui, prompt)
    assert "A telling answer." not in page and "in hand" in page


def test_the_next_turns_are_found_by_their_answers(as_user, cast) -> None:
    prompt = make_prompt(cast.project, answers=["Because."])
    answer = Response.objects.get()
    follow = make_prompt(cast.project, "And at night?", parent=answer, root=prompt)
    assert "And at night?" in page_of(as_user, cast.lee, prompt)
    assert Prompt.objects.filter(parent=answer).get() == follow


def test_the_price_does_not_grow_with_turns(cast, django_assert_max_num_queries) -> None:
    stage = make_stage(cast.project, overlap=2)
    prompt = make_prompt(cast.project)
    for user in (cast.ana, cast.bea):
        hand_in(stage, user)
    prompts.retire(prompt=prompt)
    with django_assert_max_num_queries(14):
        story(prompt)
