"""SFT: a language model learns the answers of an sft snapshot.

    python -m training.recipes.sft RUN_DIR

Inputs: model; snapshot; init (an earlier run's adapter, which is continued, or its full weights,
which take the model's place). TRL's SFTTrainer does the steps; rows come to it as tokens, so that
what preflight counted is what is trained.
"""

import time
from itertools import islice
from typing import Any

from datasets import Dataset
from trl import SFTConfig as TRLConfig
from trl import SFTTrainer

from exports import chat
from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.configs import SFTConfig, to_json
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


def train(run: RunDir, config: SFTConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base, and an adapter over it if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "sft")
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    full = config.adaptation == "full"
    model: Any = loading.load_causal(start.base, tokenizer, full=full)
    if start.init is not None and full:
        raise ValueError("An adapter can be continued, or all weights trained: not both at once.")
    if start.init is not None:
        model = loading.attach(model, start, trainable=True)
    elif not full:
        model = loading.add_lora(model, config)
    share = loading.trainable_share(model)

    # 2. The rows, as tokens.
    encoder = data.Encoder(tokenizer, config.max_length)
    samples = islice(data.rows_of(snapshot, "train"), 8)
    data.check_template(encoder, [chat.to_messages(row) for row in samples])
    rows = data.training_table(snapshot, encoder, "sft", check)
    if note := rows.note(config.max_length):
        run.event("note", text=note)
    validation = data.encode(
        islice(data.rows_of(snapshot, "validation"), config.eval_rows), encoder, "sft", check
    )
    total = steps_of(len(rows), config)

    # 3. How good it is before.
    split = data.evaluation_split(snapshot)
    if split != "test":
        run.event("note", text=data.no_test_note(split))
    judged = list(islice(data.rows_of(snapshot, split), config.eval_rows)) if split else []
    asked = judged or list(islice(data.rows_of(snapshot, "train"), evaluation.SAMPLES))

    def evaluate() -> dict[str, Any]:
        metrics = evaluation.answer_loss(model, judged, encoder, check=check)
        answers = evaluation.sample_answers(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {"metrics": metrics, "answers": answers}

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    checkpoint = newest_checkpoint(run)
    if checkpoint is not None:
        run.event("state", step_of(checkpoint), state="resumed")
    reporter = Reporter(run, total)
    trainer = SFTTrainer(
        model=model,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))), packing=False
        ),
        train_dataset=Dataset(rows.rows),
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
        callbacks=[reporter],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < total:
        raise Stopped
    model = trainer.model

    # 5. How good it is after, by the same code on the same rows.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves.
    run.progress(total, total, "saving")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    return {
        "metrics": {"before": before["metrics"], "after": after["metrics"], "split": split},
        "samples": [
            {"prompt": b["prompt"], "before": b["text"], "after": a["text"]}
            for b, a in zip(before["answers"], after["answers"], strict=True)
        ],
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(rows), "left_out": len(rows.empty), "cut": rows.cut},
        "steps": total,
        "callback_seconds": round(reporter.seconds, 4),
    }


if __name__ == "__main__":
    main("sft", train)
