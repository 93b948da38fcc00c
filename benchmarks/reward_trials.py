"""Can a small model's reward head tell better answers from worse? Cross-validated by prompt.

    python -m benchmarks.reward_trials MODEL SNAPSHOT [SNAPSHOT ...] [--max-length 192] [--bf16]

A reward model with a frozen trunk: what the model holds of prompt and answer is made once and kept,
in three readings (trunk_features); the head is a logistic regression on the differences of two
answers (Bradley and Terry). Each pair is judged by a head that saw no pair of its prompt, and which
reading it takes is chosen without them, too. Beside it stand “longer wins”, “shorter wins” and the
model of words, all fitted on the same folds, with the lead over each pair by pair; intervals draw
prompts (95 %).

Two controls: PLANT put before one answer of each pair, which is then the better one, has to be
found; and labels that a coin decides must not be. Prints JSON, a row a snapshot.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
import torch
import transformers
from transformers import AutoModel

from training.recipes import data
from training.recipes.baselines import fit_words
from training.recipes.evaluation import batch_of, evaluating
from training.recipes.pair_scores import pair_scores, prompt_key
from training.recipes.tokenizer import load_tokenizer

FOLDS = 5
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of |w|² / 2 beside the mean loss
POOLS = ("last", "mean", "early")  # what is read of a text, see trunk_features
PLANT = "Certainly! "
PLANTED = 150  # pairs

Features = Callable[[Sequence[tuple[int, ...]]], numpy.ndarray]


# What the trunk holds ----------------------------------------------------------------------------


def trunk_features(model: Any, pad: int, bf16: bool, batch_size: int = 8) -> Features:
    """Texts (ids) to what is read of them, texts × pools × width: the last layer at the last token
    (as a reward run reads), its mean over all tokens, and that mean after a third of the layers,
    where words are still themselves. Each text once."""
    kept: dict[tuple[int, ...], numpy.ndarray] = {}

    def features(texts: Sequence[tuple[int, ...]]) -> numpy.ndarray:
        new = sorted(set(texts) - kept.keys(), key=len)
        with evaluating(model), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for start in range(0, len(new), batch_size):
                batch = new[start : start + batch_size]
                inputs = batch_of(batch, pad, model.device)
                layers = model(**inputs, output_hidden_states=True).hidden_states
                for place, text in enumerate(batch):
                    late, early = (
                        layers[number][place, : len(text)].float().numpy()
                        for number in (-1, len(layers) // 3)
                    )
                    kept[text] = numpy.stack([late[-1], late.mean(0), early.mean(0)])
        return numpy.stack([kept[text] for text in texts])

    return features


# The head ----------------------------------------------------------------------------------------


def fit_head(differences: numpy.ndarray, ridge: float, turns: int = 25) -> numpy.ndarray:
    """The w that minimises mean ln(1 + e^-(w·x)) + ridge |w|²/2 over rows x, by Newton's steps."""
    count, width = differences.shape
    if count < width:  # the best w lies in what the rows span
        span = numpy.linalg.qr(differences.T)[0]
        return span @ fit_head(differences @ span, ridge, turns)
    weights = numpy.zeros(width)
    for _ in range(turns):
        wrong = 1 / (1 + numpy.exp(numpy.clip(differences @ weights, -500, 500)))
        gradient = ridge * weights - differences.T @ wrong / count
        bend = (differences * (wrong * (1 - wrong))[:, None]).T @ differences / count
        step = numpy.linalg.solve(bend + ridge * numpy.eye(width), gradient)
        weights = weights - step
        if numpy.abs(step).max() < 1e-8:
            break
    return weights


def folds_of(clusters: Sequence[str], seed: int, count: int = FOLDS) -> numpy.ndarray:
    """The fold of each pair; pairs of one prompt share theirs. Prompts in a drawn order, each to
    the fold that has the fewest pairs."""
    sizes = {c: list(clusters).count(c) for c in dict.fromkeys(clusters)}
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    held, place = [0] * count, {}
    for cluster in order:
        place[cluster] = held.index(min(held))
        held[place[cluster]] += sizes[cluster]
    return numpy.array([place[cluster] for cluster in clusters])


def held_out_margins(
    differences: numpy.ndarray, clusters: Sequence[str], seed: int = 0
) -> tuple[numpy.ndarray, list[tuple[int, float]]]:
    """Of pairs × pools × width, the margin of each pair by a head that saw none of its prompt; and
    each fold's pool and ridge, which are chosen by folds within what the head learns from."""
    folds, margins, heads = folds_of(clusters, seed), numpy.zeros(len(differences)), []
    for fold in range(FOLDS):
        learns = folds != fold
        # The sign of a pair is which answer was named first: its size alone says the scale.
        scale = numpy.sqrt((differences[learns] ** 2).mean(0)) + 1e-6
        scaled = differences / scale / numpy.sqrt(differences.shape[-1])
        inner = folds_of([c for c, seen in zip(clusters, learns, strict=True) if seen], seed + 1)
        losses = {
            (pool, ridge): _inner_loss(scaled[learns, pool], inner, ridge)
            for pool in range(scaled.shape[1])
            for ridge in RIDGES
        }
        pool, ridge = min(losses, key=lambda head: losses[head])
        margins[~learns] = scaled[~learns, pool] @ fit_head(scaled[learns, pool], ridge)
        heads.append((pool, ridge))
    return margins, heads


def _inner_loss(differences: numpy.ndarray, folds: numpy.ndarray, ridge: float) -> float:
    lost = 0.0
    for fold in range(FOLDS):
        head = fit_head(differences[folds != fold], ridge)
        lost += float(numpy.logaddexp(0, -(differences[folds == fold] @ head)).sum())
    return lost


# A snapshot --------------------------------------------------------------------------------------


def trial(rows: list[dict[str, Any]], encoder: data.Encoder, features: Features) -> dict[str, Any]:
    """Head, baselines and controls on the pairs of a snapshot."""
    clusters = [prompt_key(row) for row in rows]
    pairs = [encoder.pair(row["prompt"], row["chosen"], row["rejected"]) for row in rows]
    better = features([tuple(pair.chosen_ids) for pair in pairs])
    worse = features([tuple(pair.rejected_ids) for pair in pairs])
    margins, heads = held_out_margins(better - worse, clusters)
    words, folds = numpy.zeros(len(rows)), folds_of(clusters, 0)
    for fold in range(FOLDS):
        model = fit_words([row for row, f in zip(rows, folds, strict=True) if f != fold])
        asked = numpy.flatnonzero(folds == fold)
        if model is not None:
            words[asked] = model.margins([rows[i] for i in asked])
    found = pair_scores(rows, margins.tolist(), [0.0] * len(rows), word_margins=words.tolist())
    found.pop("bins")
    coin = numpy.random.default_rng(0).choice([-1.0, 1.0], len(rows))
    shuffled, _ = held_out_margins((better - worse) * coin[:, None, None], clusters)
    return {
        **found,
        "heads": [(POOLS[pool], ridge) for pool, ridge in heads],
        "shuffled": _share(shuffled),
        "planted": planted(rows[:PLANTED], clusters, encoder, features),
    }


def planted(
    rows: list[dict[str, Any]], clusters: list[str], encoder: data.Encoder, features: Features
) -> dict[str, float]:
    """How often the answer that PLANT was put before is told from the other one of its pair."""
    coin = random.Random(0)
    marked, other = [], []
    for row in rows:
        sides = [row["chosen"], row["rejected"]]
        coin.shuffle(sides)
        with_it = [{**sides[0][0], "content": PLANT + sides[0][0]["content"]}, *sides[0][1:]]
        pair = encoder.pair(row["prompt"], with_it, sides[1])
        marked.append(tuple(pair.chosen_ids))
        other.append(tuple(pair.rejected_ids))
    margins, _ = held_out_margins(features(marked) - features(other), clusters[: len(rows)])
    return _share(margins)


def _share(margins: numpy.ndarray) -> dict[str, float]:
    """The share of pairs in order, and its standard error were it a coin's."""
    return {"accuracy": float((margins > 0).mean()), "coin_error": 0.5 / len(margins) ** 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("snapshots", type=Path, nargs="+")
    parser.add_argument("--max-length", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=400, help="of each snapshot, the first ones")
    parser.add_argument("--bf16", action="store_true", help="where the processor is quick at it")
    given = parser.parse_args()
    tokenizer = load_tokenizer(str(given.model), None)
    encoder = data.Encoder(tokenizer, given.max_length)
    model = AutoModel.from_pretrained(given.model, dtype=torch.float32)
    rows = []
    for snapshot in given.snapshots:
        began = time.process_time()
        every = (row for split in data.SPLITS for row in data.rows_of(snapshot, split))
        features = trunk_features(model, tokenizer.pad_token_id, given.bf16)
        found = trial(list(islice(every, given.pairs)), encoder, features)
        cpu = round(time.process_time() - began, 1)
        name = f"{snapshot.parent.name} {snapshot.name}"  # the dataset's, and the version's
        rows.append({"snapshot": name, **found, "cpu_seconds": cpu})
    versions = {module.__name__: module.__version__ for module in (torch, transformers, numpy)}
    said = {"date": date.today().isoformat(), "max_length": given.max_length, "bf16": given.bf16}
    print(
        json.dumps({"benchmark": "reward_trials", **said, "versions": versions, "rows": rows},
                   indent=1)
    )  # fmt: skip


if __name__ == "__main__":
    main()
