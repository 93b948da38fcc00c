"""SFT on a tiny model: what moves and what does not, that it learns, stops, resumes and refuses."""

import os
import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from exports import chat, formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    open_run,
    result_of,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import reporting, sft
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir


def work(run: RunDir) -> int:
    return perform("sft", sft.train, run)


def weights(run: RunDir, name: str = "adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run.artifact / name)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class TestLora:
    @pytest.fixture
    def run(self, llama, sft_snapshot, make_run) -> RunDir:
        run = make_run(
            "sft", {"model": llama, "snapshot": sft_snapshot}, max_steps=6, eval_steps=3,
            learning_rate=1e-2, lora_rank=4,
        )  # fmt: skip
        assert work(run) == 0, result_of(run)
        return run

    def test_adapters_move_and_the_base_does_not(self, run: RunDir, llama: Path, make_run) -> None:
        before = load_file(llama / "model.safetensors")
        trained = weights(run)
        assert trained and all(".lora_" in name for name in trained)
        # B starts at zero, A at random: both have moved.
        assert all(value.abs().max() > 0 for value in trained.values())
        assert same(before, load_file(llama / "model.safetensors"))

    def test_what_it_says(self, run: RunDir) -> None:
        result = result_of(run)
        assert result["state"] == "succeeded"
        before, after = result["metrics"]["before"], result["metrics"]["after"]
        assert before["rows"] == after["rows"] == 3
        assert after["loss"] < before["loss"]
        assert {"bleu", "chrf", "rouge_l", "exact_match", "length", "eos_share"} <= after.keys()
        assert before.keys() == after.keys() and 0 < after["length"] <= 4  # sample_tokens
        assert [set(s) for s in result["samples"]] == [{"prompt", "before", "after"}] * 3
        assert result["samples"][0]["prompt"] == "Question 13?"
        assert result["artifact"]["kind"] == "adapter"
        assert 0 < result["trainable_share"] < 0.2
        metrics = events_of(run, "metrics")
        named = {name for event in metrics for name in event["values"]}
        assert {"loss", "eval_loss", "learning_rate", "grad_norm", "token_accuracy"} <= named
        assert [e["step"] for e in metrics if "loss" in e["values"]] == [1, 2, 3, 4, 5, 6]
        progress = events_of(run, "progress")
        assert {e["phase"] for e in progress} >= {
            "loading", "evaluating before", "training", "evaluating after", "saving",
        }  # fmt: skip
        assert progress[-1]["step"] == progress[-1]["total"] == 6
        events = [e["seq"] for kind in ("metrics", "progress") for e in events_of(run, kind)]
        assert len(events) == len(set(events))

    def test_its_own_diary_costs_nothing(self, run: RunDir) -> None:
        result = result_of(run)
        assert 0 < result["callback_seconds"] < 0.05 * result["seconds"]

    def test_its_adapter_is_continued_not_stacked(
        self, run: RunDir, llama, sft_snapshot, make_run
    ) -> None:
        inputs = {"model": llama, "snapshot": sft_snapshot, "init": run.artifact}
        later = make_run("sft", inputs, "later", max_steps=1, lora_rank=16)
        assert work(later) == 0, result_of(later)
        first, second = weights(run), weights(later)
        assert first.keys() == second.keys()
        assert all(first[name].shape == second[name].shape for name in first)
        assert not same(first, second)
        before = result_of(later)["metrics"]["before"]["loss"]
        assert before == pytest.approx(result_of(run)["metrics"]["after"]["loss"], abs=1e-5)

    def test_an_adapter_and_full_training_do_not_go_together(
        self, run: RunDir, llama, sft_snapshot, make_run
    ) -> None:
        inputs = {"model": llama, "snapshot": sft_snapshot, "init": run.artifact}
        later = make_run("sft", inputs, "later", adaptation="full")
        assert work(later) == 1
        assert "not both at once" in result_of(later)["reason"]


def test_full_training_learns_one_batch_by_heart(llama, tmp_path, make_run) -> None:
    rows = sft_rows(8)
    snapshot = write_snapshot(tmp_path / "s", "sft", train=rows, test=rows)
    run = make_run(
        "sft", {"model": llama, "snapshot": snapshot}, adaptation="full", batch_size=8,
        epochs=100, max_steps=90, learning_rate=1e-2, sample_tokens=40, save_steps=100_000,
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    result = result_of(run)
    assert result["metrics"]["after"]["loss"] < 0.05
    assert result["metrics"]["after"]["token_accuracy"] == 1.0
    # It also says what it learned, and stops there.
    assert [s["after"] for s in result["samples"]] == SENTENCES[:3]
    before, after = (result["metrics"][when] for when in ("before", "after"))
    assert before["exact_match"] == 0.0 and before["bleu"] < 0.1
    assert after["exact_match"] == after["rouge_l"] == after["eos_share"] == 1.0
    assert after["bleu"] == pytest.approx(1) and after["chrf"] == pytest.approx(1)
    assert result["trainable_share"] == 1.0
    moved, was = weights(run, "model.safetensors"), load_file(llama / "model.safetensors")
    assert moved.keys() == was.keys()
    assert not any(torch.equal(moved[name], was[name]) for name in was)


class TestResume:
    CONFIG = {"max_steps": 7, "save_steps": 2, "eval_steps": 3, "lora_dropout": 0.1, "lora_rank": 4}

    @pytest.fixture
    def inputs(self, llama, sft_snapshot) -> dict:
        return {"model": llama, "snapshot": sft_snapshot}

    @pytest.fixture(scope="class")
    @classmethod
    def straight(cls, llama, sft_snapshot, tmp_path_factory) -> RunDir:
        """The same run, never interrupted."""
        torch.set_num_threads(1)
        folder = tmp_path_factory.mktemp("straight")
        run = open_run(folder, "sft", {"model": llama, "snapshot": sft_snapshot}, **cls.CONFIG)
        before = signal.getsignal(signal.SIGTERM)
        assert work(run) == 0
        signal.signal(signal.SIGTERM, before)
        run.close()
        return run

    def test_stopped_by_a_file(self, inputs, straight: RunDir, make_run, monkeypatch) -> None:
        run = make_run("sft", inputs, **self.CONFIG)
        was = reporting.Reporter.on_step_begin

        def stops(self, args, state, control, **more):
            if state.global_step == 2:
                (run.path / "stop").touch()
            return was(self, args, state, control, **more)

        monkeypatch.setattr(reporting.Reporter, "on_step_begin", stops)
        assert work(run) == 0
        assert result_of(run)["state"] == "stopped"
        assert not run.artifact.exists()
        assert reporting.step_of(reporting.newest_checkpoint(run)) == 3
        monkeypatch.undo()
        monkeypatch.setattr(RunDir, "catch_sigterm", lambda self: None)
        (run.path / "stop").unlink()
        assert work(make_run("sft", inputs, **self.CONFIG)) == 0
        assert result_of(run)["state"] == "succeeded"
        assert same(weights(run), weights(straight))

    def test_what_an_earlier_version_remembered_is_not_read(self, inputs, make_run) -> None:
        """It kept no answers but the three that are shown."""
        run = make_run("sft", inputs, max_steps=1)
        (run.path / "before.json").write_text('{"metrics": {}, "answers": [{"text": "Hello."}]}')
        assert work(run) == 0, result_of(run)

    def test_stopped_before_it_began(self, inputs, make_run) -> None:
        run = make_run("sft", inputs, **self.CONFIG)
        (run.path / "stop").touch()
        assert work(run) == 0
        assert result_of(run)["state"] == "stopped"
        assert not run.checkpoints.exists()

    def test_two_checkpoints_are_kept(self, straight: RunDir) -> None:
        kept = {folder.name for folder in straight.checkpoints.glob("step-*")}
        assert kept == {"step-6", "step-7"}


def test_sigterm_stops_it(llama, sft_snapshot, make_run, monkeypatch) -> None:
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, max_steps=8, save_steps=100)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.undo()  # this one shall have its hand on SIGTERM
    was = reporting.Reporter.on_step_begin

    def terminates(self, args, state, control, **more):
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return was(self, args, state, control, **more)

    monkeypatch.setattr(reporting.Reporter, "on_step_begin", terminates)
    try:
        assert work(run) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result_of(run)["state"] == "stopped"
    assert [folder.name for folder in run.checkpoints.glob("step-*")] == ["step-3"]


class TestRefusals:
    def reason(self, run: RunDir) -> str:
        assert work(run) == 1
        return result_of(run)["reason"]

    def test_nothing_to_train(self, llama, tmp_path, make_run) -> None:
        rows = [{"prompt": user(SENTENCES[0] * 9), "completion": sft_rows(1)[0]["completion"]}]
        snapshot = write_snapshot(tmp_path / "s", "sft", train=rows)
        run = make_run("sft", {"model": llama, "snapshot": snapshot})
        assert "None of the 1 training rows" in self.reason(run)

    def test_a_template_that_leaves_answers_out(self, bare_llama, sft_snapshot, make_run) -> None:
        silent = (
            "{% for m in messages %}{{ m.role + ': ' + m.content }}"
            "{% if m.role == 'assistant' %}{% generation %}{% endgeneration %}{% endif %}"
            "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
        )
        run = make_run(
            "sft", {"model": bare_llama, "snapshot": sft_snapshot},
            template={"name": "model", "text": silent},
        )  # fmt: skip
        assert "the chat template leaves them out" in self.reason(run)

    def test_a_template_that_wants_parts(self, bare_llama, sft_snapshot, make_run) -> None:
        parts = (
            "{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
            "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
        )
        run = make_run(
            "sft", {"model": bare_llama, "snapshot": sft_snapshot},
            template={"name": "model", "text": parts},
        )  # fmt: skip
        assert "leaves out what is said" in self.reason(run)

    def test_the_wrong_snapshot(self, llama, preference_snapshot, make_run) -> None:
        run = make_run("sft", {"model": llama, "snapshot": preference_snapshot})
        assert "no sft snapshot" in self.reason(run)

    def test_a_missing_input(self, llama, make_run) -> None:
        assert "no input named 'snapshot'" in self.reason(make_run("sft", {"model": llama}))

    def test_a_knob_that_is_none(self, llama, sft_snapshot, make_run) -> None:
        run = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, speed=11)
        assert "no such knob" in self.reason(run)

    def test_a_loss_that_is_no_number(self, llama, sft_snapshot, tmp_path, make_run) -> None:
        broken = tmp_path / "broken"
        shutil.copytree(llama, broken)
        weights = load_file(broken / "model.safetensors")
        weights["model.norm.weight"][0] = float("nan")
        save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
        run = make_run("sft", {"model": broken, "snapshot": sft_snapshot})
        assert "not a number any more at step 1" in self.reason(run)
        assert not run.artifact.exists()


@pytest.mark.parametrize("packing", ["off", "bfd"])
def test_whole_conversations_are_learned_answer_by_answer(
    llama, tmp_path, make_run, packing
) -> None:
    rows = [
        {"messages": [*user("One?"), *formats.answer(a), *user("Two?"), *formats.answer(b)]}
        for a, b in zip(SENTENCES, reversed(SENTENCES), strict=True)
    ]
    (tmp_path / "s" / "data").mkdir(parents=True)
    for split in ("train", "test"):
        file = tmp_path / "s" / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows), file)
    run = make_run(
        "sft", {"model": llama, "snapshot": tmp_path / "s"}, max_steps=12, epochs=50.0,
        max_length=256, adaptation="full", learning_rate=1e-2, packing=packing,
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    result = result_of(run)
    assert result["metrics"]["after"]["loss"] < 0.8 * result["metrics"]["before"]["loss"]
    # The sample asks for the last answer, behind the first.
    assert result["samples"][0]["prompt"] == f"user: One?\nassistant: {SENTENCES[0]}\nuser: Two?"


class TestSplits:
    def test_without_test_rows_it_is_measured_on_validation(
        self, llama, tmp_path, make_run
    ) -> None:
        rows = sft_rows(6)
        snapshot = write_snapshot(tmp_path / "s", "sft", train=rows[:4], validation=rows[4:])
        run = make_run("sft", {"model": llama, "snapshot": snapshot}, max_steps=1)
        assert work(run) == 0
        assert result_of(run)["metrics"]["split"] == "validation"
        assert "measured on validation rows" in events_of(run, "note")[0]["text"]

    def test_without_either_it_says_so(self, llama, tmp_path, make_run) -> None:
        snapshot = write_snapshot(tmp_path / "s", "sft", train=sft_rows(4))
        run = make_run("sft", {"model": llama, "snapshot": snapshot}, max_steps=1)
        assert work(run) == 0
        assert result_of(run)["metrics"]["before"] == {"rows": 0}
        assert "nothing is measured" in events_of(run, "note")[0]["text"]
        assert len(result_of(run)["samples"]) == 3


def test_the_template_named_in_the_run_is_left_with_the_artifact(
    bare_llama, sft_snapshot, make_run
) -> None:
    run = make_run(
        "sft", {"model": bare_llama, "snapshot": sft_snapshot},
        template={"name": "instruction", "text": chat.INSTRUCTION}, max_steps=1,
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    template = (run.artifact / "chat_template.jinja").read_text()
    assert template == chat.INSTRUCTION
