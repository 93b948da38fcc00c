"""Handing in: what is checked, what is kept, what can be taken back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotation import queue, submissions
from annotation.errors import Refused
from annotation.models import GuidelineVersion, Item, Ranking, Response, Seat, Submission
from tests.annotation.factories import add_answer, make_prompt, make_stage

State = Submission.State


@pytest.fixture
def writing(cast):
    """Ana has claimed the one item of a write stage."""
    make_prompt(cast.project)
    return queue.claim(make_stage(cast.project), cast.ana)


@pytest.fixture
def ranking(cast):
    """Ana has claimed an item with three answers."""
    make_prompt(cast.project, answers=["one", "two", "three"])
    return queue.claim(make_stage(cast.project, "rank"), cast.ana)


@pytest.fixture
def correcting(cast):
    make_prompt(cast.project, answers=["It is blew."], context="Physics.")
    return queue.claim(make_stage(cast.project, "correct", edit_prompt=True), cast.ana)


def submit(submission, user, **content):
    return submissions.submit(submission=submission, user=user, content=content)


def save(submission, user, text, version):
    return submissions.save_draft(
        submission=submission, user=user, content={"text": text}, version=version
    )


def run_out(submission):
    Submission.objects.filter(pk=submission.pk).update(
        claimed_until=timezone.now() - timedelta(seconds=1)
    )
    queue.expire(submission.stage)


# Write


def test_a_written_answer(cast, writing) -> None:
    GuidelineVersion.objects.create(project=cast.project, number=1, text="old")
    newest = GuidelineVersion.objects.create(project=cast.project, number=2, text="new")
    done = submissions.submit(
        submission=writing,
        user=cast.ana,
        content={"text": "Scattering.\r\nMostly."},
        version=0,
        active_seconds=42,
    )
    done.refresh_from_db()
    response = Response.objects.get()
    assert (response.text, response.origin, response.author) == (
        "Scattering.\nMostly.",
        "human",
        cast.ana,
    )
    assert (response.author_name, response.submission, response.corrects) == ("Ana", done, None)
    assert (done.state, done.guidelines, done.active_seconds) == (State.SUBMITTED, newest, 42)
    assert done.submitted is not None
    item = Item.objects.get()
    assert (item.taken, item.done, item.open) == (1, 1, False)
    assert Seat.objects.get().submitted == 1
    version = done.history.get()
    assert (version.number, version.event, version.author) == (1, "submit", cast.ana)
    assert version.content == {"text": "Scattering.\nMostly."}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("a\x00b", "NUL character at place 2"),
        ("ab\ud83d", "half of a character at place 3"),
        ("x" * 1_000_001, "1,000,001 characters"),
        (None, "not text"),
        (["a"], "not text"),
    ],
)
def test_what_is_refused(cast, writing, text, words: str) -> None:
    with pytest.raises(Refused, match=words):
        submit(writing, cast.ana, text=text)
    writing.refresh_from_db()
    assert writing.state == State.CLAIMED
    assert not Response.objects.exists()


def test_anothers_work_is_refused(cast, writing) -> None:
    with pytest.raises(Refused, match="another person"):
        submit(writing, cast.bea, text="mine")


def test_the_second_of_two_submits_is_refused(cast, writing) -> None:
    again = Submission.objects.get(pk=writing.pk)
    submit(writing, cast.ana, text="first")
    with pytest.raises(submissions.Finished):
        submit(again, cast.ana, text="second")
    assert Response.objects.get().text == "first"
    assert Item.objects.get().done == 1


def test_an_answer_opens_ranking_and_correcting(cast, writing) -> None:
    rank, correct = make_stage(cast.project, "rank"), make_stage(cast.project, "correct")
    add_answer(writing.item.prompt, "imported")
    queue.fill(rank)
    queue.fill(correct)
    assert not Item.objects.filter(stage=rank).exists()
    rank.filled_to = writing.item.prompt_id
    rank.save()
    submit(writing, cast.ana, text="mine")
    mine = Response.objects.get(text="mine")
    assert mine.pk in Item.objects.get(stage=rank).candidates
    assert Item.objects.get(stage=correct).candidates == [mine.pk]


# Correct


def test_a_correction(cast, correcting) -> None:
    submit(correcting, cast.ana, text="It is blue.")
    original, correction = Response.objects.order_by("pk")
    assert (correction.text, correction.corrects) == ("It is blue.", original)
    correcting.refresh_from_db()
    assert (correcting.unchanged, correcting.messages, correcting.context) == (False, None, None)


@pytest.mark.parametrize("content", [{"unchanged": True}, {"text": "It is blew."}])
def test_no_change_needed_makes_no_response(cast, correcting, content) -> None:
    submit(correcting, cast.ana, **content)
    assert Response.objects.count() == 1
    correcting.refresh_from_db()
    assert correcting.unchanged
    assert Item.objects.get().done == 1


def test_the_prompt_may_be_corrected_too(cast, correcting) -> None:
    messages = [{"role": "user", "content": "Why does the sky look blue?"}]
    submit(correcting, cast.ana, text="Blue.", messages=messages, system="", context="Optics.")
    correcting.refresh_from_db()
    assert (correcting.messages, correcting.system, correcting.context) == (
        messages,
        None,
        "Optics.",
    )
    assert correcting.item.prompt.context == "Physics."


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "text",
        [{"role": "assistant", "content": "other role"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    ],
)
def test_an_edited_prompt_keeps_its_turns(cast, correcting, messages) -> None:
    with pytest.raises(Refused, match="prompt"):
        submit(correcting, cast.ana, text="Blue.", messages=messages)


def test_the_prompt_stays_where_the_stage_says_so(cast, correcting) -> None:
    correcting.stage.edit_prompt = False
    submit(correcting, cast.ana, text="Blue.", context="Optics.")
    correcting.refresh_from_db()
    assert correcting.context is None


# Rank


def test_a_ranking_with_ties(cast, ranking) -> None:
    a, b, c = ranking.shown
    submit(ranking, cast.ana, order=[[c], [b, a]])
    assert Ranking.objects.get().order == [[c], sorted([a, b])]


def test_a_ranking_covers_what_was_shown(cast, ranking) -> None:
    a, b, c = ranking.shown
    foreign = add_answer(ranking.item.prompt, "four").pk
    for order in (
        [[a], [b]],
        [],
        None,
        [[a], [b], [c], [a]],
        [[a], [b], [c, foreign]],
        [a, b, c],
        [[str(a)], [b], [c]],
        [[True], [b], [c]],
    ):
        with pytest.raises(Refused):
            submit(ranking, cast.ana, order=order)
    assert not Ranking.objects.exists()


def test_a_comparison_has_a_strength(cast) -> None:
    make_prompt(cast.project, answers=["one", "two"])
    pair = queue.claim(make_stage(cast.project, "rank"), cast.ana)
    first, second = pair.shown
    for order, strength in (
        ([[first], [second]], -2),
        ([[first], [second]], 0),
        ([[first, second]], 1),
        ([[second], [first]], -5),
        ([[second], [first]], "-3"),
    ):
        with pytest.raises(Refused, match="strength"):
            submit(pair, cast.ana, order=order, strength=strength)
    submit(pair, cast.ana, order=[[second], [first]], strength=-3)
    assert Ranking.objects.get().strength == -3


def test_the_order_shown_is_drawn_once(cast, ranking) -> None:
    assert queue.claim(ranking.stage, cast.ana).shown == ranking.shown
    assert sorted(ranking.shown) == ranking.item.candidates


# Drafts


def test_a_draft_counts_its_version_up(cast, writing) -> None:
    save(writing, cast.ana, "half", 0)
    saved = save(writing, cast.ana, "half of it", 1)
    assert (saved.version, saved.state, saved.draft) == (2, State.DRAFT, {"text": "half of it"})
    assert Submission.objects.get().draft == {"text": "half of it"}


def test_a_stale_tab_is_told_and_nothing_is_lost(cast, writing) -> None:
    save(writing, cast.ana, "from one tab", 0)
    with pytest.raises(submissions.Stale) as stale:
        save(writing, cast.ana, "from another", 0)
    assert (stale.value.stored, stale.value.version) == ({"text": "from one tab"}, 1)
    with pytest.raises(submissions.Stale):
        submissions.submit(
            submission=writing, user=cast.ana, content={"text": "from another"}, version=0
        )
    assert Submission.objects.get().draft == {"text": "from one tab"}


def test_a_draft_of_what_was_handed_in_is_refused(cast, writing) -> None:
    submit(writing, cast.ana, text="done")
    with pytest.raises(submissions.Finished):
        save(writing, cast.ana, "more", 1)
    assert Submission.objects.get().draft == {"text": "done"}


def test_a_draft_keeps_what_cannot_be_handed_in(cast, writing) -> None:
    saved = save(writing, cast.ana, "a\x00b\ud83d", 0)
    assert saved.draft["text"].startswith("a")
    with pytest.raises(Refused, match="2,000,001 characters"):
        save(writing, cast.ana, "x" * 2_000_001, 1)


def test_a_draft_after_the_lease_takes_the_place_back_if_it_is_free(cast, writing) -> None:
    run_out(writing)
    saved = save(writing, cast.ana, "still here", 0)
    assert saved.state == State.DRAFT
    assert Item.objects.get().taken == 1


def test_a_draft_after_the_place_went_to_another_is_kept(cast, writing) -> None:
    run_out(writing)
    queue.claim(writing.stage, cast.bea)
    save(writing, cast.ana, "still here", 0)
    writing.refresh_from_db()
    assert (writing.state, writing.draft) == (State.EXPIRED, {"text": "still here"})
    assert Item.objects.get().taken == 1


# After the lease


def test_a_submit_after_the_lease_counts_while_the_place_is_free(cast, writing) -> None:
    run_out(writing)
    assert submit(writing, cast.ana, text="slow").state == State.SUBMITTED
    item = Item.objects.get()
    assert (item.taken, item.done, item.open) == (1, 1, False)


def test_a_submit_after_the_place_went_to_another_is_late(cast, writing) -> None:
    run_out(writing)
    queue.claim(writing.stage, cast.bea)
    late = submit(writing, cast.ana, text="too slow")
    assert (late.state, late.draft) == (State.LATE, {"text": "too slow"})
    assert late.history.get().event == "late"
    assert not Response.objects.exists()
    item = Item.objects.get()
    assert (item.taken, item.done) == (1, 0)
    assert queue.progress(writing.stage)["late"] == 1


# Skip


def test_a_skip_needs_a_reason(cast, writing) -> None:
    with pytest.raises(Refused, match="reason"):
        submissions.skip(submission=writing, user=cast.ana, reason="bored")
    save(writing, cast.ana, "half", 0)
    skipped = submissions.skip(
        submission=writing, user=cast.ana, reason="unsafe", note="See turn 1"
    )
    assert (skipped.state, skipped.skip_reason, skipped.draft) == (
        State.SKIPPED,
        "unsafe",
        {"text": "half"},
    )
    assert skipped.history.get().content == {
        "text": "half",
        "reason": "unsafe",
        "note": "See turn 1",
    }
    assert Seat.objects.get().skipped == 1


# Undo


def test_undo_gives_the_text_back_as_a_draft(cast, writing) -> None:
    submit(writing, cast.ana, text="too quick")
    undone = submissions.undo(stage=writing.stage, user=cast.ana)
    assert (undone.pk, undone.state, undone.draft) == (
        writing.pk,
        State.DRAFT,
        {"text": "too quick"},
    )
    assert Response.objects.get().withdrawn is not None
    item = Item.objects.get()
    assert (item.taken, item.done) == (1, 0)
    submit(undone, cast.ana, text="better")
    assert Response.objects.get(withdrawn=None).text == "better"
    assert list(undone.history.order_by("number").values_list("event", flat=True)) == [
        "submit",
        "undo",
        "resubmit",
    ]
    assert Seat.objects.get().submitted == 1


def test_what_was_undone_is_shown_first(cast) -> None:
    make_prompt(cast.project, "first")
    make_prompt(cast.project, "second")
    stage = make_stage(cast.project)
    first = queue.claim(stage, cast.ana)
    submit(first, cast.ana, text="too quick")
    queue.claim(stage, cast.ana)
    submissions.undo(stage=stage, user=cast.ana)
    assert queue.claim(stage, cast.ana) == first


def test_undo_of_a_ranking_and_of_a_correction(cast, ranking, correcting) -> None:
    submit(ranking, cast.ana, order=[[pk] for pk in ranking.shown])
    submissions.undo(stage=ranking.stage, user=cast.ana)
    assert Ranking.objects.get().withdrawn is not None
    submit(ranking, cast.ana, order=[ranking.shown])
    assert Ranking.objects.get().withdrawn is None
    submit(correcting, cast.ana, unchanged=True)
    assert submissions.undo(stage=correcting.stage, user=cast.ana).state == State.DRAFT


def test_undo_of_a_skip(cast, writing) -> None:
    submissions.skip(submission=writing, user=cast.ana, reason="unclear")
    undone = submissions.undo(stage=writing.stage, user=cast.ana)
    assert (undone.state, undone.skip_reason) == (State.CLAIMED, "")
    item = Item.objects.get()
    assert (item.taken, item.skips, item.open) == (1, 0, False)


def test_undo_of_a_skip_that_went_to_another_is_refused(cast, writing) -> None:
    submissions.skip(submission=writing, user=cast.ana, reason="unclear")
    queue.claim(writing.stage, cast.bea)
    with pytest.raises(Refused, match="gone to others"):
        submissions.undo(stage=writing.stage, user=cast.ana)


def test_two_undos_at_once_count_once(cast, writing, monkeypatch) -> None:
    """The second has read the submission before the first had written."""
    submit(writing, cast.ana, text="too quick")
    get = Submission.objects.get

    def read_and_be_late(self, *args, **lookup):
        monkeypatch.undo()
        found = get(*args, **lookup)
        submissions.undo(stage=writing.stage, user=cast.ana)
        return found

    monkeypatch.setattr(type(Submission.objects.all()), "get", read_and_be_late)
    with pytest.raises(Refused, match="taken back already"):
        submissions.undo(stage=writing.stage, user=cast.ana)


def test_nothing_to_undo(cast, writing) -> None:
    with pytest.raises(Refused, match="nothing to undo"):
        submissions.undo(stage=writing.stage, user=cast.ana)


def test_undo_while_the_item_that_it_made_is_untouched(cast, writing) -> None:
    rank = make_stage(cast.project, "rank", filled_to=writing.item.prompt_id)
    add_answer(writing.item.prompt, "imported")
    submit(writing, cast.ana, text="mine")
    assert Item.objects.filter(stage=rank).exists()
    submissions.undo(stage=writing.stage, user=cast.ana)
    assert not Item.objects.filter(stage=rank).exists()


def test_undo_is_refused_once_others_have_built_on_it(cast, writing) -> None:
    rank = make_stage(cast.project, "rank", filled_to=writing.item.prompt_id)
    add_answer(writing.item.prompt, "imported")
    submit(writing, cast.ana, text="mine")
    queue.claim(rank, cast.bea)
    with pytest.raises(Refused, match="gone on from this work"):
        submissions.undo(stage=writing.stage, user=cast.ana)
    assert Response.objects.filter(withdrawn=None).count() == 2
    assert Item.objects.get(stage=writing.stage).done == 1


def test_undo_of_a_ranking_whose_next_round_has_begun_is_refused(cast, ranking) -> None:
    submit(ranking, cast.ana, order=[[pk] for pk in ranking.shown])
    add_answer(ranking.item.prompt, "four")
    queue.answers_arrived([ranking.item.prompt_id])
    queue.claim(ranking.stage, cast.bea)
    with pytest.raises(Refused, match="gone on from this work"):
        submissions.undo(stage=ranking.stage, user=cast.ana)


def test_the_same_answer_to_a_corrected_prompt_is_an_answer_of_its_own(cast, correcting) -> None:
    edited = [{"role": "user", "content": "Why is the sky blue, really?"}]
    done = submit(correcting, cast.ana, text="It is blew.", unchanged=True, messages=edited)
    answer = Response.objects.get(submission=done)
    assert (answer.text, answer.corrects_id) == ("It is blew.", done.shown[0])
    assert done.messages == edited
