"""From a dataset to rows and reasons, whole: which work counts, and the rules about texts and
about rows beside other rows."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest

from annotation.models import Item, Project, Submission
from exports import beside, datasets, snapshots
from exports.gathering import gather
from exports.models import Benchmark
from exports.rules import SelectionError
from exports.selection import data_version, read, select
from exports.shelf import Shelf, content_digest, row_key, same_digest
from exports.splits import SPLITS

pytestmark = pytest.mark.django_db
LONG = "The river rises in the hills, runs past the mill and the old bridge, and ends in the bay."


@pytest.fixture
def give(cast, tmp_path):
    """`give("sft", rule=value)` -> ([row], {reason: rows}, the figures)."""

    def run(kind: str, **rules: Any) -> tuple[list[dict], dict[str, int], dict]:
        number = cast.acme.datasets.count()
        values = {"projects": ["support-desk"], "near_test": 0, "test": 0, "validation": 0} | rules
        dataset = datasets.create(
            workspace=cast.acme, name=f"D{number}", kind=kind, values=values, user=None
        )
        (folder := tmp_path / str(number)).mkdir()
        with Shelf(folder) as shelf:
            found = gather(dataset, read(dataset), shelf, lambda share: None)
            rows = [line.row for name in SPLITS for line in shelf.read(shelf.ids(name))]
        assert len(rows) == sum(found["counts"].values())
        return rows, found["dropped"], found

    return run


def said(rows: list[dict]) -> set[str]:
    return {row["completion"][0]["content"] for row in rows}


def asked(rows: list[dict]) -> set[str]:
    return {row["prompt"][-1]["content"] for row in rows}


# Which work ---------------------------------------------------------------------------------


def test_what_a_reviewer_has_said_counts_where_it_is_asked(give, desk, cast) -> None:
    stage = desk.stage("write")
    for state in ("", "waiting", "accepted", "fixed"):
        response = desk.write(stage, desk.prompt(f"Q {state}"), f"A {state}", cast.ana)
        Submission.objects.filter(pk=response.submission_id).update(review=state)
    desk.answer(desk.prompt("Q imported"), "A imported")
    assert len(give("sft")[0]) == 5
    rows, dropped, _ = give("sft", review="passed")
    assert said(rows) == {"A ", "A accepted", "A fixed", "A imported"}
    assert dropped == {"waits for a review": 1}
    rows, dropped, _ = give("sft", review="accepted")
    assert said(rows) == {"A accepted", "A fixed", "A imported"}, "imported work has no review"
    assert dropped == {"no reviewer accepted it": 1, "waits for a review": 1}


def test_people_and_days(give, desk, cast) -> None:
    stage = desk.stage("write")
    for day, user in ((1, cast.ana), (2, cast.ana), (3, cast.bea)):
        response = desk.write(stage, desk.prompt(f"Q{day}"), f"A{day}", user)
        when = datetime(2026, 3, day, 23, 59, tzinfo=UTC)
        Submission.objects.filter(pk=response.submission_id).update(submitted=when)
    ana = f"user {cast.ana.pk}"
    assert said(give("sft", annotators=[ana])[0]) == {"A1", "A2"}
    rows, dropped, _ = give("sft", without_annotators=[ana])
    assert said(rows) == {"A3"} and dropped == {"its annotator is left out": 2}
    rows, dropped, _ = give("sft", since="2026-03-02", until="2026-03-02")
    assert said(rows) == {"A2"}, "both days are included"
    assert dropped == {"from after 2026-03-02": 1, "from before 2026-03-02": 1}


def test_metadata(give, desk) -> None:
    for number, topic in enumerate(("billing", "login")):
        desk.answer(desk.prompt(f"Q{number}", metadata={"topic": topic}), f"A{number}")
    rows, dropped, _ = give("sft", metadata=["topic=billing"])
    assert said(rows) == {"A0"} and dropped == {"its metadata do not fulfil “topic=billing”": 1}


@pytest.fixture
def compared(desk, cast):
    """Three items: all agree, half do, and one person only."""
    stage = desk.stage("rank")
    for number, (apart, people) in enumerate(
        ((0, [cast.ana, cast.bea]), (60, [cast.ana, cast.bea]), (None, [cast.ana]))
    ):
        prompt = desk.prompt(f"Q{number}")
        answers = [desk.answer(prompt, f"good {number}"), desk.answer(prompt, f"bad {number}")]
        for user in people:
            desk.rank(stage, prompt, [[answers[0]], [answers[1]]], user, strength=1 + number)
        Item.objects.filter(prompt=prompt).update(disagreement=apart)
    return stage


def test_agreement_and_numbers_of_annotators(give, compared) -> None:
    assert len(give("preference")[0]) == 3
    rows, dropped, _ = give("preference", min_agreement=50)
    assert asked(rows) == {"Q0"}
    assert dropped == {
        "annotators agree by less than 50 %": 1,
        "one annotator only, agreement unknown": 1,
    }
    rows, dropped, _ = give("preference", min_raters=2)
    assert asked(rows) == {"Q0", "Q1"} and dropped == {"fewer than 2 annotators": 1}
    Item.objects.update(disagreement=None)  # of imported rankings nobody has seen the quality page
    rows, dropped, _ = give("preference", min_raters=2, min_agreement=50)
    assert not rows and dropped == {"fewer than 2 annotators": 1, "agreement not measured yet": 2}


def test_the_best_ranked_of_enough_people(give, compared) -> None:
    rows, dropped, _ = give("sft", best_ranked=True, min_raters=2)
    assert said(rows) == {"good 0", "good 1"}
    assert dropped == {"not the best ranked": 3, "fewer than 2 annotators": 1}


def test_strength_and_margins(give, compared) -> None:
    rows, dropped, _ = give("preference", min_strength=3)
    assert asked(rows) == {"Q2"} and dropped == {"weaker than 3": 2}
    rows, _, _ = give("preference", margin="table", margin_table=["1=0.5", "2=2.5", "3=9"])
    assert {row["prompt"][0]["content"]: row["margin"] for row in rows} == {
        "Q0": 0.5,
        "Q1": 2.5,
        "Q2": 9,
    }


def test_who_is_left_out_has_no_vote_but_a_reason(give, compared, cast) -> None:
    rows, dropped, _ = give("preference", annotators=[f"user {cast.bea.pk}"])
    assert asked(rows) == {"Q0", "Q1"} and dropped == {"its annotator is not selected": 1}
    rows, dropped, _ = give("preference", without_annotators=[f"user {cast.ana.pk}"])
    assert asked(rows) == {"Q0", "Q1"} and dropped == {"its annotator is left out": 1}


def test_corrections_that_changed_their_prompt(give, desk, cast) -> None:
    stage = desk.stage("correct")
    for number, changed in enumerate((None, "Another system text.")):
        prompt = desk.prompt(f"Q{number}")
        first = desk.answer(prompt, f"A{number}")
        turn = desk.turn(stage, prompt, cast.ana, system=changed)
        desk.answer(prompt, f"Better {number}", "human", corrects=first, submission=turn)
    assert len(give("preference", corrections_as_pairs=True)[0]) == 2
    rows, dropped, _ = give("preference", corrections_as_pairs=True, edited_prompts=False)
    assert asked(rows) == {"Q0"} and dropped == {"the correction changed the prompt": 1}


# Which texts --------------------------------------------------------------------------------


def test_lengths(give, desk) -> None:
    for text in ("no", "long enough", "this is longer than it may be"):
        desk.answer(desk.prompt(f"Q {text}"), text)
    rows, dropped, _ = give("sft", min_length=5, max_length=12)
    assert said(rows) == {"long enough"}
    assert dropped == {"longer than 12 characters": 1, "shorter than 5 characters": 1}


def test_languages(give, desk) -> None:
    portuguese = "O rio nasce nas montanhas, passa pelo moinho e pela ponte velha e acaba na baía."
    for number, text in enumerate((LONG, portuguese, "ok")):
        desk.answer(desk.prompt(f"Q{number}"), text)
    rows, dropped, _ = give("sft", languages=["en"])
    assert said(rows) == {LONG, "ok"}, "what is too short to tell stays"
    assert dropped == {"in another language (pt)": 1}
    rows, dropped, _ = give("sft", languages=["en", "pt"], unsure_language="drop")
    assert said(rows) == {LONG, portuguese} and dropped == {"not sure in which language": 1}


def test_boilerplate(give, desk) -> None:
    desk.answer(desk.prompt("Q0"), "As an AI language model, I cannot have opinions on rivers.")
    desk.answer(desk.prompt("Q1"), LONG)
    rows, dropped, _ = give("sft", boilerplate=True)
    assert said(rows) == {LONG} and list(dropped.values()) == [1]
    assert next(iter(dropped)).startswith("boilerplate: ")


def test_personal_data_is_masked_or_left_out(give, desk) -> None:
    desk.answer(desk.prompt("I am ana@mail.example.org. Where is my order?"), "On its way.")
    desk.answer(desk.prompt("Where is it?"), "Write to help@mail.example.org.")
    rows, dropped, _ = give("sft", personal="mask")
    assert asked(rows) == {"I am [EMAIL]. Where is my order?", "Where is it?"} and not dropped
    assert said(rows) == {"On its way.", "Write to [EMAIL]."}
    rows, dropped, _ = give("sft", personal="drop")
    assert not rows and dropped == {"holds personal data (email)": 2}
    assert len(give("sft", personal="drop", personal_kinds=["iban"])[0]) == 2


def test_masked_rows_are_counted_where_they_stay(give, desk) -> None:
    """Each row once a kind, whatever others share its prompt; none that is left out."""
    shared = desk.prompt("I am ana@mail.example.org or bo@mail.example.org. Where is it?")
    desk.answer(shared, "On its way.")
    desk.answer(shared, "It left 192.0.2.17 yesterday, and is on its way.")
    desk.answer(desk.prompt("Who?"), "c@mail.example.org")
    desk.answer(desk.prompt("Q"), "Nobody.")
    found = give("sft", personal="mask", answers=["imported"])[2]
    assert found["masked"] == {"email": 3, "ip": 1}
    assert give("sft", personal="mask", min_length=20)[2]["masked"] == {"email": 1, "ip": 1}
    assert give("sft", personal="mask", personal_kinds=["iban"])[2]["masked"] == {}
    assert "masked" not in give("sft")[2]


def test_lengths_are_those_of_what_masking_leaves(give, desk) -> None:
    prompt = desk.prompt("Where is it?")
    mail = desk.answer(prompt, "Write to help.and.support@mail.example.org.")
    other = desk.answer(prompt, "Look at home once more.")
    desk.rank(desk.stage("rank"), prompt, [[mail], [other]])
    figures = {how: give("preference", personal=how)[2] for how in ("keep", "mask")}
    assert {how: found["lengths"]["longest"] for how, found in figures.items()} == {
        "keep": len("Write to help.and.support@mail.example.org."),
        "mask": len("Write to [EMAIL]."),
    }
    assert [found["longer_wins"]["share"] for found in figures.values()] == [1, 0]


def test_what_a_benchmark_or_a_dataset_holds(give, desk, cast, tmp_path) -> None:
    desk.answer(desk.prompt("Where does the river end?"), LONG)
    desk.answer(desk.prompt("And the road?"), "It ends at the bridge.")
    path = tmp_path / "texts.jsonl"
    path.write_text(f'"{LONG.upper()}"\n', "utf-8")
    Benchmark.objects.create(
        workspace=cast.acme, name="Rivers", path=str(path), texts=1, sha256="a" * 64
    )
    rows, dropped, _ = give("sft", not_in=["benchmark Rivers"], not_in_words=8)
    assert said(rows) == {"It ends at the bridge."}
    assert dropped == {"shares 8 words with benchmark Rivers": 1}
    first = cast.acme.datasets.first()
    with pytest.raises(SelectionError, match="no frozen version"):
        give("sft", not_in=[f"dataset {first.slug}"])
    snapshots.freeze_now(dataset=first, user=None)
    rows, dropped, _ = give("sft", not_in=[f"dataset {first.slug}"], not_in_words=5)
    assert said(rows) == {LONG}, "the first dataset held the other row only"
    with pytest.raises(SelectionError, match="no benchmark “Lakes”"):
        give("sft", not_in=["benchmark Lakes"])


def test_a_look_is_stale_when_the_benchmark_or_the_agreement_changes(give, cast, compared) -> None:
    guard = Benchmark.objects.create(workspace=cast.acme, name="B", path="/x", sha256="a" * 64)
    values = {"projects": ["support-desk"], "not_in": ["benchmark B"]}
    dataset = datasets.create(
        workspace=cast.acme, name="D", kind="preference", values=values, user=None
    )
    versions = {data_version(dataset, read(dataset))}
    Benchmark.objects.filter(pk=guard.pk).update(sha256="b" * 64)
    versions.add(data_version(dataset, read(dataset)))
    Item.objects.filter(disagreement=60).update(disagreement=40)
    versions.add(data_version(dataset, read(dataset)))
    assert len(versions) == 3


# Which rows beside the others -----------------------------------------------------------------


def test_equal_but_for_white_space_and_unicode_form(give, desk) -> None:
    desk.answer(desk.prompt("Q", external_id="a", fingerprint="1", root_key="1"), "Caf\u00e9 open")
    desk.answer(
        desk.prompt("Q ", external_id="b", fingerprint="2", root_key="1"), "Cafe\u0301  open"
    )
    desk.answer(desk.prompt("Q", external_id="c", fingerprint="3", root_key="1"), "cafe open")
    rows, dropped, _ = give("sft")
    assert len(rows) == 2 and dropped == {"exact duplicate of another row": 1}


def test_near_duplicates_only_where_all_texts_are_near(give, desk) -> None:
    prompt = desk.prompt("Where does the river end, and where does it begin, and how long is it?")
    desk.answer(prompt, LONG)
    desk.answer(prompt, LONG.replace("ends in the bay", "ends in the bay of course"))
    desk.answer(prompt, "Nobody has ever measured it from one end to the other, so I cannot say.")
    rows, dropped, _ = give("sft", near=70)
    assert len(rows) == 2 and dropped == {"near-duplicate of another row (70 %)": 1}
    assert len(give("sft")[0]) == 3


def test_training_rows_near_a_test_prompt_go(give, desk) -> None:
    question = "Where does the river end, and where does it begin, and how long is it {}?"
    for number in range(60):
        words = " ".join(f"{word}{number}" for word in ("north", "south", "east", "west", "by"))
        prompt = desk.prompt(f"{words} {number}")
        desk.answer(prompt, f"Answer {number}")
    rows, _, found = give("sft", test=20, near_test=90)
    tests = found["counts"]["test"]
    assert tests > 3
    # A twin of a test prompt, in train by its own first words.
    twins = 0
    for number in range(200):
        text = question.format("in words" if number % 2 else "in  words")
        prompt = desk.prompt(text, external_id=f"t{number}", root_key=f"{number:032d}",
                             fingerprint=f"{number:032d}")  # fmt: skip
        desk.answer(prompt, f"Twin {number}")
        twins += 1
    _, dropped, found = give("sft", test=20, near_test=90)
    gone = dropped["nearly equal to a test prompt (90 %)"]
    assert gone == twins - (found["counts"]["test"] - tests) > 100
    assert "nearly equal to a test prompt (90 %)" not in give("sft", test=20, near_test=0)[1]


def test_validation_is_held_apart_where_it_is_asked(give, desk) -> None:
    """Three twins of each text, by their roots in any split."""
    for number in range(90):
        words = " ".join(f"{word}{number // 3}" for word in ("north", "south", "east", "west"))
        prompt = desk.prompt(words, external_id=f"t{number}", root_key=f"{number:032d}",
                             fingerprint=f"{number:032d}")  # fmt: skip
        desk.answer(prompt, f"Twin {number}")

    def shared(**rules: Any) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        rows, dropped, found = give("sft", test=20, validation=20, **rules)
        ends = np.cumsum([0, *(found["counts"][name] for name in SPLITS)])
        of = {n: asked(rows[a:b]) for n, a, b in zip(SPLITS, ends, ends[1:], strict=False)}
        return dropped, {
            (one, other): len(of[one] & of[other]) for one in of for other in of if one < other
        }

    dropped, both = shared(near_test=100)
    assert dropped.keys() == {"nearly equal to a test prompt (100 %)"}
    assert both["test", "train"] == 0 < both["train", "validation"] and both["test", "validation"]
    dropped, both = shared(near_test=100, near_validation=True)
    assert not any(both.values())
    assert dropped.keys() == {
        "nearly equal to a test prompt (100 %)", "nearly equal to a validation prompt (100 %)",
    }  # fmt: skip
    assert not shared(near_test=0, near_validation=True)[0]


@pytest.mark.parametrize(
    ("kind", "rules"),
    [("text", {}), ("labels", {"question": "metadata.topic", "label_text": "answer"})],
)
def test_equal_texts_under_two_ids_are_not_in_two_splits(give, desk, kind, rules) -> None:
    for number in range(120):
        topic = {"topic": "ab"[number % 3 > 1]}
        document = desk.prompt(f"d{number}", messages=[], metadata=topic)
        desk.answer(document, f"Yes{'  ' * (number % 2)} {number // 3}.")
    rows, dropped, found = give(kind, test=30, validation=0, near_test=100, **rules)
    ends = found["counts"]["train"], len(rows)
    train, test = (
        {" ".join(row["text"].split()) for row in rows[a:b]} for a, b in ((0, ends[0]), ends)
    )
    assert len(train) > 10 < len(test) and not train & test
    assert dropped["exact duplicate of another row"] >= 40
    assert "nearly equal to a test prompt (100 %)" not in dropped, "their split goes by their text"


def test_a_last_turn_alone_is_near_to_nothing(give, desk) -> None:
    for number in range(40):
        first = " ".join(f"{word}{number}" for word in ("north", "south", "east", "west", "by"))
        turns = [("user", first), ("assistant", f"So {first}."), ("user", "Go on, please.")]
        messages = [{"role": role, "content": content} for role, content in turns]
        prompt = desk.prompt(first, messages=messages, system="Answer in one line, and be kind.")
        desk.answer(prompt, f"More of {number}")
    _, dropped, found = give("sft", test=20, near_test=70)
    assert found["counts"]["test"] > 3 and not dropped


def test_balance(give, desk, cast) -> None:
    stage = desk.stage("rank")
    for number in range(20):
        prompt = desk.prompt(f"Q{number}")
        longer, shorter = (
            desk.answer(prompt, f"{LONG} {number}"),
            desk.answer(prompt, f"N {number}"),
        )
        order = [[longer], [shorter]] if number < 16 else [[shorter], [longer]]
        desk.rank(stage, prompt, order, cast.ana if number % 4 else cast.bea)
    _, dropped, found = give("preference", max_longer=60)
    wins = found["longer_wins"]
    assert wins["share"] == 0.6 and wins["pairs"] == 10
    assert dropped == {"the longer answer wins in more than 60 %": 10}
    _, dropped, found = give("preference", max_annotator=50)
    assert dropped == {"more than 50 % by one annotator": 10}


def test_rows_of_one_prompt_and_a_mix_of_projects(give, desk, cast) -> None:
    for number in range(6):
        prompt = desk.prompt(f"Q{number}")
        for answer in range(3):
            desk.answer(prompt, f"A{number}{answer}")
    rows, dropped, _ = give("sft", max_per_prompt=2)
    assert len(rows) == 12 and dropped == {"more than 2 rows of the prompt": 6}
    desk.project = Project.objects.create(workspace=cast.acme, name="Other", slug="other")
    desk.answer(desk.prompt("Q other"), "Other 1")
    desk.answer(desk.prompt("Q more"), "Other 2")
    both = ["support-desk", "other"]
    assert len(give("sft", projects=both)[0]) == 20
    rows, dropped, _ = give("sft", projects=both, weights=["other=0.5"])
    assert {"Other 1", "Other 2"} <= said(rows) and len(rows) == 6
    assert dropped == {"more than the project's share of the mix": 14}
    with pytest.raises(SelectionError, match="elsewhere: not among the chosen"):
        give("sft", weights=["elsewhere=1"])


def test_the_order_of_arrival_does_not_matter(give, desk, cast, tmp_path) -> None:
    """The same candidates in another order give the same rows in the same order."""
    for number in range(40):
        prompt = desk.prompt(f"Q {number % 25}", external_id=f"p{number}",
                             fingerprint=str(number), root_key=str(number % 25))  # fmt: skip
        desk.answer(prompt, f"{LONG} {number % 7}")
        desk.answer(prompt, f"{LONG}  {number % 7}")
    values = {"projects": ["support-desk"], "near": 80, "max_per_prompt": 1}
    dataset = datasets.create(workspace=cast.acme, name="D", kind="sft", values=values, user=None)
    found = [one for chunk in select(dataset) for one in chunk.found]
    orders = []
    for order in (found, found[::-1], found[7:] + found[:7]):
        (folder := tmp_path / str(len(orders))).mkdir()
        with Shelf(folder) as shelf:
            shelf.put(order)
            beside.apply(read(dataset), shelf, lambda share: None)
            lines = [line for name in SPLITS for line in shelf.read(shelf.ids(name))]
            orders.append([(line.key, line.row) for line in lines])
    assert orders[0] == orders[1] == orders[2] and len(orders[0]) > 5


def test_digests_and_keys() -> None:
    row = {"prompt": [{"role": "user", "content": "Q"}], "margin": 1.0}
    assert content_digest(row) == content_digest(row | {"margin": 2.0})
    spaced = {"prompt": [{"role": "user", "content": " Q "}]}
    assert content_digest(row) != content_digest(spaced) and same_digest(row) == same_digest(spaced)
    assert same_digest({"text": "a", "label": "x"}) != same_digest({"text": "a", "label": "y"})
    project = UUID("12345678123456781234567812345678")
    name = f"id\x1f{content_digest(row).hex()}"
    assert row_key(project, "id", content_digest(row)) == uuid5(project, name).bytes


def test_a_worker_says_that_it_lives_while_it_reads_what_rules_go_by(
    cast, desk, sft, pairs, tmp_path, monkeypatch
) -> None:
    """Texts to keep apart from and the record of annotators: before the first row comes."""
    snapshots.freeze_now(dataset=sft, user=None)
    values = {**pairs.selection, "not_in": [f"dataset {sft.slug}"], "votes": "weighted"}
    datasets.change(dataset=pairs, name=pairs.name, values=values)
    beats: list[int] = []
    selection = read(pairs)
    next(select(pairs, selection, lambda: beats.append(1)))
    assert beats
    beats.clear()
    monkeypatch.setattr("exports.gathering.select", lambda *_: iter(()))
    with Shelf(tmp_path) as shelf:
        gather(pairs, selection, shelf, beats.append)
    assert len(beats) >= 60, "a word a text"
