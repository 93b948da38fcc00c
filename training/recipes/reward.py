"""Reward model: a model with one number for a text learns which of two answers is better.

    python -m training.recipes.reward RUN_DIR

Inputs: model; snapshot (preference); init (an earlier run's adapter or full weights: of SFT, whose
layers it then starts from, or of a reward run, which is continued). TRL's RewardTrainer does the
steps. Mean and spread of the rewards are left in annotune.json, for PPO to scale by.

The loss of a pair (Bradley-Terry), with rewards c and r, margin m, weight w and centring k:
w · (-log σ(c - r - m) + k · (c + r)²). Weights are 1 on average, so that a learning rate means the
same whatever the pairs are weighed by.
"""

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from trl import RewardConfig as TRLConfig
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.baselines import fit_words
from training.recipes.configs import RewardConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.logps import keep_adapter_dropout
from training.recipes.pair_weights import pair_weights
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


class WeightedPairs(DataCollatorForPreference):
    """TRL's batch of pairs with their weights beside them."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        weights = torch.tensor([example["weight"] for example in examples], dtype=torch.float)
        return {**super().torch_call(examples), "weight": weights}


class WeightedRewardTrainer(RewardTrainer):
    """TRL's trainer, whose loss counts each pair once; ours counts it by its weight."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        outputs = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")})
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        center = getattr(self.args, "center_rewards_coefficient", None) or 0.0
        losses = pair_losses(chosen, rejected, inputs.get("margin", 0.0), center)
        loss = (inputs["weight"] * losses).mean()
        said = self._metrics["train" if model.training else "eval"]
        said["accuracy"].append((chosen > rejected).float().mean().item())
        said["margin"].append((chosen - rejected).mean().item())
        return (loss, outputs) if return_outputs else loss


def pair_losses(
    chosen: torch.Tensor, rejected: torch.Tensor, margin: torch.Tensor | float, center: float
) -> torch.Tensor:
    """The loss of each pair before it is weighed (the formula stands above)."""
    return -logsigmoid(chosen - rejected - margin) + center * (chosen + rejected) ** 2


def train(run: RunDir, config: RewardConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base with a head of zeros, and an adapter if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "preference")
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    model = loading.trainable_classifier(start, tokenizer, config)
    share = loading.trainable_share(model, config)

    # 2. The pairs, as tokens. TRL would leave out what is too long; here it is cut, and said.
    encoder = data.Encoder(tokenizer, config.max_length)
    samples = islice(data.rows_of(snapshot, "train"), 8)
    data.check_template(encoder, [[*row["prompt"], *row["chosen"]] for row in samples])
    pairs = data.training_table(snapshot, encoder, "preference", check)
    if note := pairs.note(config.max_length):
        run.event("note", text=note)
    validation_rows = list(islice(data.rows_of(snapshot, "validation"), config.eval_rows))
    validation = data.encode(validation_rows, encoder, "preference", check)
    total = steps_of(len(pairs), config)
    train_dataset = _weighed(pairs, data.rows_of(snapshot, "train"), config.weight)
    eval_dataset = _weighed(validation, validation_rows, config.weight)

    # 3. How good it is before. With a head of zeros every pair is a draw: accuracy 0.5.
    split, judged = judged_rows(run, config)
    words = fit_words(data.rows_of(snapshot, "train"), check)

    def measure() -> dict[str, Any]:
        return evaluation.reward_accuracy(model, judged, encoder, words=words, check=check)

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", measure)

    # 4. Train; from the newest checkpoint where there is one.
    trainer = WeightedRewardTrainer(
        model=model,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            center_rewards_coefficient=config.center_rewards or None,
            disable_dropout=False,  # see below
            remove_unused_columns=False,  # the weights are not what TRL knows
        ),
        data_collator=WeightedPairs(pad_token_id=tokenizer.pad_token_id),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset if len(validation) else None,
        processing_class=tokenizer,
    )
    keep_adapter_dropout(model)
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after; and where its rewards lie, on rows that are not the test's.
    run.progress(total, total, "evaluating after")
    after = measure()
    scaled = validation_rows or list(islice(data.rows_of(snapshot, "train"), config.eval_rows))
    scale = evaluation.reward_accuracy(model, scaled, encoder, check=check)

    # 6. What it leaves.
    run.progress(total, total, "saving")
    artifact = save_artifact(
        run,
        model,
        tokenizer,
        start=start,
        config=to_json(config),
        reward={"mean": scale["reward_mean"], "std": scale["reward_std"] or 1.0},
    )
    return {
        "metrics": {"before": before, "after": after, "split": split},
        "samples": [],
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(pairs), "left_out": len(pairs.empty), "cut": pairs.cut},
        **fitted,
    }


def _weighed(table: data.Table, rows: Iterable[Mapping[str, Any]], by: str) -> Dataset:
    """The pairs with their weights, which what was left out has no part in."""
    left_out = set(table.empty)
    kept = (row for number, row in enumerate(rows, 1) if number not in left_out)
    return Dataset(table.rows).add_column("weight", pair_weights(kept, by))


if __name__ == "__main__":
    main("reward", train)
