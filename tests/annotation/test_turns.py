"""My work: a person's turns in a stage, the page of one, its history, and second thoughts."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation import queue, submissions
from annotation.models import Stage, Submission
from annotation.templatetags.turns import typical
from annotation.word_diff import MOST, word_diff
from tests.annotation.factories import make_prompt, make_stage

TONE = {
    "key": "tone",
    "title": "Tone",
    "help": "",
    "type": "rating",
    "about": "prompt",
    "required": True,
    "low": 1,
    "high": 5,
}
NASTY = '<script>alert(1)</script> \u202eright\u202c \x07 {{ 1 }} "&"'


def url(name: str, pk: int, query: str = "") -> str:
    return reverse(f"annotation:{name}", args=[pk]) + query


def text_of(client, name: str, pk: int, query: str = "") -> str:
    return client.get(url(name, pk, query)).content.decode()


@pytest.fixture
def stage(cast) -> Stage:
    for n in range(4):
        make_prompt(cast.project, f"Question {n}?")
    return make_stage(cast.project, overlap=2)


def claim(stage: Stage, user) -> Submission:
    turn = queue.claim(Stage.objects.select_related("project").get(pk=stage.pk), user)
    assert turn
    return turn


def hand_in(stage: Stage, user, text: str = "Because.") -> Submission:
    return submissions.submit(submission=claim(stage, user), user=user, content={"text": text})


def skip(stage: Stage, user) -> Submission:
    turn = claim(stage, user)
    return submissions.skip(submission=turn, user=user, reason="unsafe", note="No.")


# The list


def test_each_kind_of_turn_has_its_tab(as_user, cast, stage) -> None:
    hand_in(stage, cast.ana)
    skip(stage, cast.ana)
    expired = claim(stage, cast.ana)
    submissions.save_draft(submission=expired, user=cast.ana, content={"text": "Hm"}, version=0)
    Submission.objects.filter(pk=expired.pk).update(state="expired", claimed_until=None)
    ana = as_user(cast.ana)
    shows = {
        "": ["Question 0?", "Question 1?", "Question 2?"],
        "?show=submitted": ["Question 0?"],
        "?show=skipped": ["Question 1?"],
        "?show=drafts": ["Question 2?"],
        "?show=late": [],
        "?show=incomplete": [],
        "?show=nonsense": ["Question 0?", "Question 1?", "Question 2?"],
    }
    for query, expected in shows.items():
        page = text_of(ana, "turns", stage.pk, query)
        assert [f"Question {n}?" for n in range(4) if f"Question {n}?" in page] == expected, query
    page = text_of(ana, "turns", stage.pk)
    assert "Unsafe or upsetting, “No.”" in page and "time ran out, kept" in page


def test_a_claim_that_expired_untouched_is_nothing_to_come_back_to(as_user, cast, stage) -> None:
    Submission.objects.filter(pk=claim(stage, cast.ana).pk).update(state="expired")
    assert "Question 0?" not in text_of(as_user(cast.ana), "turns", stage.pk)


def test_newest_first_and_paged_by_key(as_user, cast) -> None:
    for n in range(52):
        make_prompt(cast.project, f"Question {n}?")
    stage = make_stage(cast.project)
    turns = [hand_in(stage, cast.ana) for _ in range(52)]
    ana = as_user(cast.ana)
    first = ana.get(url("turns", stage.pk)).context["page"]
    assert [row.turn.pk for row in first.rows] == [turn.pk for turn in turns[:1:-1]]
    second = ana.get(url("turns", stage.pk, f"?after={first.after}")).context["page"]
    assert [row.turn.pk for row in second.rows] == [turns[1].pk, turns[0].pk]
    assert second.after is None
    assert ana.get(url("turns", stage.pk, "?after=1e9")).status_code == 200


def test_anothers_work_is_for_reviewers_and_leads(as_user, cast, stage) -> None:
    done = hand_in(stage, cast.ana, "Ana's answer")
    hand_in(stage, cast.ana)
    theirs = f"?user={cast.ana.pk}"
    assert as_user(cast.bea).get(url("turns", stage.pk, theirs)).status_code == 403
    assert as_user(cast.bea).get(url("turn", done.pk)).status_code == 403
    assert as_user(cast.otto).get(url("turns", stage.pk, theirs)).status_code == 404
    assert as_user(cast.otto).get(url("turn", done.pk)).status_code == 404
    for user in (cast.rui, cast.lee):
        page = text_of(as_user(user), "turns", stage.pk, theirs)
        assert "Work of Ana" in page and "Question 0?" in page
        assert "Ana&#x27;s answer" in text_of(as_user(user), "turn", done.pk)
        assert (">Active</th>" in page) == (user == cast.lee)  # a pace is private
        assert ("0 s active" in text_of(as_user(user), "turn", done.pk)) == (user == cast.lee)
        assert as_user(user).get(url("turns", stage.pk, "?user=999999")).status_code == 404
        assert as_user(user).post(url("turn_reopen", done.pk)).status_code == 403
        assert as_user(user).post(url("turn_complete", done.pk)).status_code == 403


# One turn


def test_any_text_is_harmless(as_user, cast) -> None:
    make_prompt(cast.project, NASTY)
    stage = make_stage(cast.project)
    turn = hand_in(stage, cast.ana, NASTY)
    submissions.reopen(submission=turn, user=cast.ana)
    turn.refresh_from_db()
    submissions.submit(submission=turn, user=cast.ana, content={"text": f"{NASTY} more"})
    page = text_of(as_user(cast.ana), "turn", turn.pk)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert "<ins> more</ins>" in page


def test_where_answers_come_from_is_hidden_until_it_is_handed_in(as_user, cast) -> None:
    make_prompt(cast.project, "Which?", answers=[("One", "gpt-x"), ("Two", "llama-y")])
    stage = make_stage(cast.project, "rank")
    turn = claim(stage, cast.ana)
    ana = as_user(cast.ana)
    page = text_of(ana, "turn", turn.pk)
    assert "One" in page and "gpt-x" not in page and "llama-y" not in page
    first, second = turn.shown
    content = {"order": [[second], [first]], "strength": -2}
    submissions.submit(submission=turn, user=cast.ana, content=content)
    page = text_of(ana, "turn", turn.pk)
    assert "gpt-x" in page and "llama-y" in page
    assert "B &gt; A" in page and "B is slightly better" in page
    submissions.reopen(submission=turn, user=cast.ana)
    assert "gpt-x" not in text_of(ana, "turn", turn.pk)


def test_the_history_says_what_changed_between_versions(as_user, cast, stage) -> None:
    turn = hand_in(stage, cast.ana, "The sky is blue today")
    ana = as_user(cast.ana)
    assert ana.post(url("turn_reopen", turn.pk)).url == url("work", stage.pk)
    turn.refresh_from_db()
    submissions.submit(
        submission=turn, user=cast.ana, content={"text": "The sky was blue yesterday"}
    )
    page = text_of(ana, "turn", turn.pk)
    assert "<del>is</del><ins>was</ins>" in page
    assert page.index("Handed in again") < page.index("Reopened") < page.rindex("Handed in")


def test_every_event_and_any_old_content_has_words(as_user, cast, stage) -> None:
    turn = hand_in(stage, cast.ana)
    odd = {"order": "x", "ratings": [1], "tags": [], "strength": "9", "messages": [], "text": 5}
    for number, event in enumerate(["late", "skip", "undo", "reopen", "complete", "new"], 2):
        turn.history.create(number=number, event=event, content=odd, author=None)
    page = text_of(as_user(cast.ana), "turn", turn.pk)
    assert "Answered the new questions" in page and "somebody" in page


# Second thoughts


def test_a_reopened_turn_is_shown_first(as_user, cast, stage) -> None:
    first, _ = hand_in(stage, cast.ana, "My first answer"), hand_in(stage, cast.ana)
    claim(stage, cast.ana)
    ana = as_user(cast.ana)
    page = ana.post(url("turn_reopen", first.pk), follow=True).content.decode()
    assert "Question 0?" in page and "My first answer" in page


def test_a_skip_is_taken_back(as_user, cast, stage) -> None:
    skipped = skip(stage, cast.ana)
    ana = as_user(cast.ana)
    assert "Take it back" in text_of(ana, "turn", skipped.pk)
    assert "Question 0?" in ana.post(url("turn_reopen", skipped.pk), follow=True).content.decode()
    skipped.refresh_from_db()
    assert skipped.state == "claimed"


def test_a_stage_may_forbid_second_thoughts(as_user, cast, stage) -> None:
    turn = hand_in(stage, cast.ana)
    Stage.objects.update(reopen=False)
    ana = as_user(cast.ana)
    assert ">Reopen<" not in text_of(ana, "turn", turn.pk)
    page = ana.post(url("turn_reopen", turn.pk), follow=True).content.decode()
    assert "stays as it is in this stage" in page
    turn.refresh_from_db()
    assert turn.state == "submitted"


def test_nothing_is_taken_back_where_one_cannot_go_on(as_user, cast, stage) -> None:
    turn = hand_in(stage, cast.ana)
    Stage.objects.update(state="paused")
    page = as_user(cast.ana).post(url("turn_reopen", turn.pk), follow=True).content.decode()
    assert "This stage is paused" in page
    turn.refresh_from_db()
    assert turn.state == "submitted"


def test_an_older_draft_is_gone_on_with(as_user, cast, stage) -> None:
    old = hand_in(stage, cast.ana)
    submissions.reopen(submission=old, user=cast.ana)
    newer = hand_in(stage, cast.bea)  # somebody else's, in between
    ahead = Submission.objects.create(
        item=stage.items.order_by("pk").last(),
        stage=stage,
        user=cast.ana,
        claimed_until=timezone.now() + timedelta(hours=9),
    )
    page = as_user(cast.ana).post(url("turn_reopen", old.pk), follow=True).content.decode()
    assert old.pk < newer.pk < ahead.pk
    assert "Question 0?" in page  # chosen, it comes before what is held longer


def test_an_expired_draft_comes_back_while_its_place_is_free(as_user, cast, stage) -> None:
    Stage.objects.update(overlap=1)
    stage.refresh_from_db()
    turn = claim(stage, cast.ana)
    submissions.save_draft(submission=turn, user=cast.ana, content={"text": "Half"}, version=0)
    soon = timezone.now() - timedelta(minutes=1)
    Submission.objects.filter(pk=turn.pk).update(claimed_until=soon)
    queue.expire(stage)
    ana = as_user(cast.ana)
    assert "Half" in ana.post(url("turn_reopen", turn.pk), follow=True).content.decode()
    Submission.objects.filter(pk=turn.pk).update(claimed_until=soon)
    queue.expire(stage)
    assert claim(stage, cast.bea).item_id == turn.item_id
    page = ana.post(url("turn_reopen", turn.pk), follow=True).content.decode()
    assert "Others have this item by now" in page and "Half" in page


# Questions that came later


@pytest.fixture
def asked(cast, stage) -> Submission:
    """Handed in before the stage asked for the tone."""
    turn = hand_in(stage, cast.ana)
    Stage.objects.update(rubric=[TONE])
    return turn


def test_work_that_lacks_an_answer_is_to_complete(as_user, cast, stage, asked) -> None:
    ana = as_user(cast.ana)
    assert "1 new question" in text_of(ana, "turns", stage.pk, "?show=incomplete")
    page = text_of(ana, "turn", asked.pk)
    assert "Answer the new questions" in page and 'name="q_tone"' in page
    done = ana.post(url("turn_complete", asked.pk), {"q_tone": "4"}, follow=True).content.decode()
    assert "Complete again" in done and "Answer the new questions</h2>" not in done
    asked.refresh_from_db()
    assert asked.ratings == {"tone": 4} and asked.state == "submitted"
    assert "Nothing is incomplete" in text_of(ana, "turns", stage.pk, "?show=incomplete")


def test_an_answer_that_is_missing_is_asked_for_beside_its_field(as_user, cast, asked) -> None:
    note = {**TONE, "key": "note", "title": "Note", "type": "text"}
    Stage.objects.update(rubric=[TONE, note])
    ana = as_user(cast.ana)
    response = ana.post(url("turn_complete", asked.pk), {"q_note": "Kept <b>as typed</b>"})
    page = response.content.decode()
    assert response.status_code == 422
    assert "“Tone” is not answered yet" in page
    assert "Kept &lt;b&gt;as typed&lt;/b&gt;" in page
    asked.refresh_from_db()
    assert asked.ratings == {}


def test_of_each_answer_the_new_question_is_asked(as_user, cast) -> None:
    make_prompt(cast.project, "Which?", answers=["One", "Two"])
    stage = make_stage(cast.project, "rank")
    turn = claim(stage, cast.ana)
    first, second = turn.shown
    submissions.submit(
        submission=turn, user=cast.ana, content={"order": [[first], [second]], "strength": 1}
    )
    Stage.objects.update(rubric=[{**TONE, "about": "answer"}])
    ana = as_user(cast.ana)
    page = text_of(ana, "turn", turn.pk)
    assert "Answer A</legend>" in page and 'name="q_tone_B"' in page
    refused = ana.post(url("turn_complete", turn.pk), {"q_tone_A": "2"})
    assert refused.status_code == 422
    ana.post(url("turn_complete", turn.pk), {"q_tone_A": "2", "q_tone_B": "5"})
    turn.refresh_from_db()
    assert turn.ratings == {"tone": {str(first): 2, str(second): 5}}
    assert "A: 2 · B: 5" in text_of(ana, "turn", turn.pk)


def test_an_older_answer_that_is_out_of_range_by_now_is_left_alone(as_user, cast, asked) -> None:
    Submission.objects.update(ratings={"tone": 5})
    Stage.objects.update(rubric=[{**TONE, "high": 3}, {**TONE, "key": "new"}])
    as_user(cast.ana).post(url("turn_complete", asked.pk), {"q_new": "1"})
    asked.refresh_from_db()
    assert asked.ratings == {"tone": 5, "new": 1}


# Where one cannot go on


def save(client, turn: Submission, text: str):
    data = {"submission": turn.pk, "version": turn.version, "text": text}
    return client.post(url("work_draft", turn.stage_id), data)


def test_who_is_no_longer_assigned_learns_why_and_keeps_the_draft(as_user, cast, stage) -> None:
    turn = claim(stage, cast.ana)
    ana = as_user(cast.ana)
    assert save(ana, turn, "Half of it").status_code == 200
    lee = as_user(cast.lee)
    edit = lee.get(url("stage_edit", stage.pk)).context["form"]
    fields = {name: edit[name].value() for name in edit.fields}
    given = {name: value for name, value in fields.items() if value not in (None, False)}
    given |= {"everyone": "no", "people": [cast.bea.pk]}
    assert lee.post(url("stage_edit", stage.pk), given).status_code == 302
    page = text_of(as_user(cast.ana), "work", stage.pk)
    assert "This stage is for chosen people, and you are not among them" in page
    assert url("turns", stage.pk) in page
    turn.refresh_from_db()
    assert save(ana, turn, "Half of it, and more").status_code == 200  # the open tab goes on
    assert "Half of it, and more" in text_of(ana, "turn", turn.pk)
    assert "Half of it" not in text_of(as_user(cast.bea), "work", stage.pk)


def test_in_a_paused_stage_typing_goes_on_and_the_page_says_so(as_user, cast, stage) -> None:
    turn = claim(stage, cast.ana)
    as_user(cast.lee).post(url("stage_state", stage.pk), {"state": "paused"})
    ana = as_user(cast.ana)
    assert save(ana, turn, "Typed in the pause").status_code == 200
    assert "This stage is paused" in text_of(ana, "work", stage.pk)
    assert "Typed in the pause" in text_of(ana, "turn", turn.pk)
    as_user(cast.lee).post(url("stage_state", stage.pk), {"state": "open"})
    assert "Typed in the pause" in text_of(as_user(cast.ana), "work", stage.pk)


# The difference


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a b c", "a b c", [("same", "a b c")]),
        ("", "new", [("ins", "new")]),
        ("old", "", [("del", "old")]),
        ("one two", "one three", [("same", "one "), ("del", "two"), ("ins", "three")]),
        # A word between two larger changes is no reading matter; an unchanged clause is.
        (
            "if the man left",
            "if his own mother has the car",
            [("same", "if "), ("del", "the man left"), ("ins", "his own mother has the car")],
        ),
        (
            "look at History now",
            "look at *History* now",
            [
                ("same", "look at "),
                ("ins", "*"),
                ("same", "History"),
                ("ins", "*"),
                ("same", " now"),
            ],
        ),
        ("我爱你", "我恨你", [("same", "我"), ("del", "爱"), ("ins", "恨"), ("same", "你")]),
    ],
)
def test_the_difference_is_by_words(before: str, after: str, expected) -> None:
    assert word_diff(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a " * 3 * MOST, "b " * 3 * MOST),
        ("x\n\n\ty  z", "x\n\ty z "),
        ("!?.,;:" * 500, "?!,.:;" * 400),
        (NASTY, NASTY[::-1]),
        ("👩‍👩‍👧 é e\u0301", "👩‍👧 é\u0301"),
    ],
)
def test_both_texts_can_be_read_from_the_difference(before: str, after: str) -> None:
    steps = word_diff(before, after)
    assert "".join(text for kind, text in steps if kind != "ins") == before
    assert "".join(text for kind, text in steps if kind != "del") == after


@pytest.mark.parametrize(
    ("seconds", "words"), [(2, "2 s"), (95.4, "95 s"), (654, "11 min"), (7_500, "2 h 5 min")]
)
def test_what_an_item_takes_is_said_in_the_unit_that_fits(seconds, words) -> None:
    assert typical(seconds) == words
