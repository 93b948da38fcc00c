"""The vectors of a project's prompts, on disk: written whole, mapped to be read. Knows no database.

HOME/embeddings/PROJECT/state.json   how far it is, and which of the folders is in force
HOME/embeddings/PROJECT/NAME/        keys.npy (id and mark, by id), vectors.npy (float16)
HOME/embeddings/PROJECT/job/         what is being embedded just now, with its texts
"""

import fcntl
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.recipes.run_dir import write_json

KEYS = np.dtype([("id", "<i8"), ("mark", "<u8")])  # as training/recipes/embed.py writes them
CHUNK = 1024  # rows at a time: they stay in the processor's cache
SIGN_AND_SIZE = np.array([0x8FFFE000], np.uint32).view(np.int32)[0]


def mark_of(fingerprint: str) -> int:
    """The first 64 bits of a prompt's fingerprint; 0 for one that has none (erased, a document)."""
    try:
        return int(fingerprint[:16], 16) if len(fingerprint) == 32 else 0
    except ValueError:
        return 0


@dataclass(frozen=True)
class Vectors:
    """Those in force. `keys` are sorted by id; row i of `rows` belongs to key i."""

    keys: np.ndarray
    rows: np.ndarray

    def of(self, pk: int, mark: int) -> np.ndarray | None:
        """The vector of a prompt as it is now, or None."""
        at = int(np.searchsorted(self.keys["id"], pk))
        if at == len(self.keys) or tuple(self.keys[at].tolist()) != (pk, mark):
            return None
        return np.asarray(self.rows[at], np.float32)

    def nearest(self, vector: np.ndarray, count: int) -> list[tuple[int, int, float]]:
        """(id, mark, cosine) of the `count` nearest, the nearest first."""
        scores = dot(self.rows, vector)
        count = min(count, len(scores))
        if not count:
            return []
        top = np.argpartition(-scores, count - 1)[:count]
        # Equal scores in the order of the prompts' numbers.
        top = top[np.lexsort((top, -scores[top]))]
        return [(*self.keys[at].tolist(), float(scores[at])) for at in top]


def dot(rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """`rows @ vector` in float32 for float16 rows whose numbers are finite.

    numpy turns float16 into float32 number by number, six times as slowly as this: the bits of a
    half, moved 13 places to the left, are its value times 2^-112 as a float32 (IEEE 754: 5 bits of
    exponent with a bias of 15, 8 bits with one of 127)."""
    out = np.empty(len(rows), np.float32)
    wide = np.empty((CHUNK, rows.shape[1]), np.int32)
    halves, scaled = rows.view(np.int16), np.asarray(vector, np.float32) * np.float32(2.0**112)
    for start in range(0, len(rows), CHUNK):
        part = halves[start : start + CHUNK]
        here = wide[: len(part)]
        np.copyto(here, part)  # the sign goes into all upper bits; the mask leaves one of them
        np.left_shift(here, 13, out=here)
        np.bitwise_and(here, SIGN_AND_SIZE, out=here)
        np.dot(here.view(np.float32), scaled, out=out[start : start + CHUNK])
    return out


def read_state(home: Path) -> dict[str, Any]:
    try:
        found = json.loads((home / "state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def locked(home: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Whether the lock is ours inside; it goes with the process, however that ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def write_state(home: Path, **change: Any) -> dict[str, Any]:
    """Merge `change` into the state; the whole of it."""
    with locked(home, "state", wait=True):
        state = read_state(home) | change
        write_json(home / "state.json", state)
    return state


def open_vectors(home: Path) -> Vectors | None:
    """What is in force, mapped; None where there is none. A newer one may take its place meanwhile:
    what is mapped stays readable."""
    for _ in range(3):
        name = str(read_state(home).get("folder") or "")
        if not name.isalnum():
            return None
        try:
            keys = np.load(home / name / "keys.npy")
            return Vectors(keys, np.load(home / name / "vectors.npy", mmap_mode="r"))
        except (OSError, ValueError):
            continue
    return None


def job_parts(job: Path) -> Iterator[Vectors]:
    """The parts that a finished job has left."""
    for path in sorted((job / "artifact").glob("part-*[0-9].npy")):
        keys = np.load(path.with_suffix(".ids.npy"))
        yield Vectors(keys, np.load(path, mmap_mode="r"))


def replace(home: Path, sources: Iterable[Vectors], fits: np.ndarray, **change: Any) -> int:
    """Put those vectors of `sources` in force whose key is among `fits` (sorted keys), and throw
    the earlier ones away; how many there are. A prompt that is in two sources is taken once."""
    found = list(sources)
    keys = np.concatenate([each.keys for each in found]) if found else np.empty(0, KEYS)
    order = np.argsort(keys["id"], kind="stable")
    keys = keys[order]
    kept = among(keys, fits)
    ids = keys["id"][kept]
    first = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    chosen, keys = order[kept][first], keys[kept][first]
    folder = home / uuid.uuid4().hex
    folder.mkdir(parents=True)
    width = found[0].rows.shape[1] if found else 0
    shape = (len(chosen), width)
    if len(chosen):
        out = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, shape)
        begin = 0
        for each in found:  # source by source: each is read in its own order
            mine = np.flatnonzero((chosen >= begin) & (chosen < begin + len(each.rows)))
            for start in range(0, len(mine), 65_536):
                some = mine[start : start + 65_536]
                out[some] = each.rows[chosen[some] - begin]
            begin += len(each.rows)
        out.flush()
        del out
    else:
        np.save(folder / "vectors.npy", np.empty(shape, np.float16))
    np.save(folder / "keys.npy", keys)
    write_state(home, folder=folder.name, rows=len(keys), **change)
    for path in home.iterdir():
        if path.is_dir() and path.name not in (folder.name, "job"):
            shutil.rmtree(path, ignore_errors=True)
    return len(keys)


def among(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Key by key: is it, mark and all, among the others (sorted by id, each id once)?"""
    if not len(others):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(others["id"], keys["id"]), len(others) - 1)
    return np.asarray(others[at] == keys)
