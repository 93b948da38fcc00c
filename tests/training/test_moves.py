"""The state machine: every move of the table is made, every other one is refused, none twice."""

import pytest

from training import moves
from training.models import Run, RunEvent
from training.moves import MOVES, IllegalMove, State

LEGAL = [(one, two) for one, targets in MOVES.items() for two in sorted(targets)]
ILLEGAL = [(one, two) for one in State for two in State if two not in MOVES[one]]


def test_the_table_names_every_state_and_ends_where_it_should() -> None:
    assert set(MOVES) == set(State)
    assert not MOVES[State.SUCCEEDED]
    for state in (State.RUNNING, State.PREPARING):
        assert State.CANCELLED not in MOVES[state], "a working run is stopped first"


@pytest.mark.parametrize(("one", "two"), LEGAL)
def test_a_legal_move(make_run, one: str, two: str) -> None:
    run = make_run(state=one)
    assert moves.move(run, two, reason="so")
    assert (run.state, run.reason) == (two, "so")
    assert (run.finished is not None) == (two in Run.ENDED)


@pytest.mark.parametrize(("one", "two"), ILLEGAL)
def test_an_illegal_move_is_refused(make_run, one: str, two: str) -> None:
    run = make_run(state=one)
    with pytest.raises(IllegalMove):
        moves.move(run, two)
    assert Run.objects.get(pk=run.pk).state == one


def test_two_who_saw_the_same_state_do_not_both_move_it(make_run) -> None:
    make_run()
    one, two = Run.objects.get(), Run.objects.get()
    assert moves.claim(one, "a:1:0:x")
    assert not moves.claim(two, "b:2:0:y")
    assert Run.objects.get().supervisor == "a:1:0:x"


def test_two_who_saw_the_same_orphan_do_not_both_adopt_it(make_run) -> None:
    make_run(state="running", supervisor="gone:1:0:x")
    one, two = Run.objects.get(), Run.objects.get()
    assert moves.adopt(one, "a:1:0:x")
    assert not moves.adopt(two, "b:2:0:y")
    assert not moves.beat(two, "b:2:0:y")


def test_a_supervisor_that_was_given_up_writes_nothing_more(make_run) -> None:
    run = make_run(state="running", supervisor="old:1:0:x")
    assert moves.beat(run, "old:1:0:x", step=4)
    assert moves.adopt(Run.objects.get(), "new:2:0:y")
    assert not moves.beat(run, "old:1:0:x", step=9)
    assert Run.objects.get().step == 4


def test_a_move_of_an_earlier_attempt_hits_nothing(make_run) -> None:
    run = make_run(state="running")
    Run.objects.update(attempt=2)
    assert not moves.move(run, State.FAILED)


def test_notes_never_meet_the_trainers_numbers(make_run) -> None:
    run = make_run()
    assert [moves.note(run, text).seq for text in "abc"] == [
        moves.NOTE_SEQ,
        moves.NOTE_SEQ + 1,
        moves.NOTE_SEQ + 2,
    ]
    assert RunEvent.objects.filter(seq__lt=moves.LOG_SEQ).count() == 0
