"""Who gets which item: never beyond need, in order, and what comes back comes back once."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import desk, queue, submissions
from annotation.filling import fill_gaps
from annotation.models import (
    Import,
    Item,
    Membership,
    Project,
    Role,
    Seat,
    Stage,
    Submission,
    User,
    Workspace,
)
from tests.annotation.factories import add_answer, make_prompt, make_stage

State = Submission.State


def text_of(submission) -> str:
    return submission.item.prompt.messages[0]["content"]


def submit(submission, user, text="An answer"):
    return submissions.submit(submission=submission, user=user, content={"text": text})


def rank(submission, user, order=None):
    order = order or [[pk] for pk in sorted(submission.shown)]
    return submissions.submit(submission=submission, user=user, content={"order": order})


def skip(submission, user):
    return submissions.skip(submission=submission, user=user, reason="unclear")


def forget_search(stage):
    """As if the seconds had passed after which a dry queue is searched in full again."""
    Seat.objects.filter(stage=stage).update(cursors={})


def run_out(submission):
    Submission.objects.filter(pk=submission.pk).update(
        claimed_until=timezone.now() - timedelta(seconds=1)
    )


# What is given


def test_in_order_of_arrival_each_once(cast) -> None:
    for n in range(3):
        make_prompt(cast.project, f"prompt {n}")
    stage = make_stage(cast.project)
    seen = []
    while claimed := queue.claim(stage, cast.ana):
        seen.append(text_of(claimed))
        submit(claimed, cast.ana)
    assert seen == ["prompt 0", "prompt 1", "prompt 2"]
    assert queue.claim(stage, cast.bea) is None


def test_a_claim_is_kept_until_something_is_done_with_it(cast) -> None:
    make_prompt(cast.project)
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    assert queue.claim(stage, cast.ana) == queue.claim(stage, cast.ana)
    assert Submission.objects.count() == 1


def test_overlap_gives_an_item_to_so_many_people(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, overlap=2)
    assert queue.claim(stage, cast.ana)
    assert queue.claim(stage, cast.bea)
    assert queue.claim(stage, cast.rui) is None
    item = Item.objects.get()
    assert (item.taken, item.done, item.open) == (2, 0, False)


def test_documents_retired_and_unfinished_prompts_are_given_to_no_one(cast) -> None:
    make_prompt(cast.project, messages=[])
    make_prompt(cast.project, "retired", retired=timezone.now())
    running = Import.objects.create(project=cast.project, state=Import.State.RUNNING)
    make_prompt(cast.project, "half imported", batch=running)
    make_prompt(cast.project, "after it")
    stage = make_stage(cast.project)
    assert queue.claim(stage, cast.ana) is None  # and the import's prompts are not passed by
    running.state = Import.State.DONE
    running.save()
    forget_search(stage)
    first = queue.claim(stage, cast.ana)
    submit(first, cast.ana)
    assert [text_of(first), text_of(queue.claim(stage, cast.ana))] == ["half imported", "after it"]


def test_items_are_made_lazily(cast) -> None:
    for n in range(5):
        make_prompt(cast.project, f"prompt {n}")
    stage = make_stage(cast.project)
    assert queue.fill(stage, limit=2) == 2
    assert Item.objects.count() == 2
    seen = set()
    while claimed := queue.claim(stage, cast.ana):
        seen.add(text_of(claimed))
        submit(claimed, cast.ana)
    assert len(seen) == 5


def test_a_random_stage_gives_everything_in_another_order(cast) -> None:
    texts = [f"prompt {n}" for n in range(30)]
    for text in texts:
        make_prompt(cast.project, text)
    stage = make_stage(cast.project, order="random")
    queue.fill(stage)
    drawn = Item.objects.order_by("position").values_list("prompt__external_id", flat=True)
    assert sorted(drawn) != list(drawn)
    assert len(set(drawn)) == 30


def test_scores_come_first_then_priority_beats_them(cast) -> None:
    prompts = [make_prompt(cast.project, f"prompt {n}") for n in range(4)]
    stage = make_stage(cast.project)
    queue.claim(stage, cast.bea)  # prompt 0 is taken
    queue.set_order(stage, {prompts[1].pk: 0.1, prompts[2].pk: 0.9}, source="run 12")
    queue.set_priority(stage, [prompts[3].pk], 1)
    stage.refresh_from_db()
    assert (stage.order, stage.order_source) == ("scores", "run 12")
    seen = []
    while claimed := queue.claim(stage, cast.ana):
        seen.append(text_of(claimed))
        submit(claimed, cast.ana)
    assert seen == ["prompt 3", "prompt 2", "prompt 1"]


def test_a_new_order_reaches_those_who_are_ahead(cast) -> None:
    prompts = [make_prompt(cast.project, f"prompt {n}") for n in range(4)]
    stage = make_stage(cast.project, overlap=2)
    for _ in range(2):
        submit(queue.claim(stage, cast.ana), cast.ana)
    queue.set_order(stage, {prompts[3].pk: 2.0, prompts[0].pk: 1.0}, source="run 12")
    assert text_of(queue.claim(stage, cast.ana)) == "prompt 3"


# What comes back


def test_a_skip_goes_to_others_and_never_comes_back(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    skip(queue.claim(stage, cast.ana), cast.ana)
    forget_search(stage)
    assert queue.claim(stage, cast.ana) is None
    assert queue.claim(stage, cast.bea)


def test_enough_skips_close_the_item_for_the_lead(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, skips_to_close=2)
    skip(queue.claim(stage, cast.ana), cast.ana)
    skip(queue.claim(stage, cast.bea), cast.bea)
    assert queue.claim(stage, cast.rui) is None
    item = Item.objects.get()
    assert (item.open, item.flagged, item.skips, item.taken) == (False, True, 2, 0)
    assert queue.progress(stage)["flagged"] == 1


def test_an_expired_claim_goes_back_and_its_draft_stays(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    mine = queue.claim(stage, cast.ana)
    submissions.save_draft(submission=mine, user=cast.ana, content={"text": "half"}, version=0)
    run_out(mine)
    assert queue.expire(stage) == 1
    assert queue.expire(stage) == 0
    theirs = queue.claim(stage, cast.bea)
    assert theirs.item_id == mine.item_id
    mine.refresh_from_db()
    assert (mine.state, mine.draft) == (State.EXPIRED, {"text": "half"})
    assert queue.claim(stage, cast.ana) is None


def test_an_expired_claim_whose_place_is_free_is_given_again(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    mine = queue.claim(stage, cast.ana)
    submissions.save_draft(submission=mine, user=cast.ana, content={"text": "half"}, version=0)
    run_out(mine)
    queue.expire(stage)
    again = queue.claim(stage, cast.ana)
    assert (again.pk, again.state, again.draft) == (mine.pk, State.DRAFT, {"text": "half"})
    assert Item.objects.get().taken == 1


def test_what_comes_back_is_given_before_what_is_fresh(cast) -> None:
    for n in range(4):
        make_prompt(cast.project, f"prompt {n}")
    stage = make_stage(cast.project)
    gone = queue.claim(stage, cast.bea)
    submit(queue.claim(stage, cast.ana), cast.ana)
    run_out(gone)
    assert text_of(queue.claim(stage, cast.ana)) == "prompt 0"


def test_a_lost_cursor_does_no_harm(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    queue.fill(stage)
    Seat.objects.create(stage=stage, user=cast.ana, cursors={"0": 1 << 62})
    assert queue.claim(stage, cast.ana)


# Who may


def test_refusals(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, open_to_all=False)
    assert "chosen people" in queue.refusal(stage, cast.ana)
    assert queue.claim(stage, cast.ana) is None
    Seat.objects.create(stage=stage, user=cast.ana, assigned=True)
    assert queue.refusal(stage, cast.ana) == ""
    assert "workspace" in queue.refusal(stage, cast.otto)
    Membership.objects.filter(user=cast.ana).update(is_active=False)
    assert "workspace" in queue.refusal(stage, cast.ana)
    Membership.objects.filter(user=cast.ana).update(is_active=True)
    for state, word in (("paused", "paused"), ("imported", "elsewhere")):
        Stage.objects.filter(pk=stage.pk).update(state=state)
        assert word in queue.refusal(stage, cast.ana)


def test_nobody_ranks_or_corrects_their_own(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two"])
    add_answer(prompt, "three", origin="human", author=cast.ana)
    for kind in ("rank", "correct"):
        stage = make_stage(cast.project, kind)
        assert queue.claim(stage, cast.ana) is None
        assert dict(queue.waiting_for(cast.ana)).get(stage) is None
        assert queue.claim(stage, cast.bea)


def test_waiting_for(cast) -> None:
    make_prompt(cast.project, answers=["one"])
    make_prompt(cast.project)
    write, correct = make_stage(cast.project), make_stage(cast.project, "correct")
    make_stage(cast.project, "rank")
    make_stage(cast.project, state="paused")
    make_stage(cast.project, open_to_all=False)
    assert queue.waiting_for(cast.ana) == [(write, 2), (correct, 1)]
    assert queue.waiting_for(cast.otto) == []
    submit(queue.claim(write, cast.ana), cast.ana)
    queue.claim(write, cast.ana)
    write.refresh_from_db()
    assert dict(queue.waiting_for(cast.ana))[write] == 1  # in hand


def test_progress(cast) -> None:
    for n in range(3):
        make_prompt(cast.project, f"prompt {n}")
    stage = make_stage(cast.project)
    assert queue.progress(stage)["items"] == 3  # before anything was filled
    submit(queue.claim(stage, cast.ana), cast.ana)
    queue.claim(stage, cast.bea)
    stage.refresh_from_db()
    assert queue.progress(stage) == {
        "items": 3,
        "done": 1,
        "open": 1,
        "flagged": 0,
        "in_hand": 1,
        "submitted": 1,
        "skipped": 0,
        "late": 0,
    }


# Answers that arrive


def test_ranking_begins_with_the_second_answer(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one"])
    stage = make_stage(cast.project, "rank")
    assert queue.claim(stage, cast.ana) is None
    second = add_answer(prompt, "two")
    queue.answers_arrived([prompt.pk])
    forget_search(stage)
    assert sorted(queue.claim(stage, cast.ana).shown) == [second.pk - 1, second.pk]


def test_an_untouched_item_gets_its_candidates_again(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two"])
    rank_stage, correct_stage = (
        make_stage(cast.project, "rank"),
        make_stage(cast.project, "correct"),
    )
    queue.fill(rank_stage)
    queue.fill(correct_stage)
    third = add_answer(prompt, "three")
    queue.answers_arrived([prompt.pk])
    assert third.pk in Item.objects.get(stage=rank_stage).candidates
    assert Item.objects.get(stage=correct_stage).candidates == [third.pk]
    third.withdrawn = timezone.now()
    third.save()
    queue.answers_arrived([prompt.pk])
    assert third.pk not in Item.objects.get(stage=rank_stage).candidates


def test_an_item_without_answers_left_goes(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two"])
    stage = make_stage(cast.project, "rank")
    queue.fill(stage)
    prompt.responses.update(withdrawn=timezone.now())
    queue.answers_arrived([prompt.pk])
    assert not Item.objects.exists()


def test_new_answers_open_the_next_round_with_the_best_of_the_last(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two"])
    one, two = prompt.responses.order_by("pk").values_list("pk", flat=True)
    stage = make_stage(cast.project, "rank")
    first = queue.claim(stage, cast.ana)
    three = add_answer(prompt, "three")
    queue.answers_arrived([prompt.pk])
    assert Item.objects.count() == 1  # somebody is at it: wait
    rank(first, cast.ana, [[two], [one]])
    second = Item.objects.get(round=2)
    assert second.candidates == [two, three.pk]
    four = add_answer(prompt, "four")
    queue.answers_arrived([prompt.pk])
    assert Item.objects.get(round=2).candidates == [two, three.pk, four.pk]
    assert sorted(queue.claim(stage, cast.ana).shown) == [two, three.pk, four.pk]
    assert first.ranking.order == [[two], [one]]


def test_more_answers_than_fit_are_ranked_in_rounds(cast) -> None:
    prompt = make_prompt(cast.project, answers=[f"answer {n}" for n in range(6)])
    stage = make_stage(cast.project, "rank", max_answers=4)
    ids = list(prompt.responses.order_by("pk").values_list("pk", flat=True))
    first = queue.claim(stage, cast.ana)
    assert sorted(first.shown) == ids[:4]
    rank(first, cast.ana, [[pk] for pk in ids[:4]])
    assert sorted(queue.claim(stage, cast.ana).shown) == [ids[0], ids[4], ids[5]]


def test_the_best_ranked_is_corrected_once_there_is_one(cast) -> None:
    prompt = make_prompt(cast.project, answers=["one", "two"])
    one, two = prompt.responses.order_by("pk").values_list("pk", flat=True)
    ranks = make_stage(cast.project, "rank")
    corrects = make_stage(cast.project, "correct", source="best")
    assert queue.claim(corrects, cast.bea) is None
    rank(queue.claim(ranks, cast.ana), cast.ana, [[two], [one]])
    forget_search(corrects)
    assert queue.claim(corrects, cast.bea).shown == [two]


def test_a_named_origin_is_corrected(cast) -> None:
    make_prompt(cast.project, "no", answers=[("one", "model a")])
    make_prompt(cast.project, "yes", answers=[("one", "model b"), ("two", "model a")])
    stage = make_stage(cast.project, "correct", source="origin", source_name="model b")
    claimed = queue.claim(stage, cast.ana)
    assert text_of(claimed) == "yes"
    submit(claimed, cast.ana)
    assert queue.claim(stage, cast.ana) is None


def test_retired_prompts_leave_the_queue_and_come_back(cast) -> None:
    prompt = make_prompt(cast.project)
    stage = make_stage(cast.project)
    queue.fill(stage)
    prompt.retired = timezone.now()
    prompt.save()
    queue.answers_arrived([prompt.pk])
    assert queue.progress(stage)["open"] == 0
    assert queue.claim(stage, cast.ana) is None
    prompt.retired = None
    prompt.save()
    queue.answers_arrived([prompt.pk])
    assert queue.claim(stage, cast.ana)


def test_a_new_overlap_holds_for_what_is_there(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    submit(queue.claim(stage, cast.ana), cast.ana)
    stage.overlap = 2
    stage.save()
    queue.overlap_changed(stage)
    assert queue.claim(stage, cast.bea)
    stage.overlap = 1
    stage.save()
    queue.overlap_changed(stage)
    assert Item.objects.get().needed == 2  # two hold it


def test_a_prompt_that_was_passed_by_is_found(cast) -> None:
    make_prompt(cast.project, "early")
    late = make_prompt(cast.project, "late")
    stage = make_stage(cast.project)
    queue.fill(stage)
    Item.objects.filter(prompt=late).delete()
    submit(queue.claim(stage, cast.ana), cast.ana)
    assert text_of(queue.claim(stage, cast.ana)) == "late"


# Many at once


def check_counters(stage) -> None:
    """The counters say what the submissions say, and nothing is closed with a free place."""
    for item in Item.objects.filter(stage=stage):
        states = list(item.submissions.values_list("state", flat=True))
        holding = sum(state in (State.CLAIMED, State.DRAFT) for state in states)
        done = states.count(State.SUBMITTED)
        assert (item.taken, item.done) == (holding + done, done)
        assert holding + done <= item.needed
        assert item.skips == states.count(State.SKIPPED)
        free = item.taken < item.needed and item.skips < stage.skips_to_close
        assert item.open == free


@pytest.mark.parametrize("overlap", [1, 3])
def test_eight_at_once_never_beyond_need(shared_database, overlap: int) -> None:
    workspace = Workspace.objects.create(name="Acme", slug="acme", salt="s")
    project = Project.objects.create(workspace=workspace, name="P", slug="p")
    people = []
    for n in range(8):
        user = User.objects.create(email=f"{n}@example.org", name=str(n))
        Membership.objects.create(workspace=workspace, user=user, role=Role.ANNOTATOR)
        people.append(user)
    for n in range(25):
        make_prompt(project, f"prompt {n}", answers=["one", "two"])
    stage = make_stage(project, "rank", overlap=overlap, skips_to_close=9)
    errors: list[BaseException] = []

    def annotate(number: int, user) -> None:
        try:
            turn = 0
            while claimed := queue.claim(stage, user):
                turn += 1
                if (turn + number) % 5 == 0:
                    skip(claimed, user)
                elif (turn + number) % 7 == 0:
                    run_out(claimed)
                    queue.expire(stage)
                else:
                    rank(claimed, user)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=annotate, args=pair) for pair in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_counters(stage)
    assert Item.objects.filter(stage=stage, done=F("needed")).count() >= 20
    # Who found nothing has gone; what the last one skipped then is there for them to come back to.
    Seat.objects.filter(stage=stage).update(cursors={})
    for user in people:
        while claimed := queue.claim(stage, user):
            rank(claimed, user)
    check_counters(stage)
    for item in Item.objects.filter(stage=stage, open=True):  # what every one of them has had
        assert item.submissions.count() >= 8 - overlap


def test_a_new_order_is_not_undone_by_who_claims_meanwhile(cast) -> None:
    prompts = [make_prompt(cast.project, f"prompt {n}") for n in range(5)]
    stage = make_stage(cast.project)
    for _ in range(2):
        submit(queue.claim(stage, cast.ana), cast.ana)
    seated = desk.at(stage, cast.ana)  # read before the order was made
    queue.set_order(stage, {prompts[4].pk: 2.0, prompts[3].pk: 1.0}, source="run 12")
    claimed = queue.claim(stage, cast.ana, seated)
    assert text_of(claimed) == "prompt 4"
    submit(claimed, cast.ana)
    assert text_of(queue.claim(stage, cast.ana)) == "prompt 3"


def test_an_order_does_not_send_the_queue_back(cast) -> None:
    prompts = [make_prompt(cast.project, f"prompt {n}") for n in range(3)]
    stage = make_stage(cast.project)  # read before another filled it
    queue.fill(Stage.objects.get(pk=stage.pk))
    queue.set_order(stage, {prompts[0].pk: 1.0}, source="run 12")
    assert stage.filled_to == prompts[2].pk


def test_a_dry_stage_is_searched_for_gaps_without_holding_up_others(cast) -> None:
    passed_by = [make_prompt(cast.project, f"prompt {n}") for n in range(2)][1]
    stage = make_stage(cast.project)
    submit(queue.claim(stage, cast.ana), cast.ana)
    stage.refresh_from_db()
    with CaptureQueriesContext(connection) as seen:
        assert fill_gaps(stage) == 0
    assert len(seen) == 1  # no transaction, no lock
    Item.objects.filter(prompt=passed_by).delete()
    assert fill_gaps(stage) == 1


@pytest.mark.parametrize("kind", ["write", "rank"])
def test_the_plans_of_a_claim(cast, kind: str, django_assert_max_num_queries) -> None:
    """Each statement of a claim that looks at items, submissions or prompts does so by an index,
    and the next item is found in the order of one: nothing is sorted, nothing is read through."""
    for n in range(30):
        make_prompt(cast.project, f"prompt {n}", answers=["one", "two"])
    stage = make_stage(cast.project, kind, overlap=2)
    for person in (cast.ana, cast.ana, cast.bea):
        submit(queue.claim(stage, person), person) if kind == "write" else rank(
            queue.claim(stage, person), person
        )
    stage.refresh_from_db()
    with CaptureQueriesContext(connection) as seen, django_assert_max_num_queries(12):
        assert queue.claim(stage, cast.ana)
    looks = [row["sql"] for row in seen if row["sql"].lstrip().startswith(("SELECT", "UPDATE"))]
    assert sum("NOT EXISTS (SELECT 1 FROM annotation_submission" in sql for sql in looks) >= 1
    for sql in looks:
        plan = explain(sql)
        big = ("annotation_item", "annotation_submission", "annotation_prompt")
        if not any(table in sql for table in big):
            continue
        assert "SCAN i" not in plan and "SCAN s" not in plan and "SCAN p" not in plan, plan
        assert "SCAN annotation" not in plan and "Seq Scan" not in plan, plan
        if "ORDER BY i.position" in sql or "ORDER BY lane" in sql:
            assert "item_open" in plan and "TEMP B-TREE" not in plan and "Sort" not in plan, plan
        # PostgreSQL chooses among four indexes by its statistics, which are of other tests.
        if "NOT EXISTS (SELECT 1 FROM annotation_submission" in sql:
            fit = ["submission_once"]
            fit += ["annotation_submission_"] if connection.vendor == "postgresql" else []
            assert any(index in plan for index in fit), plan


def explain(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        else:  # the tables are too small to tell
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
