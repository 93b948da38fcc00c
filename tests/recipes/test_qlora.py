"""QLoRA: 4-bit base, whole adapter; what it leaves goes on the base as it was before."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.recipes import ppo_toys as toys
from tests.recipes.conftest import events_of, result_of
from tests.recipes.test_ppo_run import work
from training.recipes import adapters, artifacts, loading, quantising, reward, sft
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

pytest.importorskip("bitsandbytes")
FAST = {"learning_rate": 1e-2, "lora_rank": 4, "adaptation": "qlora"}


@pytest.fixture(scope="module")
def config():
    return parse("sft", {"adaptation": "qlora", "lora_rank": 4})


def test_the_base_is_of_four_bits_and_the_adapter_whole(llama: Path, make_run, config) -> None:
    start = artifacts.start_of(make_run("sft", {"model": llama}))
    tokenizer = load_tokenizer(str(llama))
    model = loading.trainable_causal(start, tokenizer, config)
    kinds = {type(m).__name__ for _, m in model.named_modules() if hasattr(m, "base_layer")}
    assert kinds == {"Linear4bit"}
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    plain = loading.trainable_causal(start, tokenizer, parse("sft", {"lora_rank": 4}))
    # Two numbers share a byte, and still count as two.
    assert loading.trainable_share(model, config) == loading.trainable_share(plain)


def test_an_sft_run_and_what_it_leaves(llama, sft_snapshot, make_run) -> None:
    inputs = {"model": llama, "snapshot": sft_snapshot}
    run = make_run("sft", inputs, max_steps=6, **FAST)
    assert perform("sft", sft.train, run) == 0, result_of(run)
    metrics = result_of(run)["metrics"]
    assert metrics["after"]["loss"] < metrics["before"]["loss"]
    left = load_file(run.artifact / "adapter_model.safetensors")
    assert left and all(".lora_" in name for name in left)
    assert {weight.dtype for weight in left.values()} == {torch.float32}
    facts = json.loads((run.artifact / "annotune.json").read_text())
    assert facts["kind"] == "adapter"
    assert facts["base"]["sha256"] == artifacts.folder_sha256(llama)
    # It goes on the base as it is on disk, is better than it there too, and can be merged.
    later = artifacts.start_of(make_run("sft", {**inputs, "init": run.artifact}, "later"))
    tokenizer = load_tokenizer(str(llama))
    model = adapters.attach(loading.load_causal(str(llama), tokenizer), later)
    ids = tokenizer("The moon does not shine by itself", return_tensors="pt")
    over = model(**ids).logits
    assert not torch.allclose(over, loading.load_causal(str(llama), tokenizer)(**ids).logits)
    assert torch.allclose(model.merge_and_unload()(**ids).logits, over, atol=1e-4)


def test_an_adapter_is_continued_over_four_bits(llama, sft_snapshot, make_run) -> None:
    inputs = {"model": llama, "snapshot": sft_snapshot}
    first = make_run("sft", inputs, "first", max_steps=2, lora_rank=4)
    assert perform("sft", sft.train, first) == 0
    run = make_run("sft", {**inputs, "init": first.artifact}, max_steps=2, **FAST)
    assert perform("sft", sft.train, run) == 0, result_of(run)
    was = load_file(first.artifact / "adapter_model.safetensors")
    now = load_file(run.artifact / "adapter_model.safetensors")
    assert was.keys() == now.keys() and not any(torch.equal(was[n], now[n]) for n in was)


def test_a_reward_model_over_four_bits_keeps_its_head_whole(
    llama, preference_snapshot, make_run
) -> None:
    inputs = {"model": llama, "snapshot": preference_snapshot}
    run = make_run("reward", inputs, max_steps=8, center_rewards=0.0, **FAST)
    assert perform("reward", reward.train, run) == 0, result_of(run)
    assert result_of(run)["metrics"]["after"]["accuracy"] == 1.0
    left = load_file(run.artifact / "adapter_model.safetensors")
    assert next(w for n, w in left.items() if "score" in n).dtype == torch.float32
    found = loading.load_reward(make_run("ppo", {**inputs, "reward": run.artifact}, "later"))
    assert found.std > 0


def test_ppo_over_four_bits_and_from_a_checkpoint_to_the_same_bytes(tmp_path: Path) -> None:
    """The reference is the base of four bits without its adapter."""
    more = {"adaptation": "qlora", "lora_dropout": 0.1, "steps": 3, "save_steps": 2}
    run = toys.make_run(tmp_path / "run", tmp_path / "store", **more)
    assert work(run) == 0, result_of(run)
    metrics = result_of(run)["metrics"]
    assert metrics["before"]["kl"] == pytest.approx(0, abs=1e-5)
    assert abs(metrics["after"]["kl"]) > 1e-3
    assert result_of(run)["artifact"]["kind"] == "adapter"
    left = load_file(run.artifact / "adapter_model.safetensors")
    assert {weight.dtype for weight in left.values()} == {torch.float32}
    shutil.copytree(run.path, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-3")
    again = RunDir(tmp_path / "again")
    again.close()
    assert work(again) == 0, result_of(again)
    assert events_of(again, "state")[-1]["step"] == 2
    assert toys.digest(again) == toys.digest(run)


def test_where_it_cannot_be_it_says_so_before_it_reads_a_model(
    llama, sft_snapshot, make_run, monkeypatch
) -> None:
    import bitsandbytes.functional

    def fails(*args, **kwargs):
        raise RuntimeError("no kernel for this device")

    def unread(*args, **kwargs):
        raise AssertionError("a model was read")

    monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", fails)
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", unread)
    run = make_run("sft", {"model": llama, "snapshot": sft_snapshot}, adaptation="qlora")
    assert perform("sft", sft.train, run) == 1
    assert result_of(run)["reason"] == (
        "QLoRA needs bitsandbytes, which does not work here (no kernel for this device): "
        "choose lora."
    )
    with pytest.raises(ValueError, match="choose lora"):
        quantising.check_quantising(torch.device("cpu"))
