"""Our PPO step against TRL 1.12.0's on the same tiny models and the same answers.

    python -m benchmarks.ppo_oracle             the table, from tests/recipes/oracle
    python -m benchmarks.ppo_oracle --capture   lets TRL make it anew first

To capture needs an environment of its own beside ours: trl==1.12.0, the last with a PPO, and
otherwise our versions. TRL's trainer runs one update; where it whitens, its local variables are
copied. The table's figures are the largest differences; `own_…` those of our own rules, which score
the last real token and know the true length (docs/decisions, PPO is our own).
"""

import argparse
import json
import os
import sys
import tempfile
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy
import torch
from safetensors.torch import save_file

from tests.recipes import ppo_trl
from tests.recipes.ppo_trl import CASES, END, FIXTURES, Capture, Case

ENDED = {"nobody": (0, 0), "some": (2, 6), "all": (8, 8), "pad": (2, 6), "no": (2, 8)}


def sequence_model(trunk: Any, seed: int) -> Any:
    """TRL's shape of a value or reward model: a trunk and a head `score`."""
    from transformers import LlamaForSequenceClassification

    shape = trunk.config
    shape.num_labels = 1
    made = LlamaForSequenceClassification(shape).eval()
    made.model.load_state_dict(trunk.model.state_dict())
    made.score.weight.data.copy_(ppo_trl.head(seed))
    return made


def tokenizer(pad: int) -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(ppo_trl.VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, "w0")),
        eos_token=f"w{END}",
        pad_token=f"w{pad}",
        padding_side="left",
    )


def capture(case: Case) -> tuple[Capture, dict[str, torch.Tensor]]:
    """One update by TRL: what it saw and made, and the weights that it left."""
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    made = ppo_trl.models(case)
    value = sequence_model(made["value"], ppo_trl.VALUE_HEAD)
    told = ppo_trl.SETTINGS
    seen: dict[str, Any] = {}

    class Trainer(PPOTrainer):
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            seen["losses"] = [logs["loss/policy_avg"], logs["loss/value_avg"]]

    whiten = ppo_trainer.masked_whiten

    def whitened(x: torch.Tensor, mask: torch.Tensor, shift_mean: bool = True) -> torch.Tensor:
        found = whiten(x, mask, shift_mean)
        local = sys._getframe(1).f_locals
        for name in ("query_responses", "responses", "postprocessed_responses", "logprobs",
                     "ref_logprobs", "values", "scores", "returns", "padding_mask"):  # fmt: skip
            seen[name] = local[name].clone()
        seen["advantages"] = found.masked_fill(local["padding_mask"], 0)
        seen["random"] = numpy.random.get_state()
        return found

    ppo_trainer.masked_whiten = whitened
    with tempfile.TemporaryDirectory() as folder:
        arguments = PPOConfig(
            output_dir=folder,
            total_episodes=8,
            per_device_train_batch_size=told["batch_size"],
            gradient_accumulation_steps=told["accumulation"],
            num_mini_batches=1,
            num_ppo_epochs=told["ppo_epochs"],
            local_rollout_forward_batch_size=4,
            response_length=ppo_trl.WIDTH,
            temperature=case.temperature,
            kl_estimator=case.kl_estimator,
            kl_coef=told["kl_coef"],
            gamma=told["gamma"],
            lam=told["gae_lambda"],
            cliprange=told["clip"],
            cliprange_value=told["value_clip"],
            vf_coef=told["value_coef"],
            missing_eos_penalty=told["missing_eos_penalty"],
            learning_rate=told["learning_rate"],
            adam_epsilon=ppo_trl.EPSILON,
            stop_token="eos" if case.stops else None,
            num_sample_generations=0,
            save_strategy="no",
            seed=case.seed,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
        )
        # More rows than one update reads: in a pass's last batch accelerate ends accumulation, and
        # TRL would take a step after each device batch.
        rows = [{"input_ids": ids} for ids in 3 * ppo_trl.PROMPTS]
        trainer = Trainer(
            args=arguments,
            processing_class=tokenizer(case.pad),
            model=made["policy"],
            ref_model=made["reference"],
            reward_model=sequence_model(made["reward"], ppo_trl.REWARD_HEAD),
            value_model=value,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=None,
        )
        trainer.train()
    ppo_trainer.masked_whiten = whiten
    width = seen["responses"].shape[1]
    numpy.random.set_state(seen["random"])
    orders = [numpy.random.permutation(8).tolist() for _ in range(told["ppo_epochs"])]
    found = Capture(
        queries=seen["query_responses"][:, :-width],
        responses=seen["responses"],
        shown=seen["postprocessed_responses"],
        log_probs=seen["logprobs"],
        reference=seen["ref_logprobs"],
        values=seen["values"],
        scores=seen["scores"],
        advantages=seen["advantages"],
        returns=seen["returns"],
        order=torch.tensor(orders),
        losses=torch.tensor(seen["losses"], dtype=torch.float64),
    )
    after = {f"policy.{n}": p.detach() for n, p in made["policy"].named_parameters()}
    after |= {f"value.{n}": p.detach() for n, p in value.model.named_parameters()}
    return found, after | {"value.score.weight": value.score.weight.detach()}


def fitting(name: str) -> tuple[Capture, dict[str, torch.Tensor]]:
    """A capture in which as many answers end early as the case says: the first seed that has it."""
    from dataclasses import replace

    low, high = ENDED[name.split()[0]]
    for seed in range(40):
        found, after = capture(replace(CASES[name], seed=seed))
        early = (found.responses[:, : ppo_trl.WIDTH - 1] == END).any(1).sum()
        if low <= early <= high and found.responses.shape[1] >= ppo_trl.WIDTH - 3:
            return found, after
    raise SystemExit(f"No seed of 40 gives “{name}”.")


def store() -> None:
    import transformers
    import trl

    if trl.__version__ != "1.12.0":
        raise SystemExit(f"TRL is {trl.__version__} here; the oracle is 1.12.0.")
    versions = {"trl": trl.__version__, "transformers": transformers.__version__}
    versions["torch"] = torch.__version__.partition("+")[0]
    FIXTURES.mkdir(exist_ok=True)
    for name in CASES:
        found, after = fitting(name)
        tensors = {key: value.contiguous() for key, value in (vars(found) | after).items()}
        save_file(tensors, ppo_trl.file_of(name), {"versions": json.dumps(versions)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--capture", action="store_true", help="let TRL 1.12.0 make it anew first")
    torch.set_num_threads(1)
    if parser.parse_args().capture:
        store()
    rows = [{"case": name} | ppo_trl.compare(name) for name in CASES]
    against = ppo_trl.saved(next(iter(CASES)))[2]
    print(json.dumps({"benchmark": "ppo_oracle", "against": against, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
