"""Real data through the small real model, by the product's own commands.

    ANNOTUNE_HOME=FOLDER python -m benchmarks.trials DATA [TRIAL or DATASET ...]

DATA holds published files under the names in IMPORTS. What is there already (projects, datasets,
runs that succeeded) is not made again, so a trial may be asked for alone, and again. Prints a JSON
line a trial: config, rows, numbers before and after, samples, processor minutes (loading,
measuring and training). One thread, if OMP_NUM_THREADS=1 says so.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = Path(os.environ["ANNOTUNE_HOME"])
NOTES = HOME / "trials.json"  # what was made: {"snapshots": {name: path}, "runs": {name: number}}

# Project -> its file; dataset -> project, kind. A tenth validates, a fifth tests.
IMPORTS = {
    "gsm8k": "sft/gsm8k_train.jsonl",
    "roleplay": "sft/gpteacher_roleplay.json",
    "pandalm": "pairs/pandalm_testset.json",
    "oasst": "ranking/oasst1_ranked.jsonl",
    "hh": "hh/harmless_base_train.jsonl.gz",
    "abstracts": "text/pubmed_abstracts.txt",
}
DATASETS = {
    "gsm8k-sft": ("gsm8k", "sft"),
    "roleplay-sft": ("roleplay", "sft"),
    "pandalm-pairs": ("pandalm", "preference"),
    "oasst-pairs": ("oasst", "preference"),
    "hh-pairs": ("hh", "preference"),
    "pandalm-prompts": ("pandalm", "prompts"),
    "abstracts-text": ("abstracts", "text"),
}


@dataclass(frozen=True)
class Trial:
    recipe: str
    dataset: str
    config: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)  # init, reward: another trial
    model: str = "base"  # or "bare"
    preset: str = "sensible"


SHORT = {"max_length": 160, "eval_rows": 40, "eval_steps": 20, "sample_tokens": 48, "seed": 1}
PAIRS = {"max_length": 144, "eval_rows": 48, "eval_steps": 24, "seed": 1}
PPO = {"steps": 14, "rollout_batch": 16, "batch_size": 8, "max_new_tokens": 16, "max_length": 96,
       "learning_rate": 3e-4, "eval_steps": 7, "sample_tokens": 24, "seed": 1}  # fmt: skip
TRIALS = {
    "sft-gsm8k": Trial("sft", "gsm8k-sft", SHORT | {"max_steps": 40}),
    "sft-gsm8k-again": Trial("sft", "gsm8k-sft", SHORT | {"max_steps": 40, "seed": 2}),
    "sft-roleplay": Trial("sft", "roleplay-sft", SHORT | {"max_steps": 24}),
    "sft-bare": Trial(
        "sft", "roleplay-sft", SHORT | {"max_steps": 20, "template": "instruction"}, model="bare"
    ),
    "pretrain-abstracts": Trial(
        "pretrain",
        "abstracts-text",
        {"max_length": 256, "max_steps": 24, "eval_rows": 24, "eval_steps": 12, "seed": 1},
    ),
    "reward-pandalm": Trial("reward", "pandalm-pairs", PAIRS | {"max_steps": 24}),
    # A rule first: what it asks for is known, and no model stands between.
    "ppo-rule": Trial(
        "ppo", "pandalm-prompts", PPO | {"rule": "keyword", "rule_value": "the, and, of, to"}
    ),
    "ppo-reward": Trial(
        "ppo",
        "pandalm-prompts",
        PPO | {"steps": 10},
        {"init": "sft-roleplay", "reward": "reward-pandalm"},
    ),
    # What a page's "quick" does, and nothing else than the reward said.
    "ppo-quick": Trial(
        "ppo",
        "pandalm-prompts",
        {"rule": "keyword", "rule_value": "the, and, of, to"},
        preset="quick",
    ),
    "ppo-quick-reward": Trial(
        "ppo",
        "pandalm-prompts",
        {},
        {"init": "sft-roleplay", "reward": "reward-pandalm"},
        preset="quick",
    ),
    "dpo-pandalm": Trial("dpo", "pandalm-pairs", PAIRS | {"max_steps": 20, "sample_tokens": 48}),
}


def manage(*words: str) -> list[str]:
    """A command of the product; the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.splitlines()


def noted() -> dict[str, dict[str, str]]:
    if NOTES.exists():
        return dict(json.loads(NOTES.read_text()))
    return {"snapshots": {}, "runs": {}}


def without_template(run: str) -> str:
    """The small model with its chat template taken off, below the home's models; its name."""
    folder = HOME / "models" / "bare"
    shutil.copytree(Path(run) / "artifact", folder, dirs_exist_ok=True)
    for name in ("chat_template.jinja", "annotune.json"):
        (folder / name).unlink(missing_ok=True)
    return folder.name


def main(data: str, wanted: list[str]) -> None:
    notes = noted()

    def note(kind: str, name: str, value: str) -> str:
        now = noted()  # another trial may have noted its own meanwhile
        now[kind][name] = notes[kind][name] = value
        NOTES.write_text(json.dumps(now, indent=1))
        return value

    def snapshot(name: str) -> str:
        if name in notes["snapshots"]:
            return str(notes["snapshots"][name])
        project, kind = DATASETS[name]
        manage("import_prompts", project, f"{data}/{IMPORTS[project]}", "--create", "--skip-bad")
        rules = ["--rule", "test=20", "--rule", "validation=10"]
        manage("make_dataset", name, "--project", project, "--kind", kind, *rules)
        return note("snapshots", name, manage("freeze", name)[-1].partition("\t")[0])

    def run(name: str) -> str:
        if name in notes["runs"]:
            return str(notes["runs"][name])
        if name == "base":
            return note("runs", name, manage("get_model", "--wait")[0])
        if name == "bare":
            return note("runs", name, without_template(manage("get_model", "--wait")[1]))
        trial = TRIALS[name]
        words = ["--snapshot", snapshot(trial.dataset)]  # first: the import makes the workspace
        words += ["--model", run(trial.model), "--preset", trial.preset]
        for key, value in trial.config.items():
            words += ["--set", f"{key}={value}"]
        for given, other in trial.inputs.items():
            words += [f"--{given}", run(other)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        number, folder = manage("train", trial.recipe, *words, "--name", name, "--wait")[:2]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result = json.loads((Path(folder) / "result.json").read_text())
        kept = ("metrics", "samples", "rows", "steps", "kept", "trainable_share", "kl_coef")
        row = {"trial": name, "recipe": trial.recipe, "dataset": trial.dataset,
               "preset": trial.preset, "config": trial.config, "inputs": trial.inputs,
               "cpu_minutes": round(cpu / 60, 1)}  # fmt: skip
        row |= {key: result[key] for key in kept if key in result}
        print(json.dumps(row, ensure_ascii=False), flush=True)
        return note("runs", name, number)

    if not notes["snapshots"] and not notes["runs"]:
        manage("migrate", "-v0")
    for name in wanted or [*TRIALS, *DATASETS]:  # benchmarks/reward_trials.py reads the pairs
        (snapshot if name in DATASETS else run)(name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
