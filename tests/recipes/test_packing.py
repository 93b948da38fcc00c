"""Packed texts do not see one another: logits, loss and gradients are those of each text alone.

Every figure is taken twice: of what our recipes pack with, and of `wrapped`, which leaks and has to
fail the very test that the other passes.
"""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from benchmarks.packing import ATTENTION, ROWS, differences, texts_of, trainer_of
from tests.recipes.conftest import (
    chat_tokenizer,
    result_of,
    sft_rows,
    write_snapshot,
)
from training.recipes import data, packing, sft
from training.recipes.adapters import add_lora
from training.recipes.configs import parse
from training.recipes.entry import perform
from training.recipes.tokenizer import load_tokenizer

NEAR = 1e-3


def small(name: str, attn: str = "sdpa"):
    """A tiny model of a real architecture, with random weights."""
    size = len(chat_tokenizer())
    torch.manual_seed(0)
    if name == "gpt2":  # learned positions
        config = GPT2Config(vocab_size=size, n_embd=48, n_layer=2, n_head=4, n_positions=256)
        return GPT2LMHeadModel._from_config(config, attn_implementation=attn)
    assert name == "qwen3"
    config = Qwen3Config(
        vocab_size=size, hidden_size=48, intermediate_size=96, num_hidden_layers=3, head_dim=12,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        use_sliding_window=True, sliding_window=24, max_window_layers=1,
    )  # fmt: skip
    return Qwen3ForCausalLM._from_config(config, attn_implementation=attn)


def loaded(llama: Path, name: str, attn: str):
    if name == "llama":
        return AutoModelForCausalLM.from_pretrained(llama, attn_implementation=attn)
    return small(name, attn)


@pytest.mark.parametrize("attn", ATTENTION)
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_logits_are_those_of_each_text_alone(llama, name: str, attn: str) -> None:
    tokenizer = load_tokenizer(str(llama))
    model = loaded(llama, name, attn)
    assert model.config._attn_implementation == attn
    texts = texts_of(tokenizer)
    found = {mode: differences(model, tokenizer, texts, mode) for mode in ("unpacked", "bfd")}
    for mode, one in found.items():
        assert one["max_logit_difference"] < NEAR, mode
        assert one["loss_difference"] < 1e-5, mode
    leaks = differences(model, tokenizer, texts, "wrapped")
    assert leaks["max_logit_difference"] > 10 * NEAR


def gradients(model, tokenizer, texts, mode: str, folder: Path) -> list[torch.Tensor]:
    """Of one update over all texts, through the trainer's own loss."""
    trainer = trainer_of(model, tokenizer, texts, mode, 96, str(folder))
    model.zero_grad()
    rows = trainer.train_dataset.to_list()
    tokens = torch.tensor(sum(len(text) - 1 for text in texts))
    for start in range(0, len(rows), ROWS):
        batch = trainer.data_collator(rows[start : start + ROWS])
        trainer.compute_loss(model, batch, num_items_in_batch=tokens).backward()
    return [p.grad.clone() for p in model.parameters()]


def test_an_update_is_that_of_the_texts_padded(llama, tmp_path) -> None:
    tokenizer = load_tokenizer(str(llama))
    model = AutoModelForCausalLM.from_pretrained(llama)
    texts = texts_of(tokenizer)
    padded, packed, wrapped = (
        gradients(model, tokenizer, texts, mode, tmp_path)
        for mode in ("unpacked", "bfd", "wrapped")
    )
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(padded, packed, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(padded, wrapped, strict=True))


class TestRows:
    def table(self, llama, max_length: int) -> tuple[data.Encoder, data.Table]:
        encoder = data.Encoder(load_tokenizer(str(llama)), max_length)
        return encoder, data.encode(sft_rows(20), encoder, "sft")

    def test_every_row_is_there_once_and_none_is_cut(self, llama) -> None:
        _, table = self.table(llama, 160)
        packed = packing.pack(table, 160)
        assert len(packed) < len(table)
        pieces = []
        for row in packed:
            assert len(row["input_ids"]) == len(row["labels"]) == sum(row["seq_lengths"]) <= 160
            place = 0
            for length in row["seq_lengths"]:
                part = slice(place, place + length)
                pieces.append((row["input_ids"][part], row["labels"][part]))
                place += length
        rows = table.rows.to_pylist()
        assert sorted(pieces) == sorted((row["input_ids"], row["labels"]) for row in rows)

    def test_the_first_token_of_a_text_is_not_predicted_from_the_one_before(
        self, llama, tmp_path
    ) -> None:
        model = AutoModelForCausalLM.from_pretrained(llama)
        tokenizer = load_tokenizer(str(llama))
        trainer = trainer_of(model, tokenizer, [[5, 6, 7], [8, 9]], "bfd", 16, str(tmp_path))
        batch = trainer.data_collator(trainer.train_dataset.to_list())
        assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
        assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
        assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
        assert "attention_mask" not in batch


class TestTheQuestionAskedFirst:
    @pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
    def test_models_that_keep_texts_apart_pass(self, llama, name: str) -> None:
        packing.check_isolation(loaded(llama, name, "sdpa"))

    def test_an_adapter_over_one_passes(self, llama) -> None:
        model = AutoModelForCausalLM.from_pretrained(llama)
        packing.check_isolation(add_lora(model, parse("sft", {})))

    def test_a_model_with_a_memory_is_refused(self) -> None:
        torch.manual_seed(0)
        model = MambaForCausalLM(MambaConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2))
        with pytest.raises(ValueError, match="MambaForCausalLM.* set packing to off"):
            packing.check_isolation(model)


class TestRun:
    def run(self, make_run, llama, snapshot, name: str, **config):
        run = make_run(
            "sft", {"model": llama, "snapshot": snapshot}, name, adaptation="full", max_length=160,
            schedule="constant", learning_rate=1e-3, keep="last", sample_tokens=2, **config,
        )  # fmt: skip
        assert perform("sft", sft.train, run) == 0, result_of(run)
        return result_of(run)

    def test_a_packed_run_learns_from_the_same_tokens_in_fewer_steps(
        self, llama, tmp_path, make_run
    ) -> None:
        rows = sft_rows(24)
        snapshot = write_snapshot(tmp_path / "s", "sft", train=rows, validation=rows[:3], test=rows)
        packed = self.run(make_run, llama, snapshot, "packed", packing="bfd", epochs=6.0)
        apart = self.run(make_run, llama, snapshot, "apart", packing="off", epochs=6.0)
        assert packed["steps"] < apart["steps"]
        assert packed["rows"]["train"] == apart["rows"]["train"] == 24
        assert packed["rows"]["packed"] < 24
        assert packed["metrics"]["before"] == apart["metrics"]["before"]
        assert packed["metrics"]["after"]["loss"] < 0.9 * packed["metrics"]["before"]["loss"]

    def test_one_step_over_everything_is_the_same_step(self, llama, tmp_path, make_run) -> None:
        """The loss is a mean over tokens: an update over all rows is the same, packed or not."""
        rows = sft_rows(12)
        snapshot = write_snapshot(tmp_path / "s", "sft", train=rows, test=rows)
        packed = self.run(
            make_run, llama, snapshot, "packed", packing="bfd", max_steps=1, batch_size=12
        )
        apart = self.run(
            make_run, llama, snapshot, "apart", packing="off", max_steps=1, batch_size=12
        )
        after = packed["metrics"]["after"]["loss"], apart["metrics"]["after"]["loss"]
        assert after[0] == pytest.approx(after[1], abs=1e-4)
        assert after[0] < packed["metrics"]["before"]["loss"]
