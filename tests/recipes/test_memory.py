"""Memory by formula against runs that were measured, and the changes that make a run fit."""

from typing import Any

import pytest

from training.recipes import fits, memory
from training.recipes.configs import parse
from training.recipes.preflight_rows import histogram, packed
from training.recipes.shapes import ADAPTERS, Shape

GIB = 2**30


def shape(hidden: int, layers: int, vocabulary: int, *, lora: bool) -> Shape:
    """A Llama's as benchmarks/memory.py makes them."""
    heads, inner = hidden // 64, hidden * 8 // 3
    keys = (heads // 2 if heads % 2 == 0 else heads) * 64
    linear = layers * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner)
    added = layers * 16 * (4 * hidden + 2 * (hidden + keys) + 3 * (hidden + inner)) if lora else 0
    plain = linear + vocabulary * hidden
    return Shape(plain + added, added or plain, layers, hidden, keys, inner, vocabulary, linear,
                 added)  # fmt: skip


# recipe, adaptation, batch, length, width, layers, vocabulary; MiB that a run of it grew by.
HELD_OUT = [
    (("sft", "lora", 4, 192, 512, 8, 8192), 839),
    (("sft", "lora", 2, 512, 320, 10, 49_152), 1824),
    (("sft", "lora", 8, 96, 576, 4, 24_576), 1051),
    (("sft", "full", 4, 192, 512, 8, 8192), 887),
    (("sft", "full", 2, 512, 320, 10, 49_152), 1842),
    (("sft", "full", 8, 96, 576, 4, 24_576), 1298),
    (("reward", "lora", 4, 192, 512, 8, 8192), 979),
    (("reward", "qlora", 2, 256, 512, 8, 8192), 803),
    (("ppo", "lora", 4, 192, 512, 8, 8192), 802),
    (("ppo", "full", 4, 192, 512, 8, 8192), 999),
]


@pytest.mark.parametrize(("cell", "measured"), HELD_OUT)
def test_runs_that_no_factor_was_found_on(cell: tuple[Any, ...], measured: int) -> None:
    recipe, adaptation, batch, length, *numbers = cell
    config = {"adaptation": adaptation, "batch_size": batch, "max_length": length}
    config |= {"eval_rows": batch}
    if recipe == "ppo":
        config |= {"rollout_batch": 2 * batch, "max_new_tokens": 32}
        length -= 32
    need = memory.need(
        recipe,
        shape(*numbers, lora=adaptation in ADAPTERS),
        parse(recipe, config),
        length,
        judge=shape(*numbers, lora=False) if recipe == "ppo" else None,
        gpu=False,
    )
    ratio = (need.total - memory.IMPORTED) / memory.MIB / measured
    assert 0.9 < ratio < 1.25, (cell, ratio)


@pytest.mark.parametrize(("recipe", "measured"), [("sft", 816), ("reward", 810)])
def test_checkpointing_on_a_processor_keeps_some_of_what_it_forgets(
    recipe: str, measured: int
) -> None:
    config = {"adaptation": "full", "batch_size": 2, "max_length": 512, "eval_rows": 2}
    config = parse(recipe, config | {"checkpointing": "on"})
    given = shape(512, 8, 8192, lora=False)
    need = memory.need(recipe, given, config, 512, gpu=False)
    ratio = (need.total - memory.IMPORTED) / memory.MIB / measured
    assert 0.9 < ratio < 1.25, ratio
    assert memory.need(recipe, given, config, 512, gpu=True).total < 0.8 * need.total


def total(recipe: str, continued: bool = False, gpu: bool = False, **config: Any) -> float:
    lora = config.get("adaptation", "lora") in ("lora", "qlora")
    config = {"batch_size": 4, "max_length": 512} | config
    given = shape(512, 8, 32_768, lora=lora)
    config = parse(recipe, config)
    return memory.need(recipe, given, config, 512, continued=continued, gpu=gpu).total


def test_each_term_is_counted() -> None:
    plain = total("sft", adaptation="full")
    weights = (shape(512, 8, 32_768, lora=False)).total * 4
    assert total("dpo", adaptation="full") > plain + weights  # its reference, and twice the rows
    assert (
        total("dpo", adaptation="full", loss="orpo") < total("dpo", adaptation="full") - weights / 2
    )
    assert total("kto", adaptation="full") == pytest.approx(plain + weights)
    copy = shape(512, 8, 32_768, lora=True).added * 4  # of the adapter that is continued
    for recipe in ("dpo", "kto", "ppo"):
        assert total(recipe, continued=True) == pytest.approx(total(recipe) + copy)
    assert total("dpo", continued=True, loss="orpo") == total("dpo", loss="orpo")
    assert total("sft", continued=True) == total("sft")
    assert total("sft", adaptation="full", checkpointing="on") < plain
    assert total("sft", batch_size=8) > 1.5 * total("sft") - memory.IMPORTED
    assert total("sft", adaptation="qlora", gpu=True) < total("sft", gpu=True)
    # A processor maps the file that it reads the weights from, and keeps it.
    assert total("sft", adaptation="qlora") > total("sft")


def test_changes_are_tried_until_one_fits() -> None:
    config = parse("sft", {"batch_size": 8, "accumulation": 2, "adaptation": "full"})

    def needed(other: Any) -> float:
        return other.batch_size * GIB * (0.5 if other.checkpointing == "on" else 1)

    found = fits.changes(config, needed, 2 * GIB)
    assert found[0].fits and found[0].config == {"batch_size": 2, "accumulation": 8}
    assert [change.fits for change in found[1:]] == [False] * 4
    together = fits.changes(config, needed, 0.6 * GIB)[-1]
    assert together.fits and together.config == {
        "batch_size": 1, "accumulation": 16, "checkpointing": "on"
    }  # fmt: skip
    assert not any(change.fits for change in fits.changes(config, needed, 0.1 * GIB))


def test_rows_are_packed_without_waste() -> None:
    assert sorted(packed([6, 4, 5, 5, 3], 10)) == [3, 10, 10]
    assert packed([25], 10) == [10]


def test_histogram() -> None:
    assert histogram([0, 1, 1, 3]) == {"edges": [0, 1, 2, 3, 4], "counts": [1, 2, 0, 1]}
    found = histogram(list(range(1000)))
    assert sum(found["counts"]) == 1000 and found["edges"][-1] > 999 and len(found["counts"]) <= 16
