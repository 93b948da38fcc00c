"""The GPU benchmark runs end to end where there is no GPU, and its arithmetic is right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import made, train
from benchmarks.gpu.plan import SHAPES, Cell, cells, operations, peak_of

ROOT = Path(__file__).resolve().parents[2]
TINY = {"room": 64, "steps": 1}


def test_mfu_is_reckoned_from_the_weights_that_multiply_each_token(tmp_path: Path) -> None:
    """By hand for the tiny shape: q and o 64 x 64, k and v 64 x 32, three of 64 x 128, in two
    layers; the head 512 x 64."""
    cell = Cell("train", "tiny", "full", "ours", **TINY)
    path = made.write_model(tmp_path, SHAPES["tiny"])
    weights, predicted = train.reckon(cell, str(path), 64)
    assert weights == 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128) + 512 * 64
    assert operations("full", weights) == 6 * weights
    assert operations("lora", weights) == operations("qlora", weights) == 4 * weights
    assert predicted > 0
    assert peak_of("NVIDIA H200") == peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("a card that nobody knows") is None


@pytest.mark.parametrize(("name", "billions"), [("0.5B", 0.494), ("1.5B", 1.54), ("8B", 8.03)])
def test_shapes_have_the_size_that_they_are_called_by(name: str, billions: float) -> None:
    shape = SHAPES[name]
    size = shape.hidden // shape.heads
    layer = 2 * shape.hidden**2 + 2 * shape.hidden * shape.keys * size
    layer += 3 * shape.hidden * shape.inner
    heads = (1 if shape.tied else 2) * shape.vocabulary * shape.hidden
    assert (shape.layers * layer + heads) / 1e9 == pytest.approx(billions, rel=0.01)


def test_the_most_telling_come_first_and_each_has_its_peer() -> None:
    found = list(cells(tiny=False, peer="somewhere", attention="sdpa"))
    assert [cell.name for cell in found[:2]] == [
        "train 8B lora packed ours",
        "train 8B lora packed trl",
    ]
    ours = {cell.name.removesuffix(" ours") for cell in found if cell.side == "ours"}
    assert ours == {cell.name.removesuffix(" trl") for cell in found if cell.side == "trl"}
    assert len(found) == len({cell.name for cell in found}) == 2 * (3 * 3 * 2 + 2)
    alone = [cell for cell in cells(tiny=False, peer="", attention="sdpa") if cell.kind == "ppo"]
    assert {cell.side for cell in alone} == {"ours"}


def test_both_sides_learn_from_the_same_tokens() -> None:
    """And in four bits; where rows are packed nothing is padded."""
    torch.manual_seed(0)
    counted = {}
    for side in ("ours", "trl"):
        for packed in (True, False):
            cell = Cell("train", "tiny", "qlora", side, packed, rows=2 if packed else 4, **TINY)
            found = train.measure(cell)
            assert found["tokens_per_second"] > 0 and found["mfu"] is None
            counted[side, packed] = found["padding_share"]
    assert counted["ours", True] == counted["trl", True] == 0
    assert counted["ours", False] == counted["trl", False] > 0.1


def test_the_command_tells_what_is_here_and_what_it_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu", "--tiny", "--only", "full", "packed", "ours"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    here, *rest = map(json.loads, done.stdout.splitlines())
    assert here["versions"]["torch"] == torch.__version__ and not here["missing"]
    measured = rest[-1]
    assert measured["cell"] == "train tiny full packed ours"
    assert measured["tokens_per_second"] > 0 and measured["predicted_mib"] > 0


def test_when_the_time_is_over_it_ends() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu", "--seconds", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "not loaded in time" in done.stdout
