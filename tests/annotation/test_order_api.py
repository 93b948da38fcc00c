"""The order of a queue: scores and priorities from programs, priorities from the prompts list."""

import json

import pytest
from django.urls import reverse

from annotation import ordering, queue
from annotation.models import Item, Stage
from tests.annotation.factories import make_prompt, make_stage


@pytest.fixture
def prompts(cast):
    return [make_prompt(cast.project, f"Question {n}?", external_id=f"q{n}") for n in range(4)]


@pytest.fixture
def stage(cast, prompts) -> Stage:
    return make_stage(cast.project)


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


def send(client, name: str, stage: Stage, data: object):
    body = data if isinstance(data, str) else json.dumps(data)
    url = reverse(f"api-stage-{name}", args=[stage.pk])
    return client.post(url, body, content_type="application/json")


def first(stage: Stage, user) -> str:
    turn = queue.claim(Stage.objects.select_related("project").get(pk=stage.pk), user)
    return turn.item.prompt.external_id if turn else ""


# Scores


def test_the_highest_score_comes_first(lee, cast, stage, prompts) -> None:
    scores = {"q1": 0.2, "q2": 7, str(prompts[3].pk): -1}  # the last by its number
    answer = send(lee, "order", stage, {"scores": scores, "source": "run 12"})
    assert (answer.status_code, answer.json()) == (200, {"moved": 3})
    order = Item.objects.order_by("position").values_list("prompt__external_id", flat=True)
    assert list(order) == ["q2", "q1", "q3", "q0"]
    assert first(stage, cast.ana) == "q2"
    page = lee.get(reverse("annotation:stage", args=[stage.pk])).content.decode()
    assert "ordered by score, from run 12" in page


def test_an_external_id_that_looks_like_a_number_is_one(lee, cast, stage, prompts) -> None:
    twin = make_prompt(cast.project, "Named like a number", external_id=str(prompts[0].pk))
    send(lee, "order", stage, {"scores": {twin.external_id: 1}, "source": "x"})
    assert first(stage, cast.ana) == twin.external_id


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"scores": {"q1": 1, "nobody": 2}, "source": "x"}, "no prompt “nobody”"),
        ({"scores": {"a\0": 1}, "source": "x"}, "no prompt “a?”"),
        ('{"scores": {"\\ud800": 1}, "source": "x"}', "no prompt “?”"),
        ({"scores": {"q1": 1}, "source": " "}, "source"),
        ({"scores": {}, "source": "x"}, "scores"),
        ({"scores": {"q1": "high"}, "source": "x"}, "valid number"),
        ('{"scores": {"q1": 1e999}, "source": "x"}', "valid number"),
        ('{"scores": {"q1": NaN}, "source": "x"}', "JSON"),
        ({"scores": {"q1": 10**400}, "source": "x"}, "too large"),
        ({"scores": ["q1"], "source": "x"}, "scores"),
        ([1], "dictionary"),
    ],
)
def test_bad_scores_are_refused_and_change_nothing(lee, stage, data, said) -> None:
    answer = send(lee, "order", stage, data)
    assert answer.status_code == 400, answer.content
    assert said in answer.content.decode()
    stage.refresh_from_db()
    assert stage.order == "arrival" and stage.filled_to == 0


def test_too_many_scores_are_refused(lee, stage, monkeypatch) -> None:
    monkeypatch.setattr(ordering, "MOST_SCORES", 2)
    scores = {f"q{n}": n for n in range(3)}
    answer = send(lee, "order", stage, {"scores": scores, "source": "x"})
    assert answer.status_code == 400
    assert "3 scores are too many for one call: at most 2" in answer.json()["detail"]


def test_one_prompt_has_one_score(lee, stage, prompts) -> None:
    scores = {"q0": 1, str(prompts[0].pk): 2}
    answer = send(lee, "order", stage, {"scores": scores, "source": "x"})
    assert "A prompt has two scores" in answer.json()["detail"]


def test_imported_work_has_no_order(lee, cast, prompts) -> None:
    stage = make_stage(cast.project, "rank", state="imported")
    answer = send(lee, "order", stage, {"scores": {"q1": 1}, "source": "x"})
    assert "Nobody works in" in answer.json()["detail"]


def test_prompts_of_another_project_are_unknown(lee, cast, stage) -> None:
    other = type(cast.project).objects.create(workspace=cast.acme, name="B", slug="b")
    theirs = make_prompt(other, external_id="theirs")
    for name in ("theirs", str(theirs.pk)):
        answer = send(lee, "order", stage, {"scores": {name: 1}, "source": "x"})
        assert answer.status_code == 400


# Priorities


def test_a_program_puts_prompts_first_and_last(lee, cast, stage, prompts) -> None:
    sent = {"prompts": ["q3", prompts[2].pk], "priority": 1}
    assert send(lee, "priority", stage, sent).json() == {"moved": 2}
    assert send(lee, "priority", stage, {"prompts": ["q0"], "priority": -1}).json() == {"moved": 1}
    lanes = dict(Item.objects.values_list("prompt__external_id", "lane"))
    assert lanes == {"q0": 2, "q1": 0, "q2": -2, "q3": -2}
    assert first(stage, cast.ana) == "q2"


@pytest.mark.parametrize(
    "data",
    [
        {"prompts": ["q1"], "priority": 101},
        {"prompts": ["q1"]},
        {"prompts": [], "priority": 1},
        {"prompts": ["q1", "nobody"], "priority": 1},
        {"prompts": [{"id": 1}], "priority": 1},
        {"prompts": "q1", "priority": 1},
    ],
)
def test_bad_priorities_are_refused(lee, stage, data) -> None:
    assert send(lee, "priority", stage, data).status_code == 400
    assert not Item.objects.exclude(lane=0).exists()


def test_what_the_queue_has_not_come_to_is_reached(cast, prompts, stage, monkeypatch) -> None:
    monkeypatch.setattr(ordering, "MOST_AHEAD", 3)
    ids = [prompt.pk for prompt in prompts]
    with pytest.raises(ordering.Refused, match="more than 3 prompts away"):
        ordering.prioritise(stage, ids, 1)
    assert ordering.prioritise(stage, ids[:3], 1) == 3


# On the page


def choose(client, project, where="", **data):
    url = reverse("annotation:prompts_act", args=[project.pk])
    return client.post(url, {"where": where, **data}, follow=True).content.decode()


def test_a_lead_ticks_prompts_and_puts_them_first(lee, cast, stage, prompts) -> None:
    page = choose(lee, cast.project, prompt=[prompts[2].pk], stage=stage.pk, act="first")
    assert "1 item of Write put first" in page and "Undo" in page
    assert first(stage, cast.ana) == "q2"
    page = choose(lee, cast.project, prompt=[prompts[2].pk], stage=stage.pk, act="usual")
    assert "0 items of Write put" not in page and "Undo" not in page  # it is in hand by now


def test_all_that_match_are_put_last(lee, cast, stage, prompts) -> None:
    where = "q=%22Question+1%22"
    page = choose(lee, cast.project, where, all="1", stage=stage.pk, act="last")
    assert "1 item of Write put last" in page
    assert 'value="&quot;Question 1&quot;"' in page  # the search stays
    assert Item.objects.get(prompt=prompts[1]).lane == 2


def test_more_than_the_most_are_refused(lee, cast, stage, monkeypatch) -> None:
    monkeypatch.setattr(ordering, "MOST_PROMPTS", 3)
    page = choose(lee, cast.project, all="1", stage=stage.pk, act="first")
    assert "More than 3 prompts match" in page
    assert not Item.objects.exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "Choose what to do"),
        ({"stage": "", "act": "first", "all": "1"}, "Choose a stage"),
        ({"stage": "1e9", "act": "first", "all": "1"}, "Choose a stage"),
        ({"act": "7", "all": "1"}, "Choose what to do"),
        ({"act": "first", "prompt": "x"}, "Tick some prompts"),
        ({"act": "assign", "all": "1"}, "Choose the people"),
    ],
)
def test_a_half_filled_form_says_what_is_missing(lee, cast, stage, prompts, data, said) -> None:
    given = {"stage": stage.pk, **data}
    assert said in choose(lee, cast.project, **given)


def test_reviewers_see_no_such_form(as_user, cast, stage) -> None:
    url = reverse("annotation:prompts", args=[cast.project.pk])
    assert "Put first" not in as_user(cast.rui).get(url).content.decode()
    assert "Put first" in as_user(cast.lee).get(url).content.decode()
