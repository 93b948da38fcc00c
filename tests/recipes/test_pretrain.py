"""Pre-training on a tiny model: documents learnt whole, packed or not, with or without template."""

import math

import pytest

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    events_of,
    result_of,
    write_snapshot,
)
from training.recipes import data, pretrain
from training.recipes.entry import perform
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


def work(run: RunDir) -> int:
    return perform("pretrain", pretrain.train, run)


def documents(count: int) -> list:
    return [formats.document(SENTENCES[i % len(SENTENCES)]) for i in range(count)]


@pytest.fixture
def snapshot(tmp_path):
    long = formats.document(" ".join(SENTENCES * 2))
    return write_snapshot(
        tmp_path / "texts", "text",
        train=[*documents(12), long], validation=documents(3), test=[*documents(4), long],
    )  # fmt: skip


@pytest.mark.parametrize("packing", ["bfd_split", "off"])
def test_it_learns_documents_without_a_chat_template(bare_llama, snapshot, make_run, packing):
    run = make_run(
        "pretrain", {"model": bare_llama, "snapshot": snapshot}, adaptation="full",
        packing=packing, epochs=20, max_steps=40, eval_steps=10, learning_rate=1e-2, keep="last",
    )  # fmt: skip
    assert work(run) == 0, result_of(run)
    result = result_of(run)
    before, after = result["metrics"]["before"], result["metrics"]["after"]
    assert after["loss"] < 0.7 * before["loss"]
    assert after["perplexity"] == pytest.approx(math.exp(after["loss"]))
    assert "split into pieces of 64 tokens" in events_of(run, "note")[0]["text"]
    assert "eval_loss" in {n for e in events_of(run, "metrics") for n in e["values"]}
    assert [s["prompt"] for s in result["samples"]] == [
        text[: len(s["prompt"])] for s, text in zip(result["samples"], SENTENCES, strict=False)
    ]
    assert not (run.artifact / "chat_template.jinja").exists()
    # Packed rows are fewer than the pieces, and none is dropped.
    rows = result["rows"]
    assert rows["train"] == 13 and rows["cut"] == 0
    assert rows["packed"] < 13 if packing != "off" else rows["packed"] > 13


def test_each_token_but_the_first_is_learnt_once_however_long_the_document(bare_llama) -> None:
    encoder = data.Encoder(load_tokenizer(str(bare_llama), chat=False), 16)
    ids = encoder.document(SENTENCES[0] * 3)
    assert ids[-1] == encoder.tokenizer.eos_token_id
    table = data.encode([formats.document(SENTENCES[0] * 3)], encoder, "text")
    rows = table.rows["input_ids"].to_pylist()
    assert all(2 <= len(row) <= 16 for row in rows)
    assert [i for row in rows for i in row[1:]] == ids[1:]
    assert rows[0][0] == ids[0]
    assert (table.read, table.cut, table.empty) == (1, 1, [])


@pytest.mark.parametrize("length", [2, 15, 16, 17, 30, 31, 32, 33])
def test_pieces_never_leave_a_token_alone(bare_llama, length: int) -> None:
    encoder = data.Encoder(load_tokenizer(str(bare_llama), chat=False), 16)
    pieces = list(encoder.pieces(list(range(length))))
    assert [i for piece in pieces for i in piece[1:]] == list(range(1, length))
    assert min(map(len, pieces)) >= 2


def test_a_packed_adapter_is_left_and_its_base_is_named(llama, snapshot, make_run) -> None:
    run = make_run("pretrain", {"model": llama, "snapshot": snapshot}, max_steps=2, lora_rank=4)
    assert work(run) == 0, result_of(run)
    assert result_of(run)["artifact"]["kind"] == "adapter"
    assert 0 < result_of(run)["trainable_share"] < 0.2


class TestRefusals:
    def reason(self, run: RunDir) -> str:
        assert work(run) == 1
        return result_of(run)["reason"]

    def test_the_wrong_snapshot(self, llama, sft_snapshot, make_run) -> None:
        run = make_run("pretrain", {"model": llama, "snapshot": sft_snapshot})
        assert "no text snapshot" in self.reason(run) and "text is missing" in self.reason(run)

    def test_a_model_that_ends_nothing(self, bert, snapshot, make_run) -> None:
        reason = self.reason(make_run("pretrain", {"model": bert, "snapshot": snapshot}))
        assert "no language model" in reason or "no end token" in reason

    def test_empty_documents_alone(self, llama, tmp_path, make_run) -> None:
        folder = write_snapshot(tmp_path / "e", "text", train=[formats.document("")])
        run = make_run("pretrain", {"model": llama, "snapshot": folder})
        assert "None of the 1 training rows" in self.reason(run)


def test_the_chat_kinds_still_want_a_template(bare_llama, tmp_path, make_run) -> None:
    with pytest.raises(ValueError, match="no chat template of its own"):
        load_tokenizer(str(bare_llama))
