"""What a selection makes of the data: which rows, and why the others are left out."""

from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Import, Project, Submission
from exports import datasets
from exports.rules import SelectionError
from exports.selection import check, data_version, read, select

pytestmark = pytest.mark.django_db


@pytest.fixture
def look(cast):
    """`look("sft", rule=value)` -> (rows, {reason: count})."""

    def gather(kind: str, **rules: Any) -> tuple[list[Any], dict[str, int]]:
        dataset = datasets.create(
            workspace=cast.acme,
            name="D",
            kind=kind,
            values={"projects": ["support-desk"]} | rules,
            user=None,
        )
        found = [one for chunk in select(dataset) for one in chunk.found]
        assert all((one.row is None) == bool(one.reason) for one in found), "a row or a reason"
        kept = [one for one in found if not one.reason]
        return kept, dict(Counter(one.reason for one in found if one.reason))

    return gather


def texts(kept: list[Any], column: str = "completion") -> list[str]:
    return sorted(one.row[column][0]["content"] for one in kept)


def test_answers_by_where_they_come_from(desk, cast, look) -> None:
    write, correct = desk.stage("write"), desk.stage("correct")
    prompt = desk.prompt("Why?")
    original = desk.answer(prompt, "imported")
    desk.answer(prompt, "by a model", "model", author_name="m")
    desk.write(write, prompt, "written", cast.ana)
    turn = desk.turn(correct, prompt, cast.ana)
    desk.answer(prompt, "corrected", "human", corrects=original, submission=turn)

    kept, dropped = look("sft")
    assert texts(kept) == ["corrected", "written"]
    assert dropped == {
        "superseded by its correction": 1,
        "answers by a model are not selected": 1,
    }
    kept, dropped = look("sft", answers=["imported", "model"])
    assert texts(kept) == ["by a model", "imported"], "not superseded by what is not selected"
    assert dropped == {
        "answers written here are not selected": 1,
        "answers corrected here are not selected": 1,
    }


def test_a_correction_brings_its_own_prompt(desk, cast, look) -> None:
    stage = desk.stage("correct", edit_prompt=True)
    prompt = desk.prompt("why", system="Old.", context="Old book.")
    original = desk.answer(prompt, "eh")
    own = {
        "messages": [{"role": "user", "content": "Why?"}],
        "system": "New.",
        "context": "New book.",
    }
    turn = desk.turn(stage, prompt, cast.ana, **own)
    desk.answer(prompt, "Because.", "human", corrects=original, submission=turn)
    rules: dict[str, Any] = {"test": 0, "validation": 0}
    (row,), _ = look("sft", **rules)
    assert row.row["prompt"] == [
        {"role": "system", "content": "New."},
        {"role": "user", "content": "Why?\n\n### Context:\nNew book."},
    ]
    (pair,), _ = look("preference", corrections_as_pairs=True, **rules)
    assert pair.row["prompt"] == row.row["prompt"]
    assert texts([pair], "chosen") == ["Because."] and texts([pair], "rejected") == ["eh"]


def test_a_corrected_prompt_that_belongs_to_another_split_would_leak(desk, cast, look) -> None:
    stage = desk.stage("correct", edit_prompt=True)
    for number in range(40):
        prompt = desk.prompt(f"Old {number}")
        original = desk.answer(prompt, f"answer {number}")
        messages = [{"role": "user", "content": f"Quite another question {number}"}]
        turn = desk.turn(stage, prompt, cast.ana, messages=messages)
        desk.answer(prompt, f"corrected {number}", "human", corrects=original, submission=turn)
    kept, dropped = look("sft", test=45, validation=0)
    leaks = dropped["the corrected prompt belongs to another split"]
    assert 5 < leaks < 35 and len(kept) == 40 - leaks


def test_what_is_not_done_is_out(desk, cast, look) -> None:
    stage = desk.stage("write")
    prompt = desk.prompt("Why?")
    for user, state in [
        (cast.ana, Submission.State.LATE),
        (cast.bea, Submission.State.DRAFT),
        (cast.lee, Submission.State.SKIPPED),
    ]:
        turn = desk.turn(stage, prompt, user, state=state)
        desk.answer(prompt, f"{state}", "human", submission=turn)
    desk.answer(prompt, "withdrawn", withdrawn=timezone.now())
    running = Import.objects.create(project=cast.project, state="running")
    desk.answer(prompt, "half imported", batch=running)
    desk.prompt("Half imported?", batch=running)
    desk.answer(prompt, "there")
    kept, dropped = look("sft")
    assert texts(kept) == ["there"] and dropped == {}
    assert len(look("prompts")[0]) == 1


def test_stages_limit_the_scope(desk, cast, look) -> None:
    one, two = desk.stage("write"), desk.stage("write")
    prompt = desk.prompt("Why?")
    desk.write(one, prompt, "first stage", cast.ana)
    desk.write(two, prompt, "second stage", cast.bea)
    desk.answer(prompt, "imported, of no stage")
    assert texts(look("sft", stages=[one.pk])[0]) == ["first stage", "imported, of no stage"]
    assert len(look("sft")[0]) == 3


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"retired": True}, "the prompt is retired"),
        ({"messages": []}, "a document, not a prompt"),
        ({"tools": [{"name": "look"}]}, "uses tools, which these rows cannot carry"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "uses tools, which these rows cannot carry",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "a turn is not plain text",
        ),
        (
            {"messages": [{"role": "assistant", "content": "I"}]},
            "does not end with the user's turn",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "the prompt is empty"),
    ],
)
@pytest.mark.parametrize("kind", ["sft", "preference", "prompts"])
def test_prompts_that_give_no_row(desk, look, kind: str, fields, reason: str) -> None:
    values = dict(fields)
    if values.pop("retired", False):
        values["retired"] = timezone.now()
    prompt = desk.prompt("Why?", root_key="r", fingerprint="f", **values)
    a, b = desk.answer(prompt, "one"), desk.answer(prompt, "two")
    desk.rank(desk.stage("rank"), prompt, [[a], [b]])
    kept, dropped = look(kind)
    assert kept == [] and dropped == {reason: 2 if kind == "sft" else 1}


def test_lengths_and_empty_answers(desk, look) -> None:
    prompt = desk.prompt("Why?")
    for text in ("x" * 10, "x" * 9, " \n", ""):
        desk.answer(prompt, text)
    kept, dropped = look("sft", min_length=10)
    assert texts(kept) == ["x" * 10]
    assert dropped == {"shorter than 10 characters": 1, "the answer is empty": 2}


def test_only_the_best_ranked(desk, cast, look) -> None:
    stage = desk.stage("rank")
    prompt, lonely = desk.prompt("Ranked?"), desk.prompt("Not ranked?")
    a, b, c = (desk.answer(prompt, text) for text in ("good", "fair", "poor"))
    desk.answer(lonely, "alone")
    desk.rank(stage, prompt, [[a], [b], [c]], cast.ana)
    desk.rank(stage, prompt, [[a], [c], [b]], cast.bea)
    kept, dropped = look("sft", best_ranked=True)
    assert texts(kept) == ["good"]
    assert dropped == {"not the best ranked": 2, "nobody ranked it": 1}


def test_the_best_of_bad_answers_is_no_example(desk, cast, look) -> None:
    """It is still the better one of its pair; two that are both bad are a tie: no pair."""
    stage = desk.stage("rank")
    bad, both = desk.prompt("All bad?"), desk.prompt("Both bad?")
    a, b = desk.answer(bad, "less bad"), desk.answer(bad, "bad")
    c, d = desk.answer(both, "this"), desk.answer(both, "that")
    desk.rank(stage, bad, [[a], [b]], cast.ana, all_bad=True)
    desk.rank(stage, both, [[c, d]], cast.ana, strength=0, all_bad=True)
    kept, dropped = look("sft", best_ranked=True)
    assert kept == []
    assert dropped == {"the best ranked, but judged bad": 3, "not the best ranked": 1}
    kept, dropped = look("preference")
    assert len(kept) == 1 and dropped == {"tie": 1}


def test_pairs_and_why_others_are_none(desk, cast, look) -> None:
    stage = desk.stage("rank")
    prompt = desk.prompt("Which?")
    a, b, c, d = (desk.answer(prompt, text) for text in ("aa", "bb", "cc", "cc "))
    desk.rank(stage, prompt, [[a], [b], [c], [d]], cast.ana)
    desk.rank(stage, prompt, [[b], [a, c]], cast.bea)
    kept, dropped = look("preference")
    got = {(p.row["chosen"][0]["content"], p.row["rejected"][0]["content"]) for p in kept}
    assert got == {("aa", "cc"), ("aa", "cc "), ("bb", "cc"), ("bb", "cc ")}
    assert dropped == {"annotators disagree": 1, "both answers are the same": 1}
    assert {len(p.rankings) for p in kept} == {1, 2}
    ties = look("preference", stages=[stage.pk], pairs="adjacent")[1]
    assert ties["annotators disagree"] == 1 and ties["tie"] == 1


def test_rankings_that_do_not_count(desk, cast, look) -> None:
    stage, other = desk.stage("rank"), desk.stage("rank")
    prompt = desk.prompt("Which?")
    a, b = desk.answer(prompt, "aa"), desk.answer(prompt, "bb")
    ranking = desk.rank(stage, prompt, [[a], [b]], cast.ana)
    undone = desk.rank(stage, prompt, [[b], [a]], cast.bea)
    undone.withdrawn = timezone.now()
    undone.save()
    desk.rank(stage, prompt, [[b], [a]], cast.rui, state=Submission.State.LATE)
    desk.rank(other, prompt, [[b], [a]], rater="they")
    assert look("preference")[1] == {"annotators disagree": 1}
    kept, _ = look("preference", include_imported=False)
    assert texts(kept, "chosen") == ["aa"]
    assert texts(look("preference", stages=[stage.pk])[0], "chosen") == ["aa"]
    assert texts(look("preference", stages=[other.pk])[0], "chosen") == ["bb"]
    a.withdrawn = timezone.now()
    a.save()
    dropped = look("preference", include_imported=False)[1]
    assert dropped == {"one of the two answers was withdrawn": 1}
    assert ranking.order == [[a.pk], [b.pk]]


def test_margins(desk, cast, look) -> None:
    stage = desk.stage("rank")
    prompt, bare = desk.prompt("Which?"), desk.prompt("And here?")
    a, b = desk.answer(prompt, "aa"), desk.answer(prompt, "bb")
    c, d, e = (desk.answer(bare, text) for text in ("cc", "dd", "ee"))
    desk.rank(stage, prompt, [[a], [b]], cast.ana, strength=3)
    desk.rank(stage, prompt, [[a], [b]], cast.bea, strength=-2)
    desk.rank(stage, bare, [[c], [d], [e]], cast.ana)
    kept, dropped = look("preference", margin="strength")
    assert [one.row["margin"] for one in kept] == [2.5]
    assert dropped == {"no strength was given": 3}
    places = {one.row["margin"] for one in look("preference", margin="places")[0]}
    assert places == {1.0, 2.0}
    assert all("margin" not in one.row for one in look("preference")[0])


def test_a_correction_as_a_pair(desk, cast, look) -> None:
    correct, rank = desk.stage("correct"), desk.stage("rank")
    for name in ("changed", "unchanged", "ranked"):
        prompt = desk.prompt(name)
        original = desk.answer(prompt, "as it was")
        turn = desk.turn(correct, prompt, cast.ana)
        text = "as it was" if name == "unchanged" else "as it should be"
        better = desk.answer(prompt, text, "human", corrects=original, submission=turn)
        if name == "ranked":
            desk.rank(rank, prompt, [[original], [better]], cast.bea)
    kept, dropped = look("preference", corrections_as_pairs=True)
    got = {(p.work.external_id, p.row["chosen"][0]["content"]) for p in kept}
    assert got == {("changed", "as it should be"), ("ranked", "as it was")}
    assert dropped == {
        "both answers are the same": 1,
        "a ranking says which of the two is better": 1,
    }
    assert len(look("preference")[0]) == 1


def test_no_root_in_two_splits_over_all_datasets(desk, cast, look) -> None:
    stage = desk.stage("rank")
    for number in range(80):
        first = {"role": "user", "content": f"Root {number % 50}"}
        talk = [first, {"role": "assistant", "content": "And?"}, {"role": "user", "content": "So"}]
        prompt = desk.prompt(f"p{number}", messages=talk if number % 2 else [first])
        a, b = desk.answer(prompt, f"a{number}"), desk.answer(prompt, f"bb{number}")
        desk.rank(stage, prompt, [[a], [b]], cast.ana)
    sides: dict[str, set[str]] = {}
    for kind in ("sft", "preference", "prompts"):
        for one in look(kind, test=25, validation=25)[0]:
            sides.setdefault(one.row["prompt"][0]["content"], set()).add(one.split)
    assert len(sides) == 50 and all(len(found) == 1 for found in sides.values())
    assert set.union(*sides.values()) == {"train", "validation", "test"}


def test_several_projects_and_more_than_a_chunk(desk, cast, look, monkeypatch) -> None:
    monkeypatch.setattr("exports.reading.CHUNK", 7)
    second = Project.objects.create(workspace=cast.acme, name="Second", slug="second")
    for number in range(20):
        desk.answer(desk.prompt(f"one {number}"), "x")
    desk.project = second
    for number in range(15):
        desk.answer(desk.prompt(f"two {number}"), "y")
    kept, _ = look("sft", projects=["second", "support-desk"])
    assert len(kept) == 35
    dataset = cast.acme.datasets.last()
    chunks = [(chunk.seen, chunk.total) for chunk in select(dataset)]
    assert chunks[-1] == (35, 35) and len(chunks) == 6


def test_queries_do_not_grow_with_prompts(desk, look, django_assert_max_num_queries) -> None:
    for number in range(30):
        prompt = desk.prompt(f"p{number}")
        desk.rank(
            desk.stage("rank"), prompt, [[desk.answer(prompt, "a")], [desk.answer(prompt, "b")]]
        )
    with django_assert_max_num_queries(18):
        look("preference")


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({}, "projects", "choose at least one"),
        ({"projects": ["nowhere"]}, "projects", "no project nowhere here; there are support-desk"),
        ({"projects": ["support-desk"], "stages": [99]}, "stages", "99: not a stage"),
    ],
)
def test_a_selection_must_fit_the_workspace(cast, values, field: str, words: str) -> None:
    with pytest.raises(SelectionError) as caught:
        check(cast.acme, "sft", values)
    assert words in caught.value.errors[field]


def test_another_workspaces_project_is_not_there(cast) -> None:
    Project.objects.create(workspace=cast.other, name="Secret", slug="secret")
    with pytest.raises(SelectionError, match="no project secret"):
        check(cast.acme, "sft", {"projects": ["secret"]})


def test_the_data_version_changes_with_the_data(desk, cast) -> None:
    dataset = datasets.create(
        workspace=cast.acme,
        name="D",
        kind="preference",
        values={"projects": "support-desk"},
        user=None,
    )

    def version() -> str:
        return data_version(dataset, read(dataset))

    seen = [version()]
    assert version() == seen[0]
    prompt = desk.prompt("Why?")
    seen.append(version())
    a, b = desk.answer(prompt, "a"), desk.answer(prompt, "b")
    seen.append(version())
    ranking = desk.rank(desk.stage("rank"), prompt, [[a], [b]], cast.ana)
    seen.append(version())
    ranking.withdrawn = timezone.now()
    ranking.save()
    seen.append(version())
    prompt.messages = [{"role": "user", "content": "Why not?"}]
    prompt.save()
    seen.append(version())
    prompt.retired = timezone.now()
    prompt.save()
    seen.append(version())
    assert len(set(seen)) == len(seen)
