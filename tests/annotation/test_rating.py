"""The rate stage: a rubric on each answer, or on the prompt alone."""

import pytest
from django.urls import reverse

from annotation import queue, rounds, submissions
from annotation.errors import Refused
from annotation.models import Item, Submission
from tests.annotation.factories import add_answer, make_prompt, make_stage

RIGHT = {"key": "right", "title": "Is it right?", "help": "", "required": True}
RIGHT |= {"type": "rating", "about": "answer", "low": 1, "high": 5}
KINDS = {"key": "kind", "title": "What is asked?", "help": "", "required": True, "type": "labels"}
KINDS |= {"about": "prompt", "options": [{"value": "fact", "label": "A fact"}]}
KINDS["options"] = [*KINDS["options"], {"value": "opinion", "label": "An opinion"}]
NOTE = {"key": "note", "title": "A note", "help": "", "required": False, "type": "text"}
NOTE |= {"about": "prompt"}


def rate(turn, user, ratings) -> Submission:
    return submissions.submit(submission=turn, user=user, content={"ratings": ratings})


def test_every_answer_is_rated_and_new_ones_open_a_round_of_their_own(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two", "one"])
    stage = make_stage(cast.project, "rate", rubric=[RIGHT])
    turn = queue.claim(stage, cast.ana)
    assert len(turn.shown) == 2  # the same text is rated once
    first, second = turn.shown
    with pytest.raises(Refused) as refused:
        rate(turn, cast.ana, {"right": {str(first): 5}})
    assert refused.value.field == f"right:{second}"
    with pytest.raises(Refused, match="1 more is marked below") as refused:
        rate(turn, cast.ana, {})
    assert list(refused.value.fields) == [f"right:{first}", f"right:{second}"]
    done = rate(turn, cast.ana, {"right": {str(first): 5, str(second): 2}})
    assert done.ratings == {"right": {str(first): 5, str(second): 2}}
    assert queue.claim(stage, cast.bea) is None
    new = add_answer(prompt, "three")
    rounds.answers_arrived([prompt.pk])
    assert queue.claim(stage, cast.bea).shown == [new.pk]


def test_nobody_rates_their_own_answer(cast) -> None:
    prompt = make_prompt(cast.project)
    add_answer(prompt, "mine", origin="human", author=cast.ana)
    stage = make_stage(cast.project, "rate", rubric=[RIGHT])
    assert queue.claim(stage, cast.ana) is None
    assert queue.claim(stage, cast.bea) is not None


def test_the_prompt_alone_is_rated_with_or_without_answers(cast) -> None:
    make_prompt(cast.project, "with", answers=["one"])
    make_prompt(cast.project, "without")
    stage = make_stage(cast.project, "rate", rubric=[KINDS, NOTE], rate_answers=False)
    for _ in range(2):
        turn = queue.claim(stage, cast.ana)
        assert turn.shown == []
        done = rate(turn, cast.ana, {"kind": ["opinion", "fact"]})
        assert done.ratings == {"kind": ["fact", "opinion"]}
    assert Item.objects.filter(stage=stage, done=1).count() == 2


def test_a_stage_without_questions_says_so(cast) -> None:
    make_prompt(cast.project, answers=["one"])
    stage = make_stage(cast.project, "rate", rubric=[{**RIGHT, "removed": True}])
    assert "no questions yet" in queue.refusal(stage, cast.ana)
    assert queue.claim(stage, cast.ana) is None


def test_by_the_page(as_user, cast) -> None:
    make_prompt(cast.project, answers=["one", "two"])
    stage = make_stage(cast.project, "rate", rubric=[RIGHT, KINDS, NOTE])
    ana, url = as_user(cast.ana), reverse("annotation:work", args=[stage.pk])
    page = ana.get(url)
    assert [c["questions"][0]["name"] for c in page.context["cards"]] == ["q_right_A", "q_right_B"]
    turn = Submission.objects.get()
    form = {"submission": turn.pk, "version": 0, "q_right_A": "5", "q_right_B": "9"}
    form |= {"q_kind": ["fact", "opinion"], "q_note": "A word.\r\nTwo."}
    refused = ana.post(url, form)
    assert refused.status_code == 422
    assert refused.context["errors"] == {
        "q_right_B": "“Is it right?” has an answer that is not offered."
    }
    assert "A word.\nTwo." in refused.content.decode()
    assert ana.post(url, {**form, "q_right_B": "1"}).status_code in (200, 302)
    turn.refresh_from_db()
    a, b = map(str, turn.shown)
    assert turn.ratings == {
        "right": {a: 5, b: 1},
        "kind": ["fact", "opinion"],
        "note": "A word.\nTwo.",
    }


def test_a_rubric_beside_other_work(as_user, cast) -> None:
    """To write there is no answer yet: only what is about the prompt is asked."""
    make_prompt(cast.project)
    stage = make_stage(cast.project, rubric=[KINDS, RIGHT], tags=["Unsafe"])
    turn = queue.claim(stage, cast.ana)
    with pytest.raises(Refused, match="What is asked"):
        submissions.submit(submission=turn, user=cast.ana, content={"text": "x"})
    content = {"text": "x", "ratings": {"kind": ["fact"], "right": {"1": 3}}}
    done = submissions.submit(submission=turn, user=cast.ana, content=content)
    assert done.ratings == {"kind": ["fact"]}


def test_tags_of_an_answer(as_user, cast) -> None:
    make_prompt(cast.project, answers=["one", "two", "three"])
    stage = make_stage(cast.project, "rank", tags=["Wrong", "Too long"])
    ana, url = as_user(cast.ana), reverse("annotation:work", args=[stage.pk])
    ana.get(url)
    turn = Submission.objects.get()
    form = {"submission": turn.pk, "version": 0, "rank_A": 1, "rank_B": 2, "rank_C": 3}
    form |= {"tag_B": ["Too long", "Wrong"], "tag_C": ["No such tag"]}
    ana.post(url, form)
    turn.refresh_from_db()
    assert turn.tags == {str(turn.shown[1]): ["Wrong", "Too long"]}
