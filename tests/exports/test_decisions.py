"""Datasets after reviews and adjudications: of a decided item its decision alone counts."""

from collections import Counter
from typing import Any

import pytest

from annotation import adjudication, queue, reviewing, submissions
from annotation.models import Item, Stage, Submission
from exports import datasets
from exports.selection import data_version, read, select
from exports.shelf import origin
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db
OTHER = "another answer was chosen"


def dataset(cast, kind: str, **rules: Any):
    values = {"projects": ["support-desk"]} | rules
    return datasets.create(workspace=cast.acme, name="D", kind=kind, values=values, user=None)


def look(cast, kind: str, **rules: Any) -> tuple[list[Any], dict[str, int]]:
    found = [one for chunk in select(dataset(cast, kind, **rules)) for one in chunk.found]
    kept = [one for one in found if not one.reason]
    return kept, dict(Counter(one.reason for one in found if one.reason))


def texts(kept: list[Any], column: str = "completion") -> list[str]:
    return sorted(one.row[column][0]["content"] for one in kept)


def do(stage: Stage, user, said: Any) -> Submission:
    turn = queue.claim(stage, user)
    content = said(turn) if callable(said) else {"text": said}
    return submissions.submit(submission=turn, user=user, content=content)


def item_of(turn: Submission) -> Item:
    return Item.objects.get(pk=turn.item_id)


@pytest.fixture
def written(cast):
    make_prompt(cast.project)
    stage = make_stage(cast.project, overlap=2)
    return stage, do(stage, cast.ana, "By Ana"), do(stage, cast.bea, "By Bea")


def test_the_chosen_submission_alone_counts_until_it_is_undecided(cast, written) -> None:
    _, ana, _ = written
    assert texts(look(cast, "sft")[0]) == ["By Ana", "By Bea"]
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, submission=ana)
    kept, dropped = look(cast, "sft")
    assert texts(kept) == ["By Ana"] and dropped == {OTHER: 1}
    adjudication.withdraw(item=item_of(ana), author=cast.lee)
    assert texts(look(cast, "sft")[0]) == ["By Ana", "By Bea"]


def test_the_leads_own_words_count_instead_of_all(cast, written) -> None:
    stage, ana, _ = written
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, content={"text": "By Lee"})
    kept, dropped = look(cast, "sft")
    assert texts(kept) == ["By Lee"] and dropped == {OTHER: 2}
    elsewhere = make_stage(cast.project)
    assert texts(look(cast, "sft", stages=[stage.pk])[0]) == ["By Lee"]
    assert look(cast, "sft", stages=[elsewhere.pk]) == ([], {})


def test_a_correction_that_was_passed_over_supersedes_nothing(cast) -> None:
    make_prompt(cast.project, answers=["Original"])
    stage = make_stage(cast.project, "correct", overlap=2)
    ana = do(stage, cast.ana, lambda turn: {"unchanged": True})
    do(stage, cast.bea, "Corrected by Bea")
    assert texts(look(cast, "sft", answers=["imported", "corrected"])[0]) == ["Corrected by Bea"]
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, submission=ana)
    kept, dropped = look(cast, "sft", answers=["imported", "corrected"])
    assert texts(kept) == ["Original"] and dropped == {OTHER: 1}
    kept, dropped = look(cast, "preference", corrections_as_pairs=True)
    assert kept == [] and dropped == {OTHER: 1}


@pytest.fixture
def ranked(cast):
    prompt = make_prompt(cast.project, answers=["Good", "Bad"])
    good, bad = prompt.responses.order_by("pk").values_list("pk", flat=True)
    stage = make_stage(cast.project, "rank", overlap=2)

    def says(first: int, second: int) -> Any:
        def content(turn: Submission) -> dict[str, Any]:
            strength = 2 if turn.shown[0] == first else -2
            return {"order": [[first], [second]], "strength": strength}

        return content

    return (
        stage,
        good,
        bad,
        do(stage, cast.ana, says(good, bad)),
        do(stage, cast.bea, says(bad, good)),
    )


def test_the_chosen_ranking_alone_votes(cast, ranked) -> None:
    _, _, _, ana, _ = ranked
    assert look(cast, "preference") == ([], {"annotators disagree": 1})
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, submission=ana)
    kept, dropped = look(cast, "preference")
    assert texts(kept, "chosen") == ["Good"] and dropped == {}
    assert origin(kept[0])[0]["submissions"] == [ana.pk]


def test_the_leads_own_order_votes_alone(cast, ranked) -> None:
    stage, good, bad, ana, _ = ranked
    content = {"order": [[bad], [good]], "strength": -3}
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, content=content)
    kept, _ = look(cast, "preference", margin="strength")
    assert texts(kept, "chosen") == ["Bad"] and kept[0].row["margin"] == 3
    assert origin(kept[0])[0]["annotators"] == [f"user {cast.lee.pk}"]
    assert origin(kept[0])[0]["submissions"] == []
    other = make_stage(cast.project, "rank")
    assert look(cast, "preference", stages=[other.pk]) == ([], {})


def test_returned_work_gives_no_row_and_a_fix_gives_the_reviewers(cast, written) -> None:
    _, ana, bea = written
    reviewing.send_back(submission=ana, reviewer=cast.rui, comment="Again")
    assert texts(look(cast, "sft")[0]) == ["By Bea"]
    reviewing.fix(submission=bea, reviewer=cast.rui, content={"text": "Fixed"})
    kept, dropped = look(cast, "sft")
    assert texts(kept) == ["Fixed"] and dropped == {"superseded by its correction": 1}


def test_decisions_and_reviews_change_the_version_of_the_data(cast, ranked) -> None:
    _, good, bad, ana, bea = ranked
    data = dataset(cast, "preference")
    seen = {data_version(data, read(data))}
    reviewing.accept(submission=ana, reviewer=cast.rui)
    seen.add(data_version(data, read(data)))
    first = bea.shown[0]
    fixed = {"order": [[good], [bad]], "strength": 1 if first == good else -1}
    reviewing.fix(submission=bea, reviewer=cast.rui, content=fixed)
    seen.add(data_version(data, read(data)))
    adjudication.adjudicate(item=item_of(ana), author=cast.lee, submission=ana)
    seen.add(data_version(data, read(data)))
    adjudication.withdraw(item=item_of(ana), author=cast.lee)
    seen.add(data_version(data, read(data)))
    assert len(seen) == 5
