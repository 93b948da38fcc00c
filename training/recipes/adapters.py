"""Adapters: laid over a base anew, or taken up again, and then whole.

peft fills a gap in an adapter's file with fresh weights and drops what it has no place for, and the
log says so at most. Here both are a ValueError with a sentence.
"""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors import safe_open
from transformers import PreTrainedModel

from training.recipes.artifacts import Start, check_base


def add_lora(model: PreTrainedModel, config: Any, whole: Collection[str] = ()) -> PeftModel:
    """A fresh adapter on every linear layer. `whole`: modules of a classifier that are trained and
    kept whole beside it, for its base does not hold them: the head at least."""
    # peft goes by the ends of names: DistilBERT's pre_classifier is whole where its classifier is.
    ends = tuple(whole)
    named = [name for name, _ in model.named_modules() if name.endswith(ends)]
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        task_type=TaskType.SEQ_CLS if whole else TaskType.CAUSAL_LM,
        modules_to_save=named or None,
    )
    return _peft(get_peft_model(model, lora))


def attach(
    model: PreTrainedModel, start: Start, *, trainable: bool = False, name: str = "default"
) -> PeftModel:
    """The start's adapter on its base. Raises ValueError where it was trained on another base, or
    is not whole."""
    assert start.init is not None
    check_base(start.init, start.sha256)
    folder = start.init.path
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # refused below
        try:
            peft = _peft(
                PeftModel.from_pretrained(model, folder, is_trainable=trainable, adapter_name=name)
            )
        except KeyError as error:  # of a module that is kept whole
            raise ValueError(_lacks(folder, [str(error.args[0])])) from None
    check_adapter(folder, peft, name)
    return peft


def lora_from_causal(model: PreTrainedModel, start: Start, whole: Collection[str]) -> PeftModel:
    """A classifier that starts from a language model's adapter: the same layers, and new modules
    that are kept `whole`. One adapter over the base, so that what it leaves needs no more than the
    base."""
    assert start.init is not None
    folder = start.init.path
    check_base(start.init, start.sha256)
    config = LoraConfig.from_pretrained(folder)
    config.task_type = TaskType.SEQ_CLS
    config.inference_mode = False
    config.modules_to_save = sorted(whole)
    peft = _peft(get_peft_model(model, config))
    state = get_peft_model_state_dict(peft, save_embedding_layers=False)
    fresh = {key for key in state if any(f".{module}." in key for module in whole)}
    check_adapter(folder, peft, fresh=fresh)
    set_peft_model_state_dict(peft, state | load_peft_weights(folder, device="cpu"))
    return peft


def check_adapter(
    folder: str | Path, model: Any, name: str = "default", *, fresh: Collection[str] = ()
) -> None:
    """Raise ValueError where an adapter's file lacks weights of the model's adapter `name` (but for
    those that are to be `fresh`), or has some that the model has no place for."""
    file = Path(folder) / "adapter_model.safetensors"
    try:
        with safe_open(file, "pt") as weights:
            held = set(weights.keys())
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    wanted = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False).keys()
    if lost := sorted(wanted - held - set(fresh)):
        raise ValueError(_lacks(folder, lost))
    # Embeddings that were trained lie beside an adapter, under the names that the model has.
    if unknown := sorted(held - wanted - model.state_dict().keys()):
        raise ValueError(
            f"The adapter {folder} has layers that {type(model.get_base_model()).__name__} has "
            f"not: {_listed(unknown)}."
        )


@contextmanager
def under_own_names(model: Any) -> Iterator[None]:
    """A whole model's checkpoints that are made within bear the model's own names: transformers
    writes a mixture's experts under those of their authors, and its trainer cannot read them
    again."""
    if isinstance(model, PreTrainedModel):
        own = partial(model.save_pretrained, save_original_format=False)
        vars(model)["save_pretrained"] = own
    try:
        yield
    finally:
        vars(model).pop("save_pretrained", None)


def check_checkpoint(folder: Path, model: Any) -> None:
    """Raise ValueError where a checkpoint does not hold all that the model consists of, or of a
    peft model its adapter: what is missing would go on from its beginning."""
    if hasattr(model, "peft_config"):
        check_adapter(folder, model)
        return
    held = set[str]()
    for file in folder.glob("*.safetensors"):
        if file.name != "state.safetensors":
            with safe_open(file, "pt") as weights:
                held |= set(weights.keys())
    named = list(model.named_parameters(remove_duplicate=False))  # a tied one is held once
    there = {id(parameter) for name, parameter in named if name in held}
    if lost := sorted(name for name, parameter in named if id(parameter) not in there):
        raise ValueError(f"The checkpoint {folder} is not whole: it lacks {_listed(lost)}.")


def _lacks(folder: str | Path, names: list[str]) -> str:
    return f"The adapter {folder} is not whole: it lacks {_listed(names)}."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _peft(model: Any) -> PeftModel:
    """peft says its return type loosely; here it is said once."""
    assert isinstance(model, PeftModel)
    # TRL rounds the adapter of a model with this mark to bf16, where small updates are lost.
    if getattr(model, "is_loaded_in_4bit", False):
        base: Any = model.get_base_model()
        base.is_loaded_in_4bit = False
    return model
