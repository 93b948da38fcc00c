"""Answers to prompts: each once, the same after an interruption, and stopped between two tokens."""

import json
from pathlib import Path

import pytest

from tests.recipes.conftest import events_of, result_of, user
from training.recipes import answer, evaluation, reward, sft
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir, Stopped


def work(run: RunDir) -> int:
    return perform("answer", answer.answer, run)


def answers(run: RunDir) -> dict[str, str]:
    lines = (run.artifact / "answers.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row["text"] for row in rows}


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    lines = [{"key": f"p{i}", "messages": user("Why? " * (7 - i))} for i in range(7)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


CONFIG = {"max_new_tokens": 8, "temperature": 1.0, "batch_size": 2}


@pytest.fixture
def straight(llama, prompts, make_run) -> RunDir:
    run = make_run("answer", {"model": llama, "prompts": prompts}, "straight", **CONFIG)
    assert work(run) == 0, result_of(run)
    return run


def test_every_prompt_is_answered_once(straight: RunDir) -> None:
    assert answers(straight).keys() == {f"p{i}" for i in range(7)}
    result = result_of(straight)
    assert result["state"] == "succeeded"
    assert result["metrics"]["answers"] == 7 and result["metrics"]["tokens"] <= 7 * 8
    progress = events_of(straight, "progress")
    assert [e["step"] for e in progress if e["phase"] == "answering"] == [0, 2, 4, 6, 7]
    assert progress[-1]["total"] == 7 and progress[-1]["seconds_left"] == 0


def test_started_again_it_gives_what_it_would_have_given(
    straight: RunDir, llama, prompts, make_run
) -> None:
    inputs = {"model": llama, "prompts": prompts}
    run = make_run("answer", inputs, **CONFIG)
    whole = (straight.artifact / "answers.jsonl").read_bytes().splitlines(keepends=True)
    run.artifact.mkdir()
    # Killed in the middle of its fourth line, that is of its second batch.
    (run.artifact / "answers.jsonl").write_bytes(b"".join(whole[:3]) + whole[3][:9])
    assert work(run) == 0, result_of(run)
    assert (run.artifact / "answers.jsonl").read_bytes() == b"".join(whole)
    assert answers(run) == answers(straight)
    assert work(make_run("answer", inputs, **CONFIG)) == 0
    assert answers(run) == answers(straight)


def test_stopped_it_can_go_on(straight: RunDir, llama, prompts, make_run, monkeypatch) -> None:
    run = make_run("answer", {"model": llama, "prompts": prompts}, **CONFIG)
    asked = []
    was = evaluation.answer

    def second_is_stopped(*args, **more):
        asked.append(1)
        if len(asked) == 2:
            (run.path / "stop").touch()  # seen between two tokens
        return was(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "answer", second_is_stopped)
        assert work(run) == 0
    assert result_of(run)["state"] == "stopped"
    assert len(answers(run)) == 2
    (run.path / "stop").unlink()
    assert work(run) == 0
    assert answers(run) == answers(straight)


def test_an_adapter_answers_with_its_template(llama, sft_snapshot, prompts, make_run) -> None:
    first = make_run(
        "sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=4, learning_rate=1e-1
    )
    assert perform("sft", sft.train, first) == 0
    inputs = {"model": llama, "prompts": prompts, "init": first.artifact}
    config = CONFIG | {"temperature": 0.0}
    run = make_run("answer", inputs, **config)
    plain = make_run("answer", {"model": llama, "prompts": prompts}, "plain", **config)
    assert work(run) == work(plain) == 0
    assert answers(run) != answers(plain)


def test_a_reward_run_has_no_answers(llama, preference_snapshot, prompts, make_run) -> None:
    first = make_run("reward", {"model": llama, "snapshot": preference_snapshot}, "r", max_steps=1)
    assert perform("reward", reward.train, first) == 0
    run = make_run("answer", {"model": llama, "prompts": prompts, "init": first.artifact})
    assert work(run) == 1
    assert "A reward model gives no answers" in result_of(run)["reason"]


def test_prompts_that_are_none(llama, tmp_path, make_run) -> None:
    run = make_run("answer", {"model": llama, "prompts": tmp_path / "gone.jsonl"})
    assert work(run) == 1
    assert "A file is missing" in result_of(run)["reason"]
    (tmp_path / "bad.jsonl").write_text("[]\n")
    run = make_run("answer", {"model": llama, "prompts": tmp_path / "bad.jsonl"}, "bad")
    assert work(run) == 1
    assert "line 1 is no prompt" in result_of(run)["reason"]


def test_stopped_is_not_an_error() -> None:
    assert not issubclass(Stopped, ValueError)
