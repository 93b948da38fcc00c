"""Vectors on disk: found by prompt and mark, the nearest first, cut and put in force whole."""

import numpy as np
import pytest

from training import vectors
from training.vectors import KEYS, Vectors, mark_of


def some(ids, rows, marks=None) -> Vectors:
    marks = marks or [100 + pk for pk in ids]
    keys = np.array(list(zip(ids, marks, strict=True)), KEYS)
    return Vectors(keys, np.array(rows, np.float16))


def unit(count: int, width: int = 384) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def test_the_quick_product_is_the_product() -> None:
    rows = unit(3 * vectors.CHUNK + 5)
    rows[0], rows[1, :3] = 0, [6e-8, -6e-8, -0.0]  # the least numbers that a half can hold
    vector = unit(1)[0].astype(np.float32)
    right = rows.astype(np.float32) @ vector
    assert np.allclose(vectors.dot(rows, vector), right, atol=1e-6)
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)  # one column: each number by itself
    every = every[np.isfinite(every)].reshape(-1, 1)
    found = vectors.dot(every, np.ones(1, np.float32))
    assert (found == every[:, 0].astype(np.float32)).all()


def test_the_nearest_come_first() -> None:
    rows = [[1, 0], [0, 1], [0.8, 0.6], [-1, 0]]
    there = some([3, 5, 8, 9], rows)
    near = there.nearest(np.array([1, 0], np.float32), 3)
    assert [(pk, mark) for pk, mark, _ in near] == [(3, 103), (8, 108), (5, 105)]
    assert [cosine for *_, cosine in near] == pytest.approx([1, 0.8, 0], abs=1e-3)
    assert len(there.nearest(np.array([1, 0], np.float32), 99)) == 4


def test_a_vector_is_of_a_prompt_as_it_is_now() -> None:
    there = some([3, 5], [[1, 0], [0, 1]])
    assert there.of(5, 105).tolist() == [0, 1]
    assert there.of(5, 104) is None and there.of(4, 104) is None and there.of(99, 1) is None


def test_marks() -> None:
    assert mark_of("ff" * 16) == 2**64 - 1
    assert mark_of("erased12") == 0 and mark_of("") == 0 and mark_of("zz" * 16) == 0


def test_what_fits_is_put_in_force_and_the_rest_is_gone_from_disk(tmp_path) -> None:
    first = some([1, 2, 3], [[1, 0], [0, 1], [0.6, 0.8]])
    fits = np.array([(1, 101), (2, 999), (3, 103), (4, 104)], KEYS)
    assert vectors.replace(tmp_path, [first], fits, state="done") == 2
    old = vectors.read_state(tmp_path)["folder"]
    there = vectors.open_vectors(tmp_path)
    assert there.keys["id"].tolist() == [1, 3] and there.rows[1].tolist() == [
        pytest.approx(0.6, abs=1e-3),
        pytest.approx(0.8, abs=1e-3),
    ]
    newer = some([4, 2, 3], [[0, 1], [1, 0], [0, -1]], [104, 999, 103])
    assert vectors.replace(tmp_path, [newer, there], fits) == 4
    assert not (tmp_path / old).exists()
    again = vectors.open_vectors(tmp_path)
    assert again.keys["id"].tolist() == [1, 2, 3, 4]
    assert again.rows.tolist() == [[1, 0], [1, 0], [0, -1], [0, 1]]  # the newer one of two
    assert there.rows[0].tolist() == [1, 0]  # who had it open can read on
    assert vectors.replace(tmp_path, [again], np.empty(0, KEYS)) == 0
    assert len(vectors.open_vectors(tmp_path).keys) == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"folder": "../../secret"}', '{"folder": "a"}'])
def test_a_state_that_is_broken_or_leads_elsewhere_is_none(tmp_path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert vectors.open_vectors(tmp_path) is None


def test_one_has_the_lock(tmp_path) -> None:
    first, second = (vectors.locked(tmp_path, "work", wait=False) for _ in range(2))
    with first as ours, second as also:
        assert ours and not also
    with vectors.locked(tmp_path, "work", wait=False) as ours:
        assert ours
