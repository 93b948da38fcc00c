"""Reward model: a model with one number for a text learns which of two answers is better.

    python -m training.recipes.reward RUN_DIR

Inputs: model; snapshot (preference); init (an earlier run's adapter or full weights: of SFT, whose
layers it then starts from, or of a reward run, which is continued). TRL's RewardTrainer does the
steps. Mean and spread of the rewards are left in annotune.json, for PPO to scale by.
"""

import time
from itertools import islice
from typing import Any

from datasets import Dataset
from trl import RewardConfig as TRLConfig
from trl import RewardTrainer

from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.configs import RewardConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.reporting import (
    Reporter,
    check_stop,
    newest_checkpoint,
    remembered,
    step_of,
    trainer_arguments,
)
from training.recipes.run_dir import RunDir, Stopped
from training.recipes.tokenizer import load_tokenizer


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
    full = config.adaptation == "full"
    if start.init is not None and full:
        raise ValueError("An adapter can be continued, or all weights trained: not both at once.")
    model: Any = loading.load_classifier(start.base, tokenizer, full=full)
    if start.init is not None and start.init.is_reward:
        model = loading.attach(model, start, trainable=True)
    elif start.init is not None:
        model = loading.lora_from_causal(model, start)
    elif not full:
        model = loading.add_lora(model, config, classifier=True)
    share = loading.trainable_share(model)

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

    # 3. How good it is before. With a head of zeros every pair is a draw: accuracy 0.5.
    split = data.evaluation_split(snapshot)
    if split != "test":
        run.event("note", text=data.no_test_note(split))
    judged = list(islice(data.rows_of(snapshot, split), config.eval_rows)) if split else []
    run.progress(0, total, "evaluating before")
    before = remembered(
        run, "before", lambda: evaluation.reward_accuracy(model, judged, encoder, check=check)
    )

    # 4. Train; from the newest checkpoint where there is one.
    checkpoint = newest_checkpoint(run)
    if checkpoint is not None:
        run.event("state", step_of(checkpoint), state="resumed")
    reporter = Reporter(run, total)
    trainer = RewardTrainer(
        model=model,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            center_rewards_coefficient=config.center_rewards or None,
            # TRL turns dropout off, the adapter's with it, though it may have been asked for.
            disable_dropout=not config.lora_dropout,
        ),
        train_dataset=Dataset(pairs.rows),
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
        callbacks=[reporter],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < total:
        raise Stopped
    model = trainer.model

    # 5. How good it is after; and where its rewards lie, on rows that are not the test's.
    run.progress(total, total, "evaluating after")
    after = evaluation.reward_accuracy(model, judged, encoder, check=check)
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
        "steps": total,
        "callback_seconds": round(reporter.seconds, 4),
    }


if __name__ == "__main__":
    main("reward", train)
