"""What holds of every recipe that trains: it reads each knob that it offers, and runs where numbers
are of 16 bits."""

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    preference_rows,
    result_of,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import alarms, loading
from training.recipes.configs import RECIPES, parse, turned
from training.recipes.entry import perform

TRAINS = [name for name, recipe in RECIPES.items() if hasattr(recipe.config, "adaptation")]
ROWS: dict[str, Callable[[int], list[Any]]] = {
    "sft": sft_rows,
    "preference": preference_rows,
    "text": lambda n: [formats.document(text) for text in SENTENCES[:n]],
    "prompts": lambda n: [formats.prompts(user(f"Question {i}?")) for i in range(n)],
    "labels": lambda n: [formats.labels(SENTENCES[i], "ab"[i % 2]) for i in range(n)],
    "unpaired": lambda n: [
        formats.unpaired(user(f"Question {i}?"), SENTENCES[i], i % 2 == 0) for i in range(n)
    ],
}
SHORT = {"save_steps": 9, "eval_steps": 1}
PPO = {"rollout_batch": 2, "max_new_tokens": 3, "rule": "length", "rule_value": "1-3"}


@pytest.fixture
def start(llama: Path, tmp_path: Path, make_run):
    """`start("sft")`: an opened run of two steps."""

    def made(recipe: str, **config: Any) -> Any:
        kind = str(RECIPES[recipe].dataset)
        rows, folder = ROWS[kind](4), tmp_path / kind
        write_snapshot(folder, kind, train=rows, validation=rows[:2], test=rows[2:])
        length = {"steps": 2} | PPO if recipe == "ppo" else {"max_steps": 2, "epochs": 2.0}
        return make_run(recipe, {"model": llama, "snapshot": folder}, **SHORT | length | config)

    return made


def listening(config: Any, heard: set[str]) -> Any:
    """The config, which notes the knobs that are read of it; not those that are only copied."""
    names = {knob.name for knob in fields(config)}

    class Listening(type(config)):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            if name in names and sys._getframe(1).f_globals["__name__"] != "dataclasses":
                heard.add(name)
            return super().__getattribute__(name)

    object.__setattr__(config, "__class__", Listening)
    return config


@pytest.mark.parametrize("recipe", TRAINS)
def test_it_reads_every_knob_and_trains_in_whole_numbers(recipe: str, start, monkeypatch) -> None:
    """Once, as on a device that computes in bf16 (a processor can, if slowly): what is trained
    stays fp32, where small updates are not rounded away."""
    module, heard = import_module(f"training.recipes.{recipe}"), {"seed"}  # as run.seed
    monkeypatch.setattr(loading, "has_bf16", lambda: True)
    tokenizer, share, trained = module.load_tokenizer, loading.trainable_share, set()

    def loads(path: str, template: Any = None, **more: Any) -> Any:
        heard.update({"template"} if template is not None else ())
        return tokenizer(path, template, **more)

    def shares(model: Any, config: Any) -> float:
        trained.update(p.dtype for p in model.parameters() if p.requires_grad)
        if "half" in RECIPES[recipe].config.__dataclass_fields__["adaptation"].metadata["choices"]:
            share(model, listening(parse(recipe, {"adaptation": "half"}), heard))
        return share(model, config)

    monkeypatch.setattr(module, "load_tokenizer", loads)
    monkeypatch.setattr(loading, "trainable_share", shares)
    # What an alarm does is asked when there is one.
    monkeypatch.setitem(alarms.RULES, "always", (lambda seen, config: "Look out.", None))
    run = start(recipe)
    train = lambda run, config: module.train(run, listening(config, heard))  # noqa: E731
    assert perform(recipe, train, run) == 0, result_of(run)
    assert {knob.name for knob in fields(RECIPES[recipe].config)} - heard == set()
    assert trained == {torch.float32}


def test_in_bf16_before_and_after_are_said_in_the_same_numbers(start, monkeypatch) -> None:
    """A step that moves nothing: the loss is the same, though it was made in bf16."""
    monkeypatch.setattr(loading, "has_bf16", lambda: True)
    run = start("sft", adaptation="full", max_steps=1, learning_rate=1e-8)
    assert perform("sft", import_module("training.recipes.sft").train, run) == 0, result_of(run)
    metrics = result_of(run)["metrics"]
    assert metrics["after"]["loss"] == pytest.approx(metrics["before"]["loss"], abs=3e-6)


@pytest.mark.parametrize(
    ("recipe", "adaptation"),
    [
        (recipe, adaptation)
        for recipe in TRAINS
        for knob in fields(RECIPES[recipe].config)
        if knob.name == "adaptation"
        for adaptation in knob.metadata["choices"]
        if adaptation != "lora"  # above
    ],
)
def test_every_adaptation_trains_and_leaves_what_loads(recipe, adaptation, start) -> None:
    """Something moves, all that is left is a number, and it is measured as it was at the end."""
    module, run = import_module(f"training.recipes.{recipe}"), start(recipe, adaptation=adaptation)
    assert perform(recipe, module.train, run) == 0, result_of(run)
    result = result_of(run)
    file = "adapter_model" if adaptation == "qlora" else "model"
    left = load_file(run.artifact / f"{file}.safetensors")
    assert all(weight.isfinite().all() for weight in left.values())
    if adaptation == "qlora":
        assert any(weight.any() for name, weight in left.items() if "lora_B" in name)
    else:
        was = load_file(Path(run.input_path("model")) / "model.safetensors")
        moved = [not torch.equal(left[name], was[name]) for name in left.keys() & was.keys()]
        assert any(moved) and (adaptation == "half" or all(moved))
    assert 0 < result["trainable_share"] <= 1 and result["steps"] == 2
    assert result["artifact"]["kind"].endswith("adapter" if adaptation == "qlora" else "model")


@pytest.mark.parametrize("recipe", TRAINS)
def test_a_learning_rate_that_is_not_given_fits_what_is_trained(recipe: str) -> None:
    usual, quick = RECIPES[recipe].config.learning_rate, RECIPES[recipe].quick
    whole = {"adaptation": "full"}
    assert parse(recipe, {"adaptation": "qlora"}).learning_rate == parse(recipe, {}).learning_rate
    assert parse(recipe, whole).learning_rate == pytest.approx(usual / 10)
    assert parse(recipe, turned(quick, whole)).learning_rate == pytest.approx(usual / 10)
    given = {**whole, "learning_rate": "3e-4"}
    assert parse(recipe, turned(quick, given)).learning_rate == 3e-4


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - set(TRAINS)))
def test_what_does_not_train_names_every_knob_that_it_offers(recipe: str) -> None:
    names = [recipe, "measuring"] if recipe == "evaluate" else [recipe]
    texts = [Path(import_module(f"training.recipes.{n}").__file__ or "").read_text() for n in names]
    read = set(re.findall(r"\bconfig\.(\w+)", " ".join(texts)))
    read |= {"seed", "template"}  # as run.seed and spec.template
    assert {knob.name for knob in fields(RECIPES[recipe].config)} <= read
