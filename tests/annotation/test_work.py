"""The work page: shows, takes, answers with the next; refuses strangers; loses nothing."""

import re
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from annotation import queue, submissions
from annotation.models import GuidelineVersion, Item, Ranking, Response, Stage, Submission
from tests.annotation.factories import add_answer, make_prompt, make_stage

HTMX = {"HX-Request": "true"}
ACTS = ["work", "work_draft", "work_skip", "work_flag", "work_undo", "work_preview"]


def url(stage, name: str = "work") -> str:
    return reverse(f"annotation:{name}", args=[stage.pk])


def mine(stage, user) -> Submission:
    return Submission.objects.get(stage=stage, user=user, state__in=["claimed", "draft"])


@pytest.fixture
def write(cast):
    for n in range(3):
        make_prompt(cast.project, f"Question **{n}**")
    return make_stage(cast.project, instructions="Be kind.")


@pytest.fixture
def ana(as_user, cast):
    return as_user(cast.ana)


# Who may


def test_get_is_for_members(check_roles, write) -> None:
    check_roles(url(write), at_least="annotator")


@pytest.mark.parametrize("name", ACTS)
def test_posts_are_for_members(check_roles, write, name: str) -> None:
    check_roles(url(write, name), at_least="annotator", method="post")


@pytest.mark.parametrize("name", ACTS[1:])
def test_acts_are_posts(ana, write, name: str) -> None:
    assert ana.get(url(write, name)).status_code == 405


@pytest.mark.parametrize("name", ["work", "work_draft", "work_skip", "work_flag"])
def test_anothers_submission_is_not_found(ana, cast, write, name: str) -> None:
    theirs = queue.claim(write, cast.bea)
    response = ana.post(url(write, name), {"submission": theirs.pk, "text": "x", "version": 0})
    assert response.status_code == 404
    assert ana.post(url(write, name), {"submission": "1e9"}).status_code == 400


def test_a_submission_of_another_stage_is_not_found(ana, cast, write) -> None:
    other = make_stage(cast.project)
    submission = queue.claim(other, cast.ana)
    data = {"submission": submission.pk, "text": "x", "version": 0}
    assert ana.post(url(write), data).status_code == 404


# Write


def test_the_page_shows_the_item(ana, cast, write) -> None:
    GuidelineVersion.objects.create(project=cast.project, number=3, text="# Be *short*")
    page = ana.get(url(write)).content.decode()
    assert "<p>Question <strong>0</strong></p>" in page
    assert "Be kind." in page
    assert "version 3" in page
    assert "Be <em>short</em>" in page
    assert 'style="' not in page
    assert "no-store" in ana.get(url(write)).headers["Cache-Control"]


def test_submit_answers_with_the_next_item(ana, cast, write) -> None:
    ana.get(url(write))
    first = mine(write, cast.ana)
    data = {"submission": first.pk, "version": 0, "seconds": 7, "text": "Because."}
    response = ana.post(url(write), data, headers=HTMX)
    page = response.content.decode()
    assert response.status_code == 200
    assert "<html" not in page
    assert "Question <strong>1</strong>" in page
    assert "1 done" in page
    first.refresh_from_db()
    assert (first.state, first.active_seconds) == ("submitted", 7)
    assert Response.objects.get().text == "Because."


def test_without_script_a_submit_redirects(ana, cast, write) -> None:
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "Because."}
    response = ana.post(url(write), data)
    assert (response.status_code, response.url) == (302, url(write))


def test_a_refused_answer_stays_on_the_page(ana, cast, write) -> None:
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "  "}
    response = ana.post(url(write), data, headers=HTMX)
    assert response.status_code == 422
    assert "The answer is empty" in response.content.decode()
    data["text"] = "kept words \x00 here"
    page = ana.post(url(write), data).content.decode()
    assert "NUL character" in page
    assert "kept words" in page


def test_a_stale_submit_keeps_both_texts(ana, cast, write) -> None:
    ana.get(url(write))
    submission = mine(write, cast.ana)
    data = {"submission": submission.pk, "version": 0, "text": "from the other tab"}
    assert ana.post(url(write, "work_draft"), data).json() == {"version": 1, "expired": False}
    data["text"] = "from this tab"
    response = ana.post(url(write), data, headers=HTMX)
    page = response.content.decode()
    assert response.status_code == 409
    assert "from the other tab" in page
    assert "from this tab" in page
    data["version"] = re.search(r'name="version" value="(\d+)"', page)[1]
    assert ana.post(url(write), data, headers=HTMX).status_code == 200
    assert Response.objects.get().text == "from this tab"


def test_a_stale_draft_is_told(ana, cast, write) -> None:
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "one"}
    ana.post(url(write, "work_draft"), data)
    response = ana.post(url(write, "work_draft"), {**data, "text": "two"})
    assert response.status_code == 409
    assert response.json()["stored"] == {"text": "one"}
    assert response.json()["version"] == 1
    assert "one" in ana.get(url(write)).content.decode()


def test_a_stale_draft_of_a_ranking_tells_no_numbers_of_answers(ana, cast) -> None:
    make_prompt(cast.project, "Which?", answers=["a", "b"])
    stage = make_stage(cast.project, "rank")
    ana.get(url(stage))
    data = {"submission": mine(stage, cast.ana).pk, "version": 0, "strength": "3", "better": "c"}
    ana.post(url(stage, "work_draft"), data)
    answer = ana.post(url(stage, "work_draft"), {**data, "strength": "-1"})
    assert answer.status_code == 409
    assert answer.json()["stored"] == {"better": "c"}


def test_an_empty_line_at_the_start_of_a_text_is_kept(ana, cast) -> None:
    """HTML drops the first line end of a textarea: each has one of its own."""
    make_prompt(cast.project, "Which?", answers=["a", "b"])
    note = {"key": "note", "title": "Note", "type": "text", "about": "prompt", "help": ""}
    stage = make_stage(cast.project, "rank", rubric=[{**note, "required": False}])
    ana.get(url(stage))
    texts = {name: f"\n{name} it" for name in ("better", "reason", "q_note")}
    ana.post(url(stage, "work_draft"), {"submission": mine(stage, cast.ana).pk, **texts})
    page = ana.get(url(stage)).content.decode()
    for text in texts.values():
        assert f">\n{text}</textarea>" in page


def test_the_second_of_two_submits_loses_nothing(ana, cast, write) -> None:
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "first"}
    ana.post(url(write), data, headers=HTMX)
    again = ana.post(url(write), data, headers=HTMX)
    assert again.status_code == 200
    assert "handed in already" not in again.content.decode()  # the same: its answer was lost
    other = ana.post(url(write), {**data, "text": "second"}, headers=HTMX).content.decode()
    assert "handed in already" in other
    assert "second" in other
    assert Response.objects.get().text == "first"


def test_the_second_of_two_rankings_that_say_the_same_is_passed_by(ana, cast) -> None:
    """As they are stored: ties in the order of their numbers, texts without space at the end."""
    make_prompt(cast.project, "Ties?", answers=["a", "b"])
    stage = make_stage(cast.project, "rank")
    ana.get(url(stage))
    turn = mine(stage, cast.ana)
    Submission.objects.filter(pk=turn.pk).update(shown=sorted(turn.shown, reverse=True))
    data = {"submission": turn.pk, "version": 0, "strength": "tie", "reason": "Alike. "}
    for _ in range(2):
        page = ana.post(url(stage), data, headers=HTMX).content.decode()
        assert "handed in already" not in page
    other = {**data, "strength": "bad", "better": "Mine is better"}
    page = ana.post(url(stage), other, headers=HTMX).content.decode()
    assert "handed in already" in page and "Mine is better" in page


def test_nothing_is_taken_back_in_a_pause(ana, cast, write) -> None:
    """It would be a draft that nobody is shown."""
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "Because."}
    ana.post(url(write), data, headers=HTMX)
    Stage.objects.filter(pk=write.pk).update(state="paused")
    page = ana.post(url(write, "work_undo"), headers=HTMX).content.decode()
    assert "This stage is paused" in page and "Undo the last one" not in page
    assert Response.objects.get().withdrawn is None


def test_late_work_is_kept_and_said_to_be_late(ana, cast, write) -> None:
    ana.get(url(write))
    submission = mine(write, cast.ana)
    Submission.objects.update(claimed_until=timezone.now() - timedelta(minutes=1))
    queue.claim(write, cast.bea)
    data = {"submission": submission.pk, "version": 0, "text": "slow"}
    page = ana.post(url(write), data, headers=HTMX).content.decode()
    assert "kept as late work" in page
    submission.refresh_from_db()
    assert (submission.state, submission.draft) == ("late", {"text": "slow"})


def test_skip_flag_and_undo(ana, cast, write) -> None:
    ana.get(url(write))
    submission = mine(write, cast.ana)
    data = {"submission": submission.pk}
    on = {**data, "on": "1"}
    assert "Flagged" in ana.post(url(write, "work_flag"), on, headers=HTMX).content.decode()
    assert Item.objects.get(pk=submission.item_id).flagged
    ana.post(url(write, "work_flag"), data)
    assert not Item.objects.get(pk=submission.item_id).flagged
    assert ana.post(url(write, "work_skip"), data, headers=HTMX).status_code == 422
    data["reason"] = "broken"
    page = ana.post(url(write, "work_skip"), data, headers=HTMX).content.decode()
    assert "Question <strong>1</strong>" in page
    page = ana.post(url(write, "work_undo"), headers=HTMX).content.decode()
    assert "Question <strong>0</strong>" in page
    assert "Taken back" in page


def test_undo_without_script(ana, cast, write) -> None:
    ana.get(url(write))
    data = {"submission": mine(write, cast.ana).pk, "version": 0, "text": "too quick"}
    ana.post(url(write), data)
    assert ana.post(url(write, "work_undo")).status_code == 302
    assert "too quick" in ana.get(url(write)).content.decode()
    assert "nothing to undo" in ana.post(url(write, "work_undo")).content.decode()


def test_an_empty_queue_says_what_else_waits(ana, cast, write) -> None:
    done = make_stage(cast.project, "correct")
    page = ana.get(url(done)).content.decode()
    assert "Nothing waits for you here" in page
    assert "Write, Support desk" in page
    assert "(3 left)" in page


def test_a_paused_stage_says_so_and_takes_what_is_in_hand(ana, cast, write) -> None:
    ana.get(url(write))
    submission = mine(write, cast.ana)
    write.state = "paused"
    write.save()
    assert "This stage is paused" in ana.get(url(write)).content.decode()
    data = {"submission": submission.pk, "version": 0, "text": "Because."}
    assert "This stage is paused" in ana.post(url(write), data, headers=HTMX).content.decode()
    assert Response.objects.exists()


def test_preview(ana, write) -> None:
    response = ana.post(url(write, "work_preview"), {"text": "**b** <script>"})
    assert response.content.decode() == "<p><strong>b</strong> &lt;script&gt;</p>\n"


def test_texts_are_escaped(ana, cast) -> None:
    nasty = "</textarea><script>alert(1)</script>"
    make_prompt(cast.project, nasty, answers=[nasty], context=nasty, system=nasty)
    stage = make_stage(cast.project, "correct", edit_prompt=True, instructions=nasty)
    assert "<script>alert" not in ana.get(url(stage)).content.decode()


# Correct


def test_correct(ana, cast) -> None:
    make_prompt(cast.project, answers=[("It is blew.", "gpt-secret")], context="Physics.")
    stage = make_stage(cast.project, "correct", edit_prompt=True)
    page = ana.get(url(stage)).content.decode()
    assert "It is blew." in page
    assert "gpt-secret" not in page
    data = {"submission": mine(stage, cast.ana).pk, "version": 0, "text": "It is blue."}
    data |= {"message_0": "Why is the sky so blue?", "system": "", "context": "Physics."}
    ana.post(url(stage), data)
    submission = Submission.objects.get()
    assert submission.messages == [{"role": "user", "content": "Why is the sky so blue?"}]
    assert (submission.system, submission.context) == (None, None)
    assert Response.objects.get(corrects__isnull=False).text == "It is blue."


def test_an_untouched_correction_is_refused_unless_said_so(ana, cast) -> None:
    make_prompt(cast.project, answers=["Fine."])
    stage = make_stage(cast.project, "correct", edit_prompt=True)
    ana.get(url(stage))
    same = {"submission": mine(stage, cast.ana).pk, "version": 0, "text": "Fine."}
    same |= {"message_0": "Why is the sky blue?", "system": "", "context": ""}
    refused = ana.post(url(stage), same, headers=HTMX)
    assert refused.status_code == 422
    assert "Nothing is changed" in refused.content.decode()
    assert Submission.objects.get().state != "submitted"
    ana.post(url(stage), {**same, "message_0": "Why is it blue?"})  # the prompt alone may change
    assert Submission.objects.get().state == "submitted"


def test_no_change_needed(ana, cast) -> None:
    make_prompt(cast.project, answers=["Fine."])
    stage = make_stage(cast.project, "correct")
    ana.get(url(stage))
    data = {"submission": mine(stage, cast.ana).pk, "version": 0, "text": "x", "unchanged": "1"}
    ana.post(url(stage), data)
    assert Submission.objects.get().unchanged
    assert Response.objects.count() == 1


def test_instructions_are_markdown_and_harmless(ana, cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, instructions="Check **every** number. <script>x()</script>")
    page = ana.get(url(stage)).content.decode()
    assert "<strong>every</strong>" in page
    assert "<script>x()" not in page


# Rank


def test_rank_is_blind(ana, cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", ("two", "gpt-secret"), "three"])
    prompt.responses.filter(text="two").update(origin="model", id=987654)
    stage = make_stage(cast.project, "rank")
    page = ana.get(url(stage)).content.decode()
    for secret in ("gpt-secret", "987654", "imported", '"model"'):
        assert secret not in page
    shown = mine(stage, cast.ana).shown
    texts = {r.pk: r.text for r in prompt.responses.all()}
    places = [page.index(f"<p>{texts[pk]}</p>") for pk in shown]
    assert places == sorted(places)  # in the order that was drawn
    data = {"submission": mine(stage, cast.ana).pk, "version": 0}
    data |= {"rank_A": 2, "rank_B": 1, "rank_C": 2}
    ana.post(url(stage), data)
    assert Ranking.objects.get().order == [[shown[1]], sorted([shown[0], shown[2]])]


def test_a_half_made_ranking_is_a_draft_and_no_submit(ana, cast) -> None:
    make_prompt(cast.project, answers=["one", "two", "three"])
    stage = make_stage(cast.project, "rank")
    ana.get(url(stage))
    submission = mine(stage, cast.ana)
    data = {"submission": submission.pk, "version": 0, "rank_A": 3, "rank_B": "x" * 9}
    assert ana.post(url(stage, "work_draft"), data).json()["version"] == 1
    submission.refresh_from_db()
    assert submission.draft == {"order": [[submission.shown[0]]]}
    response = ana.post(url(stage), {**data, "version": 1}, headers=HTMX)
    assert response.status_code == 422
    assert "2 of the 3 answers have no place yet" in response.content.decode()


@pytest.mark.parametrize(
    ("given", "strength", "all_bad"),
    [("-4", -4, False), ("tie", 0, False), ("bad", 0, True), ("2", 2, False)],
)
def test_a_pair_is_compared_on_a_scale(ana, cast, given: str, strength: int, all_bad: bool) -> None:
    make_prompt(cast.project, answers=["one", "two"])
    stage = make_stage(cast.project, "rank")
    assert "Which is better, and by how much?" in ana.get(url(stage)).content.decode()
    submission = mine(stage, cast.ana)
    data = {"submission": submission.pk, "version": 0, "strength": given, "reason": "It is right."}
    ana.post(url(stage, "work_draft"), data)
    assert "checked" in ana.get(url(stage)).content.decode()
    ana.post(url(stage), {**data, "version": 1})
    a, b = submission.shown
    ranking = Ranking.objects.get()
    assert (ranking.strength, ranking.all_bad) == (strength, all_bad)
    expected = [sorted([a, b])] if strength == 0 else [[a], [b]] if strength > 0 else [[b], [a]]
    assert ranking.order == expected


@pytest.mark.parametrize("given", ["", "0", "5", "x", "-4"])
def test_a_pair_without_a_choice_or_its_reason_is_refused(ana, cast, given: str) -> None:
    make_prompt(cast.project, answers=["one", "two"])
    stage = make_stage(cast.project, "rank")
    ana.get(url(stage))
    data = {"submission": mine(stage, cast.ana).pk, "version": 0, "strength": given, "reason": " "}
    answer = ana.post(url(stage), data)
    assert answer.status_code == 422
    said = "why it is far better" if given == "-4" else "Say which of the two is better"
    assert said in answer.content.decode()
    assert list(answer.context["errors"]) == ["reason" if given == "-4" else "strength"]


def test_new_answers_are_ranked_by_the_person_again(ana, cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two", "three"])
    stage = make_stage(cast.project, "rank")
    ana.get(url(stage))
    data = {"submission": mine(stage, cast.ana).pk, "version": 0}
    data |= {"rank_A": 1, "rank_B": 2, "rank_C": 3}
    ana.post(url(stage), data)
    add_answer(prompt, "four")
    queue.answers_arrived([prompt.pk])
    assert "<p>four</p>" in ana.get(url(stage)).content.decode()


def test_a_refused_edit_of_the_prompt_says_so_at_its_field(ana, cast) -> None:
    make_prompt(cast.project, answers=["It is blew."], context="Physics.")
    stage = make_stage(cast.project, "correct", edit_prompt=True)
    ana.get(url(stage))
    form = {"submission": mine(stage, cast.ana).pk, "version": 0, "text": "It is blue."}
    refused = ana.post(url(stage), {**form, "message_0": "Why\0?", "context": "Physics."})
    assert refused.status_code == 422
    assert list(refused.context["errors"]) == ["message_0"]
    assert 'id="message_0-error"' in refused.content.decode()
    refused = ana.post(url(stage), {**form, "message_0": "Why?", "context": "\0"})
    assert 'id="context-error"' in refused.content.decode()


def test_a_deadlock_is_tried_again_once(ana, cast, write, monkeypatch) -> None:
    ana.get(url(write))
    turn = mine(write, cast.ana)
    done, calls = submissions.submit, []

    def unlucky(**arguments):
        calls.append(1)
        if len(calls) == 1:
            cause = Exception("deadlock detected")
            cause.sqlstate = "40P01"
            raise OperationalError from cause
        return done(**arguments)

    monkeypatch.setattr(submissions, "submit", unlucky)
    form = {"submission": turn.pk, "version": 0, "text": "Blue."}
    assert ana.post(url(write), form, headers=HTMX).status_code == 200
    assert len(calls) == 2 and Response.objects.get(submission=turn).text == "Blue."
