"""What preflight says of cost: memory, disk, steps, time, and what would make the run fit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.recipes import estimate, fits, memory, preflight_rows
from training.recipes.artifacts import Start, read_artifact
from training.recipes.asked import Asked
from training.recipes.found import Found
from training.recipes.shapes import Shape, shape_of

CLASSIFIERS = ("reward", "classify")


def add_cost(
    recipe: str,
    config: Any,
    start: Start,
    judge: Shape | None,
    asked: Asked,
    found: Found,
    folder: Path,
) -> None:
    """Memory, disk, steps and time. Too little memory or disk is a refusal with what to do."""
    top = start.init or read_artifact(start.base)
    classifier = recipe in CLASSIFIERS or (recipe == "evaluate" and top.is_reward)

    def shaped(config: Any) -> Shape:
        return shape_of(start.base, config, classifier=classifier, labels=found.labels)

    def need(config: Any) -> memory.Need:
        longest = max(_trained_lengths(config, asked, found))
        continued = start.init is not None
        return memory.need(
            recipe, shaped(config), config, longest, judge=judge, continued=continued
        )

    shape, lengths = shaped(config), _trained_lengths(config, asked, found)
    rows = len(lengths) * asked.total / len(found.lengths)
    if asked.trains and asked.kind != "text":
        rows -= found.untrainable * asked.total / len(found.lengths)
    if recipe == "ppo":
        steps = config.steps
    elif asked.trains:
        steps = estimate.steps_of(max(round(rows), 1), config)
    else:
        steps = -(-asked.total // config.batch_size)
    seconds = estimate.run_seconds(
        recipe,
        shape,
        config,
        steps=steps,
        rows=asked.total,
        judged=min(getattr(config, "eval_rows", 0), asked.counts.get("test") or asked.total),
        mean=sum(lengths) / len(lengths),
        longest=max(lengths),
        rate=estimate.speed(),
    )
    needed = need(config)
    disk = estimate.disk_bytes(shape) if asked.trains else estimate.MIB
    free, room = estimate.available_bytes(), estimate.free_disk_bytes(folder)
    found.facts |= {
        "memory": {
            "needed_mib": _mib(needed.total),
            "available_mib": _mib(free),
            "growth_mib": _mib(needed.total - memory.IMPORTED),
            "moment": needed.moment,
            "terms": [[name, _mib(size)] for name, size in needed.terms.items() if size],
        },
        "disk": {"needed_mib": _mib(disk), "available_mib": _mib(room)},
        "steps": steps,
        "seconds_estimate": round(seconds),
        "parameters": shape.total,
    }
    if asked.trains:
        found.facts |= {
            "trainable_share": shape.share,
            "adaptation": _adaptation(config, shape, start),
        }
    if asked.trains and getattr(config, "packing", "off") != "off":
        filled = sum(lengths) / (len(lengths) * config.max_length)
        found.facts["packing"] = {"rows": round(rows), "filled": filled}
    if needed.total > free:
        tried = fits.changes(config, lambda other: need(other).total, free)
        found.facts["fits"] = [asdict(t) | {"needed_mib": _mib(t.needed)} for t in tried]
        found.refusals.append(_too_much(needed.total, free, tried))
    elif needed.total > 0.8 * free:
        found.warnings.append("It needs most of the memory that is free; it may not fit.")
    if disk > room:
        found.refusals.append(
            f"It needs about {_mib(disk):,} MiB of disk and {_mib(room):,} are free."
        )


def _trained_lengths(config: Any, asked: Asked, found: Found) -> list[int]:
    """Tokens of each row as the trainer gets it: cut, in pieces, packed."""
    limit = getattr(config, "max_length", 0) or config.max_prompt_tokens
    if asked.kind == "prompts" and asked.trains:
        limit -= config.max_new_tokens
    if asked.kind == "text" and asked.trains:
        pieces = []
        for length in found.lengths:
            whole, rest = divmod(max(length - 1, 0), limit - 1)
            pieces += [limit] * whole + ([rest + 1] if rest else [])
        cut = pieces or [1]
    else:
        cut = [max(1, min(length, limit)) for length in found.lengths]
    packs = asked.trains and getattr(config, "packing", "off") != "off"
    return preflight_rows.packed(cut, limit) if packs else cut


def _adaptation(config: Any, shape: Shape, start: Start) -> str:
    """What is trained, in a line."""
    share = f"{100 * shape.share:.2g} % of the weights are trained"
    counts = f"{shape.trained / 1e6:,.3g} of {shape.total / 1e6:,.4g} million"
    if config.adaptation == "half":
        how = f"Half of the blocks, drawn anew in each of {config.half_rounds} rounds"
    else:
        how = {
            "lora": f"LoRA of rank {config.lora_rank}",
            "qlora": f"QLoRA of rank {config.lora_rank}, over weights of 4 bits",
            "full": "All weights",
        }[config.adaptation]
    if start.init is not None:
        how += ", which goes on as it was made"
    return f"{how}: {share} ({counts})."


def _too_much(needed: float, free: float, tried: list[fits.Change]) -> str:
    said = f"It needs about {_mib(needed):,} MiB of memory and {_mib(free):,} are free."
    if fitting := next((change for change in tried if change.fits), None):
        return f"{said} It would fit with {fitting.text} ({_mib(fitting.needed):,} MiB)."
    if not tried:
        return f"{said} Use a smaller model."
    least = min(tried, key=lambda change: change.needed)
    return (
        f"{said} Even with {least.text} it needs {_mib(least.needed):,} MiB: use a smaller model."
    )


def _mib(size: float) -> int:
    return round(size / memory.MIB)
