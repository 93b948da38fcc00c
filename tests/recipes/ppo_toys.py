"""Models, tokenizers, artifacts and run directories small enough to train in a second."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from exports import chat
from training.recipes import ppo
from training.recipes.configs import PPOConfig, parse
from training.recipes.ppo_rollout import Actor, Prompt

WORDS = [
    "user",
    "assistant",
    "system",
    "red",
    "green",
    "blue",
    "one",
    "two",
    "three",
    "four",
    "good",
    "bad",
    "yes",
    "no",
    "maybe",
]


def sizes(vocabulary: int, hidden: int = 32, **more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        **more,
    )


def causal(vocabulary: int, *, seed: int = 0, hidden: int = 32, scale: float = 1.0) -> Any:
    """A random language model; `scale` of its head says how far from uniform it is."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(sizes(vocabulary, hidden)).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(scale)
    return model


def config(**values: Any) -> PPOConfig:
    plain = {"adaptation": "full", "missing_eos_penalty": 0.0, "warmup": 0.0, "value_clip": 0.0}
    parsed = parse("ppo", plain | values)
    assert isinstance(parsed, PPOConfig)
    return parsed


def optimizer_of(actor: Actor) -> torch.optim.Optimizer:
    return torch.optim.AdamW(actor.trainable().values(), weight_decay=0)


def improve(actor: Actor, prompts: list[Prompt], score: ppo.Score, settings: PPOConfig) -> list:
    """All updates of a config on the same prompts; the metrics of each."""
    optimizer = optimizer_of(actor)
    generator = torch.Generator().manual_seed(settings.seed)
    return [
        ppo.update(actor, prompts, score, optimizer, settings, step, settings.kl_coef, generator)[1]
        for step in range(settings.steps)
    ]


# Run directories ---------------------------------------------------------------------------------


def words_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, ChatML, and a pad that is not the end token."""
    specials = ["<pad>", "<|im_start|>", "<|im_end|>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*specials, *WORDS])}
    base = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", eos_token="<|im_end|>", unk_token="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = chat.CHATML
    return tokenizer


def letters_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, another template, another end: nothing in common with the policy's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate([*alphabet, "</s>", "[PAD]"])}
    base = Tokenizer(models.BPE(vocabulary, []))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=base, eos_token="</s>", pad_token="[PAD]")
    tokenizer.chat_template = chat.INSTRUCTION
    return tokenizer


def save_base(folder: Path, *, seed: int = 0) -> Path:
    tokenizer = words_tokenizer()
    causal(len(tokenizer), seed=seed, scale=4.0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_reward(folder: Path, *, seed: int = 1) -> Path:
    """What a reward run leaves, of full weights."""
    tokenizer = letters_tokenizer()
    torch.manual_seed(seed)
    shape = sizes(len(tokenizer), num_labels=1)
    shape.pad_token_id = tokenizer.pad_token_id
    model = LlamaForSequenceClassification(shape)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {
        "recipe": "reward",
        "kind": "reward_model",
        "template": {"name": "instruction", "text": chat.INSTRUCTION},
        "reward": {"mean": 0.01, "std": 0.02},
        "config": {"max_length": 96},
    }
    (folder / "annotune.json").write_text(json.dumps(facts))
    return folder


def save_prompts(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    for split, count in {"train": 6, "test": 3}.items():
        rows = [
            {"prompt": [{"role": "user", "content": f"{WORDS[3 + i]} {WORDS[6 + i]}"}]}
            for i in range(count)
        ]
        rows[0]["prompt"].insert(0, {"role": "system", "content": "good"})
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def make_run(folder: Path, store: Path, **settings: Any) -> Path:
    """A run directory over what is in `store`; made there where it is missing."""
    places = {
        "model": store / "base",
        "reward": store / "reward",
        "snapshot": store / "prompts",
    }
    for name, make in (("model", save_base), ("reward", save_reward), ("snapshot", save_prompts)):
        if not places[name].exists():
            make(places[name])
    if (store / "init").exists():
        places["init"] = store / "init"
    folder.mkdir(parents=True)
    spec = {
        "run": 1,
        "attempt": 1,
        "recipe": "ppo",
        "seed": 3,
        "config": {
            "steps": 6,
            "rollout_batch": 4,
            "batch_size": 2,
            "max_new_tokens": 6,
            "max_length": 64,
            "lora_rank": 2,
            "learning_rate": 3e-3,
            "eval_rows": 3,
            "sample_tokens": 6,
            "save_steps": 2,
        }
        | settings,
        "inputs": [
            {"name": name, "kind": name, "path": str(path), "sha256": ""}
            for name, path in places.items()
        ],
        "template": {"name": "model", "text": ""},
        "versions": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text())
    return found


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def digest(run: Path) -> str:
    """Of all weights; peft writes a set into its config, in no order."""
    files = sorted((run / "artifact").glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
