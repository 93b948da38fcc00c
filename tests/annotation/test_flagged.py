"""The lead's list of flagged items: who says what about them, and what a lead does."""

import re

import pytest
from django.urls import reverse

from annotation import places, queue, submissions
from annotation.models import Item
from tests.annotation.factories import make_prompt, make_stage


def url(name: str, pk: int) -> str:
    return reverse(f"annotation:{name}", args=[pk])


@pytest.fixture
def skipped(cast) -> Item:
    """An item that one skip has closed."""
    make_prompt(cast.project, "What is this? \x85\x1b")
    stage = make_stage(cast.project, skips_to_close=1)
    turn = queue.claim(stage, cast.ana)
    assert turn
    submissions.skip(submission=turn, user=cast.ana, reason="broken", note="<b>half a word</b>")
    item = Item.objects.get()
    assert item.flagged and not item.open
    return item


def test_the_list_says_who_skipped_why(as_user, cast, skipped) -> None:
    page = as_user(cast.rui).get(url("stage", skipped.stage_id)).content.decode()
    assert "Ana skipped it: Broken or garbled, “&lt;b&gt;half a word&lt;/b&gt;”" in page
    assert "closed by skips" in page
    assert "Put it back" not in page  # a reviewer reads
    assert "Put it back" in as_user(cast.lee).get(skipped_stage(skipped)).content.decode()


def skipped_stage(item: Item) -> str:
    return url("stage", item.stage_id)


def test_the_list_says_who_pressed_the_flag(as_user, cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, overlap=2)
    for user, on in ((cast.ana, "1"), (cast.bea, "")):
        turn = queue.claim(stage, user)
        as_user(user).post(url("work_flag", stage.pk), {"submission": turn.pk, "on": on})
    assert "flagged it" not in as_user(cast.lee).get(url("stage", stage.pk)).content.decode()
    as_user(cast.bea).post(url("work_flag", stage.pk), {"submission": turn.pk, "on": "1"})
    page = as_user(cast.lee).get(url("stage", stage.pk)).content.decode()
    assert "Bea flagged it" in page
    submissions.submit(submission=turn, user=cast.bea, content={"text": "Yes."})
    assert list(turn.history.order_by("pk").values_list("event", flat=True)) == [
        *("unflag", "flag", "submit"),
    ]


def test_the_flag_does_what_the_page_says(as_user, cast) -> None:
    """Also pressed twice in one page; and what another has flagged meanwhile stays flagged."""
    make_prompt(cast.project)
    stage = make_stage(cast.project, overlap=2)
    ana, bea = as_user(cast.ana), as_user(cast.bea)
    pages = [client.get(url("work", stage.pk)).content.decode() for client in (ana, bea)]

    def press(client, page: str) -> str:
        form = page[page.index('id="flag-form"') :].split("</form>")[0]
        sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w*)">', form))
        answer = client.post(url("work_flag", stage.pk), sent, headers={"HX-Request": "true"})
        assert answer.status_code == 200
        return answer.content.decode()

    after = press(ana, pages[0])
    press(bea, pages[1])
    assert Item.objects.get().flagged
    press(ana, after)
    assert not Item.objects.get().flagged


def test_put_back_it_goes_to_those_who_have_not_skipped_it(as_user, cast, skipped) -> None:
    lee = as_user(cast.lee)
    page = lee.post(url("item_release", skipped.pk), follow=True).content.decode()
    assert "Back in the queue" in page and "None. An item comes here" in page
    skipped.refresh_from_db()
    assert (skipped.open, skipped.flagged, skipped.skips) == (True, False, 0)
    assert queue.claim(skipped.stage, cast.ana) is None
    again = queue.claim(skipped.stage, cast.bea)
    assert again and again.item_id == skipped.pk


def test_two_leads_put_it_back_once(as_user, cast, skipped) -> None:
    lee = as_user(cast.lee)
    lee.post(url("item_release", skipped.pk))
    position = Item.objects.get().position
    page = lee.post(url("item_release", skipped.pk), follow=True).content.decode()
    assert "taken it off the list already" in page
    assert Item.objects.get().position == position


def test_a_skip_of_what_was_put_back_can_still_be_taken_back(cast, skipped) -> None:
    places.put_back(skipped.pk)
    turn = submissions.undo(stage=skipped.stage, user=cast.ana)
    skipped.refresh_from_db()
    assert turn.state == "claimed"
    assert (skipped.taken, skipped.skips, skipped.open) == (1, 0, False)


def test_put_back_is_in_front_of_those_who_have_passed_it(cast, skipped) -> None:
    make_prompt(cast.project, "Another")
    stage = skipped.stage
    submissions.submit(
        submission=queue.claim(stage, cast.bea), user=cast.bea, content={"text": "Yes."}
    )
    places.put_back(skipped.pk)
    turn = queue.claim(stage, cast.bea)
    assert turn and turn.item_id == skipped.pk


def test_of_a_retired_prompt_nothing_is_put_back(cast, skipped) -> None:
    from annotation import prompts

    prompts.retire(prompt=skipped.prompt)
    assert places.put_back(skipped.pk)
    assert not Item.objects.get().open


def test_unflagged_it_stays_as_it_is(as_user, cast, skipped) -> None:
    lee = as_user(cast.lee)
    assert "Off the list" in lee.post(url("item_unflag", skipped.pk), follow=True).content.decode()
    skipped.refresh_from_db()
    assert (skipped.open, skipped.flagged, skipped.skips) == (False, False, 1)
    page = lee.post(url("item_unflag", skipped.pk), follow=True).content.decode()
    assert "taken it off the list already" in page


def test_retired_from_the_list_it_is_off_it(as_user, cast, skipped) -> None:
    lee = as_user(cast.lee)
    done = lee.post(url("prompt_retire", skipped.prompt_id), {"stage": skipped.stage_id})
    assert done.url == skipped_stage(skipped)
    assert "None. An item comes here" in lee.get(done.url).content.decode()


def test_a_full_item_that_is_flagged_stays_full(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    turn = queue.claim(stage, cast.ana)
    places.flag(turn.item_id)
    before = Item.objects.get()
    assert places.put_back(turn.item_id)
    item = Item.objects.get()
    assert not item.open and item.taken == 1 and item.lane <= before.lane
