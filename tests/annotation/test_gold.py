"""Items with a known answer, hidden in the queue."""

import pytest

from annotation import gold, projects, quality_data, queue, submissions
from annotation.errors import Refused
from annotation.models import Item
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(cast):
    """Twenty prompts to rank, the last four of them gold; one turn in four."""
    cast.prompts = [make_prompt(cast.project, f"Q{n}", answers=["A", "B"]) for n in range(20)]
    cast.stage = make_stage(cast.project, "rank", gold_every=4)
    while queue.fill(cast.stage):
        pass
    cast.gold = list(Item.objects.order_by("-prompt")[:4])
    for item in cast.gold:
        order = [[pk] for pk in item.candidates]
        gold.make_gold(item=item, content={"order": order}, author=cast.lee)
    return cast


def work(stage, user, turns) -> list[Item]:
    done = []
    for _ in range(turns):
        turn = queue.claim(stage, user)
        if turn is None:
            break
        order = [[pk] for pk in turn.shown]
        submissions.submit(submission=turn, user=user, content={"order": order})
        done.append(turn.item)
    return done


def test_each_block_of_turns_has_one_and_everybody_gets_each_once(desk):
    anas, beas = work(desk.stage, desk.ana, 8), work(desk.stage, desk.bea, 12)
    for done in (anas, beas):
        known = [item in desk.gold for item in done]
        assert [sum(known[start : start + 4]) for start in range(0, len(known), 4)] == [1] * (
            len(done) // 4
        )
    both = {item.pk for item in anas} & {item.pk for item in beas}
    assert both == {item.pk for item in anas if item in desk.gold}


def test_without_ordinary_work_no_heap_of_gold_is_left(desk):
    done = work(desk.stage, desk.ana, 40)
    assert sum(item not in desk.gold for item in done) == 16
    assert len(done) == len(set(done)) <= 20


def test_it_counts_nowhere_as_work_that_is_left(desk):
    assert queue.left_for(desk.stage, desk.ana) == 16
    assert queue.progress(desk.stage)["items"] == 16
    work(desk.stage, desk.ana, 40)
    assert queue.progress(desk.stage)["done"] == 16


def test_it_is_never_reviewed_nor_put_elsewhere(desk):
    projects.update_stage(stage=desk.stage, review_share=100)
    queue.set_priority(desk.stage, [prompt.pk for prompt in desk.prompts], 3)
    projects.update_stage(stage=desk.stage, overlap=2)
    assert Item.objects.filter(lane=Item.GOLD_LANE, needed=32_767, open=True).count() == 4
    for item in work(desk.stage, desk.ana, 8):
        waits = item.submissions.get(user=desk.ana).review == "waiting"
        assert waits is (item not in desk.gold)


def test_an_end_of_it_makes_an_ordinary_item(desk):
    work(desk.stage, desk.ana, 20)
    for item in desk.gold:
        gold.end_gold(item=item)
    with pytest.raises(Refused, match="is no gold"):
        gold.end_gold(item=desk.gold[0])
    for item in Item.objects.filter(pk__in=[item.pk for item in desk.gold]):
        assert (item.needed, item.open) == (1, item.taken < 1)


def test_given_again_it_is_measured_again(desk, cast):
    [item, *_] = desk.gold
    before = quality_data.data_key(desk.stage)
    order = [[pk] for pk in reversed(item.candidates)]
    gold.make_gold(item=item, content={"order": order}, author=cast.lee, note="It was a slip.")
    assert Item.objects.get(pk=item.pk).gold.content == {"order": order}
    assert quality_data.data_key(desk.stage) != before


def test_what_cannot_be_gold(desk, cast):
    item = Item.objects.exclude(lane=Item.GOLD_LANE).first()
    with pytest.raises(Refused, match="has no place yet"):
        gold.make_gold(item=item, content={"order": [[item.candidates[0]]]}, author=cast.lee)
    write = make_stage(cast.project)
    queue.fill(write)
    with pytest.raises(Refused, match="no one right answer"):
        gold.make_gold(item=write.items.first(), content={"text": "Right"}, author=cast.lee)


@pytest.mark.parametrize(
    "known, given, expected",
    [
        ({"order": [[1], [2]]}, {"order": [[1], [2]]}, 1),
        ({"order": [[1], [2]]}, {"order": [[2], [1]]}, 0),
        ({"order": [[1], [2]]}, {"order": [[1, 2]]}, 0),
        ({"order": [[1], [2], [3]]}, {"order": [[1], [3], [2]]}, 2 / 3),
        ({"order": [[1], [2]]}, {}, 0),
        ({"ratings": {"q": 3}}, {"ratings": {"q": 3, "other": 1}}, 1),
        ({"ratings": {"q": {"1": 3, "2": 4}}}, {"ratings": {"q": {"1": 3}}}, 0.5),
        ({"ratings": {"q": ["a", "b"]}}, {"ratings": {"q": ["b", "c"]}}, 1 / 3),
        ({"order": [[1], [2]], "ratings": {"q": "x"}}, {"order": [[1], [2]]}, 0.5),
    ],
)
def test_the_score(known, given, expected):
    assert gold.score(known, given) == pytest.approx(expected)


def test_the_stage_form_sets_how_often_and_what_is_empty_stays(cast, as_user):
    stage = make_stage(cast.project, "rank", gold_every=5, takes_all=False)
    sent = {"name": "Rank", "overlap": 1, "everyone": "yes", "order": "arrival", "max_answers": 9}
    sent |= {"lease_minutes": 60, "skips_to_close": 3}
    path = f"/stages/{stage.pk}/edit/"
    assert as_user(cast.lee).post(path, sent).status_code == 302
    stage.refresh_from_db()
    assert (stage.gold_every, stage.takes_all) == (5, False)
    page = as_user(cast.lee).post(path, sent | {"gold_every": 1}).content.decode()
    assert "Every turn would be gold" in page
    as_user(cast.lee).post(path, sent | {"gold_every": 8, "takes_all": "yes"})
    stage.refresh_from_db()
    assert (stage.gold_every, stage.takes_all) == (8, True)
