"""preflight.json, made ready for the panel."""

from typing import Any

from training import charts
from training.reports import span


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """What the template needs of it; a part that is missing is left out."""
    lengths = found.get("lengths") or {}
    edges, counts = lengths.get("edges") or [], lengths.get("counts") or []
    numeric = all(isinstance(n, int | float) for n in [*edges, *counts])
    facts = []
    rows = found.get("rows") or {}
    if rows:
        names = ("train", "validation", "test")
        facts.append((" / ".join(f"{rows.get(n) or 0:,}" for n in names), " / ".join(names)))
    for name, label, show in [
        ("steps", "steps", lambda v: f"{v:,}"),
        ("seconds_estimate", "estimated", span),
        ("truncated_share", "of the rows are cut", lambda v: f"{100 * v:.2g} %"),
        ("trainable_share", "of the weights are trained", lambda v: f"{100 * v:.2g} %"),
        ("untrainable_rows", "rows with nothing to train on", lambda v: f"{v:,}"),
    ]:
        if isinstance(found.get(name), int | float):
            facts.append((show(found[name]), label))
    for name, label in (("memory", "memory, needed of free"), ("disk", "disk, needed of free")):
        need = found.get(name) or {}
        if isinstance(need.get("needed_mib"), int | float):
            free = need.get("available_mib") or 0
            facts.append((f"{_mib(need['needed_mib'])} of {_mib(free)}", label))
    return {
        "ok": bool(found.get("ok")),
        "refusals": found.get("refusals") or [],
        "warnings": found.get("warnings") or [],
        "facts": facts,
        "lengths": charts.histogram("Rows by length in tokens", edges, counts) if numeric else "",
        "samples": [
            [(str(part[0]), bool(part[1])) for part in sample if len(part) == 2]
            for sample in (found.get("samples") or [])[:2]
        ],
    }


def _mib(value: float) -> str:
    return f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"
