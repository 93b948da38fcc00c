"""Parts of the recipe `evaluate`: which kind of model it has before it, what a language model makes
of the rows, and what a judge makes of its answers."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from training.recipes import data, evaluation, loading
from training.recipes.adapters import attach
from training.recipes.artifacts import Artifact, Start, read_artifact
from training.recipes.configs import EvaluateConfig
from training.recipes.encoding import Encoder
from training.recipes.run_dir import RunDir
from training.recipes.text_metrics import answer_metrics
from training.recipes.tokenizer import load_tokenizer

Check = Callable[[], None]
Row = dict[str, Any]


# What the model is


def about(start: Start) -> Artifact:
    """What is known of the model: of a checkpoint, what its run's artifact says or, where that left
    none, what the run was to train."""
    top = start.init or read_artifact(start.base)
    folder = Path(top.path)
    run = folder.parent.parent
    if folder.parent.name != "checkpoints":
        return top
    if (run / "artifact" / "annotune.json").exists():
        return read_artifact(str(run / "artifact"))
    if not (run / "spec.json").exists():  # a model that lies in a folder of this name
        return top
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    if spec["recipe"] == "reward":
        return replace(top, kind=f"reward_{top.kind}")
    if spec["recipe"] != "classify":
        return top
    learned = next(row["path"] for row in spec["inputs"] if row["name"] == "snapshot")
    return replace(top, kind=f"classifier_{top.kind}", labels=data.label_names(run / learned))


def task_of(start: Start) -> str:
    """language, reward or classifier."""
    artifact = about(start)
    if artifact.is_classifier:
        return "classifier"
    file = Path(artifact.path) / "config.json"
    plain = json.loads(file.read_text("utf-8")) if file.exists() else {}
    heads = str(plain.get("architectures"))
    return "reward" if artifact.is_reward or "SequenceClassification" in heads else "language"


def load(run: RunDir, config: EvaluateConfig, start: Start) -> tuple[Any, Encoder]:
    """The model and its encoder, with the template that it was trained with; where it had none,
    the one that the config names. An adapter of QLoRA stands over the whole base, as when it
    answers."""
    artifact, task = about(start), task_of(start)
    template = artifact.template if artifact.template.get("text") else run.spec.get("template")
    tokenizer = load_tokenizer(start.base, template, chat=task != "classifier")
    encoder = Encoder(tokenizer, config.max_length)
    if task != "language":
        labels = len(artifact.labels) or 1
        return loading.trained_classifier(start, tokenizer, labels=labels), encoder
    model: Any = loading.load_causal(start.base, tokenizer)
    if start.init is not None:
        model = attach(model, start)
    return model.requires_grad_(False).eval(), encoder


# What a language model makes of the rows


@dataclass
class Measured:
    """Numbers of a model, and what it answered to each prompt."""

    metrics: dict[str, Any]
    answers: list[evaluation.Answer] = field(default_factory=list)


def conversation(row: Row) -> list[Row]:
    """A row as the conversation that it stands for, the better answer last."""
    if "messages" in row:
        return list(row["messages"])
    return [*row["prompt"], *(row.get("completion") or row.get("chosen") or [])]


def prompt_of(row: Row) -> list[Row]:
    """What is asked: all that stands before the last answer."""
    return list(row["prompt"]) if "prompt" in row else list(row["messages"])[:-1]


def measure(
    run: RunDir,
    config: EvaluateConfig,
    start: Start,
    kind: str,
    rows: list[Row],
    asked: list[list[Row]],
    references: list[str],
    check: Check,
    whose: str = "it",
) -> Measured:
    """The loss of the rows, and the answers to `asked` beside the references."""
    model, encoder = load(run, config, start)
    common: dict[str, Any] = {"batch_size": config.batch_size, "check": check}
    run.progress(0, len(asked), f"reading, {whose}")
    metrics: dict[str, Any] = {"rows": len(rows)}
    if kind == "text":
        metrics = evaluation.document_loss(model, rows, encoder, **common)
    elif kind != "prompts":
        # Whole conversations keep every answer of theirs; else the one behind the prompt.
        known = [r if "messages" in r else {"prompt": r["prompt"], "completion": r.get("chosen")
                 or r["completion"]} for r in rows]  # fmt: skip
        metrics = evaluation.answer_loss(model, known, encoder, **common)
    found = Measured(metrics)
    if kind == "preference":
        worse = [{"prompt": row["prompt"], "completion": row["rejected"]} for row in rows]
        lost = evaluation.answer_loss(model, worse, encoder, **common)
        metrics["rejected_loss"] = lost.get("loss")
    if asked:
        found.answers = answer_all(run, config, model, encoder, asked, check, whose)
        metrics |= answer_metrics(found.answers, references)
    return found


def answer_all(
    run: RunDir,
    config: EvaluateConfig,
    model: Any,
    encoder: Encoder,
    asked: list[list[Row]],
    check: Check,
    whose: str,
) -> list[evaluation.Answer]:
    """Answers in the order asked. Prompts of like length share a batch; a batch draws from the seed
    and its number alone."""
    room = max(config.max_length - config.max_new_tokens, 16)
    ids = [encoder.prompt(messages, room) for messages in asked]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    found: dict[int, evaluation.Answer] = {}
    clock = time.monotonic()
    for start in range(0, len(order), config.batch_size):
        check()
        batch = order[start : start + config.batch_size]
        torch.manual_seed(config.seed * 1_000_003 + start)
        answers = evaluation.answer(
            model,
            [ids[i] for i in batch],
            encoder,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            check=check,
        )
        found |= dict(zip(batch, answers, strict=True))
        left = (time.monotonic() - clock) / len(found) * (len(order) - len(found))
        run.progress(len(found), len(order), f"answering, {whose}", round(left, 1))
    return [found[i] for i in range(len(asked))]


def judge(
    run: RunDir,
    asked: list[list[Row]],
    answers: list[list[str]],
    config: EvaluateConfig,
    check: Check,
) -> list[list[float]]:
    """The reward of each answer of each model, in the judge's own template, less the mean and over
    the spread that the reward run recorded: as PPO counts it."""
    reward = loading.load_reward(run)
    encoder = Encoder(reward.tokenizer, reward.max_length)
    found = []
    for texts in answers:
        dialogues = [
            encoder.dialogue([*messages, {"role": "assistant", "content": text}])
            for messages, text in zip(asked, texts, strict=True)
        ]
        raw = evaluation.rewards(
            reward.model,
            dialogues,
            reward.tokenizer.pad_token_id,
            batch_size=config.batch_size,
            check=check,
        )
        found.append([(value - reward.mean) / (reward.std or 1.0) for value in raw])
    return found
