"""Killed at a step that is no checkpoint, again in the midst of a save, and resumed: a run ends
with the same bytes as one that nothing interrupted. On a processor, with one thread. PPO, whose
loop and checkpoints are its own, is held to the same in test_ppo_run.py."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM

from tests.recipes.conftest import events_of, open_run, result_of
from training.recipes import sft
from training.recipes.artifacts import folder_sha256
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
STEPS = {"max_steps": 7, "save_steps": 2, "eval_steps": 3, "batch_size": 2, "max_length": 64}
LORA = {"lora_dropout": 0.1, "lora_rank": 4}
CASES = {
    "sft": ("sft", "sft_snapshot", LORA | {"accumulation": 2, "schedule": "cosine"}),
    "sft packed": ("sft", "sft_snapshot", LORA | {"packing": "bfd", "max_length": 96}),
    "sft half": (
        "sft",
        "sft_snapshot",
        {"adaptation": "half", "half_rounds": 3, "weight_decay": 0.1, "learning_rate": 1e-3},
    ),
    "reward": ("reward", "preference_snapshot", LORA),
    "dpo": ("dpo", "preference_snapshot", LORA | {"learning_rate": 1e-3}),
    "sft of 4 bits": ("sft", "sft_snapshot", LORA | {"adaptation": "qlora"}),
}
# Killed when all was trained: once at the last step, and once where patience had ended it before.
ENDED = {
    "at the last step": ("sft", "sft_snapshot", LORA | {"keep": "last"}),
    "out of patience": (
        "sft",
        "sft_snapshot",
        LORA | {"keep": "last", "patience": 1, "learning_rate": 0.3, "eval_steps": 1},
    ),
}


def work(run: RunDir) -> None:
    recipe = run.spec["recipe"]
    module = importlib.import_module(f"training.recipes.{recipe}")
    assert perform(recipe, module.train, run) == 0, result_of(run)


@pytest.fixture(scope="module")
def dead(llama, request, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What each case is opened with, and as `name` where its run lies that died at its places. All
    of them died below one process, which imported once."""
    folder = tmp_path_factory.mktemp("dead")
    found: dict[str, dict[str, Any]] = {}
    command = [sys.executable, "-m", "tests.recipes.killed"]
    for name, (recipe, snapshot, config) in (CASES | ENDED).items():
        inputs = {"model": llama, "snapshot": request.getfixturevalue(snapshot)}
        opened = {"recipe": recipe, "inputs": inputs, **STEPS, **config}
        run = open_run(folder / name, **opened)
        run.close()
        found[name] = opened | {"name": str(run.path)}
        command += [recipe, str(run.path), "step:5,save:6" if name in CASES else "after:0"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return found


def names(run: RunDir) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES)
def test_killed_twice_and_resumed_it_leaves_the_same_bytes(case: str, dead, make_run) -> None:
    straight = make_run(**dead[case] | {"name": "straight"})
    work(straight)

    run = make_run(**dead[case])
    assert not (run.path / "result.json").exists()
    assert names(run) == ["checkpoint-6", "step-2", "step-4"]
    work(run)
    resumed = [event["step"] for event in events_of(run, "state")]
    assert resumed == [4, 4]
    assert not list(run.checkpoints.glob("checkpoint-*"))

    assert folder_sha256(run.artifact) == folder_sha256(straight.artifact)
    said, expected = result_of(run), result_of(straight)
    for name in ("metrics", "samples", "kept", "steps", "trainable_share"):
        assert said[name] == expected[name], name
    # The same without dropout is another run: it was on.
    if "lora_dropout" in dead[case]:
        dry = make_run(**dead[case] | {"name": "dry", "lora_dropout": 0.0})
        work(dry)
        assert folder_sha256(dry.artifact) != folder_sha256(straight.artifact)


@pytest.mark.parametrize("case", ENDED)
def test_killed_when_all_was_trained_it_trains_no_further(case: str, dead, make_run) -> None:
    straight = make_run(**dead[case] | {"name": "straight"})
    work(straight)
    assert bool(result_of(straight)["reason"]) == (case == "out of patience")
    run = make_run(**dead[case])
    assert not (run.path / "result.json").exists()
    work(run)
    assert folder_sha256(run.artifact) == folder_sha256(straight.artifact)
    assert result_of(run)["reason"] == result_of(straight)["reason"]
    assert result_of(run)["steps"] == result_of(straight)["steps"]


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_a_checkpoint_that_is_not_whole_is_refused(
    adaptation, llama, sft_snapshot, make_run
) -> None:
    """A trainer would go on with what is missing as it was at the beginning, without a word."""
    inputs = {"model": llama, "snapshot": sft_snapshot}
    run = make_run("sft", inputs, max_steps=2, save_steps=1, adaptation=adaptation)
    work(run)
    shutil.rmtree(run.checkpoints / "step-2")
    (file,) = (run.checkpoints / "step-1").glob("*model.safetensors")
    held = load_file(file)
    lost = next(name for name in held if "layers.1.mlp.up_proj" in name)
    save_file({n: w for n, w in held.items() if n != lost}, file, metadata={"format": "pt"})
    assert perform("sft", sft.train, run) == 1
    assert f"is not whole: it lacks {lost}" in result_of(run)["reason"]


def test_a_mixture_of_experts_goes_on_from_its_checkpoint(
    llama, sft_snapshot, make_run, tmp_path
) -> None:
    """transformers writes experts under other names than the model's, which its trainer passes by
    when it reads them: they would go on from the base's."""
    tokenizer = load_tokenizer(str(llama))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2}
    model = MixtralForCausalLM(MixtralConfig(vocab_size=len(tokenizer), **sizes, **heads))
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "mixture")
    inputs = {"model": tmp_path / "mixture", "snapshot": sft_snapshot}
    config = {"max_steps": 2, "save_steps": 1, "adaptation": "full", "keep": "last"}
    run = make_run("sft", inputs, **config)
    work(run)
    straight = load_file(run.artifact / "model.safetensors")
    assert any(".experts.1.w1." in name for name in straight), "as others read it"
    for folder in (run.artifact, run.checkpoints / "step-2"):
        shutil.rmtree(folder)
    work(run)
    again = load_file(run.artifact / "model.safetensors")
    assert again.keys() == straight.keys()
    assert all(again[name].equal(straight[name]) for name in straight)
