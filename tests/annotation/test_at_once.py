"""Two people who act on the same work in the same moment: one is refused, or both are right, and
what is stored hangs together. Real threads, on SQLite as on PostgreSQL."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.db.models import F

from annotation import (
    actions,
    adjudication,
    claims,
    erasing,
    gold,
    queue,
    reviewing,
    submissions,
    undoing,
)
from annotation.errors import Refused
from annotation.models import (
    Adjudication,
    Gold,
    Item,
    Membership,
    Project,
    Ranking,
    Response,
    Review,
    Role,
    Stage,
    Submission,
    SubmissionVersion,
    User,
    Workspace,
)
from annotation.people import Actor
from tests.annotation.factories import make_prompt, make_stage

TIMES = 8  # each pair of acts: who comes first is drawn by the machine
State = Submission.State


@pytest.fixture
def team(shared_database) -> Any:
    class Team:
        workspace = Workspace.objects.create(name="Acme", slug="acme", salt="s")
        project = Project.objects.create(workspace=workspace, name="P", slug="p")

    roles = {"ana": 1, "bea": 1, "rui": 2, "ray": 2, "lee": 3, "lou": 3, "olga": 4}
    for name, role in roles.items():
        user = User.objects.create(email=f"{name}@example.org", name=name.title())
        Membership.objects.create(workspace=Team.workspace, user=user, role=Role(role))
        setattr(Team, name, user)
    for n in range(TIMES):
        make_prompt(Team.project, f"Question {n}", answers=["One", "Two"])
    return Team


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each returned, or its refusal; whatever else it raised is raised here."""
    start, results = threading.Barrier(len(acts)), [None] * len(acts)

    def do(place: int, act: Callable[[], Any]) -> None:
        try:
            start.wait()
            results[place] = act()
        except (Refused, submissions.Stale, submissions.Finished) as refused:
            results[place] = refused
        except BaseException as error:
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Refused):
            raise result
    return results


def ranked(turn: Submission) -> dict[str, Any]:
    return {"order": [[pk] for pk in turn.shown]}


def hand_in(stage: Stage, user: User) -> Submission:
    turn = queue.claim(stage, user)
    assert turn is not None
    content = ranked(turn) if stage.kind == "rank" else {"text": f"{user}'s secret"}
    return submissions.submit(submission=turn, user=user, content=content)


def refused(results: list[Any]) -> int:
    return sum(isinstance(result, Refused) for result in results)


def check_places(stage: Stage) -> None:
    """Each item counts those who hold or did it, and what was done."""
    for item in Item.objects.filter(stage=stage):
        turns = Submission.objects.filter(item=item)
        assert item.taken == turns.filter(state__in=["claimed", "draft", "submitted"]).count()
        assert item.done == turns.filter(state="submitted").count()


def test_of_two_reviewers_one_decides(team) -> None:
    stage = make_stage(team.project, "rank", review_share=100)
    for _ in range(TIMES):
        turn = hand_in(stage, team.ana)
        seen = {"submission": turn, "version": turn.version}
        results = at_once(
            lambda: reviewing.accept(reviewer=team.rui, **seen),  # noqa: B023
            lambda: reviewing.send_back(reviewer=team.ray, comment="Again", **seen),  # noqa: B023
        )
        assert refused(results) == 1 and Review.objects.filter(submission=turn).count() == 1
        turn.refresh_from_db()
        if turn.state == State.DRAFT:  # out of the way of the next
            submissions.skip(submission=turn, user=team.ana, reason="other")
    check_places(stage)


def test_a_review_and_an_undo(team) -> None:
    stage = make_stage(team.project, "rank", review_share=100)
    for _ in range(TIMES):
        turn = hand_in(stage, team.ana)
        at_once(
            lambda: reviewing.accept(submission=turn, reviewer=team.rui),  # noqa: B023
            lambda: submissions.undo(stage=stage, user=team.ana),
        )
        turn.refresh_from_db()
        kept = turn.state == State.SUBMITTED
        assert Review.objects.filter(submission=turn).exists() is kept
        assert turn.review == ("accepted" if kept else "waiting")
        assert Ranking.objects.filter(submission=turn, withdrawn=None).exists() is kept
        if not kept:
            submissions.skip(submission=turn, user=team.ana, reason="other")
    check_places(stage)


def test_a_decision_and_an_undo(team) -> None:
    stage = make_stage(team.project, "rank")
    for _ in range(TIMES):
        turn = hand_in(stage, team.ana)
        at_once(
            lambda: adjudication.adjudicate(item=turn.item, author=team.lee, submission=turn),  # noqa: B023
            lambda: submissions.undo(stage=stage, user=team.ana),
        )
        turn.refresh_from_db()
        decided = Adjudication.objects.filter(item=turn.item, withdrawn=None).exists()
        assert decided is (turn.state == State.SUBMITTED)
        if not decided:
            submissions.skip(submission=turn, user=team.ana, reason="other")
    check_places(stage)


def test_of_two_decisions_one_is_in_force(team) -> None:
    stage = make_stage(team.project)
    for _ in range(TIMES):
        item = hand_in(stage, team.ana).item
        results = at_once(
            *(
                lambda lead=lead: adjudication.adjudicate(  # type: ignore[misc]
                    item=item,  # noqa: B023
                    author=lead,
                    content={"text": f"{lead}'s"},
                )
                for lead in (team.lee, team.lou)
            )
        )
        assert refused(results) == 0
        [standing] = Adjudication.objects.filter(item=item, withdrawn=None)
        texts = Response.objects.filter(author__in=[team.lee, team.lou], withdrawn=None)
        assert texts.filter(prompt=item.prompt_id).get() == standing.response


def test_moved_or_handed_in(team) -> None:
    stage = make_stage(team.project)
    for _ in range(TIMES):
        turn = queue.claim(stage, team.ana)
        at_once(
            lambda: submissions.submit(
                submission=turn,  # noqa: B023
                user=team.ana,
                content={"text": "Ana's"},
            ),
            lambda: claims.move(workspace=team.workspace, user=team.ana, to=team.bea, by=team.lee),
        )
        for held in Submission.objects.filter(user=team.bea, state=State.CLAIMED):
            submissions.submit(submission=held, user=team.bea, content={"text": "Bea's"})
        check_places(stage)
        assert not Item.objects.filter(taken__gt=F("needed")).exists()


def test_gold_and_who_holds_it(team) -> None:
    stage = make_stage(team.project, "rank")
    for n in range(TIMES):
        turn = queue.claim(stage, team.ana if n % 2 else team.bea)
        known = {"order": [[pk] for pk in turn.item.candidates]}
        at_once(
            lambda: submissions.submit(
                submission=turn,  # noqa: B023
                user=turn.user,  # noqa: B023
                content=ranked(turn),  # noqa: B023
            ),
            lambda: gold.make_gold(item=turn.item, content=known, author=team.lee),  # noqa: B023
        )
        assert Item.objects.filter(pk=turn.item_id, lane=Item.GOLD_LANE, open=True).exists()
    check_places(stage)
    assert Gold.objects.count() == TIMES


def test_gold_made_twice(team) -> None:
    stage = make_stage(team.project, "rank")
    queue.fill(stage)
    for item in Item.objects.filter(stage=stage):
        known = {"order": [[pk] for pk in item.candidates]}
        act = lambda: gold.make_gold(item=item, content=known, author=team.lee)  # noqa: B023, E731
        at_once(act, act)
    assert Gold.objects.count() == TIMES


def test_a_round_is_opened_once(team) -> None:
    stage = make_stage(team.project, "rank")
    prompts = [hand_in(stage, team.ana).item.prompt_id for _ in range(TIMES)]
    results = at_once(
        *[lambda: actions.open_round(stage=stage, prompts=prompts, author=team.lee)] * 2
    )
    assert sorted(each.changed for each in results) == [0, TIMES]
    assert Item.objects.filter(stage=stage, round=2).count() == TIMES
    second = max(results, key=lambda each: each.changed)
    undone = at_once(*[lambda: undoing.undo(action=second, author=team.lee)] * 2)
    assert refused(undone) == 1 and not Item.objects.filter(stage=stage, round=2).exists()


def test_an_undo_of_items_that_are_just_taken(team) -> None:
    stage = make_stage(team.project, takes_all=False)
    for prompt in team.project.prompts.order_by("pk"):
        act = actions.send(stage=stage, prompts=[prompt.pk], author=team.lee)
        got, said = at_once(
            lambda: queue.claim(stage, team.ana),
            lambda: undoing.undo(action=act, author=team.lee),  # noqa: B023
        )
        there = Item.objects.filter(stage=stage, prompt=prompt).exists()
        assert there is (got is not None) is not said.startswith("1 taken back")
        if got:
            submissions.skip(submission=got, user=team.ana, reason="other")


@pytest.mark.parametrize("whose", ["person", "prompt"])
def test_what_is_handed_in_while_it_is_erased_is_erased(team, whose: str) -> None:
    stage = make_stage(team.project)
    by = Actor(user=team.olga, role=Role.OWNER)
    for n in range(TIMES if whose == "prompt" else 4):
        user = User.objects.create(email=f"{n}@example.org", name=f"Nobody {n}")
        member = Membership.objects.create(workspace=team.workspace, user=user, role=1)
        turn = queue.claim(stage, user)

        def erase(member=member, turn=turn) -> None:
            if whose == "person":
                erasing.erase_person(membership=member, by=by)
            else:
                erasing.erase_prompt(prompt=turn.item.prompt, by=by)

        at_once(
            lambda: submissions.submit(
                submission=turn,  # noqa: B023
                user=user,  # noqa: B023
                content={"text": "A secret"},
                version=turn.version,  # noqa: B023
            ),
            erase,
        )
        assert not Response.objects.filter(text__contains="secret").exists()
        assert "secret" not in str(list(Submission.objects.values_list("draft")))
        assert "secret" not in str(list(SubmissionVersion.objects.values_list("content")))
