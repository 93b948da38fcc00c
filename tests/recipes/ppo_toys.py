"""Models, tokenizers, artifacts and run directories small enough to train in a second."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from exports import chat
from tests.recipes.conftest import SENTENCES, open_run, save_llama, user, write_snapshot
from training.recipes import ppo
from training.recipes.configs import PPOConfig, parse
from training.recipes.ppo_rollout import Actor, Prompt
from training.recipes.run_dir import RunDir


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
    rows = [{"prompt": user(sentence)} for sentence in SENTENCES] + [
        {"prompt": [{"role": "system", "content": "Be short."}, *user("Why?")]},
        {"prompt": user("How?")},
        {"prompt": user("When?")},
    ]
    return write_snapshot(folder, "prompts", train=rows[:6], test=rows[6:])


def make_run(folder: Path, store: Path, **settings: Any) -> RunDir:
    """A run directory over what is in `store`; made there where it is missing."""
    makers = {"model": save_llama, "reward": save_reward, "snapshot": save_prompts}
    for name, make in makers.items():
        if not (store / name).exists():
            make(store / name)
    inputs: dict[str, Path | str] = {name: store / name for name in makers}
    if (store / "init").exists():
        inputs["init"] = store / "init"
    folder.mkdir(parents=True)
    small = {
        "seed": 3,
        "steps": 6,
        "rollout_batch": 4,
        "max_new_tokens": 6,
        "lora_rank": 2,
        "learning_rate": 3e-3,
        "eval_rows": 3,
        "save_steps": 2,
    }
    run = open_run(folder, "ppo", inputs, **small | settings)
    run.close()
    return run


def digest(run: RunDir) -> str:
    """Of all weights; peft writes a set into its config, in no order."""
    files = sorted(run.artifact.glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
