"""Pre-training: a language model goes on learning from the documents of a text snapshot.

    python -m training.recipes.pretrain RUN_DIR

Inputs: model; snapshot; init (an earlier run's adapter, which is continued, or its full weights,
which take the model's place). Each document ends with the tokenizer's end token and is learnt
whole: one longer than max_length in several rows, short ones packed into one row. No chat template
is needed. TRL's SFTTrainer does the steps.
"""

import time
from itertools import islice
from typing import Any

from datasets import Dataset
from trl import SFTConfig as TRLConfig
from trl import SFTTrainer

from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.configs import PretrainConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.packing import PACKED, check_isolation, pack
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

BEGINNING = 24  # tokens of a document that the model is given to continue
CONTINUED = 40  # tokens that it adds


def train(run: RunDir, config: PretrainConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base, and an adapter over it if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "text")
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"), chat=False)
    model = loading.trainable_causal(start, tokenizer, config)
    share = loading.trainable_share(model, config)

    # 2. The documents, as tokens: in pieces where they are long, and packed where asked.
    encoder = data.Encoder(tokenizer, config.max_length)
    pieces = data.training_table(snapshot, encoder, "text", check)
    if note := pieces.note(config.max_length):
        run.event("note", text=note)
    validation = data.validation_table(snapshot, encoder, "text", config.eval_rows, check)
    packed = config.packing != "off"
    if packed:
        check_isolation(model)
    rows = pack(pieces, config.max_length) if packed else Dataset(pieces.rows)
    total = steps_of(len(rows), config)

    # 3. How good it is before.
    split, judged = judged_rows(run, config)
    begun = judged or list(islice(data.rows_of(snapshot, "train"), evaluation.SAMPLES))

    def evaluate() -> dict[str, Any]:
        metrics = evaluation.document_loss(model, judged, encoder, check=check)
        return {"metrics": metrics, "samples": continuations(model, begun, encoder, check)}

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    trainer = SFTTrainer(
        model=model,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            **(PACKED if packed else {"packing": False}),
        ),
        train_dataset=rows,
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
    )
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after, by the same code on the same documents.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves.
    run.progress(total, total, "saving")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    return {
        "metrics": {"before": before["metrics"], "after": after["metrics"], "split": split},
        "samples": evaluation.side_by_side(before["samples"], after["samples"]),
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {
            "train": pieces.read - len(pieces.empty),
            "left_out": len(pieces.empty),
            "cut": 0,
            "packed": len(rows),
        },
        **fitted,
    }


def continuations(
    model: Any, rows: list[dict[str, Any]], encoder: data.Encoder, check: evaluation.Check
) -> list[dict[str, str]]:
    """{"prompt", "text"}: how the first documents begin, at most half of each, and the model's
    likeliest words from there."""
    whole = [encoder.document(row["text"]) for row in rows if row["text"]][: evaluation.SAMPLES]
    given = [ids[: max(1, min(BEGINNING, len(ids) // 2))] for ids in whole]
    if not given:
        return []
    found = evaluation.answer(model, given, encoder, max_new_tokens=CONTINUED, check=check)
    return [
        {"prompt": str(encoder.tokenizer.decode(ids, skip_special_tokens=True)), "text": one.text}
        for ids, one in zip(given, found, strict=True)
    ]


if __name__ == "__main__":
    main("pretrain", train)
