"""KTO: a language model learns from answers with a thumb up or down, without pairs.

    python -m training.recipes.kto RUN_DIR

Inputs: model; snapshot (unpaired); init (an earlier run's adapter, which is continued, or its full
weights, which take the model's place). TRL's KTOTrainer does the steps. The reference is the model
as the run finds it, as in DPO.

The loss of an answer (arXiv 2402.01306 (7)), with the reward r = β · (ln p - ln p_ref) that the
policy implies, and z = β · the KL to the reference, from 0 on:
    thumb up    desirable_weight · (1 - σ(r - z))
    thumb down  undesirable_weight · (1 - σ(z - r))
The KL is estimated from answers put behind prompts that they do not answer: behind each prompt the
answer of another row, the same one in every pass. So that no batch is of one side where that can be
helped, each pass shuffles the rows with ups and downs evenly among one another.
"""

import random
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl import KTOConfig as TRLConfig
from trl import KTOTrainer

from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.configs import KTOConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.logps import answer_logps, keep_adapter_dropout
from training.recipes.pair_scores import separation
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.thumbs import check_thumbs
from training.recipes.tokenizer import load_tokenizer


def mixed(labels: Sequence[bool], seed: int, turn: int = 0) -> list[int]:
    """Places of the rows in pass `turn`, shuffled, ups and downs evenly among one another."""
    draw = random.Random(f"kto {seed} {turn}")
    order: list[tuple[float, int]] = []
    for side in (True, False):
        places = [i for i, label in enumerate(labels) if label is side]
        draw.shuffle(places)
        order += [((k + draw.random()) / len(places), place) for k, place in enumerate(places)]
    return [place for _, place in sorted(order)]


def strangers(prompts: Sequence[Any]) -> list[int]:
    """For each row the nearest one before it (the first follows the last) with another prompt; the
    row itself where there is none."""
    found, count = [], len(prompts)
    for i, prompt in enumerate(prompts):
        others = ((i - back) % count for back in range(1, count))
        found.append(next((j for j in others if prompts[j] != prompt), i))
    return found


def with_strangers(rows: pa.Table) -> pa.Table:
    """The rows with `KL_completion_ids`, an answer to another prompt."""
    prompts = [tuple(prompt.as_py()) for prompt in rows["prompt_ids"]]
    other = rows["completion_ids"].combine_chunks().take(pa.array(strangers(prompts), pa.int64()))
    return rows.append_column("KL_completion_ids", other)


class Passes(Sampler[int]):
    """The order of each pass, from the seed and its number alone: a resume reads on in it."""

    def __init__(self, labels: Sequence[bool], seed: int) -> None:
        self.labels = labels
        self.seed = seed
        self.turn = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer as a pass begins."""
        self.turn = epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        return iter(mixed(self.labels, self.seed, self.turn))


class ThumbTrainer(KTOTrainer):
    """TRL's trainer, given rows that are tokens already and have their strangers. TRL pairs them by
    batch and so must read in one order for all passes; here a row has its stranger with it."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Passes:
        rows: Any = self.train_dataset
        return Passes(list(rows["label"]), self.args.seed)


def measure(
    logps: Sequence[float],
    reference: Sequence[float],
    labels: Sequence[bool],
    config: KTOConfig,
) -> dict[str, Any]:
    """What is said of a policy. `logps`, `reference`: ln p of the answers and, behind them, of the
    strangers, by the policy and as it was before.

    loss, as above (before training every σ is a half); kl, in nats an answer; separation, how often
    an answer with a thumb up has a higher reward than one with a thumb down (a draw counts half);
    mean reward and ln p of either side."""
    count = len(labels)
    if not count:
        return {"rows": 0}
    now = torch.tensor(logps, dtype=torch.double)
    ratio = now - torch.tensor(reference, dtype=torch.double)
    kl = ratio[count:].mean().clamp(min=0)
    up = torch.tensor(labels, dtype=torch.bool)
    gain = config.beta * torch.where(up, ratio[:count] - kl, kl - ratio[:count])
    weight = torch.where(up, config.desirable_weight, config.undesirable_weight)
    rewards, now = config.beta * ratio[:count], now[:count]
    told = {
        "loss": (weight * (1 - torch.sigmoid(gain))).mean().item(),
        "kl": kl.item(),
        "separation": separation(rewards[up].tolist(), rewards[~up].tolist()),
        "rows": count,
    }
    for name, side in (("chosen", up), ("rejected", ~up)):
        if side.any():
            told[f"reward_{name}"] = rewards[side].mean().item()
            told[f"logp_{name}"] = now[side].mean().item()
    return told


def train(run: RunDir, config: KTOConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base, and an adapter over it if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "unpaired")
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    model: Any = loading.trainable_causal(start, tokenizer, config)
    share = loading.trainable_share(model, config)

    # 2. The rows, as tokens, and behind which prompt each answer is a stranger.
    encoder = data.Encoder(tokenizer, config.max_length)
    samples = islice(data.rows_of(snapshot, "train"), 8)
    data.check_template(encoder, [[*row["prompt"], *row["completion"]] for row in samples])
    rows = data.training_table(snapshot, encoder, "unpaired", check)
    labels = rows.rows["label"].to_pylist()
    prompts = {tuple(prompt.as_py()) for prompt in rows.rows["prompt_ids"]}
    uneven = check_thumbs(sum(labels), len(labels) - sum(labels), len(prompts), config)
    for note in (rows.note(config.max_length), uneven):
        if note:
            run.event("note", text=note)
    validation = data.validation_table(snapshot, encoder, "unpaired", config.eval_rows, check)
    total = steps_of(len(rows), config)

    # 3. How good it is before: this is the reference that it is measured against afterwards.
    split, judged = judged_rows(run, config)
    asked = judged or list(islice(data.rows_of(snapshot, "train"), evaluation.SAMPLES))
    known = with_strangers(data.encode(judged, encoder, "unpaired", check).rows).to_pylist()
    thumbs = [row["label"] for row in known]

    def evaluate() -> dict[str, Any]:
        texts = (
            (row["prompt_ids"], row[name])
            for name in ("completion_ids", "KL_completion_ids")
            for row in known
        )
        answers = evaluation.sample_answers(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {
            "logps": answer_logps(model, texts, tokenizer.pad_token_id, check=check),
            "answers": answers,
        }

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    whole = loading.is_whole(config)
    trainer = ThumbTrainer(
        model=model,
        ref_model=loading.load_causal(start.base, tokenizer, config) if whole else None,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            beta=config.beta,
            desirable_weight=config.desirable_weight,
            undesirable_weight=config.undesirable_weight,
            disable_dropout=False,  # see below
        ),
        train_dataset=Dataset(with_strangers(rows.rows)),
        eval_dataset=Dataset(with_strangers(validation.rows)) if len(validation) else None,
        processing_class=tokenizer,
    )
    if not whole and start.init is None:
        model.delete_adapter("ref")  # TRL's copy of a new adapter, which changes nothing yet
    keep_adapter_dropout(model)
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after, by the same code on the same rows.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves; the reference was only lent.
    run.progress(total, total, "saving")
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    return {
        "metrics": {
            "before": measure(before["logps"], before["logps"], thumbs, config),
            "after": measure(after["logps"], before["logps"], thumbs, config),
            "split": split,
        },
        "samples": evaluation.side_by_side(before["answers"], after["answers"]),
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(rows), "left_out": len(rows.empty), "cut": rows.cut},
        **fitted,
    }


if __name__ == "__main__":
    main("kto", train)
