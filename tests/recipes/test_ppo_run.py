"""Whole PPO runs on a tiny model with a tiny reward run of another tokenizer: what they leave, and
that a run which was killed or stopped ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from tests.recipes import ppo_toys as toys  # noqa: E402
from tests.recipes.conftest import events_of, result_of, save_llama  # noqa: E402
from training.recipes import evaluate, ppo  # noqa: E402
from training.recipes.entry import perform  # noqa: E402
from training.recipes.run_dir import RunDir  # noqa: E402

pytestmark = pytest.mark.recipe
ROOT = Path(__file__).resolve().parents[2]
# Dropout draws from the global generator and the price of KL is carried on: both must resume.
RESTLESS = {"lora_dropout": 0.1, "kl_target": 0.5}


def work(run: RunDir) -> int:
    """The recipe in this process, as a new attempt; the exit code."""
    attempt = RunDir(run.path)
    try:
        return perform("ppo", ppo.train, attempt)
    finally:
        attempt.close()


def shell(run: RunDir, program: str = "") -> subprocess.CompletedProcess[str]:
    """The recipe in a process of its own; `program` is run before it begins."""
    start = [sys.executable, "-m", "training.recipes.ppo", str(run.path)]
    if program:
        last = "\nfrom training.recipes.entry import main\nmain('ppo', ppo.train)"
        start = [sys.executable, "-c", program + last, str(run.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(start, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory) -> RunDir:
    """A run that nothing interrupts."""
    run = toys.make_run(tmp_path_factory.mktemp("runs") / "straight", store, **RESTLESS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "catch_sigterm", lambda self: None)
        assert work(run) == 0
    return run


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> RunDir:
    """One that trains all weights."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run = toys.make_run(folder, store, steps=2, adaptation="full", save_steps=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "catch_sigterm", lambda self: None)
        assert work(run) == 0, result_of(run)
    return run


def test_from_a_shell_the_same_seed_gives_the_same_bytes(straight, store, tmp_path):
    run = toys.make_run(tmp_path / "again", store, **RESTLESS)
    done = shell(run)
    assert done.returncode == 0, done.stderr
    assert toys.digest(run) == toys.digest(straight)
    once, again = result_of(straight), result_of(run)
    for key in ("metrics", "samples", "kl_coef"):
        assert once[key] == again[key]


def test_another_seed_gives_other_weights(straight, store, tmp_path):
    run = toys.make_run(tmp_path / "other", store, **RESTLESS)
    spec = run.spec | {"seed": 4}
    (run.path / "spec.json").write_text(json.dumps(spec))
    assert work(run) == 0
    assert toys.digest(run) != toys.digest(straight)


def test_what_a_run_says_and_leaves(straight, store):
    result = result_of(straight)
    assert result["state"] == "succeeded"
    before, after = result["metrics"]["before"], result["metrics"]["after"]
    assert (
        before.keys()
        == after.keys()
        == {
            *("reward_mean", "objective", "kl", "length", "eos_share", "rows"),
        }
    )
    assert before["kl"] == pytest.approx(0, abs=1e-5)
    assert abs(after["kl"]) > 1e-4
    assert len(result["samples"]) == 3
    assert result["samples"][0].keys() == {"prompt", "before", "after"}
    assert result["samples"][0]["prompt"] == "system: Be short.\nuser: Why?"
    steps = events_of(straight, "metrics")
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[0]["values"].keys() >= {
        *("reward", "reward_penalised", "kl", "entropy", "clip_share", "ratio", "policy_loss"),
        *("value_loss", "length", "eos_share", "learning_rate", "kl_coef"),
    }
    shown = events_of(straight, "sample")
    assert [line["step"] for line in shown] == [1, 6]
    assert shown[0].keys() >= {"prompt", "text", "reward"}
    facts = json.loads((straight.artifact / "annotune.json").read_text())
    assert (facts["recipe"], facts["kind"]) == ("ppo", "adapter")
    base = AutoModelForCausalLM.from_pretrained(store / "model")
    model = PeftModel.from_pretrained(base, straight.artifact)
    assert set(model.peft_config) == {"default"}
    assert any((w != 0).any() for n, w in model.named_parameters() if "lora_B" in n)
    head = load_file(straight.artifact / "value_head.safetensors")
    assert {n: list(w.shape) for n, w in head.items()} == {"weight": [1, 48], "bias": [1]}


def test_an_answer_without_an_end_pays_and_the_raw_reward_does_not(straight):
    for line in events_of(straight, "metrics"):
        values = line["values"]
        paid = values["reward"] - values["reward_penalised"]
        assert paid == pytest.approx(1.0 * (1 - values["eos_share"]), abs=1e-5)
    assert any(line["values"]["eos_share"] < 1 for line in events_of(straight, "metrics"))


KILLED = """
import os, signal
from training.recipes import ppo
{name} = {module}.{name}
def killed(*args, **kwargs):
    if {when}:
        os.kill(os.getpid(), signal.SIGKILL)
    return {name}(*args, **kwargs)
{module}.{name} = killed
"""


def test_killed_in_an_update_and_in_a_save_it_ends_as_if_it_had_not_been(straight, store, tmp_path):
    run = toys.make_run(tmp_path / "killed", store, **RESTLESS)
    # In the fourth update; the last checkpoint is that of the second.
    done = shell(run, KILLED.format(name="learn", module="ppo", when="args[4] == 3"))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(os.listdir(run.checkpoints)) == ["step-2"]
    assert events_of(run, "metrics")[-1]["step"] == 3
    # Then in the save of the fourth, where all is written and nothing has its name yet.
    when = "str(args[1]).endswith('step-4')"
    done = shell(run, KILLED.format(name="replace", module="os", when=when))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(os.listdir(run.checkpoints)) == [".step-4", "step-2"]
    assert not (run.path / "result.json").exists()
    assert work(run) == 0
    resumed = [line for line in events_of(run, "state") if line["state"] == "resumed"]
    assert [line["step"] for line in resumed] == [2, 2]
    assert toys.digest(run) == toys.digest(straight)
    assert result_of(run)["metrics"] == result_of(straight)["metrics"]
    assert result_of(run)["kl_coef"] == result_of(straight)["kl_coef"] != 0.05
    assert sorted(os.listdir(run.checkpoints)) == ["step-4", "step-6"]


def test_stopped_it_leaves_a_checkpoint_and_goes_on(straight, store, tmp_path, monkeypatch):
    run = toys.make_run(tmp_path / "stopped", store, **RESTLESS)
    whole = ppo.score_of

    def stop_in_the_fourth(*args):
        score, calls = whole(*args), []

        def scored(prompts, answers):
            calls.append(1)
            if len(calls) == 5:  # the first is the evaluation before
                (run.path / "stop").touch()
            return score(prompts, answers)

        return scored

    with monkeypatch.context() as patch:
        patch.setattr(ppo, "score_of", stop_in_the_fourth)
        assert work(run) == 0
    assert result_of(run)["state"] == "stopped"
    assert sorted(os.listdir(run.checkpoints)) == ["step-2", "step-3"]
    (run.path / "stop").unlink()
    assert work(run) == 0
    assert result_of(run)["state"] == "succeeded"
    assert toys.digest(run) == toys.digest(straight)


def test_it_goes_on_from_an_sft_adapter_which_is_the_reference_too(tmp_path):
    """What is saved is one adapter over the base, and kl is 0 against the adapter, not the base."""
    base = AutoModelForCausalLM.from_pretrained(save_llama(tmp_path / "model"))
    torch.manual_seed(0)
    sft = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in sft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    sft.save_pretrained(tmp_path / "init")
    run = toys.make_run(tmp_path / "run", tmp_path, steps=2)
    assert work(run) == 0, result_of(run)
    assert result_of(run)["metrics"]["before"]["kl"] == pytest.approx(0, abs=1e-5)
    assert abs(result_of(run)["metrics"]["after"]["kl"]) > 1e-4
    assert sorted(p.name for p in (run.artifact).glob("*.safetensors")) == [
        "adapter_model.safetensors",
        "value_head.safetensors",
    ]
    for folder in (run.artifact, run.checkpoints / "step-2"):
        assert not (folder / ppo.REFERENCE).exists(), "that would be a second model"
    old = load_file(tmp_path / "init" / "adapter_model.safetensors")
    new = load_file(run.artifact / "adapter_model.safetensors")
    assert old.keys() == new.keys()
    assert all(0 < (new[n] - old[n]).abs().max() < 0.1 for n in old)


def test_full_fine_tuning_leaves_whole_weights(whole, store):
    run = whole
    result = result_of(run)
    assert result["artifact"]["kind"] == "model"
    assert result["trainable_share"] == 1
    assert abs(result["metrics"]["after"]["kl"]) > 1e-4
    before = AutoModelForCausalLM.from_pretrained(store / "model").state_dict()
    after = AutoModelForCausalLM.from_pretrained(run.artifact).state_dict()
    assert all((before[n] != after[n]).any() for n in before)


def test_full_fine_tuning_goes_on_from_a_checkpoint_too(whole, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(whole.path, again)
    shutil.rmtree(again / "checkpoints" / "step-2")
    run = RunDir(again)
    run.close()
    assert work(run) == 0, result_of(run)
    assert events_of(run, "state")[-1]["step"] == 1
    assert toys.digest(run) == toys.digest(whole)


@pytest.mark.parametrize("kind", ["straight", "whole"])
def test_a_checkpoint_that_is_not_whole_is_refused(kind, request, tmp_path):
    """What is missing would go on from its beginning, without a word."""
    run = request.getfixturevalue(kind)
    shutil.copytree(run.path, tmp_path / "again")
    again = RunDir(tmp_path / "again")
    again.close()
    newest = max(again.checkpoints.glob("step-*"), key=lambda path: int(path.name[5:]))
    (file,) = newest.glob("*model.safetensors")
    held = load_file(file)
    lost = next(name for name in held if "mlp.up_proj" in name)
    save_file({n: w for n, w in held.items() if n != lost}, file, metadata={"format": "pt"})
    assert work(again) == 1
    assert f"is not whole: it lacks {lost}" in result_of(again)["reason"]


def test_a_checkpoint_of_an_earlier_version_is_told_of(whole, tmp_path):
    """It was no model's folder: all lay in state.*."""
    shutil.copytree(whole.path, tmp_path / "again")
    for file in (tmp_path / "again" / "checkpoints" / "step-2").iterdir():
        if not file.name.startswith("state."):
            file.unlink()
    run = RunDir(tmp_path / "again")
    run.close()
    assert work(run) == 1
    assert "update 2 is of an earlier version" in result_of(run)["reason"]


@pytest.mark.parametrize(("kind", "first", "last"), [("straight", 4, 6), ("whole", 1, 2)])
def test_a_checkpoint_is_measured_like_the_artifact(
    kind, first, last, request, store, sft_snapshot, make_run
):
    """The policy of its step: that of the last is what the run left."""
    run = request.getfixturevalue(kind)

    def loss(name, place):
        inputs = {"model": store / "model", "snapshot": sft_snapshot}
        measured = make_run("evaluate", inputs | place, name, max_new_tokens=0, bootstrap=100)
        assert perform("evaluate", evaluate.evaluate, measured) == 0, result_of(measured)
        return result_of(measured)["metrics"]["after"]["loss"]

    base, left = loss("base", {}), loss("artifact", {"init": run.artifact})
    found = [loss(f"at-{n}", {"init": run.checkpoints / f"step-{n}"}) for n in (first, last)]
    assert found[1] == left
    assert len({base, *found}) == 3


def test_without_test_rows_it_says_so(store, tmp_path):
    run = toys.make_run(tmp_path / "run", store, steps=1)
    snapshot = toys.save_prompts(tmp_path / "snapshot")
    next((snapshot / "data").glob("test-*")).unlink()
    redirect(run, "snapshot", snapshot)
    assert work(run) == 0, result_of(run)
    assert "no test and no validation rows" in events_of(run, "note")[0]["text"]
    assert result_of(run)["metrics"]["after"] == {"rows": 0}
    assert len(result_of(run)["samples"]) == 3


def redirect(run: RunDir, name: str, place: Path) -> None:
    for row in run.spec["inputs"]:
        row["path"] = str(place) if row["name"] == name else row["path"]
    (run.path / "spec.json").write_text(json.dumps(run.spec))


@pytest.mark.parametrize(
    ("knobs", "inputs", "said"),
    [
        ({"max_length": 16, "max_new_tokens": 12}, {}, "leaves no room for a prompt"),
        ({"learning_rate": 2}, {}, "learning_rate: 2"),
        ({}, {"reward": "model"}, "was left by no reward run"),
        ({}, {"snapshot": "model"}, "is no snapshot"),
        ({}, {"model": "nowhere"}, "no model folder at"),
    ],
)
def test_a_run_that_cannot_be_done_says_why(store, tmp_path, knobs, inputs, said):
    run = toys.make_run(tmp_path / "run", store, **knobs)
    for name, place in inputs.items():
        redirect(run, name, store / place)
    assert work(run) == 1
    assert result_of(run)["state"] == "failed"
    assert said in result_of(run)["reason"]
    assert not (run.artifact).exists()
