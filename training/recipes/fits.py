"""What would make a run fit that does not: single changes of its config, each estimated again, and
all of them together where none is enough."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

SHORTEST = 128  # tokens; below that max_length is not halved


@dataclass(frozen=True)
class Change:
    """`config`: the knobs that change, with their new values; `needed`: bytes with them."""

    text: str
    config: dict[str, Any]
    needed: float
    fits: bool


def changes(config: Any, needed: Callable[[Any], float], free: float) -> list[Change]:
    """Dearest last: what changes nothing that is learned comes first, then what trains fewer
    weights, then what cuts rows. `needed`: bytes of a config; `free`: bytes that there are."""
    tried = []
    for step in (_smaller_batch, _checkpointing, _lora, _qlora, _shorter):
        best: Change | None = None
        for text, new in step(config):
            size = needed(replace(config, **new))
            best = Change(text, new, size, size <= free)
            if best.fits:
                break
        if best is not None:
            tried.append(best)
    if not any(change.fits for change in tried) and len(tried) > 1:
        tried.append(_together(tried, config, needed, free))
    return tried


def _together(
    tried: list[Change], config: Any, needed: Callable[[Any], float], free: float
) -> Change:
    """One change after the other, until it fits."""
    new: dict[str, Any] = {}
    texts: list[str] = []
    size = 0.0
    for change in tried:
        new |= change.config
        if "adaptation" in change.config:
            texts = [text for text in texts if "LoRA" not in text]
        texts.append(change.text)
        size = needed(replace(config, **new))
        if size <= free:
            break
    return Change("; ".join(texts), new, size, size <= free)


Tries = Iterator[tuple[str, dict[str, Any]]]


def _smaller_batch(config: Any) -> Tries:
    """Half as many rows at a time, and again; as many an update."""
    batch, more = config.batch_size, getattr(config, "accumulation", 0)
    while batch > 1:
        batch //= 2
        if not more:
            yield f"batch_size {batch}", {"batch_size": batch}
            continue
        # Rounded up: an update never learns from fewer rows than was asked.
        held = -(-config.batch_size * more // batch)
        said = f"batch_size {batch} with accumulation {held}: as many rows an update"
        yield said, {"batch_size": batch, "accumulation": held}


def _checkpointing(config: Any) -> Tries:
    if getattr(config, "checkpointing", "on") == "off":
        yield "checkpointing on: a third more time", {"checkpointing": "on"}


def _lora(config: Any) -> Tries:
    if getattr(config, "adaptation", "") in ("full", "half"):
        yield "LoRA instead of all weights", {"adaptation": "lora"}


def _qlora(config: Any) -> Tries:
    if getattr(config, "adaptation", "qlora") != "qlora":
        yield "QLoRA: an adapter over weights of 4 bits", {"adaptation": "qlora"}


def _shorter(config: Any) -> Tries:
    length = getattr(config, "max_length", 0)
    least = max(SHORTEST, 2 * getattr(config, "max_new_tokens", 0))
    while length // 2 >= least:
        length //= 2
        yield f"max_length {length}: longer rows are cut", {"max_length": length}
