"""Identity, counting, all or nothing, and what is left when an import fails or dies."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from annotation import import_runs, importing, queue
from annotation.importing import Answer, Busy, RankingIn, Record, Refused, add_records
from annotation.models import (
    Import,
    Item,
    Prompt,
    Ranking,
    Response,
    Stage,
    Submission,
)

State = Import.State


def prompt(text: str = "Sky?", *answers: str, **rest: Any) -> Record:
    return Record(
        messages=[{"role": "user", "content": text}],
        answers=[Answer(answer) for answer in answers],
        **rest,
    )


def ranked(order: list[list[int]], text: str = "Sky?", rater: str = "r") -> Record:
    answers = [f"answer {n}" for n in range(sum(len(group) for group in order))]
    return prompt(text, *answers, rankings=[RankingIn(rater, order)])


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    assert report["rows"] == sum(
        (report["imported"], report["updated"], report["unchanged"], len(report["refused"]))
    )
    names = ("imported", "updated", "unchanged")
    return (*(report[name] for name in names), len(report["refused"]))


def nothing_left() -> bool:
    models = (Prompt, Response, Item, Submission, Ranking)
    return not any(model.objects.exists() for model in models)


@pytest.fixture
def project(cast):
    return cast.project


@pytest.fixture
def add(project):
    def act(*records: Record, **rest: Any) -> dict[str, Any]:
        return add_records(project=project, records=records, source="test", **rest)

    return act


@pytest.fixture
def file(project, tmp_path: Path):
    """`file(rows)`: a previewed import of a JSONL file with these rows."""

    def act(rows: list[Any], name: str = "rows.jsonl", **rest: Any) -> Import:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return importing.create(project=project, user=None, path=path, **rest)

    return act


# Identity and counting -------------------------------------------------------------------------


def test_the_same_records_again_change_nothing(add) -> None:
    records = [prompt("a", "x", "y"), prompt("b"), ranked([[1], [0, 2]])]
    assert counts(add(*records)) == (3, 0, 0, 0)
    before = list(Response.objects.order_by("pk").values()), Prompt.objects.count()
    report = add(*records)
    assert counts(report) == (0, 0, 3, 0)
    assert (report["prompts"], report["responses"], report["rankings"]) == (0, 0, 0)
    assert (list(Response.objects.order_by("pk").values()), Prompt.objects.count()) == before
    assert Item.objects.count() == Ranking.objects.count() == 1


def test_without_an_id_the_fingerprint_is_one_and_answers_are_added(add) -> None:
    add(prompt("Sky?", "blue"))
    report = add(prompt("  Sky? ", "blue", "red"))
    assert counts(report) == (0, 1, 0, 0) and report["responses"] == 1
    assert "spaced otherwise" in report["notes"][0]["note"]
    only = Prompt.objects.get()
    assert only.external_id == only.fingerprint and only.messages[0]["content"] == "Sky?"


def test_without_an_id_a_prompt_that_came_with_one_is_found(add) -> None:
    add(prompt("Sky?", external_id="p1"))
    assert counts(add(prompt("Sky?", "blue"))) == (0, 1, 0, 0)
    assert Prompt.objects.get().responses.get().text == "blue"


def test_equal_answers_are_doubled_only_across_origins(add) -> None:
    add(prompt("a", "x", "x ", "X"))
    assert Response.objects.count() == 2
    add(prompt("a", "x"), origin="model")
    assert sorted(Response.objects.values_list("text", "origin")) == [
        ("X", "imported"),
        ("x", "imported"),
        ("x", "model"),
    ]


def thumb(up: bool, **metadata: Any) -> Record:
    return Record(
        messages=[{"role": "user", "content": "Sky?"}],
        answers=[Answer("blue", metadata={"label": up, **metadata})],
    )


def test_one_answer_under_both_thumbs_is_refused_by_name(add) -> None:
    with pytest.raises(Refused, match="line 2: the same answer is there with the label true"):
        add(thumb(True), thumb(False))
    assert nothing_left()
    assert counts(add(thumb(True), thumb(False), thumb(True), skip_bad=True)) == (1, 0, 1, 1)
    assert counts(add(thumb(False), skip_bad=True)) == (0, 0, 0, 1)
    assert Response.objects.get().metadata == {"label": True}


def test_other_metadata_of_an_equal_answer_are_noted(add) -> None:
    report = add(thumb(True, score=1), thumb(True, score=2), thumb(True))
    assert counts(report) == (1, 0, 2, 0)
    told = "other metadata than the answer had: not taken"
    assert report["notes"] == [{"line": 2, "note": told}]
    assert Response.objects.get().metadata == {"label": True, "score": 1}


def document(name: str, text: str) -> Record:
    return Record(external_id=name, answers=[Answer(text)])


def test_another_text_under_a_documents_id_is_refused(add) -> None:
    """A second text would make a second document of it, unasked."""
    with pytest.raises(Refused, match="line 2: the document “d” is there with another text"):
        add(document("d", "One."), document("d", "Two."))
    add(document("d", "One."))
    assert counts(add(document("d", "One."), document("e", "Two."))) == (1, 0, 1, 0)
    with pytest.raises(Refused, match="line 1: the document “d” is there with another text"):
        add(document("d", "Two."))
    Response.objects.filter(prompt__external_id="d").update(withdrawn=timezone.now())
    assert counts(add(document("d", "Two."))) == (0, 1, 0, 0)


def test_code_that_differs_in_indentation_is_another_answer(add) -> None:
    add(prompt("a", "if x:\n  y\nz", "if x:\n  y\n  z"))
    assert Response.objects.count() == 2


def test_rows_of_one_file_meet_across_transactions(add, monkeypatch) -> None:
    monkeypatch.setattr(import_runs, "ROWS_PER_WRITE", 2)
    report = add(*[prompt("a", f"x{n % 3}") for n in range(9)])
    assert counts(report) == (1, 2, 6, 0)
    assert (Prompt.objects.count(), Response.objects.count()) == (1, 3)


def test_one_id_for_two_prompts_in_a_file_is_refused(add) -> None:
    with pytest.raises(Refused, match="line 2: the id “p” stands earlier"):
        add(prompt("a", external_id="p"), prompt("b", external_id="p"))
    assert nothing_left()


def test_the_same_conflict_is_refused_in_the_same_way_the_second_time(add) -> None:
    rows = prompt("a", external_id="p"), prompt("b", external_id="p")
    assert counts(add(*rows, skip_bad=True)) == (1, 0, 0, 1)
    assert counts(add(*rows, skip_bad=True)) == (0, 0, 1, 1)
    assert Prompt.objects.get().messages[0]["content"] == "a"


def test_another_id_for_the_same_prompt_is_another_prompt_and_noted(add) -> None:
    report = add(prompt("a", external_id="p"), prompt("a", external_id="q"))
    assert counts(report) == (2, 0, 0, 0)
    assert report["notes"] == [{"line": 2, "note": "the same prompt is there as “p”"}]


def test_an_update_by_id_and_the_metadata(add) -> None:
    add(prompt("a", "x", external_id="p", metadata={"k": 1}))
    report = add(prompt("b", external_id="p", metadata={"n": 2}, system="s", context="c"))
    assert counts(report) == (0, 1, 0, 0)
    changed = Prompt.objects.get()
    assert changed.messages[0]["content"] == "b"
    assert (changed.system, changed.context, changed.metadata) == ("s", "c", {"k": 1, "n": 2})
    fresh = add(prompt("b", external_id="new", system="s", context="c"))
    assert "the same prompt is there as “p”" in fresh["notes"][0]["note"]


def test_a_prompt_that_has_been_worked_on_is_not_changed(add, project) -> None:
    add(prompt("a", external_id="p"))
    stage = Stage.objects.create(project=project, kind="write", name="w")
    item = Item.objects.create(stage=stage, prompt=Prompt.objects.get(), position=1, needed=1)
    Submission.objects.create(
        item=item, stage=stage, rater="x", origin="import", state=Submission.State.SUBMITTED
    )
    with pytest.raises(Refused, match="“p” would change, but it has been worked on"):
        add(prompt("b", external_id="p"))
    assert Prompt.objects.get().messages[0]["content"] == "a"
    assert counts(add(prompt("a", "x", external_id="p", metadata={"k": 1}))) == (0, 1, 0, 0)
    assert Prompt.objects.get().metadata == {"k": 1}


def test_an_edit_made_here_stays(add) -> None:
    add(prompt("a"))
    Prompt.objects.update(messages=[{"role": "user", "content": "edited"}], fingerprint="other")
    report = add(prompt("a", "x"))
    assert counts(report) == (0, 1, 0, 0) and "was edited here" in report["notes"][0]["note"]
    assert Prompt.objects.get().messages[0]["content"] == "edited"


def test_answers_for_a_prompt_by_its_id_alone(add) -> None:
    add(prompt("a", external_id="p"))
    assert counts(add(Record(external_id="p", answers=[Answer("x", "m", "model")]))) == (0, 1, 0, 0)
    assert Response.objects.get().author_name == "m"


def test_conversations_have_parent_and_root(file) -> None:
    turns = [("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d"), ("human", "e")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    importing.run_now(file([row]))
    first, second, third = Prompt.objects.order_by("pk")
    assert (first.parent, first.root) == (None, None)
    assert second.parent.text == "b" and third.parent.text == "d"
    assert second.root == third.root == first
    assert first.root_key == second.root_key == third.root_key
    again = importing.run_now(file([row]))
    assert counts(again) == (0, 0, 1, 0)


# Rankings --------------------------------------------------------------------------------------


def test_a_ranked_row_is_one_item_with_a_submission_a_rater(add, project) -> None:
    record = prompt("Sky?", "red", "blue", "grey")
    record.rankings = [RankingIn("ana", [[1], [0]]), RankingIn("bea", [[0, 1]], strength=None)]
    report = add(record)
    assert (report["responses"], report["rankings"]) == (3, 2)
    stage = Stage.objects.get()
    assert (stage.kind, stage.state, stage.name) == ("rank", "imported", "Imported rankings")
    red, blue, _ = Response.objects.order_by("pk").values_list("pk", flat=True)
    item = Item.objects.get()
    assert (item.stage, item.round, item.candidates) == (stage, 1, [red, blue])
    assert (item.needed, item.taken, item.done, item.open) == (2, 2, 2, False)
    turns = Submission.objects.order_by("rater")
    assert [(t.rater, t.user, t.origin, t.state, t.shown, t.ranking.order) for t in turns] == [
        ("ana", None, "import", "submitted", [red, blue], [[blue], [red]]),
        ("bea", None, "import", "submitted", [red, blue], [[red, blue]]),
    ]


def test_each_row_is_the_next_round_and_the_same_again_is_none(add) -> None:
    one, other = ranked([[0], [1]]), ranked([[1], [0]])
    assert counts(add(one, other, one)) == (1, 1, 1, 0)
    assert sorted(Item.objects.values_list("round", flat=True)) == [1, 2]
    assert counts(add(other, one)) == (0, 0, 2, 0)
    other.rankings[0].rater = "someone else"
    assert counts(add(other)) == (0, 1, 0, 0)
    assert Item.objects.count() == 3 and Stage.objects.count() == 1


def test_a_named_comparison_may_say_the_same_as_another(add) -> None:
    one, other = ranked([[0], [1]]), ranked([[0], [1]])
    one.comparison, other.comparison = "1", "2"
    assert counts(add(one, other, one)) == (1, 1, 1, 0)
    assert counts(add(one, other)) == (0, 0, 2, 0)
    assert Ranking.objects.count() == 2


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ([[0]], "fewer than two answers"),
        ([[0], [0]], "one of them twice"),
        ([[0], [5]], "does not hold"),
        ([[0], []], "fewer than two"),
        ([[0], [1], []], "an empty place"),
    ],
)
def test_rankings_that_are_none(add, order: list, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        add(prompt("a", "x", "y", rankings=[RankingIn("r", order)]))
    assert nothing_left() and not Stage.objects.exists()


def test_imported_rankings_are_no_work_for_anybody(add, cast) -> None:
    add(ranked([[0], [1]]))
    assert queue.claim(Stage.objects.get(), cast.ana) is None


# All or nothing --------------------------------------------------------------------------------

GOOD = [{"instruction": f"Say {n}.", "response": f"{n}"} for n in range(4)]
BAD = {"instruction": "", "response": "x"}


def test_one_bad_row_stops_all_and_every_bad_row_is_named(file) -> None:
    import_row = file([*GOOD, BAD, {"instruction": "a", "response": ["b"]}])
    report = importing.run_now(import_row)
    assert import_row.state == State.FAILED
    assert "Nothing was imported: 2 rows are refused. First, line 5" in import_row.reason
    assert [entry["line"] for entry in report["refused"]] == [5, 6]
    assert counts(report) == (4, 0, 0, 2)
    assert (report["prompts"], report["responses"], report["rankings"]) == (0, 0, 0)
    assert nothing_left()


def test_skip_bad_imports_the_good(file) -> None:
    report = importing.run_now(file([GOOD[0], BAD, GOOD[1]], skip_bad=True))
    assert counts(report) == (2, 0, 0, 1)
    assert Prompt.objects.live().count() == 2


def test_changes_wait_until_the_end_and_go_with_a_failure(file, add, monkeypatch) -> None:
    add(prompt("old", external_id="p"))
    monkeypatch.setattr(import_runs, "ROWS_PER_WRITE", 1)
    rows = [{"id": "p", "instruction": "new", "response": "x"}, *GOOD, BAD]
    assert importing.run_now(file(rows))["refused"]
    assert Prompt.objects.get().messages[0]["content"] == "old"
    assert not Response.objects.exists()
    assert counts(importing.run_now(file(rows, skip_bad=True))) == (4, 1, 0, 1)
    assert Prompt.objects.get(external_id="p").messages[0]["content"] == "new"


def test_a_long_file_is_given_back_after_the_first_pass(file, monkeypatch) -> None:
    monkeypatch.setattr(import_runs, "COMPARED", 3)
    monkeypatch.setattr("annotation.import_runs.Batch.write", lambda *_: pytest.fail("it wrote"))
    report = importing.run_now(file([*GOOD, BAD]))
    assert counts(report) == (4, 0, 0, 1)
    assert "not compared" in report["notes"][0]["note"]


def test_too_many_bad_rows_end_the_reading(file, monkeypatch) -> None:
    monkeypatch.setattr("annotation.reports.MAX_REFUSED", 5)
    import_row = file([*GOOD, *[BAD] * 9], skip_bad=True)
    assert counts(importing.run_now(import_row)) == (4, 0, 0, 5)
    assert import_row.state == State.FAILED and "reading stopped" in import_row.reason
    assert nothing_left()


def test_a_file_that_breaks_off_leaves_nothing(project, tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    data = "".join(json.dumps({"instruction": f"{n} {'é' * n}"}) + "\n" for n in range(900))
    path.write_bytes(gzip.compress(data.encode())[:-100])
    with pytest.raises(Refused, match="ends too early"):
        importing.create(project=project, user=None, path=path)
    assert not Import.objects.exists()


def test_a_dry_run_counts_and_forgets(file, add) -> None:
    add(prompt("Say 1."))
    report = importing.run_now(file([*GOOD, GOOD[0]]), dry_run=True)
    assert counts(report) == (3, 1, 1, 0) and report["prompts"] == 3
    assert Prompt.objects.count() == 1 and not Response.objects.exists()
    assert not Import.objects.filter(source="file").exists()


def test_rows_are_invisible_until_the_import_is_done(file, monkeypatch) -> None:
    seen: list[tuple[int, int]] = []
    write = import_runs.Batch.write

    def look(self, rows):
        verdicts = write(self, rows)
        seen.append((Prompt.objects.count(), Prompt.objects.live().count()))
        return verdicts

    monkeypatch.setattr(import_runs.Batch, "write", look)
    monkeypatch.setattr(import_runs, "ROWS_PER_WRITE", 4)
    importing.run_now(file(GOOD))
    assert seen == [(2, 0), (4, 0)]
    assert Prompt.objects.live().count() == 4


# Cancelling, dying, waiting ----------------------------------------------------------------------


def start(import_row: Import) -> Import:
    return importing.start(import_row)


def test_cancelling_while_it_runs_takes_everything_out(file, monkeypatch) -> None:
    import_row = start(file(GOOD))
    write = import_runs.Batch.write

    def cancel(self, rows):
        if Prompt.objects.exists():
            importing.cancel(Import.objects.get(pk=import_row.pk))
        return write(self, rows)

    monkeypatch.setattr(import_runs.Batch, "write", cancel)
    monkeypatch.setattr(import_runs, "ROWS_PER_WRITE", 2)
    importing.run(import_row)
    import_row.refresh_from_db()
    assert import_row.state == State.CANCELLED and nothing_left()
    with pytest.raises(Refused, match="ended already"):
        importing.cancel(import_row)


def test_an_error_of_ours_leaves_nothing_and_says_so(file, monkeypatch) -> None:
    import_row = file(GOOD)

    def burst(self) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(import_runs.Batch, "publish", burst)
    with pytest.raises(RuntimeError):
        importing.run_now(import_row)
    import_row.refresh_from_db()
    assert import_row.state == State.FAILED and "RuntimeError" in import_row.reason
    assert nothing_left()


def test_a_dead_worker_is_noticed_and_swept(file, add) -> None:
    import_row = start(file(GOOD))
    Import.objects.filter(pk=import_row.pk).update(state=State.RUNNING)
    with import_runs.Batch(import_row) as batch:
        batch.write([importing_row(n) for n in range(3)])
    assert Prompt.objects.count() == 3 and Stage.objects.count() == 1
    assert importing.sweep() == 0  # its heart still beats
    Import.objects.update(heartbeat=timezone.now() - timedelta(hours=1))
    assert importing.sweep() == 2
    import_row.refresh_from_db()
    assert import_row.state == State.FAILED and "worker stopped" in import_row.reason
    assert nothing_left() and not Stage.objects.exists()
    assert importing.sweep() == 0
    importing.run(start(import_row))
    assert Prompt.objects.live().count() == 4


def importing_row(number: int) -> import_runs.Row:
    return import_runs.Row(number, [ranked([[0], [1]], f"p{number}")])


def test_the_sweeper_wakes_workers_again_and_forgets_old_previews(
    file, django_capture_on_commit_callbacks
) -> None:
    waiting, old = start(file(GOOD)), file(GOOD)
    Import.objects.update(heartbeat=timezone.now() - timedelta(hours=1))
    Import.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=8))
    with django_capture_on_commit_callbacks() as sent:
        assert importing.sweep() == 2
    assert len(sent) == 1
    waiting.refresh_from_db()
    old.refresh_from_db()
    assert (waiting.state, old.state) == (State.QUEUED, State.CANCELLED)


def test_one_import_into_a_project_at_a_time(file, add) -> None:
    first, second = start(file(GOOD, "a")), start(file(GOOD, "b"))
    Import.objects.filter(pk=first.pk).update(state=State.RUNNING)
    assert importing.run(second) == {}
    second.refresh_from_db()
    assert second.state == State.QUEUED
    with pytest.raises(Busy):
        add(prompt("a"), patience=0)
    with pytest.raises(Busy):
        importing.run_now(file(GOOD, "c"))
    assert Import.objects.count() == 2
    Import.objects.filter(pk=first.pk).update(state=State.CANCELLED)
    assert counts(importing.run(second)) == (4, 0, 0, 0)


def test_an_import_waits_until_a_cancelled_one_is_out(file) -> None:
    """Else it takes the other's prompts for prompts that are there, and they are removed."""
    first, second = start(file(GOOD, "a")), start(file(GOOD, "b"))
    Import.objects.filter(pk=first.pk).update(state=State.RUNNING)
    with import_runs.Batch(first) as batch:
        batch.write([importing_row(0)])
        importing.cancel(Import.objects.get(pk=first.pk))
        assert importing.run(second) == {}
        second.refresh_from_db()
        assert second.state == State.QUEUED
        with import_runs.Batch(second) as other, pytest.raises(Refused, match="taken out"):
            other.write([importing_row(0)])
    import_runs.remove(Import.objects.get(pk=first.pk))
    assert counts(importing.run(second)) == (4, 0, 0, 0)
    assert Prompt.objects.live().count() == 4


def test_a_failed_import_is_not_started_over_its_own_removal(file) -> None:
    import_row = start(file(GOOD))
    Import.objects.filter(pk=import_row.pk).update(state=State.RUNNING)
    with import_runs.Batch(import_row) as batch:
        batch.write([importing_row(0)])
    Import.objects.filter(pk=import_row.pk).update(state=State.FAILED, heartbeat=timezone.now())
    import_row.refresh_from_db()
    with pytest.raises(Refused, match="still being taken out"):
        start(import_row)
    import_row.refresh_from_db()
    assert import_row.state == State.FAILED and Prompt.objects.exists()


def test_a_prompt_that_is_claimed_while_the_file_comes_in_is_not_changed(
    file, add, cast, monkeypatch
) -> None:
    add(prompt("before", external_id="p"))
    stage = Stage.objects.create(project=cast.project, kind="write", name="Write")
    write = import_runs.Batch.write

    def write_and_claim(self, rows):
        verdicts = write(self, rows)
        assert queue.claim(stage, cast.ana)
        return verdicts

    monkeypatch.setattr(import_runs.Batch, "write", write_and_claim)
    with pytest.raises(Refused, match="began to work on the prompt “p”"):
        add(prompt("after", external_id="p"))
    assert Prompt.objects.get().question == "before"


def test_a_task_that_comes_twice_starts_nothing_twice(file) -> None:
    import_row = start(file(GOOD))
    assert counts(importing.run(import_row)) == (4, 0, 0, 0)
    assert importing.run(Import.objects.get(pk=import_row.pk)) == {}
    with pytest.raises(Refused, match="started already"):
        start(import_row)


# Files -----------------------------------------------------------------------------------------


def test_an_upload_is_kept_under_a_name_of_ours_and_dropped_when_done(project) -> None:
    data = ContentFile(json.dumps(GOOD).encode(), name='..\\../etc/"<b>\n.json')
    import_row = importing.create(project=project, user=None, upload=data)
    assert import_row.filename == '"<b>.json'
    assert import_row.path.startswith(f"imports/{import_row.pk}/")
    assert default_storage.exists(import_row.path)
    assert counts(importing.run_now(import_row)) == (4, 0, 0, 0)
    assert not default_storage.exists(import_row.path)


def test_a_named_file_is_never_deleted(file) -> None:
    import_row = file(GOOD)
    importing.cancel(import_row)
    assert Path(import_row.path).exists()


def test_preview_looks_and_writes_nothing(file) -> None:
    import_row = file([*GOOD, BAD])
    found = importing.preview(import_row)
    assert (found.layout, found.columns) == ("instruction", ["instruction", "response"])
    assert (found.rows, found.good, found.complete) == (5, 4, True)
    assert found.refused == [{"line": 5, "reason": "the prompt is empty"}]
    assert [line for line, _ in found.shown] == [1, 2, 3, 4]
    assert nothing_left() and import_row.state == State.PREVIEWED


def test_a_layout_that_nobody_knows_is_asked_for(file) -> None:
    import_row = file([{"q": "Sky?", "a": "Blue."}])
    assert import_row.layout == ""
    assert "No layout fits the columns “q”, “a”" in importing.preview(import_row).error
    with pytest.raises(Refused, match="No layout fits"):
        start(import_row)
    importing.configure(
        import_row=import_row, layout="", mapping={"prompt": "q", "response": "a"}, skip_bad=False
    )
    assert importing.preview(import_row).good == 1
    assert counts(importing.run_now(import_row)) == (1, 0, 0, 0)
    assert Response.objects.get().text == "Blue."


def test_a_failed_import_can_be_started_again(file) -> None:
    import_row = file([*GOOD, BAD])
    importing.run_now(import_row)
    importing.configure(import_row=import_row, layout=import_row.layout, mapping={}, skip_bad=True)
    assert counts(importing.run(start(import_row))) == (4, 0, 0, 1)


def test_stages_hear_of_new_answers(file, add, project, monkeypatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(queue, "answers_arrived", lambda ids: told.extend(ids))
    add(prompt("z", "x"))
    assert not told, "there is no stage"
    Stage.objects.create(project=project, kind="rank", name="Rank")
    Prompt.objects.all().delete()
    add(prompt("a", "x"))
    add(prompt("a", "y"), prompt("b"))
    first, second = Prompt.objects.order_by("pk").values_list("pk", flat=True)
    assert sorted(set(told)) == [first, second] and told.count(first) >= 2
    assert not Import.objects.filter(heartbeat__isnull=False).exists()
