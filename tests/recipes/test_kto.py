"""KTO on a tiny model: its loss by hand and against TRL's, even batches, that it learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exports import formats
from tests.recipes.conftest import events_of, result_of, user, write_snapshot
from training.recipes import kto, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir

FAST = {"learning_rate": 1e-2, "lora_rank": 4, "keep": "last"}


def work(run: RunDir) -> int:
    return perform("kto", kto.train, run)


def weights(run: RunDir, name: str = "adapter_model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run.artifact / name)


def series(run: RunDir, name: str) -> list[float]:
    return [e["values"][name] for e in events_of(run, "metrics") if name in e["values"]]


def thumbs(count: int) -> list:
    """The answer with a yes is good, the one with a no is bad."""
    texts = {True: "Good, yes.", False: "Bad, no."}
    return [formats.unpaired(user(f"Question {i}?"), texts[i % 2 == 0], i % 2 == 0)
            for i in range(count)]  # fmt: skip


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> Path:
    rows = thumbs(32)
    return write_snapshot(
        tmp_path_factory.mktemp("thumbs"), "unpaired",
        train=rows[:20], validation=rows[20:26], test=rows[26:],
    )  # fmt: skip


@pytest.fixture
def inputs(llama, snapshot) -> dict[str, Path]:
    return {"model": llama, "snapshot": snapshot}


class TestRows:
    def test_every_batch_has_both_sides(self) -> None:
        labels = [True] * 12 + [False] * 36
        order = kto.mixed(labels, 0)
        assert sorted(order) == list(range(48))
        read = [labels[place] for place in order]
        # One of four is up; two of them may meet at the seam of their strata, three never.
        assert all(1 <= sum(read[i : i + 8]) <= 3 for i in range(0, 48, 8))
        assert order != kto.mixed(labels, 1) and order != kto.mixed(labels, 0, 1)
        passes = kto.Passes(labels, 0)
        assert list(passes) == list(passes) == order
        passes.set_epoch(1)
        assert list(passes) == kto.mixed(labels, 0, 1)

    def test_the_stranger_answers_another_prompt(self) -> None:
        assert kto.strangers("abc") == [2, 0, 1]
        assert kto.strangers("aab") == [2, 2, 1]
        assert kto.strangers("aa") == [0, 1]

    @pytest.mark.parametrize(
        ("ups", "downs", "weights", "said"),
        [
            (3, 3, (1, 1), ""),
            (4, 3, (1, 1), ""),
            (3, 9, (1, 1), "desirable_weight from 3 to 4, and here it is 1"),
            (3, 9, (3, 1), ""),
            (9, 3, (1, 1), "9 thumbs up and 3 down"),
        ],
    )
    def test_uneven_sides_are_told(self, ups, downs, weights, said) -> None:
        config = parse("kto", {"desirable_weight": weights[0], "undesirable_weight": weights[1]})
        note = kto.check_thumbs(ups, downs, ups + downs, config)
        assert said in note and bool(said) == bool(note)


class TestLoss:
    def test_by_hand(self) -> None:
        config = parse("kto", {"beta": 0.5, "desirable_weight": 2.0, "undesirable_weight": 1.0})
        # Log ratios 2 (up) and 0 (down), of the strangers 1.5 and 0.5: their mean is 1 nat.
        found = kto.measure([-2, -4, -3.5, -4.5], [-4, -4, -5, -5], [True, False], config)
        # 1 - s(0.5 (2 - 1)) = 0.377541, twice; 1 - s(0.5 (1 - 0)) = 0.377541.
        assert found["loss"] == pytest.approx((2 * 0.377541 + 0.377541) / 2, abs=1e-6)
        assert (found["kl"], found["separation"], found["rows"]) == (1.0, 1.0, 2)
        assert (found["reward_chosen"], found["reward_rejected"]) == (1.0, 0.0)
        assert (found["logp_chosen"], found["logp_rejected"]) == (-2.0, -4.0)

    def test_a_kl_is_never_below_0(self) -> None:
        found = kto.measure([-1, -2], [-1, -1], [True], parse("kto", {}))
        assert (found["kl"], found["loss"], found["separation"]) == (0.0, 0.5, None)

    def test_ours_and_the_trainers_are_one(self, llama, tmp_path, make_run) -> None:
        rows = thumbs(16)
        snapshot = write_snapshot(
            tmp_path / "s", "unpaired", train=rows[:12], validation=rows[12:], test=rows[12:]
        )
        run = make_run(
            "kto", {"model": llama, "snapshot": snapshot}, batch_size=4, max_steps=3, eval_steps=3,
            **FAST,
        )  # fmt: skip
        assert work(run) == 0, result_of(run)
        after = result_of(run)["metrics"]["after"]
        assert after["loss"] != pytest.approx(0.5, abs=1e-3)
        assert series(run, "eval_loss")[-1] == pytest.approx(after["loss"], rel=1e-4)

    def test_weights_enter_the_first_step(self, inputs, make_run) -> None:
        # Every sigma is a half yet, and half of each batch of 20 is of either side.
        run = make_run(
            "kto", inputs, max_steps=1, batch_size=20, desirable_weight=2.0, undesirable_weight=0.5
        )
        assert work(run) == 0, result_of(run)
        assert series(run, "loss")[0] == pytest.approx(0.5 * (2.0 + 0.5) / 2, abs=1e-6)


@pytest.mark.parametrize("start", ["base", "adapter", "full"])
def test_it_starts_as_its_own_reference(start, inputs, llama, sft_snapshot, make_run) -> None:
    more = dict(FAST)
    if start == "adapter":
        first = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, "first", max_steps=4,
                         lora_rank=4, learning_rate=1e-2)  # fmt: skip
        assert perform("sft", sft.train, first) == 0
        inputs |= {"init": first.artifact}
    elif start == "full":
        more |= {"adaptation": "full", "learning_rate": 1e-3}
    run = make_run("kto", inputs, max_steps=3, **more)
    assert work(run) == 0, result_of(run)
    assert series(run, "loss")[0] == pytest.approx(0.5, abs=1e-6)
    assert series(run, "reward_chosen")[0] == series(run, "reward_rejected")[0] == 0.0
    assert series(run, "kl")[0] == 0.0
    assert abs(series(run, "reward_chosen")[2]) > 0  # the reference has not moved with it
    assert not (run.artifact / "ref").exists()
    before = result_of(run)["metrics"]["before"]
    assert (before["separation"], before["loss"]) == (0.5, pytest.approx(0.5))


def test_it_learns_which_answers_are_good(inputs, make_run) -> None:
    run = make_run("kto", inputs, max_steps=20, epochs=4.0, batch_size=4, **FAST)
    assert work(run) == 0, result_of(run)
    before, after = (result_of(run)["metrics"][when] for when in ("before", "after"))
    assert before["separation"] == 0.5 and after["separation"] == 1.0
    assert after["loss"] < before["loss"] and after["reward_chosen"] > after["reward_rejected"]
    assert [set(s) for s in result_of(run)["samples"]] == [{"prompt", "before", "after"}] * 3
    assert result_of(run)["artifact"]["kind"] == "adapter"


def test_stopped_and_resumed_is_as_if_it_had_not_been(inputs, stop_and_resume, monkeypatch) -> None:
    """Two passes of three steps each, stopped within the second."""
    read, turns = kto.mixed, []
    monkeypatch.setattr(kto, "mixed", lambda *of: turns.append(of[-1]) or read(*of))
    stop_and_resume("kto", inputs, at=4, epochs=2.0, batch_size=8)
    assert turns == [0, 1, 0, 1, 1]


def test_without_test_rows_it_says_so(llama, tmp_path, make_run) -> None:
    snapshot = write_snapshot(tmp_path / "s", "unpaired", train=thumbs(6))
    run = make_run("kto", {"model": llama, "snapshot": snapshot}, max_steps=1)
    assert work(run) == 0, result_of(run)
    assert result_of(run)["metrics"]["before"] == {"rows": 0}
    assert "nothing is measured" in events_of(run, "note")[0]["text"]


class TestRefusals:
    def reason(self, run: RunDir) -> str:
        assert work(run) == 1
        return result_of(run)["reason"]

    @pytest.mark.parametrize(("side", "said"), [(0, "thumb up"), (1, "thumb down")])
    def test_one_side_alone(self, side, said, llama, tmp_path, make_run) -> None:
        rows = thumbs(8)[side::2]
        snapshot = write_snapshot(tmp_path / "s", "unpaired", train=rows)
        reason = self.reason(make_run("kto", {"model": llama, "snapshot": snapshot}))
        assert f"All 4 training rows have a {said}" in reason

    def test_one_prompt_alone(self, llama, tmp_path, make_run) -> None:
        rows = [formats.unpaired(user("Question?"), f"Answer {i}.", i % 2 == 0) for i in range(4)]
        snapshot = write_snapshot(tmp_path / "s", "unpaired", train=rows)
        run = make_run("kto", {"model": llama, "snapshot": snapshot})
        assert "answer the same prompt" in self.reason(run)

    def test_a_batch_of_one(self, inputs, make_run) -> None:
        assert "at least 2" in self.reason(make_run("kto", inputs, batch_size=1))

    def test_the_wrong_snapshot(self, llama, preference_snapshot, make_run) -> None:
        run = make_run("kto", {"model": llama, "snapshot": preference_snapshot})
        assert "no unpaired snapshot" in self.reason(run)
