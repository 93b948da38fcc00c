"""Numbers and samples of a model, made by the same code before and after training.

Our own loops over plain forward passes, so that a change in a trainer cannot change what is said of
its result. Texts are padded, never packed; where a text ends is known by its length, not by its
pad token.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from training.recipes import bootstrap
from training.recipes.baselines import WordModel
from training.recipes.data import encode_row
from training.recipes.encoding import IGNORED, Encoder
from training.recipes.pair_scores import pair_scores

Check = Callable[[], None]  # raises Stopped where the run is asked to stop
SAMPLES = 3
ANSWERED = 16  # rows of a before and after whose answers are held against the references


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode and no gradients; afterwards the mode that it was in."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():  # not inference_mode: what a model caches must stay trainable
            yield
    finally:
        model.train(was)


def batch_of(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask, padded on one side to the longest row."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.long)
        mask[i, place] = 1
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


# Losses


def answer_loss(
    model: Any,
    rows: Sequence[dict[str, Any]],
    encoder: Encoder,
    *,
    batch_size: int = 4,
    check: Check = lambda: None,
) -> dict[str, float]:
    """`token_loss` of the answers given their prompts."""
    examples = [encode_row(row, encoder, "sft")[0] for row in rows]
    return token_loss(model, examples, encoder, batch_size=batch_size, check=check)


def document_loss(
    model: Any,
    rows: Sequence[dict[str, Any]],
    encoder: Encoder,
    *,
    batch_size: int = 4,
    check: Check = lambda: None,
) -> dict[str, float]:
    """`token_loss` of whole documents, long ones piece by piece. `rows` counts the pieces."""
    ids = [encode_row(row, encoder, "text")[0]["input_ids"] for row in rows]
    pieces = [{"input_ids": p, "labels": p} for document in ids for p in encoder.pieces(document)]
    return token_loss(model, pieces, encoder, batch_size=batch_size, check=check)


def token_loss(
    model: Any,
    examples: Sequence[dict[str, list[int]]],
    encoder: Encoder,
    *,
    batch_size: int = 4,
    check: Check = lambda: None,
) -> dict[str, float]:
    """Mean negative log-likelihood (nats a token), e to the power of it (perplexity), and the share
    of tokens that the model would have chosen: over all labelled tokens, each counted once.

    `examples`: {"input_ids", "labels"}, a label of IGNORED where nothing is asked."""
    examples = [e for e in examples if any(label != IGNORED for label in e["labels"][1:])]
    pad = encoder.tokenizer.pad_token_id
    loss = hits = tokens = 0.0
    with evaluating(model):
        for batch in _batches(examples, batch_size):
            check()
            inputs = batch_of([e["input_ids"] for e in batch], pad, model.device)
            labels = batch_of([e["labels"] for e in batch], IGNORED, model.device)["input_ids"]
            logits = model(**inputs, use_cache=False).logits[:, :-1]
            wanted = labels[:, 1:]
            kept = wanted != IGNORED
            logits, wanted = logits[kept].float(), wanted[kept]
            loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            hits += (logits.argmax(-1) == wanted).sum().item()
            tokens += wanted.numel()
    if not tokens:
        return {"rows": 0}
    mean = loss / tokens
    return {
        "loss": mean,
        "perplexity": math.exp(min(mean, 500)),
        "token_accuracy": hits / tokens,
        "rows": len(examples),
    }


# Rewards


def rewards(
    model: Any,
    texts: Sequence[Sequence[int]],
    pad: int,
    *,
    batch_size: int = 8,
    check: Check = lambda: None,
) -> list[float]:
    """The reward of each text (ids), in the order given. Texts of like length share a batch."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = [0.0] * len(texts)
    with evaluating(model):
        for batch in _batches(order, batch_size):
            check()
            inputs = batch_of([texts[i] for i in batch], pad, model.device)
            for i, value in zip(batch, model(**inputs).logits[:, 0].float().tolist(), strict=True):
                found[i] = value
    return found


def reward_accuracy(
    model: Any,
    rows: Sequence[dict[str, Any]],
    encoder: Encoder,
    *,
    words: WordModel | None = None,
    draws: int = bootstrap.DRAWS,
    seed: int = 0,
    batch_size: int = 8,
    check: Check = lambda: None,
) -> dict[str, Any]:
    """`pair_scores` of the rewards: how often the better answer gets the higher one, calibration,
    and the baselines on the same pairs (`words`: of `fit_words` on the training rows). And where
    the rewards lie."""
    if not rows:
        return {"pairs": 0}
    pairs = [encoder.pair(row["prompt"], row["chosen"], row["rejected"]) for row in rows]
    texts = [p.chosen_ids for p in pairs] + [p.rejected_ids for p in pairs]
    pad = encoder.tokenizer.pad_token_id
    found = rewards(model, texts, pad, batch_size=batch_size, check=check)
    mean, std = spread(found)
    return {
        **pair_scores(
            rows,
            found[: len(pairs)],
            found[len(pairs) :],
            word_margins=words.margins(rows) if words else None,
            draws=draws,
            seed=seed,
        ),
        "reward_mean": mean,
        "reward_std": std,
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; the deviation of less than two values is 1."""
    mean = sum(values) / len(values) if values else 0.0
    if len(values) < 2:
        return mean, 1.0
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


# Answers


@dataclass(frozen=True)
class Answer:
    ids: list[int]  # with the token that ended it
    text: str
    ended: bool  # by itself, not by the limit


class _Ask(StoppingCriteria):
    """Asks between two tokens whether the run is to stop."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self.check()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def answer(
    model: Any,
    prompts: Sequence[Sequence[int]],
    encoder: Encoder,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    check: Check = lambda: None,
) -> list[Answer]:
    """Answers to prompts (ids that ask), as one batch. Temperature 0 takes the likeliest token;
    else draws come from torch's global generator. What a model's folder says of sampling is
    overruled."""
    tokenizer, ends = encoder.tokenizer, encoder.end_ids
    inputs = batch_of(prompts, tokenizer.pad_token_id, model.device, left=True)
    drawn = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature else {}
    with evaluating(model):
        found = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=bool(temperature),
            repetition_penalty=1.0,
            num_beams=1,
            use_cache=True,
            eos_token_id=ends or None,
            pad_token_id=tokenizer.pad_token_id,
            stopping_criteria=StoppingCriteriaList([_Ask(check)]),
            **drawn,
        )
    width = inputs["input_ids"].shape[1]
    return [_cut(row, ends, tokenizer) for row in found[:, width:].tolist()]


def _cut(ids: list[int], ends: list[int], tokenizer: PreTrainedTokenizerBase) -> Answer:
    last = next((i for i, token in enumerate(ids) if token in ends), None)
    body = ids if last is None else ids[:last]
    text = str(tokenizer.decode(body, skip_special_tokens=True)).strip()
    return Answer(ids if last is None else ids[: last + 1], text, last is not None)


def likeliest(
    model: Any,
    asked: Sequence[Sequence[dict[str, Any]]],
    encoder: Encoder,
    *,
    max_new_tokens: int,
    batch_size: int = 4,
    check: Check = lambda: None,
) -> list[Answer]:
    """The model's likeliest answers to prompts (messages)."""
    found: list[Answer] = []
    for batch in _batches(asked, batch_size):
        prompts = [
            encoder.prompt(list(messages), max(encoder.max_length, 16)) for messages in batch
        ]
        found += answer(model, prompts, encoder, max_new_tokens=max_new_tokens, check=check)
    return found


def sample_answers(
    model: Any,
    rows: Sequence[dict[str, Any]],
    encoder: Encoder,
    *,
    max_new_tokens: int,
    check: Check = lambda: None,
) -> list[dict[str, str]]:
    """`samples` of the likeliest answers to the first three prompts."""
    asked = [row["prompt"] for row in rows[:SAMPLES]]
    return samples(
        asked, likeliest(model, asked, encoder, max_new_tokens=max_new_tokens, check=check)
    )


def samples(
    asked: Sequence[Sequence[dict[str, Any]]], answers: Sequence[Answer]
) -> list[dict[str, str]]:
    """{"prompt", "text"} of the first three."""
    pairs = zip(asked, answers, strict=True)
    return [{"prompt": shown(prompt), "text": a.text} for prompt, a in islice(pairs, SAMPLES)]


def side_by_side(
    before: Sequence[dict[str, str]], after: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    """{"prompt", "before", "after"} of what `sample_answers` gave twice."""
    return [
        {"prompt": b["prompt"], "before": b["text"], "after": a["text"]}
        for b, a in zip(before, after, strict=True)
    ]


def shown(messages: Sequence[dict[str, Any]]) -> str:
    """A prompt for people: one question as it is, a conversation with who said what."""
    if len(messages) == 1:
        return str(messages[0]["content"] or "")
    return "\n".join(f"{m['role']}: {m['content'] or ''}" for m in messages)


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
