"""A whole PPO step, ours against TRL 1.12.0's: same prompts, answer length and seed, in turns.

    python -m benchmarks.ppo --peer VENV [--model FOLDER] [--turns 3] [--updates 4]
                             [--step batch=8 micro=4 ...]

VENV is an environment with trl==1.12.0 (the last with a PPO) and otherwise our versions. Without
--model: a random model of 3.2 million weights and 49,152 words, made on the spot. Each turn is a
process of its own with one thread; loading, evaluation and saving are outside the timed part.
Memory is the peak over what the process held once all was imported. TRL trains a second, full value
model, under LoRA too; ours is a head on the policy: part of the difference is that of algorithms.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 49_152
STEP = {"batch": 16, "micro": 8, "epochs": 4, "new_tokens": 32, "temperature": 0.7, "rate": 1e-5}


def make_model(folder: Path, **more: Any) -> None:
    """A random Llama and a tokenizer of made-up words, whose text reads back as the same ids.
    `more`: of its config, in place of the small one's."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    small = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128,
             "num_hidden_layers": 2, "num_attention_heads": 4}  # fmt: skip
    shape = LlamaConfig(**small | more, tie_word_embeddings=True,
                        bos_token_id=None, eos_token_id=1, pad_token_id=0)  # fmt: skip
    words = {f"w{i}": i for i in range(shape.vocab_size)}
    base = Tokenizer(models.WordLevel(words, "w2"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, eos_token="w1", pad_token="w0")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }} "
        "{% if m['role'] == 'assistant' %}w1 {% endif %}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(shape).save_pretrained(folder)


def prompts() -> list[str]:
    """64 prompts of 8 to 48 words."""
    return [
        " ".join(f"w{3 + (997 * i + 31 * j) % 40_000}" for j in range(8 + 5 * i % 41))
        for i in range(64)
    ]


def seconds() -> float:
    """Of the processor; with a GPU the wall clock's, once the GPU has done what it was told."""
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Clock:
    """Seconds spent in a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = seconds()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += seconds() - began

        return timed


def held_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")


def ours(job: dict[str, Any]) -> dict[str, float]:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from training.recipes import loading, ppo, ppo_score
    from training.recipes.configs import parse
    from training.recipes.data import Encoder
    from training.recipes.ppo_rollout import Actor, Prompt
    from training.recipes.tokenizer import load_tokenizer

    imported, step = held_mib(), STEP | job.get("step", {})
    loading.seed_everything(0)
    config = parse(
        "ppo",
        {
            "adaptation": job["mode"],
            "steps": job["updates"],
            "rollout_batch": step["batch"],
            "batch_size": step["micro"],
            "accumulation": step["batch"] // step["micro"],
            "ppo_epochs": step["epochs"],
            "max_new_tokens": step["new_tokens"],
            "temperature": step["temperature"],
            "learning_rate": step["rate"],
            "warmup": 0.0,
            "max_grad_norm": 0.0,
        },
    )
    tokenizer = load_tokenizer(job["model"], None)
    model: Any = AutoModelForCausalLM.from_pretrained(job["model"], dtype=loading.dtype(config))
    model = model.to(loading.device())
    model = get_peft_model(model, lora()) if job["mode"] == "lora" else model
    encoder = Encoder(tokenizer, 512)
    actor = Actor.of(
        model, pad=tokenizer.pad_token_id, stops=encoder.end_ids, bf16=loading.in_bf16(config)
    )
    judge: Any = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=1, dtype=loading.dtype()
    )
    judge.requires_grad_(False).eval().to(loading.device())
    reward = loading.Reward(judge, tokenizer, 0.0, 1.0, 512, start=None)  # type: ignore[arg-type]
    score = ppo_score.text_score(
        [ppo_score.by_model(reward, step["micro"], lambda: None)], tokenizer
    )
    rows = []
    for text in prompts():
        messages = [{"role": "user", "content": text}]
        rows.append(Prompt(tokenizer(text, add_special_tokens=False)["input_ids"], messages))
    optimizer = torch.optim.AdamW(actor.trainable().values(), weight_decay=0)
    generator = torch.Generator(actor.device).manual_seed(0)
    clock = Clock()
    ppo.answer = clock.around(ppo.answer)
    began = seconds()
    for number in range(config.steps):
        chosen = [rows[i] for i in ppo.batch_at(len(rows), number, step["batch"], 0)]
        ppo.update(actor, chosen, score, optimizer, config, number, 0.05, generator)
    return {"imported": imported, "seconds": seconds() - began, "generating": clock.seconds}


def trl(job: dict[str, Any]) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        set_seed,
    )
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    imported, step = held_mib(), STEP | job.get("step", {})
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    whole = job["mode"] == "full"
    # As ours: what is trained itself is held in fp32, what is not in bf16 where there is a GPU.
    gpu = torch.cuda.is_available()
    frozen = torch.bfloat16 if gpu else torch.float32
    held = torch.float32 if whole else frozen
    policy = AutoModelForCausalLM.from_pretrained(job["model"], dtype=held)
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=kind)
        for kind in (frozen, torch.float32)
    )
    rows = [{"input_ids": tokenizer(text, add_special_tokens=False)["input_ids"]}
            for text in prompts()]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = PPOConfig(
            output_dir=folder,
            total_episodes=job["updates"] * step["batch"],
            per_device_train_batch_size=step["micro"],
            gradient_accumulation_steps=step["batch"] // step["micro"],
            num_mini_batches=1,
            num_ppo_epochs=step["epochs"],
            local_rollout_forward_batch_size=step["micro"],
            response_length=step["new_tokens"],
            temperature=step["temperature"],
            learning_rate=step["rate"],
            stop_token="eos",
            missing_eos_penalty=1.0,
            num_sample_generations=0,
            save_strategy="no",
            seed=0,
            use_cpu=not gpu,
            bf16=gpu,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
        )
        trainer = PPOTrainer(
            args=arguments,
            processing_class=tokenizer,
            model=policy,
            ref_model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=held)
            if whole
            else None,
            reward_model=reward,
            value_model=value,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=None,
            peft_config=None if whole else lora(),
        )
        clock = Clock()
        ppo_trainer.batch_generation = clock.around(ppo_trainer.batch_generation)
        began = seconds()
        trainer.train()
        spent = seconds() - began
    return {"imported": imported, "seconds": spent, "generating": clock.seconds}


def child(job: dict[str, Any]) -> None:
    """One turn, in a process of its own."""
    import torch

    torch.set_num_threads(1)
    found = {"ours": ours, "trl": trl}[job["side"]](job)
    unit, peak = "cpu_second", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():  # of which nothing is held once all was imported
        unit, peak = "second", torch.cuda.max_memory_reserved() / 2**20
        found["imported"] = 0.0
    samples = job["updates"] * job.get("step", {}).get("batch", STEP["batch"])
    print("RESULT " + json.dumps({
        f"samples_per_{unit}": samples / found["seconds"],
        "generation_share": found["generating"] / found["seconds"],
        "growth_mib": peak - found["imported"],
        "peak_mib": peak,
    }))  # fmt: skip


def turn(python: str, job: dict[str, Any]) -> dict[str, float]:
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = subprocess.run(
        [python, "-m", "benchmarks.ppo", "--child", json.dumps(job)],
        cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{job['side']} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(lines[0].removeprefix("RESULT "))
    return found


def row(mode: str, turns: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians of both sides, and ours over TRL's."""
    sides = {
        side: {key: round(statistics.median(t[key] for t in found), 3) for key in found[0]}
        for side, found in turns.items()
    }
    a, b = sides["ours"], sides["trl"]
    return {
        "recipe": "ppo",
        "mode": mode,
        "against": "trl 1.12.0, which trains a second, full value model",
        "speed_ratio": round(a["samples_per_cpu_second"] / b["samples_per_cpu_second"], 3),
        "growth_ratio": round(a["growth_mib"] / b["growth_mib"], 3),
        **sides,
        "turns": turns,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", help="an environment with trl==1.12.0")
    parser.add_argument("--model", help="a folder with weights; default: a random tiny model")
    parser.add_argument("--turns", type=int, default=3, help="of each side, one after the other")
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--modes", default="full,lora")
    parser.add_argument("--step", nargs="*", default=[], metavar="NAME=NUMBER", help=str(STEP))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(json.loads(given.child))
    if not given.peer:
        parser.error("--peer is needed: an environment with trl==1.12.0")
    step = {name: json.loads(number) for name, number in (part.split("=") for part in given.step)}
    pythons = {"ours": sys.executable, "trl": str(Path(given.peer) / "bin" / "python")}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or folder
        if not given.model:
            make_model(Path(folder))
        for mode in given.modes.split(","):
            turns: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
            for _ in range(given.turns):
                for side, python in pythons.items():
                    job = {"side": side, "mode": mode, "model": model, "updates": given.updates}
                    job["step"] = step
                    turns[side].append(turn(python, job))
            rows.append(row(mode, turns))
    model = given.model or "random, 3.2 M weights"
    about = {"model": model, "updates": given.updates, **STEP, **step}
    print(json.dumps({"benchmark": "ppo", "settings": about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
