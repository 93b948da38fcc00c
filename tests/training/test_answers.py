"""A model's answers: which prompts, what the model is given, and how they come back."""

import json
import threading
from pathlib import Path

import pytest
from django.utils import timezone

from annotation import importing, queue
from annotation.errors import Refused
from annotation.models import Import, Item, Prompt, Response, Stage
from annotation.records import Answer, RankingIn, Record
from training import answers, endings, runs, supervisor
from training.models import Run


@pytest.fixture
def model(make_run, cast):
    run = make_run(state="running")
    endings.succeed(run, result={"artifact": {"kind": "adapter"}})
    run.artifact.mkdir(parents=True)
    return run


def given(run: Run) -> list[dict]:
    """What the model is given, once a worker has written it."""
    answers.write_prompts(run, lambda *_: None)
    lines = Path(run.inputs.get(name="prompts").path).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def prompts(cast):
    rows = [
        Record(
            external_id=f"p{n}",
            messages=[{"role": "user", "content": f"Question {n}?"}],
            system="Be kind." if n == 1 else "",
            context="The shop opens at nine." if n == 1 else "",
            answers=[Answer("Yes, of course.", "a"), Answer("No, never.", "b")],
            rankings=[RankingIn("rater", [[0], [1]])] if n == 2 else [],
        )
        for n in (1, 2, 3)
    ]
    importing.add_records(project=cast.project, records=rows, source="test", user=cast.lee)
    return list(Prompt.objects.order_by("pk"))


def ask(cast, model, **more) -> Run:
    return answers.queue_answers(project=cast.project, model=model, user=cast.lee, **more)


def work(run: Run, engine) -> Run:
    supervisor.supervise(run.pk, engine=engine, poll=0.02, closing=threading.Event())
    run.refresh_from_db()
    return run


def test_the_whole_way_and_back(cast, model, prompts, engine) -> None:
    rank = Stage.objects.create(project=cast.project, kind="rank", name="Rank")
    queue.fill(rank)
    ranked = Item.objects.filter(stage=rank).count()
    run = work(ask(cast, model), engine("quick"))
    assert run.state == "succeeded", run.reason
    assert run.result["delivered"]["answers"] == 3
    assert (run.step, run.total) == (3, 3)
    name = f"run {model.pk} · {model.name}"
    rows = Response.objects.filter(origin="model", author_name=name)
    assert {row.prompt_id: row.text for row in rows} == {
        prompt.pk: f"An answer to {prompt.pk}." for prompt in prompts
    }
    queue.fill(rank)
    items = Item.objects.filter(stage=rank)
    assert items.count() >= ranked
    newest = [items.filter(prompt=prompt).order_by("-round").first() for prompt in prompts]
    assert all(set(rows.values_list("pk", flat=True)) & set(item.candidates) for item in newest)


def test_the_trainer_does_not_load_under_the_name_of_what_came_before(cast, model, prompts) -> None:
    said = []
    answers.write_prompts(ask(cast, model), lambda *told: said.append(told))
    assert said == [("writing the prompts", 0, 3), ("", 0, 3)]


def test_what_the_model_is_given(cast, model, prompts) -> None:
    run = ask(cast, model)
    rows = given(run)
    assert [row["key"] for row in rows] == [str(prompt.pk) for prompt in prompts]
    first = rows[0]["messages"]
    assert first[0] == {"role": "system", "content": "Be kind."}
    assert "The shop opens at nine." in first[1]["content"] and "Question 1?" in first[1]["content"]


def test_only_what_it_has_not_answered(cast, model, prompts, engine) -> None:
    work(ask(cast, model, limit=2), engine("quick"))
    again = ask(cast, model)
    assert len(given(again)) == 1
    work(again, engine("quick"))
    with pytest.raises(Refused, match="has answered every prompt"):
        ask(cast, model)
    assert Run.objects.filter(recipe="answer").count() == 2


def test_retired_prompts_and_documents_are_left_alone(cast, model, prompts) -> None:
    Prompt.objects.filter(pk=prompts[0].pk).update(retired="2026-01-01T00:00Z")
    Prompt.objects.filter(pk=prompts[1].pk).update(messages=[])
    assert len(given(ask(cast, model))) == 1


def test_delivered_twice_is_delivered_once(cast, model, prompts, engine) -> None:
    run = work(ask(cast, model), engine("quick"))
    before = Response.objects.count()
    assert answers.deliver(run)["answers"] == 0
    assert Response.objects.count() == before


def test_many_answers_are_looked_up_in_parts(cast, model, prompts, monkeypatch) -> None:
    """SQLite takes a quarter of a million values in a statement, many builds of it 32,766."""
    run = ask(cast, model)
    run.artifact.mkdir(parents=True)
    keys = [*range(10**9, 10**9 + 260_000), *(prompt.pk for prompt in prompts)]
    lines = (json.dumps({"key": str(key), "text": "Hello."}) for key in keys)
    (run.artifact / "answers.jsonl").write_text("\n".join(lines))
    assert answers.deliver(run)["answers"] == 3


def test_one_that_was_cancelled_goes_on_with_the_others(cast, model, prompts, engine) -> None:
    run = ask(cast, model)
    mine = Run.objects.filter(pk=run.pk)
    mine.update(state="stopping", started=timezone.now(), reason="Cancelled by Lee.")
    run.refresh_from_db()
    endings.stopped(run)
    with pytest.raises(Refused, match="left nothing to resume from"):
        runs.resume(run, by="Lee")
    mine.update(state="stopping", reason="Cancelled by Lee.")
    run.refresh_from_db()
    run.artifact.mkdir(parents=True)
    line = json.dumps({"key": str(prompts[0].pk), "text": "Hello."})
    (run.artifact / "answers.jsonl").write_text(line + "\n")
    endings.stopped(run)
    assert "what it answered is kept: it can be resumed" in run.reason
    runs.resume(run, by="Lee")
    assert (run.state, run.attempt) == ("queued", 2)
    assert work(run, engine("quick")).state == "succeeded"


def test_keys_of_another_workspace_reach_nothing(cast, model, prompts, engine) -> None:
    run = ask(cast, model)
    run.artifact.mkdir(parents=True)
    (run.artifact / "answers.jsonl").write_text('{"key": "999999", "text": "Hello."}\n')
    with pytest.raises(Refused, match="prompts are gone"):
        answers.deliver(run)
    (run.artifact / "answers.jsonl").write_text('{"key": "1; drop", "text": ""}\n')
    with pytest.raises(Refused, match="no answer with any text"):
        answers.deliver(run)


def test_answers_that_cannot_be_taken_in_fail_the_run(cast, model, prompts, engine) -> None:
    run = ask(cast, model)
    assert given(run)
    Prompt.objects.update(retired="2026-01-01T00:00Z")
    run = work(run, engine("quick"))
    assert run.state == "failed" and "not taken in" in run.reason


def test_the_request_writes_nothing(cast, model, prompts, home) -> None:
    run = ask(cast, model, limit=2)
    row = run.inputs.get(name="prompts")
    assert Path(row.path).parent == run.directory, "what forgets a run forgets its prompts"
    assert not Path(row.path).exists() and (row.project, row.limit) == (cast.project, 2)
    assert len(given(run)) == 2


def test_a_worker_killed_while_it_writes_leaves_no_half(cast, model, prompts, monkeypatch) -> None:
    monkeypatch.setattr(answers, "BATCH", 1)
    run = ask(cast, model)
    said: list[tuple] = []

    def die(*words) -> None:
        said.append(words)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers.write_prompts(run, die)
    assert said == [("writing the prompts", 0, 3), ("writing the prompts", 1, 3)]
    assert not Path(run.inputs.get(name="prompts").path).exists()
    keys = [row["key"] for row in given(run)]
    assert keys == [str(prompt.pk) for prompt in prompts]
    Response.objects.create(prompt=prompts[0], origin="model", text="Meanwhile.",
                            author_name=answers.author_of(model))  # fmt: skip
    assert [row["key"] for row in given(run)] == keys, "a second attempt goes on with the same"


def test_it_is_cancelled_while_it_writes(cast, model, prompts, engine, monkeypatch) -> None:
    run = ask(cast, model)
    write = answers.write_prompts

    def cancelled(run, tell) -> None:
        runs.cancel(Run.objects.get(pk=run.pk), by="Lee")
        write(run, tell)

    monkeypatch.setattr(answers, "write_prompts", cancelled)
    quick = engine("quick")
    run = work(run, quick)
    assert run.state == "cancelled" and quick._children == {}
    assert run.reason.startswith("Cancelled by Lee.")
    folder = Path(run.inputs.get(name="prompts").path).parent
    assert list(folder.iterdir()) == [], "nor is half a file left"


def test_it_is_cancelled_while_the_answers_come_in(
    cast, model, prompts, engine, monkeypatch
) -> None:
    """None of them stays."""
    monkeypatch.setattr(answers, "BATCH", 1)
    run = ask(cast, model)
    deliver = answers.deliver

    def cancelled(run, tell) -> dict:
        def told(phase: str, done: int, total: int) -> None:
            if done == 2:
                runs.cancel(Run.objects.get(pk=run.pk), by="Lee")
            tell(phase, done, total)

        return deliver(run, told)

    monkeypatch.setattr(answers, "deliver", cancelled)
    before = Response.objects.count()
    run = work(run, engine("quick"))
    assert run.state == "cancelled" and run.phase == "bringing the answers in"
    assert Response.objects.count() == before


def test_a_worker_killed_while_they_come_in_is_waited_out(cast, model, prompts, engine) -> None:
    """Its import is in the way until it is swept away; then all come in, each once."""
    run = work(ask(cast, model), engine("fail"))
    run.artifact.mkdir(exist_ok=True)
    lines = [json.dumps({"key": str(prompt.pk), "text": "Hello."}) for prompt in prompts]
    (run.artifact / "answers.jsonl").write_text("\n".join(lines))
    dead = Import.objects.create(project=cast.project, source="run", layout="records",
                                 state="running", heartbeat=timezone.now())  # fmt: skip
    said: list[str] = []

    def tell(phase: str, done: int, total: int) -> None:
        said.append(phase)
        if phase.startswith("waiting"):
            dead.delete()

    assert answers.deliver(run, tell)["answers"] == 3
    waits, comes_in = "waiting for another import into the project", "bringing the answers in"
    assert said == [waits, comes_in, comes_in]
