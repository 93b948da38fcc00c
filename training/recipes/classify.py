"""Classifier: a model with one number a label learns which label a text bears.

    python -m training.recipes.classify RUN_DIR

Inputs: model (any backbone: a Llama reads a text to its last token, a BERT from its first);
snapshot (labels); init (an earlier run's adapter or full weights: of a language model, whose layers
it then starts from, or of a classifier of the same labels, which is continued). Texts are read as
they are, without a chat template. transformers' Trainer does the steps.

The loss of a text is the cross-entropy of its label. With `balance` it is weighed by
rows / (labels · rows with this label), which is 1 on average: each label weighs as much in all.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from training.recipes import data, loading
from training.recipes.artifacts import Start, read_artifact, save_artifact, start_of
from training.recipes.class_scores import class_scores
from training.recipes.configs import ClassifyConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.evaluation import Check, batch_of, evaluating
from training.recipes.found import agreed
from training.recipes.logps import keep_adapter_dropout
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer


def label_weights(labels: Sequence[int], count: int, balance: str) -> torch.Tensor:
    """A weight for each of `count` labels, 1 on average over the rows."""
    if balance == "off":
        return torch.ones(count)
    rows = Counter(labels)
    return torch.tensor([len(labels) / (count * rows[i]) if rows[i] else 0 for i in range(count)])


class LabelTrainer(Trainer):
    """transformers' trainer with weighed labels, which says how often it is right."""

    def __init__(self, *args: Any, weights: torch.Tensor, **more: Any) -> None:
        super().__init__(*args, **more)
        self.weights = weights
        self.right: list[float] = []  # share of each batch since it was last told

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        wanted = inputs["label"]
        told = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        logits = model(**told).logits.float()
        # Not torch's weighted mean, which is over the weights of this batch alone.
        weights = self.weights.to(logits.device)[wanted]
        loss = (weights * cross_entropy(logits, wanted, reduction="none")).mean()
        if model.training:
            self.right.append((logits.argmax(-1) == wanted).float().mean().item())
        return (loss, {"logits": logits}) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any) -> None:
        if "loss" in logs and self.right:
            logs["accuracy"] = sum(self.right) / len(self.right)
            self.right.clear()
        super().log(logs, *args)


def accuracy(found: Any) -> dict[str, float]:
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


def predict(
    model: Any, texts: Sequence[Sequence[int]], pad: int, *, batch_size: int = 8, check: Check
) -> list[int]:
    """The likeliest label of each text (ids), by its number. Texts of like length share a batch."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = [0] * len(texts)
    with evaluating(model):
        for first in range(0, len(order), batch_size):
            check()
            batch = order[first : first + batch_size]
            inputs = batch_of([texts[i] for i in batch], pad, model.device)
            for i, label in zip(batch, model(**inputs).logits.argmax(-1).tolist(), strict=True):
                found[i] = label
    return found


def check_labels(start: Start, names: Sequence[str]) -> None:
    """Raise ValueError where a classifier of other labels shall be continued."""
    top = start.init or read_artifact(start.base)
    if top.is_classifier and top.labels != list(names):
        raise ValueError(
            f"The classifier to go on with knows the labels {', '.join(top.labels)}, and the "
            f"snapshot has {', '.join(names)}: they must be the same."
        )


def train(run: RunDir, config: ClassifyConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base with a head of zeros, and an adapter if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "labels")
    names = data.label_names(snapshot)
    if len(names) < 2:
        raise ValueError(
            f"The training rows have one label only ({', '.join(names) or 'none'}): a classifier "
            "needs two."
        )
    check_labels(start, names)
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, chat=False)
    model: Any = loading.trainable_classifier(start, tokenizer, config, labels=len(names))
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    share = loading.trainable_share(model, config)

    # 2. The texts, as tokens.
    encoder = data.Encoder(tokenizer, config.max_length)
    rows = data.training_table(snapshot, encoder, "labels", check)
    if note := rows.note(config.max_length):
        run.event("note", text=note)
    labels = rows.rows["label"].to_pylist()
    validation = data.validation_table(
        snapshot, encoder, "labels", config.eval_rows, check, names=names
    )
    total = steps_of(len(rows), config)

    # 3. How good it is before. With a head of zeros it says the first label of all.
    split, judged = judged_rows(run, config)
    unseen = Counter(row["label"] for row in judged if row["label"] not in names)
    if unseen:
        bear = agreed(unseen.total(), "bears", "bear")
        run.event(
            "note",
            text=f"{unseen.total()} of {len(judged)} {split} rows {bear} a label that no training "
            f"row has ({', '.join(map(str, unseen))}): it cannot be learned, and is not measured.",
        )
    known = data.encode(judged, encoder, "labels", check, names=names).rows.to_pylist()
    texts, wanted = [row["input_ids"] for row in known], [row["label"] for row in known]
    commonest = Counter(labels).most_common(1)[0][0]

    def evaluate() -> dict[str, Any]:
        found = predict(model, texts, tokenizer.pad_token_id, check=check)
        scores = class_scores(wanted, found, names)
        if wanted:
            # What takes no model: to say of each text what most training rows say.
            hit = wanted.count(commonest) / len(wanted)
            scores["baseline"] = {"label": names[commonest], "accuracy": hit}
        return scores | ({"unseen": dict(unseen)} if unseen else {})

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    arguments = trainer_arguments(run, config, total, bool(len(validation)))
    arguments.pop("max_length")  # of TRL's trainers
    trainer = LabelTrainer(
        model=model,
        args=TrainingArguments(
            **arguments, remove_unused_columns=False, label_names=["label"], do_train=True
        ),
        data_collator=lambda batch: {
            **batch_of(
                [row["input_ids"] for row in batch], tokenizer.pad_token_id, torch.device("cpu")
            ),
            "label": torch.tensor([row["label"] for row in batch]),
        },
        train_dataset=Dataset(rows.rows),
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
        compute_metrics=accuracy,
        weights=label_weights(labels, len(names), config.balance),
    )
    keep_adapter_dropout(model)
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after, by the same code on the same rows.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves.
    run.progress(total, total, "saving")
    artifact = save_artifact(
        run, model, tokenizer, start=start, config=to_json(config), labels=names
    )
    return {
        "metrics": {"before": before, "after": after, "split": split},
        "samples": [],
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(rows), "left_out": len(rows.empty), "cut": rows.cut},
        **fitted,
    }


if __name__ == "__main__":
    main("classify", train)
