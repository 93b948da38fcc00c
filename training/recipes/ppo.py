"""PPO from a reward model: answer prompts, score the answers, move the policy towards the better.

One update, top to bottom (formulas in ppo_math.py, sampling in ppo_rollout.py):

1. answer a batch of prompts by sampling, stopping at an end token; what the policy thought of each
   token (log-probability, value) is kept as it goes;
2. score each answer as text: decoded, rendered with the prompt through the reward model's own
   template and tokenizer, in the standard deviations that its run recorded; an answer that does not
   end pays missing_eos_penalty;
3. what a token earns: minus kl_coef * (log p - log p of the reference), and the score on the last;
4. advantages by GAE over the value head's estimates, whitened over the batch;
5. ppo_epochs passes of clipped policy and value losses over mini-batches.

With LoRA one set of weights plays three parts: the policy is the base with the trainable adapter,
the reference the base alone (or with the SFT run's adapter, frozen), and the value head a linear
layer on the policy's last hidden state. In full fine-tuning the reference is a frozen copy.

Left out on purpose: a second trunk for the value, whitened rewards, a k3 estimator, several
devices. docs/decisions says why PPO is ours, and what each choice here was made against.
"""

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.recipes import data, evaluation, loading, ppo_math
from training.recipes.artifacts import check_weights, folder_sha256, save_artifact, start_of
from training.recipes.configs import PPOConfig, to_json
from training.recipes.entry import main
from training.recipes.ppo_rollout import Actor, Check, Prompt, Rollout, answer, cut, read, read_all
from training.recipes.reporting import (
    KEPT,
    check_stop,
    newest_checkpoint,
    remembered,
    step_of,
)
from training.recipes.run_dir import RunDir, Stopped, write_json
from training.recipes.tokenizer import load_tokenizer

SAMPLE_EVERY = 5  # updates between answers shown while it trains
LEAST_PROMPT = 8  # tokens of a prompt that an answer must leave room for
REFERENCE = "reference"  # the frozen adapter's name beside peft's "default"


# What a reward says of answers: prompts and answer tokens (with the end token, if any) to [B].
Score = Callable[[Sequence[Prompt], list[list[int]]], Tensor]


# 2. Score ----------------------------------------------------------------------------------------


def text_score(reward: loading.Reward, policy: Any, batch_size: int, check: Check) -> Score:
    """The reward run as a Score, through text: its tokenizer and template need not be the policy's.

    `policy` is the policy's tokenizer. Scored is what a reader would see: special tokens within an
    answer are left out, so the policy cannot write turns into the reward model's template. The
    model is loaded apart even where its base is the policy's: sharing would tie two runs, which
    otherwise meet in text alone, to one tokenizer, one type of number and one set of adapters."""
    encoder = data.Encoder(reward.tokenizer, reward.max_length)
    pad = reward.tokenizer.pad_token_id

    def score(prompts: Sequence[Prompt], answers: list[list[int]]) -> Tensor:
        texts = policy.batch_decode(answers, skip_special_tokens=True)
        dialogues = [
            encoder.dialogue([*p.messages, {"role": "assistant", "content": text.strip()}])
            for p, text in zip(prompts, texts, strict=True)
        ]
        raw = evaluation.rewards(
            reward.model, dialogues, pad, batch_size=4 * batch_size, check=check
        )
        return ppo_math.normalise(torch.tensor(raw), reward.mean, reward.std)

    return score


# 3 and 4. What each token earned, and how much better than expected that was ---------------------


@dataclass
class Experience:
    """A batch of answers with all that the losses need: [B, T], and [B] for the scores."""

    rollout: Rollout
    reference: Tensor
    scores: Tensor  # normalised, before the penalty
    penalised: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def kl(self) -> float:
        """Nats between policy and reference, summed over an answer, mean over answers."""
        apart = (self.rollout.log_probs - self.reference) * self.rollout.mask
        return apart.sum(1).mean().item()


def collect(
    actor: Actor,
    prompts: Sequence[Prompt],
    score: Score,
    config: PPOConfig,
    kl_coef: float,
    generator: torch.Generator,
    check: Check = lambda: None,
) -> Experience:
    # Sampling keeps no activations: four times the rows that training has room for.
    rollout = answer(
        actor,
        prompts,
        max_new=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator,
        at_once=4 * config.batch_size,
        check=check,
    )
    seen = (rollout, config.temperature, config.batch_size)
    if actor.device.type != "cpu":
        # One token at a time, bf16 rounds otherwise than a whole answer does: the ratio would not
        # start at 1. On the processor, in fp32, what was seen while sampling is exact to 1e-6.
        rollout.log_probs, rollout.values = read_all(actor, actor.model, *seen)
    with actor.reference() as model:
        reference, _ = read_all(actor, model, *seen)
    scores = score(prompts, rollout.answers).to(actor.device)
    if not scores.isfinite().all():
        raise ValueError("The reward model gave an answer a reward that is no number.")
    penalised = ppo_math.penalise(scores, rollout.ended, config.missing_eos_penalty)
    rewards = ppo_math.token_rewards(
        penalised, rollout.lengths, rollout.log_probs, reference, kl_coef
    )
    advantages, returns = ppo_math.gae(
        rewards, rollout.values, rollout.mask, config.gamma, config.gae_lambda
    )
    advantages = ppo_math.whiten(advantages, rollout.mask)
    return Experience(rollout, reference, scores, penalised, advantages, returns)


# 5. Learn ----------------------------------------------------------------------------------------


def learn(
    actor: Actor,
    experience: Experience,
    optimizer: torch.optim.Optimizer,
    config: PPOConfig,
    step: int,
) -> dict[str, float]:
    """ppo_epochs passes over the batch; means over all real tokens that were looked at.

    Raises ValueError, before it reaches the weights, where a loss or gradient is not finite."""
    rollout, parameters = experience.rollout, list(actor.trainable().values())
    sums = dict.fromkeys(("policy_loss", "value_loss", "ratio", "clip_share"), 0.0)
    norms, tokens = [], 0
    actor.dropout(True)
    for epoch in range(config.ppo_epochs):
        order = list(range(len(rollout.prompts)))
        random.Random(f"{config.seed} {step} {epoch}").shuffle(order)
        for mini in cut(order, config.batch_size * config.accumulation):
            real = int(rollout.lengths[mini].sum())
            for rows in cut(mini, config.batch_size):
                log_probs, values = read(actor, actor.model, rollout, rows, config.temperature)
                at = (rows, slice(0, log_probs.shape[1]))
                mask = rollout.mask[at]
                policy, ratio, clipped = ppo_math.policy_loss(
                    log_probs, rollout.log_probs[at], experience.advantages[at], mask, config.clip
                )
                value = ppo_math.value_loss(
                    values, rollout.values[at], experience.returns[at], mask, config.value_clip
                )
                ((policy + config.value_coef * value) / real).backward()
                for name, x in zip(sums, (policy, value, ratio, clipped), strict=True):
                    sums[name] += x.item()
            tokens += real
            norms.append(nn.utils.clip_grad_norm_(parameters, config.max_grad_norm or inf).item())
            if not isfinite(norms[-1]):
                raise ValueError(
                    f"The loss is not a number any more at update {step + 1}: training has "
                    "diverged. A lower learning rate or a higher kl_coef usually helps."
                )
            optimizer.step()
            optimizer.zero_grad()
    actor.dropout(False)
    return {name: x / tokens for name, x in sums.items()} | {"grad_norm": sum(norms) / len(norms)}


def update(
    actor: Actor,
    prompts: Sequence[Prompt],
    score: Score,
    optimizer: torch.optim.Optimizer,
    config: PPOConfig,
    step: int,
    kl_coef: float,
    generator: torch.Generator,
    check: Check = lambda: None,
) -> tuple[Experience, dict[str, float]]:
    """One update, 1 to 5; `step` counts from 0. Returns what was learned from, and the numbers.

    `check` may stop it up to where the weights begin to move, not after."""
    rate = ppo_math.learning_rate(
        config.learning_rate, step, config.steps, config.warmup, config.schedule
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    experience = collect(actor, prompts, score, config, kl_coef, generator, check)
    losses = learn(actor, experience, optimizer, config, step)
    rollout = experience.rollout
    return experience, {
        "reward": experience.scores.mean().item(),
        "reward_penalised": experience.penalised.mean().item(),
        "kl": experience.kl,
        "entropy": ppo_math.masked_mean(rollout.entropy, rollout.mask).item(),
        "length": rollout.lengths.float().mean().item(),
        "eos_share": rollout.ended.float().mean().item(),
        "learning_rate": rate,
        "kl_coef": kl_coef,
        **losses,
    }


def evaluate(
    actor: Actor,
    prompts: Sequence[Prompt],
    score: Score,
    config: PPOConfig,
    check: Check = lambda: None,
) -> dict[str, float]:
    """Answers sampled as in training, from one seed whenever it is asked: mean reward without the
    penalty, KL to the reference in nats per answer, length in tokens, share that ended."""
    if not prompts:
        return {"rows": 0}
    generator = torch.Generator(actor.device).manual_seed(config.seed)
    experience = collect(actor, prompts, score, config, 0.0, generator, check)
    rollout = experience.rollout
    return {
        "reward_mean": experience.scores.mean().item(),
        "kl": experience.kl,
        "length": rollout.lengths.float().mean().item(),
        "eos_share": rollout.ended.float().mean().item(),
        "rows": len(prompts),
    }


# Checkpoints -------------------------------------------------------------------------------------


def save_checkpoint(
    run: RunDir,
    step: int,
    actor: Actor,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: dict[str, Any],
) -> None:
    """checkpoints/step-N with all that the next update depends on, complete once it has its name.
    Safetensors and JSON: nothing in it can run code when it is read."""
    tensors = {"rng/torch": torch.get_rng_state(), "rng/sampling": generator.get_state()}
    if actor.device.type == "cuda":
        tensors["rng/cuda"] = torch.cuda.get_rng_state(actor.device)
    for name, parameter in actor.trainable().items():
        tensors[f"weight/{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam/{name}/{key}"] = value
    complete, part = run.checkpoints / f"step-{step}", run.checkpoints / f".step-{step}"
    if complete.exists():
        return  # a stop right behind a save
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({name: t.contiguous() for name, t in tensors.items()}, part / "state.safetensors")
    write_json(part / "state.json", {"step": step, **state})
    os.replace(part, complete)
    for old in sorted(run.checkpoints.glob("step-*"), key=step_of)[:-KEPT]:
        shutil.rmtree(old)


def load_checkpoint(
    path: Path, actor: Actor, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any]:
    """Put everything back; returns the state that was given to save_checkpoint, and the step."""
    tensors = load_file(path / "state.safetensors")
    torch.set_rng_state(tensors["rng/torch"])
    generator.set_state(tensors["rng/sampling"])
    if "rng/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng/cuda"], actor.device)
    for name, parameter in actor.trainable().items():
        parameter.data.copy_(tensors[f"weight/{name}"])
        head = f"adam/{name}/"
        optimizer.state[parameter] = {
            # Adam counts its steps on the processor.
            key.removeprefix(head): value if key.endswith("/step") else value.to(parameter.device)
            for key, value in tensors.items()
            if key.startswith(head)
        }
    state: dict[str, Any] = json.loads((path / "state.json").read_text("utf-8"))
    return state


# The run -----------------------------------------------------------------------------------------


def prompts_of(
    rows: Sequence[list[dict[str, Any]]], encoder: data.Encoder, config: PPOConfig
) -> list[Prompt]:
    """Messages to prompts; one that would leave no room for an answer loses its start."""
    room = config.max_length - config.max_new_tokens
    return [Prompt(encoder.prompt(messages, room), messages) for messages in rows]


def batch_at(count: int, step: int, size: int, seed: int) -> list[int]:
    """Which rows an update answers: a new order for each pass over them, from (seed, pass) alone,
    so that a resume needs no stored place."""
    places = (divmod(place, count) for place in range(step * size, (step + 1) * size))
    return [order_of(count, seed, passed)[i] for passed, i in places]


@lru_cache(maxsize=2)
def order_of(count: int, seed: int, passed: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed} {passed}").shuffle(order)
    return order


def train(run: RunDir, config: PPOConfig) -> dict[str, Any]:
    began = time.monotonic()
    config = replace(config, seed=run.seed)

    def check() -> None:
        check_stop(run)

    # Where it starts: the base, the policy's adapter, and what the reference is.
    run.progress(0, config.steps, "loading")
    start, snapshot = start_of(run), run.input_path("snapshot")
    check_weights(start.base)
    data.check_snapshot(snapshot, "prompts")
    if config.max_length - config.max_new_tokens < LEAST_PROMPT:
        raise ValueError(
            f"max_length {config.max_length} leaves no room for a prompt beside an answer of "
            f"{config.max_new_tokens} tokens (max_new_tokens)."
        )
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    encoder = data.Encoder(tokenizer, config.max_length)
    full = config.adaptation == "full"
    if start.init is not None and full:
        raise ValueError("An adapter can be continued, or all weights trained: not both at once.")
    model: Any = loading.load_causal(start.base, tokenizer, full=full)
    if start.init is not None:
        model = loading.attach(model, start, trainable=True)
        share = loading.trainable_share(model)
        model.load_adapter(start.init.path, REFERENCE, is_trainable=False)
    else:
        model = model if full else loading.add_lora(model, config)
        share = loading.trainable_share(model)
    actor = Actor.of(
        model,
        pad=tokenizer.pad_token_id,
        stops=encoder.end_ids,
        adapter=REFERENCE if start.init is not None else None,
    )
    reward = loading.load_reward(run)
    score = text_score(reward, tokenizer, config.batch_size, check)

    # The prompts, and how good the policy is before it learns.
    rows = [row["prompt"] for row in data.rows_of(snapshot, "train")]
    if not rows:
        raise ValueError("The snapshot has no training rows.")
    data.check_template(encoder, rows[:8])
    split = data.evaluation_split(snapshot)
    if split != "test":
        run.event("note", text=data.no_test_note(split))
    judged = list(islice(data.rows_of(snapshot, split), config.eval_rows)) if split else []
    tests = prompts_of([row["prompt"] for row in judged], encoder, config)
    asked = judged or [{"prompt": row} for row in rows[: evaluation.SAMPLES]]

    def look_at_it() -> dict[str, Any]:
        answers = evaluation.sample_answers(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {"metrics": evaluate(actor, tests, score, config, check), "answers": answers}

    run.progress(0, config.steps, "evaluating before")
    before = remembered(run, "before", look_at_it)

    # Train; from the newest checkpoint where there is one.
    optimizer = torch.optim.AdamW(actor.trainable().values(), config.learning_rate, weight_decay=0)
    generator = torch.Generator(actor.device).manual_seed(run.seed)
    kl_coef, first = config.kl_coef, 0
    if checkpoint := newest_checkpoint(run):
        state = load_checkpoint(checkpoint, actor, optimizer, generator)
        first, kl_coef = state["step"], state["kl_coef"]
        run.event("state", first, state="resumed")
    clock = time.monotonic()
    for step in range(first, config.steps):
        drawn = generator.get_state()
        chosen = batch_at(len(rows), step, config.rollout_batch, run.seed)
        prompts = prompts_of([rows[i] for i in chosen], encoder, config)
        try:
            experience, metrics = update(
                actor, prompts, score, optimizer, config, step, kl_coef, generator, check
            )
        except Stopped:
            # Nothing has moved yet but the generator: the checkpoint is of the update's beginning.
            generator.set_state(drawn)
            save_checkpoint(run, step, actor, optimizer, generator, {"kl_coef": kl_coef})
            raise
        kl_coef = ppo_math.next_kl_coef(kl_coef, metrics["kl"], config.kl_target)
        done = step + 1
        run.metrics(done, **metrics)
        left = (time.monotonic() - clock) / (done - first) * (config.steps - done)
        run.progress(done, config.steps, "training", round(left, 1))
        if step % SAMPLE_EVERY == 0:
            run.event(
                "sample",
                done,
                prompt=evaluation.shown(prompts[0].messages),
                text=tokenizer.decode(experience.rollout.answers[0], skip_special_tokens=True),
                reward=experience.scores[0].item(),
            )
        if done % config.save_steps == 0 or done == config.steps:
            save_checkpoint(run, done, actor, optimizer, generator, {"kl_coef": kl_coef})

    # How good it is after, by the same code on the same prompts with the same seed.
    run.progress(config.steps, config.steps, "evaluating after")
    after = look_at_it()

    # What it leaves: the policy, and its value head beside it.
    run.progress(config.steps, config.steps, "saving")
    if actor.adapter is not None:
        model.delete_adapter(REFERENCE)
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    save_file(actor.head.state_dict(), run.artifact / "value_head.safetensors")
    return {
        "metrics": {"before": before["metrics"], "after": after["metrics"], "split": split},
        "samples": [
            {"prompt": b["prompt"], "before": b["text"], "after": a["text"]}
            for b, a in zip(before["answers"], after["answers"], strict=True)
        ],
        "artifact": artifact | {"sha256": folder_sha256(run.artifact)},
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(rows)},
        "steps": config.steps,
        "kl_coef": kl_coef,
    }


if __name__ == "__main__":
    main("ppo", train)
