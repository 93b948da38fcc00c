"""Half Fine-Tuning: which half is frozen, that it stays as it was to the bit, and what is said."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.recipes.conftest import events_of, result_of
from training.recipes import half_tuning, loading, reward, sft
from training.recipes.configs import ConfigError, parse
from training.recipes.entry import perform
from training.recipes.tokenizer import load_tokenizer


@pytest.fixture
def model(llama: Path) -> torch.nn.Module:
    return loading.load_causal(str(llama), load_tokenizer(str(llama)))


def frozen_modules(model: torch.nn.Module, seed: int = 0, round: int = 0) -> list[str]:
    return [name.removesuffix(".weight") for name in half_tuning.frozen_in(model, seed, round)]


def test_half_of_each_category_in_each_layer(model) -> None:
    for round in range(6):
        frozen = frozen_modules(model, round=round)
        gates = []
        for layer in ("layers.0.", "layers.1."):
            mine = [name for name in frozen if layer in name]
            assert sum("self_attn" in name for name in mine) == 2
            assert sum("norm" in name for name in mine) == 1
            gates.append(sum(".mlp." in name for name in mine))
        assert sorted(gates) == [1, 2]  # of three each: the layers take turns


def test_what_is_outside_the_layers_is_always_trained(model) -> None:
    for round in range(6):
        assert all(".layers." in name for name in frozen_modules(model, round=round))


def test_seed_and_round_alone_decide(model, llama) -> None:
    again = loading.load_causal(str(llama), load_tokenizer(str(llama)))
    assert half_tuning.frozen_in(model, 3, 1) == half_tuning.frozen_in(again, 3, 1)
    drawn = {frozenset(half_tuning.frozen_in(model, 3, round)) for round in range(8)}
    assert len(drawn) > 4
    assert len({frozenset(half_tuning.frozen_in(model, seed, 0)) for seed in range(8)}) > 4


def test_a_bert_has_halves_too(bert: Path) -> None:
    tokenizer = load_tokenizer(str(bert), {"name": "instruction"})
    model = loading.load_classifier(str(bert), tokenizer)
    names = half_tuning.blocks(model)
    layer = "bert.encoder.layer.0"
    assert len(names["attention", layer]) == 4
    assert len(names["feed-forward", layer]) == 2
    assert len(names["norm", layer]) == 2
    frozen = half_tuning.frozen_in(model, 0, 0)
    assert not any("classifier" in name or "embeddings" in name for name in frozen)
    # A bias is frozen with its matrix.
    whole = dict(model.named_parameters())
    assert all(name.replace(".weight", ".bias") in frozen for name in frozen if name in whole)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="no layers in this model"):
        half_tuning.frozen_in(torch.nn.Linear(2, 2), 0, 0)


@pytest.mark.parametrize(
    ("total", "rounds", "expected"),
    [(6, 2, [0, 0, 0, 1, 1, 1]), (5, 2, [0, 0, 0, 1, 1]), (2, 5, [0, 2]), (3, 1, [0, 0, 0])],
)
def test_rounds_are_of_equal_length(total: int, rounds: int, expected: list[int]) -> None:
    assert [half_tuning.round_of(step, total, rounds) for step in range(total)] == expected


def test_neither_momentum_nor_decay_moves_what_is_frozen(
    llama, sft_snapshot, make_run, monkeypatch
) -> None:
    """Weights at the start of each step, and what the round that begins there freezes."""
    seen: list[tuple[dict[str, torch.Tensor], set[str]]] = []
    was = half_tuning.HalfTuning.on_step_begin

    def looked_at(self, args, state, control, model=None, optimizer=None, **more):
        was(self, args, state, control, model=model, optimizer=optimizer, **more)
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert not any(p in optimizer.state for p in model.parameters() if not p.requires_grad)
        seen.append(({name: p.clone() for name, p in model.named_parameters()}, frozen))

    monkeypatch.setattr(half_tuning.HalfTuning, "on_step_begin", looked_at)
    run = make_run(
        "sft", {"model": llama, "snapshot": sft_snapshot}, adaptation="half", half_rounds=3,
        max_steps=6, weight_decay=0.1, learning_rate=1e-3, keep="last",
    )  # fmt: skip
    assert perform("sft", sft.train, run) == 0, result_of(run)
    end = load_file(run.artifact / "model.safetensors")
    assert len(seen) == 6
    for step, ((weights, frozen), (later, _)) in enumerate(
        zip(seen, [*seen[1:], (end, set())], strict=True)
    ):
        for name in end:
            assert torch.equal(weights[name], later[name]) == (name in frozen), (step, name)
    assert [frozen for _, frozen in seen[::2]] == [frozen for _, frozen in seen[1::2]]
    assert seen[0][1] != seen[2][1] or seen[2][1] != seen[4][1]
    # The share that is printed is what was trained, mean over the rounds.
    sizes = {name: weight.numel() for name, weight in end.items()}
    shares = [1 - sum(sizes[n] for n in frozen) / sum(sizes.values()) for _, frozen in seen]
    assert result_of(run)["trainable_share"] == pytest.approx(sum(shares) / 6)
    notes = [e["text"] for e in events_of(run, "note") if "Round" in e["text"]]
    assert len(notes) == 3
    assert notes[0].startswith(f"Round 1 of 3: {shares[0]:.0%} of the weights")
    assert result_of(run)["artifact"]["kind"] == "model"


def test_a_reward_model_by_halves(llama, preference_snapshot, make_run) -> None:
    run = make_run(
        "reward", {"model": llama, "snapshot": preference_snapshot}, adaptation="half",
        max_steps=8, learning_rate=1e-2, center_rewards=0.0,
    )  # fmt: skip
    assert perform("reward", reward.train, run) == 0, result_of(run)
    assert result_of(run)["metrics"]["after"]["accuracy"] == 1.0
    assert result_of(run)["artifact"]["kind"] == "reward_model"


def test_ppo_does_not_offer_it() -> None:
    with pytest.raises(ConfigError, match="'half' is none of lora, qlora, full"):
        parse("ppo", {"adaptation": "half"})


def test_an_adapter_cannot_be_halved(llama, sft_snapshot, make_run) -> None:
    inputs = {"model": llama, "snapshot": sft_snapshot}
    first = make_run("sft", inputs, "first", max_steps=1)
    assert perform("sft", sft.train, first) == 0
    run = make_run("sft", {**inputs, "init": first.artifact}, adaptation="half")
    assert perform("sft", sft.train, run) == 1
    assert "not both at once" in result_of(run)["reason"]
