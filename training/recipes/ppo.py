"""PPO: answer prompts, score the answers, move the policy towards the better.

One update, top to bottom (formulas in ppo_math.py, sampling in ppo_rollout.py, rewards in
ppo_score.py, checkpoints in ppo_state.py):

1. answer a batch of prompts by sampling, stopping at an end token; what the policy thought of each
   token (log-probability, value) is kept as it goes;
2. score each answer as text: by a reward model through its own template and tokenizer, by a rule,
   or by both; an answer that does not end pays missing_eos_penalty;
3. what a token earns: minus kl_coef * (log p - log p of the reference), and the score on the last;
4. advantages by GAE over the value head's estimates, whitened over the batch;
5. ppo_epochs passes of clipped policy and value losses over mini-batches.

With LoRA one set of weights plays three parts: the policy is the base with the trainable adapter,
the reference the base alone (or with the SFT run's adapter, frozen), and the value head a linear
layer on the policy's last hidden state. In full fine-tuning the reference is a frozen copy.

What is left is the policy of the look at the validation prompts that was worth most (a policy
peaks and then decays), or the last. Left out on purpose: a second trunk for the value, whitened
rewards, a k3 estimator, several devices. docs/decisions says why.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from math import inf, isfinite
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.recipes import data, evaluation, loading, ppo_math
from training.recipes.alarms import Watch
from training.recipes.artifacts import check_weights, folder_sha256, save_artifact, start_of
from training.recipes.asked import prompt_room
from training.recipes.configs import PPOConfig, to_json
from training.recipes.entry import main
from training.recipes.heuristics import check_judged
from training.recipes.keeping import Best
from training.recipes.ppo_rollout import Actor, Check, Prompt, Rollout, answer, cut, read, read_all
from training.recipes.ppo_score import Score, score_of
from training.recipes.ppo_state import State, load_checkpoint, save_checkpoint
from training.recipes.reporting import check_stop, judged_rows, newest_checkpoint, remembered
from training.recipes.run_dir import RunDir, Stopped
from training.recipes.tokenizer import load_tokenizer

SAMPLE_EVERY = 5  # updates between answers shown while it trains
REFERENCE = "reference"  # the frozen adapter's name beside peft's "default"


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

    def objective(self, kl_coef: float) -> float:
        """What training is after: mean reward less the penalty less the price of the KL."""
        return self.penalised.mean().item() - kl_coef * self.kl


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
    if actor.bf16:
        # One token at a time, bf16 rounds otherwise than a whole answer does: the ratio would not
        # start at 1. In fp32 what was seen while sampling is exact to 1e-6.
        rollout.log_probs, rollout.values = read_all(actor, actor.model, *seen)
    with actor.reference() as model:
        reference, _ = read_all(actor, model, *seen)
    scores = score(prompts, rollout.answers).to(actor.device)
    if not scores.isfinite().all():
        raise ValueError("An answer was given a reward that is no number.")
    return weigh(rollout, reference, scores, config, kl_coef)


def weigh(
    rollout: Rollout, reference: Tensor, scores: Tensor, config: PPOConfig, kl_coef: float
) -> Experience:
    """What the answers earned, token by token, and how much more than expected: tensors only."""
    penalised = ppo_math.penalise(scores, rollout.ended, config.missing_eos_penalty)
    rewards = ppo_math.token_rewards(
        penalised, rollout.lengths, rollout.log_probs, reference, kl_coef
    )
    advantages, returns = ppo_math.gae(
        rewards, rollout.values, rollout.mask, config.gamma, config.gae_lambda
    )
    advantages = ppo_math.whiten(advantages, rollout.mask)
    return Experience(rollout, reference, scores, penalised, advantages, returns)


def begin_value(
    actor: Actor, experience: Experience, config: PPOConfig, kl_coef: float
) -> Experience:
    """The value head begins at what the first answers earned on average, and they are weighed by
    it. From zero, where scores lie all on one side of it (a rule's, or less the penalty), an
    advantage says above all how far a token is from its answer's end, until the head has caught up.
    """
    mean = experience.penalised.mean().item()
    nn.init.constant_(actor.head.bias, mean)
    rollout = experience.rollout
    rollout.values = rollout.values + mean * rollout.mask
    return weigh(rollout, experience.reference, experience.scores, config, kl_coef)


# 5. Learn ----------------------------------------------------------------------------------------


class Diverged(ValueError):
    """A loss or a gradient is no number any more."""


def learn(
    actor: Actor,
    experience: Experience,
    optimizer: torch.optim.Optimizer,
    config: PPOConfig,
    step: int,
) -> dict[str, float]:
    """ppo_epochs passes over the batch; means over all real tokens that were looked at.

    Raises Diverged, before it reaches the weights, where a loss or gradient is not finite."""
    rollout, parameters = experience.rollout, list(actor.trainable().values())
    sums = dict.fromkeys(("policy_loss", "value_loss", "ratio", "clip_share"), 0.0)
    norms, tokens = [], 0
    actor.learning(True)
    for epoch in range(config.ppo_epochs):
        order = shuffled(len(rollout.prompts), f"{config.seed} {step} {epoch}")
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
                raise Diverged(
                    f"The loss is not a number any more at update {step + 1}: training has "
                    "diverged. A lower learning rate or a higher kl_coef usually helps."
                )
            optimizer.step()
            optimizer.zero_grad()
    actor.learning(False)
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
    if step == 0:
        experience = begin_value(actor, experience, config, kl_coef)
    losses = learn(actor, experience, optimizer, config, step)
    rollout = experience.rollout
    return experience, {
        "reward": experience.scores.mean().item(),
        "reward_penalised": experience.penalised.mean().item(),
        "objective": experience.objective(config.kl_coef),
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
    penalty, objective, KL to the reference in nats per answer, length in tokens, share that ended.
    The objective alone says which weights are better."""
    if not prompts:
        return {"rows": 0}
    generator = torch.Generator(actor.device).manual_seed(config.seed)
    experience = collect(actor, prompts, score, config, 0.0, generator, check)
    rollout = experience.rollout
    return {
        "reward_mean": experience.scores.mean().item(),
        "objective": experience.objective(config.kl_coef),
        "kl": experience.kl,
        "length": rollout.lengths.float().mean().item(),
        "eos_share": rollout.ended.float().mean().item(),
        "rows": len(prompts),
    }


# The run -----------------------------------------------------------------------------------------


def prompts_of(
    rows: Sequence[list[dict[str, Any]]], encoder: data.Encoder, room: int
) -> list[Prompt]:
    """Messages to prompts; one of more tokens than `room` loses its start."""
    return [Prompt(encoder.prompt(messages, room), messages) for messages in rows]


def batch_at(count: int, step: int, size: int, seed: int) -> list[int]:
    """Which rows an update answers: a new order for each pass over them, from (seed, pass) alone,
    so that a resume needs no stored place."""
    places = (divmod(place, count) for place in range(step * size, (step + 1) * size))
    return [order_of(count, seed, passed)[i] for passed, i in places]


@lru_cache(maxsize=2)
def order_of(count: int, seed: int, passed: int) -> list[int]:
    return shuffled(count, f"{seed} {passed}")


def shuffled(count: int, key: str) -> list[int]:
    """0 to count - 1 in an order that the key alone decides."""
    order = list(range(count))
    random.Random(key).shuffle(order)
    return order


def train(run: RunDir, config: PPOConfig) -> dict[str, Any]:
    began = time.monotonic()
    config = replace(config, seed=run.seed)

    def check() -> None:
        check_stop(run)

    # Where it starts: the base, the policy's adapter, and what the reference is.
    run.progress(0, config.steps, "loading")
    check_judged(config, run.inputs)
    start, snapshot = start_of(run), run.input_path("snapshot")
    check_weights(start.base)
    data.check_snapshot(snapshot, "prompts")
    room = prompt_room(config)
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    encoder = data.Encoder(tokenizer, config.max_length)
    model = loading.trainable_causal(start, tokenizer, config)
    share = loading.trainable_share(model, config)
    if start.init is not None:
        model.load_adapter(start.init.path, REFERENCE, is_trainable=False)
    actor = Actor.of(
        model,
        pad=tokenizer.pad_token_id,
        stops=encoder.end_ids,
        adapter=REFERENCE if start.init is not None else None,
        bf16=loading.in_bf16(config),
    )
    if config.checkpointing == "on":
        model.activation_checkpointing_enable()
    score = score_of(run, config, tokenizer, check)

    # The prompts, and how good the policy is before it learns.
    rows = [row["prompt"] for row in data.rows_of(snapshot, "train")]
    if not rows:
        raise ValueError("The snapshot has no training rows.")
    data.check_template(encoder, rows[:8])
    split, judged = judged_rows(run, config)
    tests = prompts_of([row["prompt"] for row in judged], encoder, room)
    held_out = islice(data.rows_of(snapshot, "validation"), config.eval_rows)
    validation = prompts_of([row["prompt"] for row in held_out], encoder, room)
    if not validation:
        run.event("note", text="There are no validation rows: the last weights are kept.")
    asked = judged or [{"prompt": row} for row in rows[: evaluation.SAMPLES]]

    def look_at_it() -> dict[str, Any]:
        answers = evaluation.sample_answers(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {"metrics": evaluate(actor, tests, score, config, check), "answers": answers}

    run.progress(0, config.steps, "evaluating before")
    before = remembered(run, "before", look_at_it)

    # Train; from the newest checkpoint where there is one.
    optimizer = torch.optim.AdamW(
        actor.trainable().values(), config.learning_rate, weight_decay=config.weight_decay
    )
    generator = torch.Generator(actor.device).manual_seed(run.seed)
    state = State(kl_coef=config.kl_coef)
    if checkpoint := newest_checkpoint(run):
        state = load_checkpoint(checkpoint, actor, optimizer, generator)
        run.event("state", state.step, state="resumed")
    watch, best, first = Watch(run, config, state.step), Best(run), state.step
    clock = time.monotonic()
    while state.step < config.steps and not state.is_over(config.patience):
        step, drawn = state.step, generator.get_state()
        chosen = batch_at(len(rows), step, config.rollout_batch, run.seed)
        prompts = prompts_of([rows[i] for i in chosen], encoder, room)
        try:
            experience, metrics = update(
                actor, prompts, score, optimizer, config, step, state.kl_coef, generator, check
            )
        except Stopped:
            # Nothing has moved yet but the generator: the checkpoint is of the update's beginning.
            generator.set_state(drawn)
            save_checkpoint(run, actor, tokenizer, optimizer, generator, state)
            raise
        except Diverged as error:
            run.event("alarm", step + 1, code="not_finite", text=str(error))
            raise
        state.kl_coef = ppo_math.next_kl_coef(state.kl_coef, metrics["kl"], config.kl_target)
        state.step = done = step + 1
        if validation and (done % config.eval_steps == 0 or done == config.steps):
            look = evaluate(actor, validation, score, config)
            state.looks.append((done, look["objective"]))
            metrics |= {f"eval_{name}": look[name] for name in ("objective", "reward_mean", "kl")}
            if config.keep == "best":
                facts = {"step": done, "metric": "eval_objective", "value": look["objective"]}
                best.offer(actor.trainable(), [look["objective"]], **facts)
        alarm = watch.look(done, metrics)  # before it is told: what is not finite is no JSON
        run.metrics(done, **metrics)
        left = (time.monotonic() - clock) / (done - first) * (config.steps - done)
        run.progress(done, config.steps, "training", round(left, 1))
        if (done - 1) % SAMPLE_EVERY == 0:
            run.event(
                "sample",
                done,
                prompt=evaluation.shown(prompts[0].messages),
                text=tokenizer.decode(experience.rollout.answers[0], skip_special_tokens=True),
                reward=experience.scores[0].item(),
            )
        ends = alarm or done == config.steps or state.is_over(config.patience)
        if ends or done % config.save_steps == 0:
            save_checkpoint(run, actor, tokenizer, optimizer, generator, state)
        if alarm:
            raise ValueError(alarm)

    # Which weights are left: the best on the validation prompts, or the last.
    kept = best.leave(actor.trainable(), state.step)
    if kept["metric"]:
        text = f"Kept are the weights of update {kept['step']}, the best on the validation prompts "
        run.event("note", state.step, text=f"{text}(objective {kept['value']:.4g}).", code="kept")
    ended = state.why_over() if state.step < config.steps else ""
    if ended:
        run.event("note", state.step, text=ended, code="ended")

    # How good it is after, by the same code on the same prompts with the same seed.
    run.progress(state.step, config.steps, "evaluating after")
    after = look_at_it()

    # What it leaves: the policy, and its value head beside it.
    run.progress(state.step, config.steps, "saving")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    save_file(actor.head.state_dict(), run.artifact / "value_head.safetensors")
    return {
        "metrics": {"before": before["metrics"], "after": after["metrics"], "split": split},
        "samples": evaluation.side_by_side(before["answers"], after["answers"]),
        "artifact": artifact | {"sha256": folder_sha256(run.artifact)},
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(rows)},
        "steps": state.step,
        "kept": kept,
        "kl_coef": state.kl_coef,
    } | ({"reason": ended} if ended else {})


if __name__ == "__main__":
    main("ppo", train)
