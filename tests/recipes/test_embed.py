"""Texts become vectors: right, in parts, the same after an interruption, never by strange code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.recipes.conftest import SENTENCES, events_of, result_of
from training.recipes import embed
from training.recipes.run_dir import RunDir, Stopped

TEXTS = [f"{SENTENCES[i % len(SENTENCES)]} {i}" for i in range(11)]


@pytest.fixture
def job(bert, tmp_path: Path):
    """`job(model)`: a job's folder with eleven texts, in parts of four."""

    def make(model: Path = bert, name: str = "job") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        inputs = [
            {"name": "model", "kind": "model", "path": str(model)},
            {"name": "texts", "kind": "prompts", "path": "texts.jsonl"},
        ]
        spec = {"config": {"part": 4, "batch": 3}, "inputs": inputs}
        (folder / "spec.json").write_text(json.dumps(spec))
        rows = [{"id": 7 * i, "mark": 2**64 - 1 - i, "text": text} for i, text in enumerate(TEXTS)]
        (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def work(folder: Path) -> RunDir:
    run = RunDir(folder)
    embed.perform(run)
    run.close()
    return run


def vectors(run: RunDir) -> tuple[np.ndarray, np.ndarray]:
    files = sorted(run.artifact.glob("part-*[0-9].npy"))
    keys = [np.load(file.with_suffix(".ids.npy")) for file in files]
    return np.concatenate(keys), np.concatenate([np.load(file) for file in files])


def test_each_text_has_the_mean_of_its_tokens_of_length_one(job, bert) -> None:
    run = work(job())
    assert result_of(run)["state"] == "succeeded", result_of(run)
    keys, rows = vectors(run)
    assert keys["id"].tolist() == [7 * i for i in range(11)]
    assert keys["mark"].tolist() == [2**64 - 1 - i for i in range(11)]
    assert rows.dtype == np.float16 and rows.shape == (11, 32)
    assert np.allclose(np.linalg.norm(rows.astype(float), axis=1), 1, atol=2e-3)
    # By hand, a text at a time and without filling.
    tokenizer, model = embed.load(str(bert))
    for text, row in zip(TEXTS, rows, strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0)
        assert np.allclose((mean / mean.norm()).numpy(), row, atol=2e-3)
    steps = [(event["step"], event["total"]) for event in events_of(run, "progress")]
    assert steps == [(0, 0), (3, 11), (4, 11), (7, 11), (8, 11), (11, 11)]
    assert result_of(run)["metrics"]["texts"] == 11


def test_stopped_it_goes_on_from_its_last_whole_part(job, monkeypatch) -> None:
    straight = vectors(work(job(name="straight")))
    folder = job()
    seen: list[str] = []
    whole = embed.vectors_of

    def stop_soon(tokenizer, model, texts):
        seen.extend(texts)
        if len(seen) > 4:
            (folder / "stop").touch()
        return whole(tokenizer, model, texts)

    monkeypatch.setattr(embed, "vectors_of", stop_soon)
    run = work(folder)
    assert result_of(run)["state"] == "stopped"
    assert [path.name for path in run.artifact.glob("part-*[0-9].npy")] == ["part-00000.npy"]
    (folder / "stop").unlink()
    seen.clear()
    monkeypatch.setattr(embed, "vectors_of", lambda *given: seen.extend(given[2]) or whole(*given))
    run = work(folder)
    assert sorted(seen) == sorted(TEXTS[4:])  # the first part is not made again
    keys, rows = vectors(run)
    assert (keys == straight[0]).all() and (rows == straight[1]).all()


def test_it_ends_when_whoever_started_it_is_gone(job, monkeypatch) -> None:
    parents = iter([1, 1, 2])
    monkeypatch.setattr(embed.os, "getppid", lambda: next(parents))
    run = RunDir(job())
    with pytest.raises(Stopped):
        embed.embed(run)
    run.close()


def test_pickled_weights_are_not_read(job, bert, tmp_path) -> None:
    model = tmp_path / "pickled"
    shutil.copytree(bert, model)
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"never read")
    run = work(job(model))
    assert result_of(run)["state"] == "failed" and "safetensors" in result_of(run)["reason"]


def test_code_that_comes_with_a_model_is_not_run(job, bert, tmp_path) -> None:
    model = tmp_path / "with code"
    shutil.copytree(bert, model)
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModel": "mine.Mine", "AutoConfig": "mine.C"}}
    (model / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (model / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    run = work(job(model))
    assert result_of(run)["state"] == "failed" and not ran.exists()


def test_a_model_that_is_not_there_is_a_sentence(job, tmp_path) -> None:
    run = work(job(tmp_path / "nowhere"))
    assert result_of(run)["reason"] == f"There is no model folder at {tmp_path / 'nowhere'}."


def test_by_hand(job) -> None:
    command = [sys.executable, "-m", "training.recipes.embed"]
    folder = job()
    assert subprocess.run([*command, str(folder)], timeout=300).returncode == 0
    assert json.loads((folder / "result.json").read_text())["state"] == "succeeded"
    assert subprocess.run([*command, str(folder / "artifact")], timeout=300).returncode == 1
