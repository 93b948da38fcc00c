"""What a model folder holds, what a run starts from, and what it leaves (stdlib only).

An artifact is a folder with weights (safetensors), a tokenizer and annotune.json: recipe, kind,
base, template, config, the snapshot's hash; of a reward run mean and spread of its rewards, of a
classifier the names of its labels (beside an adapter also as the config of its model: classifier/).
"""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.recipes.run_dir import RunDir, write_json

# A knob, and what peft calls it.
LORA = {"lora_rank": "r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout"}


@dataclass(frozen=True)
class Artifact:
    """What a run left, as its annotune.json says."""

    path: str
    kind: str  # adapter or model; before it reward_ or classifier_ where it has such a head
    base: dict[str, str]  # {"path", "sha256"} of what an adapter stands on
    template: dict[str, str]  # {"name", "text", "day"}
    reward: dict[str, float]  # {"mean", "std"} of a reward run, else empty
    config: dict[str, Any]  # of the run that left it
    labels: list[str] = field(default_factory=list)  # of a classifier, by their numbers

    @property
    def is_adapter(self) -> bool:
        return self.kind.endswith("adapter")

    @property
    def is_reward(self) -> bool:
        return self.kind.startswith("reward")

    @property
    def is_classifier(self) -> bool:
        return self.kind.startswith("classifier")

    @property
    def lora(self) -> dict[str, Any]:
        """An adapter's own lora_* knobs; none where it does not say them."""
        file = Path(self.path) / "adapter_config.json"
        found = json.loads(file.read_text("utf-8")) if file.exists() else {}
        return {knob: found[name] for knob, name in LORA.items() if found.get(name) is not None}

    @property
    def task(self) -> str:
        return (
            "reward model" if self.is_reward else "classifier" if self.is_classifier
            else "language model"
        )  # fmt: skip


def read_artifact(path: str) -> Artifact:
    """The artifact in a folder; a plain Hugging Face folder is one of kind adapter or model.

    Raises ValueError where annotune.json is not readable."""
    folder = Path(path)
    file = folder / "annotune.json"
    try:
        facts = json.loads(file.read_text("utf-8")) if file.exists() else {}
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    plain = "adapter" if (folder / "adapter_config.json").exists() else "model"
    return Artifact(
        path=str(path),
        kind=facts.get("kind") or plain,
        base=facts.get("base") or {},
        template=facts.get("template") or {},
        reward=facts.get("reward") or {},
        config=facts.get("config") or {},
        labels=facts.get("labels") or [],
    )


def hub_is_off() -> bool:
    """No downloads unless asked for: only HF_HUB_OFFLINE=0 (or no, false, off) allows them."""
    return os.environ.get("HF_HUB_OFFLINE", "1").lower() not in ("0", "no", "false", "off")


def check_weights(path: str) -> None:
    """Raise ValueError, before anything heavy is done, where there are no weights we would read."""
    folder = Path(path)
    if not folder.is_dir():
        if folder.is_absolute() or path.startswith("."):
            raise ValueError(f"There is no model folder at {path}.")
        if hub_is_off():
            raise ValueError(
                f"{path} is not a folder here, and downloads are off: name a local folder, "
                "or allow the Hugging Face Hub (HF_HUB_OFFLINE=0)."
            )
        return
    if any(folder.glob("*.safetensors")):
        return
    if any(file.suffix in (".bin", ".pt", ".pth") for file in folder.iterdir()):
        raise ValueError(
            f"{path} holds pickled weights only (.bin or .pt). They can run code when they are "
            "read, so they are not loaded: save the model as safetensors first."
        )
    if any(folder.glob("*.gguf")):
        raise ValueError(f"{path} holds a GGUF file, which cannot be trained: convert it first.")
    raise ValueError(f"{path} holds no weights (no .safetensors file).")


def check_base(artifact: Artifact, base_sha256: str) -> None:
    """Raise ValueError where an adapter has no weights or was trained on another base."""
    check_weights(artifact.path)
    wanted = artifact.base.get("sha256", "")
    if wanted and base_sha256 and wanted != base_sha256:
        raise ValueError(
            f"The adapter {artifact.path} was trained on other weights "
            f"({artifact.base.get('path', 'unknown')}): it does not fit this base model."
        )


# What a recipe trains; all others train a language model.
TASKS = {"reward": "reward model", "classify": "classifier"}


def check_start(start: "Start", config: Any, task: str = "language model") -> None:
    """Raise ValueError where what a run shall start from is no start for what it trains."""
    found = (start.init or read_artifact(start.base)).task
    if found not in (task, "language model"):
        raise ValueError(f"A {task} cannot start from a {found}: choose an SFT run.")
    if start.init is not None and config.adaptation in ("full", "half"):
        raise ValueError("An adapter can be continued, or all weights trained: not both at once.")


def as_continued(start: "Start", config: Any) -> tuple[Any, str]:
    """The config with the lora_* knobs of the adapter that goes on, which stays as it was made, and
    a sentence on those that were turned in vain; as it is, and "", where none goes on."""
    own = start.init.lora if start.init is not None and hasattr(config, "lora_rank") else {}
    vain = [
        f"{knob} {getattr(config, knob):g} (it has {own[knob]:g})"
        for knob in own
        if getattr(config, knob) not in (own[knob], getattr(type(config), knob))
    ]
    note = f"The adapter that is given goes on as it was made. Not read: {', '.join(vain)}."
    return replace(config, **own), note if vain else ""


def folder_sha256(path: str | Path) -> str:
    """sha256 over the sorted lines `sha256  path` of a folder's files; "" for a Hub id."""
    folder = Path(path)
    if not folder.is_dir():
        return ""
    lines = []
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            lines.append(f"{digest}  {file.relative_to(folder).as_posix()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@dataclass(frozen=True)
class Start:
    """Base weights of a run, and the adapter that goes on top of them, if any."""

    base: str  # absolute folder, or Hub id
    sha256: str  # of the base
    init: Artifact | None = None


def start_of(run: RunDir, *, hashed: bool = True) -> Start:
    """Where a run starts: input `model` with the adapter `init` over it; a whole `init` (full
    weights) stands in the model's place. `hashed`: read all of the base for its sha256."""
    init = read_artifact(_real(run.input_path("init"))) if "init" in run.inputs else None
    if init is not None and not init.is_adapter:
        return Start(init.path, folder_sha256(init.path) if hashed else "")
    base = _real(run.input_path("model"))
    return Start(base, folder_sha256(base) if hashed else "", init)


def hold_day(run: RunDir) -> None:
    """Settle for the run which day a chat template that asks for it is told: that of the adapter
    which goes on, else the run's own. The tokenizer is loaded with it."""
    init = read_artifact(_real(run.input_path("init"))) if "init" in run.inputs else None
    day = (init.template.get("day") if init else "") or run.day()
    run.spec["template"] = (run.spec.get("template") or {}) | {"day": day}


def start_of_artifact(run: RunDir, name: str, *, hashed: bool = True) -> Start:
    """An earlier run's artifact as input `name`, its base beside it as `<name>_base` (else the
    run's own model)."""
    artifact = read_artifact(_real(run.input_path(name)))
    if not artifact.is_adapter:
        return Start(artifact.path, folder_sha256(artifact.path) if hashed else "")
    base = _real(run.input_path(f"{name}_base" if f"{name}_base" in run.inputs else "model"))
    return Start(base, folder_sha256(base) if hashed else "", artifact)


def _real(path: str) -> str:
    """Inputs are links into a store; what is written down is the place they lead to."""
    return os.path.realpath(path) if os.path.exists(path) else path


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """A model's weights or, of a peft model, those of its adapter `default`; and its tokenizer."""
    if hasattr(model, "peft_config"):
        # Embeddings are never trained here; peft would look on the Hub whether they were.
        model.save_pretrained(folder, save_embedding_layers=False, selected_adapters=["default"])
        (folder / "README.md").unlink(missing_ok=True)  # a card that knows nothing but a path
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_artifact(
    run: RunDir,
    model: Any,
    tokenizer: Any,
    *,
    start: Start,
    config: dict[str, Any],
    reward: dict[str, float] | None = None,
    labels: Sequence[str] = (),
) -> dict[str, str]:
    """Write artifact/, whole or not at all; returns its {"kind", "sha256"}.

    `model` is a transformers or peft model; `reward` {"mean", "std"} marks a reward model, `labels`
    a classifier."""
    part = run.path / "artifact.part"
    shutil.rmtree(part, ignore_errors=True)
    save_model(model, tokenizer, part)
    if labels and hasattr(model, "peft_config"):
        # An adapter has no word for them. Not beside it: a folder with a config.json is taken for a
        # whole model.
        named = copy.deepcopy(model.config)
        vars(named).pop("quantization_config", None)
        named.save_pretrained(part / "classifier")
    head = "reward_" if reward is not None else "classifier_" if labels else ""
    kind = head + ("adapter" if hasattr(model, "peft_config") else "model")
    template = run.spec.get("template") or {}
    facts: dict[str, Any] = {
        "recipe": run.spec.get("recipe", ""),
        "kind": kind,
        "base": {"path": start.base, "sha256": start.sha256},
        "template": {
            "name": template.get("name", "model"),
            "text": tokenizer.chat_template or "",
            "day": template.get("day", ""),
        },
        "config": config,
        "seed": run.seed,
        "snapshot_sha256": run.inputs["snapshot"].sha256 if "snapshot" in run.inputs else "",
        "versions": run.spec.get("versions", {}),
    }
    if reward is not None:
        facts["reward"] = reward
    if labels:
        facts["labels"] = list(labels)
    write_json(part / "annotune.json", facts)
    shutil.rmtree(run.artifact, ignore_errors=True)
    os.replace(part, run.artifact)
    return {"kind": kind, "sha256": folder_sha256(run.artifact)}
