"""DPO and its family: a language model learns from pairs of answers, without a reward model.

    python -m training.recipes.dpo RUN_DIR

Inputs: model; snapshot (preference); init (an earlier run's adapter, which is continued, or its
full weights, which take the model's place). TRL's DPOTrainer does the steps. The reference is the
model as the run finds it: with an adapter given, a frozen copy of that adapter, never the bare
base; with a new adapter, the base; where all weights are trained, a frozen copy of them.

Losses of a pair, with C and R = ln p(answer | prompt) summed over an answer's tokens, c and r the
same a token, each also of the reference (ref):
    sigmoid  -log σ(β · ((C - C_ref) - (R - R_ref)))                       arXiv 2305.18290 (7)
    ipo      ((c - c_ref) - (r - r_ref) - 1 / 2β)²                        arXiv 2310.12036 (17)
    orpo     -c - β · log σ(log odds(c) - log odds(r)), odds eˣ / (1 - eˣ)  arXiv 2403.07691 (7)
IPO is taken a token, as TRL does and its authors advise. ORPO has no reference; the loss is ours,
as TRL's own is experimental. β · (C - C_ref) is the reward that a policy implies.
"""

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from trl import DPOConfig as TRLConfig
from trl import DPOTrainer

from training.recipes import data, evaluation, loading
from training.recipes.artifacts import save_artifact, start_of
from training.recipes.configs import DPOConfig, to_json
from training.recipes.entry import main
from training.recipes.estimate import steps_of
from training.recipes.logps import answer_logps, keep_adapter_dropout
from training.recipes.pair_scores import pair_scores
from training.recipes.reporting import check_stop, fit, judged_rows, remembered, trainer_arguments
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import load_tokenizer

Logps = Sequence[tuple[float, float]]  # of a chosen and a rejected answer


def ipo_losses(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """`chosen`, `rejected`: ln p over the reference's, a token."""
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def orpo_losses(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """`chosen`, `rejected`: ln p a token, below 0."""
    log_odds = (chosen - _log_rest(chosen)) - (rejected - _log_rest(rejected))
    return -chosen - beta * logsigmoid(log_odds)


def _log_rest(logp: torch.Tensor) -> torch.Tensor:
    """ln(1 - eˣ), finite where x comes to 0."""
    return torch.log(-torch.expm1(logp.clamp(max=-1e-6)))


class PairTrainer(DPOTrainer):
    """TRL's trainer, given rows that are tokens already; and ORPO."""

    orpo = False

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
        return dataset  # asked for under ORPO only, which has no reference

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        if not self.orpo:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        mask = inputs["completion_mask"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(mask == 0, data.IGNORED),
            use_cache=False,
            fused_lm_head=True,
        )
        sums = outputs.log_probs.float().sum(1)
        chosen, rejected = (sums / mask[:, 1:].sum(1).clamp(min=1)).chunk(2)
        loss = orpo_losses(chosen, rejected, self.beta).mean()
        said = self._metrics["train" if model.training else "eval"]
        said["rewards/accuracies"].append((chosen > rejected).float().mean().item())
        said["rewards/margins"].append((self.beta * (chosen - rejected)).mean().item())
        for name, values in zip(("chosen", "rejected"), sums.detach().chunk(2), strict=True):
            said[f"logps/{name}"].append(values.mean().item())
        return (loss, outputs) if return_outputs else loss


def measure(
    logps: Logps, reference: Logps, rows: Sequence[dict[str, Any]], sizes: Logps, config: DPOConfig
) -> dict[str, Any]:
    """What is said of a policy: `pair_scores` of the rewards that it implies against the reference
    (before training all are 0, every pair a draw and the loss ln 2), the run's own loss, mean
    rewards and ln p of both answers, and how often the better one is likelier a token. `sizes`:
    tokens of the answers."""
    if not rows:
        return {"pairs": 0}
    now, was, size = (
        torch.tensor(values, dtype=torch.double) for values in (logps, reference, sizes)
    )
    rewards = config.beta * (now - was)
    mean = now / size
    if config.loss == "orpo":
        losses = orpo_losses(mean[:, 0], mean[:, 1], config.beta)
    elif config.loss == "ipo":
        ratio = (now - was) / size
        losses = ipo_losses(ratio[:, 0], ratio[:, 1], config.beta)
    else:
        losses = -logsigmoid(rewards[:, 0] - rewards[:, 1])
    likelier = (mean[:, 0] > mean[:, 1]).double() + 0.5 * (mean[:, 0] == mean[:, 1]).double()
    return {
        "loss": losses.mean().item(),
        **pair_scores(rows, rewards[:, 0].tolist(), rewards[:, 1].tolist()),
        "margin": (rewards[:, 0] - rewards[:, 1]).mean().item(),
        "reward_chosen": rewards[:, 0].mean().item(),
        "reward_rejected": rewards[:, 1].mean().item(),
        "logp_chosen": now[:, 0].mean().item(),
        "logp_rejected": now[:, 1].mean().item(),
        "likelier": likelier.mean().item(),
    }


def train(run: RunDir, config: DPOConfig) -> dict[str, Any]:
    began = time.monotonic()

    def check() -> None:
        check_stop(run)

    # 1. Where it starts: the base, and an adapter over it if there is one.
    run.progress(0, 0, "loading")
    start = start_of(run)
    snapshot = run.input_path("snapshot")
    data.check_snapshot(snapshot, "preference")
    loading.seed_everything(run.seed)
    tokenizer = load_tokenizer(start.base, run.spec.get("template"))
    model: Any = loading.trainable_causal(start, tokenizer, config)
    share = loading.trainable_share(model, config)
    orpo = config.loss == "orpo"

    # 2. The pairs, as tokens, the prompt apart.
    encoder = data.Encoder(tokenizer, config.max_length)
    samples = islice(data.rows_of(snapshot, "train"), 8)
    data.check_template(encoder, [[*row["prompt"], *row["chosen"]] for row in samples])
    pairs = data.training_table(snapshot, encoder, "answers", check)
    if note := pairs.note(config.max_length):
        run.event("note", text=note)
    validation = data.validation_table(snapshot, encoder, "answers", config.eval_rows, check)
    total = steps_of(len(pairs), config)

    # 3. How good it is before: this is the reference that it is measured against afterwards.
    split, judged = judged_rows(run, config)
    asked = judged or list(islice(data.rows_of(snapshot, "train"), evaluation.SAMPLES))
    rows = [data.encode_row(row, encoder, "answers")[0] for row in judged]
    sizes = [(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]

    sides = ("chosen_ids", "rejected_ids")

    def evaluate() -> dict[str, Any]:
        texts = ((row["prompt_ids"], row[name]) for row in rows for name in sides)
        found = answer_logps(model, texts, tokenizer.pad_token_id, check=check)
        answers = evaluation.sample_answers(
            model, asked, encoder, max_new_tokens=config.sample_tokens, check=check
        )
        return {"logps": list(zip(found[::2], found[1::2], strict=True)), "answers": answers}

    run.progress(0, total, "evaluating before")
    before = remembered(run, "before", evaluate)

    # 4. Train; from the newest checkpoint where there is one.
    whole = loading.is_whole(config)
    trainer = PairTrainer(
        model=model,
        ref_model=loading.load_causal(start.base, tokenizer, config)
        if whole and not orpo
        else None,
        args=TRLConfig(
            **trainer_arguments(run, config, total, bool(len(validation))),
            beta=config.beta,
            loss_type=["sigmoid" if orpo else config.loss],
            precompute_ref_log_probs=orpo,  # so that TRL loads no reference
            disable_dropout=False,  # see below
        ),
        train_dataset=Dataset(pairs.rows),
        eval_dataset=Dataset(validation.rows) if len(validation) else None,
        processing_class=tokenizer,
    )
    trainer.orpo = orpo
    if not whole and (orpo or start.init is None):
        model.delete_adapter("ref")  # TRL's copy of a new adapter, which changes nothing yet
    keep_adapter_dropout(model)
    fitted = fit(trainer, run, config, total)
    model = trainer.model

    # 5. How good it is after, by the same code on the same rows.
    run.progress(total, total, "evaluating after")
    after = evaluate()

    # 6. What it leaves; the reference was only lent.
    run.progress(total, total, "saving")
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    return {
        "metrics": {
            "before": measure(before["logps"], before["logps"], judged, sizes, config),
            "after": measure(after["logps"], before["logps"], judged, sizes, config),
            "split": split,
        },
        "samples": evaluation.side_by_side(before["answers"], after["answers"]),
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
        "trainable_share": share,
        "rows": {"train": len(pairs), "left_out": len(pairs.empty), "cut": pairs.cut},
        **fitted,
    }


if __name__ == "__main__":
    main("dpo", train)
