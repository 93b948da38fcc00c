"""A model is measured on a snapshot, alone or against another one, by the code that is used before
and after training.

    python -m training.recipes.evaluate RUN_DIR

Inputs: model; init (a run's adapter or one of its checkpoints, or full weights in the model's
place); snapshot (of any kind); reward (a reward run that judges the answers); against (another
language model, which answers the same prompts). What is measured follows from what the model is
(language model, reward model, classifier) and from the kind of the snapshot. The answers stand in
artifact/answers.jsonl.
"""

import json
import time
from itertools import islice
from typing import Any

from training.recipes import data, evaluation
from training.recipes.artifacts import Start, start_of, start_of_artifact
from training.recipes.baselines import fit_words
from training.recipes.class_scores import class_scores
from training.recipes.classify import predict
from training.recipes.configs import EvaluateConfig
from training.recipes.encoding import Encoder
from training.recipes.entry import main
from training.recipes.measuring import (
    Check,
    Measured,
    Row,
    about,
    conversation,
    judge,
    load,
    measure,
    prompt_of,
    task_of,
)
from training.recipes.pair_scores import separation, win_rate
from training.recipes.reporting import check_stop
from training.recipes.run_dir import RunDir


def evaluate(run: RunDir, config: EvaluateConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. The rows, and what can be asked of them.
    run.progress(0, 0, "loading")
    snapshot = run.input_path("snapshot")
    kind = data.kind_of(snapshot)
    rows = list(islice(data.rows_of(snapshot, config.split), config.eval_rows))
    if not rows:
        other = "validation" if config.split == "test" else "test"
        raise ValueError(f"The snapshot has no {config.split} rows to measure on: try {other}.")

    # 2. The model.
    start = start_of(run)
    task = task_of(start)
    if task != "language" and ("against" in run.inputs or "reward" in run.inputs):
        raise ValueError(
            "Only a language model's answers can be judged, or set against another's; this is a "
            + ("reward model." if task == "reward" else "classifier.")
        )
    result: dict[str, Any] = {"samples": [], "artifact": {"kind": "evaluation", "sha256": ""}}
    if task == "language":
        result |= language(run, config, start, kind, rows, check)
    else:
        words = None
        if task == "reward" and kind == "preference":
            run.progress(0, 0, "fitting the words")
            words = fit_words(data.rows_of(snapshot, "train"), check)
        model, encoder = load(run, config, start)
        run.progress(0, len(rows), "measuring")
        if task == "reward":
            found = judge_rows(model, encoder, kind, rows, words, config, check)
        else:
            found = label_rows(run, model, encoder, about(start).labels, kind, rows, config, check)
        result["metrics"] = {"after": found}
    result["metrics"] |= {"split": config.split, "kind": kind, "task": task}
    return result | {"seconds": round(time.monotonic() - began, 1)}


# A reward model


def judge_rows(
    model: Any,
    encoder: Encoder,
    kind: str,
    rows: list[Row],
    words: Any,
    config: EvaluateConfig,
    check: Check,
) -> dict[str, Any]:
    """What a reward model makes of pairs, of thumbs, or of answers that are there."""
    if kind == "preference":
        return evaluation.reward_accuracy(
            model,
            rows,
            encoder,
            words=words,
            draws=config.bootstrap,
            seed=config.seed,
            batch_size=config.batch_size,
            check=check,
        )
    if kind not in ("unpaired", "sft"):
        raise ValueError(
            "A reward model judges answers: it is measured on a snapshot of comparisons, thumbs or "
            f"answers, not of kind {kind}."
        )
    found = evaluation.rewards(
        model,
        [encoder.dialogue(conversation(row)) for row in rows],
        encoder.tokenizer.pad_token_id,
        batch_size=config.batch_size,
        check=check,
    )
    mean, std = evaluation.spread(found)
    metrics: dict[str, Any] = {"reward_mean": mean, "reward_std": std, "rows": len(rows)}
    if kind == "unpaired":
        good = [value for row, value in zip(rows, found, strict=True) if row["label"]]
        bad = [value for row, value in zip(rows, found, strict=True) if not row["label"]]
        metrics["separation"] = separation(good, bad)
    return metrics


# A classifier


def label_rows(
    run: RunDir,
    model: Any,
    encoder: Encoder,
    names: list[str],
    kind: str,
    rows: list[Row],
    config: EvaluateConfig,
    check: Check,
) -> dict[str, Any]:
    """How often it gives a text its label, of those labels that it knows."""
    if kind != "labels":
        raise ValueError(f"A classifier is measured on a snapshot of labels, not of kind {kind}.")
    known = [row for row in rows if row["label"] in names and row["text"]]
    if not known:
        has = ", ".join(sorted({str(row["label"]) for row in rows})[:10])
        raise ValueError(
            f"No row bears a label that the classifier knows: it knows {', '.join(names[:10])}, "
            f"and the rows have {has}."
        )
    if left := len(rows) - len(known):
        are, bear = ("is", "bears") if left == 1 else ("are", "bear")
        text = f"{left} of {len(rows)} rows {are} empty or {bear} a label that it does not know."
        run.event("note", text=text)
    texts = [encoder.text(row["text"])[0] for row in known]
    found = predict(
        model, texts, encoder.tokenizer.pad_token_id, batch_size=config.batch_size, check=check
    )
    return class_scores([names.index(row["label"]) for row in known], found, names)


# A language model


def language(
    run: RunDir, config: EvaluateConfig, start: Start, kind: str, rows: list[Row], check: Check
) -> dict[str, Any]:
    """One or two language models: the loss of the rows, and answers, compared with the references
    and with one another by the judge. One model is in memory at a time."""
    if kind == "labels":
        raise ValueError("A language model gives no labels: measure a classifier on this snapshot.")
    if kind == "unpaired":
        rows = [row for row in rows if row["label"]]  # what was thumbed down is no reference
    asked = [prompt_of(row) for row in rows] if kind != "text" and config.max_new_tokens else []
    references = [conversation(row)[-1]["content"] or "" for row in rows] if asked else []
    if kind == "prompts":
        references = []

    after = measure(run, config, start, kind, rows, asked, references, check)
    before = None
    if "against" in run.inputs:
        other = start_of_artifact(run, "against")
        if task_of(other) != "language":
            raise ValueError("It can be set against a language model only.")
        before = measure(run, config, other, kind, rows, asked, references, check, "the other one")

    metrics: dict[str, Any] = {"after": after.metrics}
    judged: list[list[float]] = []
    if before is not None:
        metrics["before"] = before.metrics
    if "reward" in run.inputs:
        if not asked:
            raise ValueError("There are no answers for the reward model to judge.")
        run.progress(0, 0, "judging")
        both = [one for one in (after, before) if one is not None]
        judged = judge(run, asked, [[a.text for a in one.answers] for one in both], config, check)
        for one, values in zip(both, judged, strict=True):
            one.metrics["reward_mean"], one.metrics["reward_std"] = evaluation.spread(values)
        if before is not None:
            metrics["win_rate"] = win_rate(
                judged[0],
                judged[1],
                [json.dumps(messages, sort_keys=True) for messages in asked],
                draws=config.bootstrap,
                seed=config.seed,
            )
    lines = write_answers(run, asked, references, after, before, judged)
    return {"metrics": metrics, "samples": lines[: evaluation.SAMPLES]}


def write_answers(
    run: RunDir,
    asked: list[list[Row]],
    references: list[str],
    after: Measured,
    before: Measured | None,
    judged: list[list[float]],
) -> list[Row]:
    """artifact/answers.jsonl, a prompt a line; returns the lines."""
    lines: list[Row] = []
    for i, messages in enumerate(asked):
        line: Row = {"prompt": evaluation.shown(messages), "after": after.answers[i].text}
        if references:
            line["reference"] = references[i]
        if before is not None:
            line["before"] = before.answers[i].text
        for name, values in zip(("reward", "reward_before"), judged, strict=False):
            line[name] = round(values[i], 4)
        lines.append(line)
    run.artifact.mkdir(exist_ok=True)
    with (run.artifact / "answers.jsonl").open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return lines


if __name__ == "__main__":
    main("evaluate", evaluate)
