"""SFT: a language model learns the answers of an sft snapshot: the completion of a prompt, or of a
conversation (`messages`) each answer. Of the rest of a row it learns nothing.

    python -m training.recipes.sft RUN_DIR

Inputs: model; snapshot; init (an earlier run's adapter, which is continued, or its full weights,
which take the model's place). TRL's SFTTrainer does the steps; rows come to it as tokens, so that
what preflight counted is what is trained.
"""

import time
from dataclasses import asdict
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
from training.recipes.packing import PACKED, check_isolation, pack
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.text_metrics import answer_metrics
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
    model = loading.trainable_causal(start, tokenizer, config)
    share = loading.trainable_share(model, config)

    # 2. The rows, as tokens.
    encoder = data.Encoder(tokenizer, config.max_length)
    samples = islice(data.rows_of(snapshot, "train"), 8)
    data.check_template(encoder, [chat.to_messages(row) for row in samples])
    rows = data.training_table(snapshot, encoder, "sft", check)
    if note := rows.note(config.max_length):
        run.event("note", text=note)
    validation = data.validation_table(snapshot, encoder, "sft", config.eval_rows, check)
    packed = config.packing != "off"
    if packed:
        check_isolation(model)
    filled = pack(rows, config.max_length) if packed else Dataset(rows.rows)
    total = steps_of(len(filled), config)

    # 3. How good it is before.
    split, judged = judged_rows(run, config)
    answered = judged[: evaluation.ANSWERED]
    asking = answered or islice(data.rows_of(snapshot, "train"), evaluation.SAMPLES)
    asked = [data.question(row) for row in asking]
    references = [data.reference(row) for row in answered]

    def evaluate() -> dict[str, Any]:
        answers = evaluation.likeliest(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {
            "metrics": evaluation.answer_loss(model, judged, encoder, check=check),
            "answers": [asdict(one) for one in answers[: len(answered)]],
            "samples": evaluation.samples(asked, answers),
        }

    def told(found: dict[str, Any]) -> dict[str, Any]:
        answers = [evaluation.Answer(**one) for one in found["answers"]]
        return found["metrics"] | answer_metrics(answers, references)

    run.progress(0, total, "evaluating before")
    before = remembered(run, "answers_before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    trainer = SFTTrainer(
        model=model,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            **(PACKED if packed else {"packing": False}),
        ),
        train_dataset=filled,
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
    )
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after, by the same code on the same rows.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves.
    run.progress(total, total, "saving")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    return {
        "metrics": {"before": told(before), "after": told(after), "split": split},
        "samples": evaluation.side_by_side(before["samples"], after["samples"]),
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {
            "train": len(rows),
            "left_out": len(rows.empty),
            "cut": rows.cut,
            "packed": len(filled),
        },
        **fitted,
    }


if __name__ == "__main__":
    main("sft", train)
