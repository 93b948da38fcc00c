"""Memory and shares in words."""

from typing import Any


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def mib(value: Any) -> str:
    """A size in MiB: "640 MB", "1.5 GB"; a dash for what is none."""
    if not is_number(value):
        return "–"
    if 0 < value < 1:
        return "under 1 MB"
    return f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"


def per_cent(share: float) -> str:
    """A share of one: "0.18 %", "29 %", "100 %"; what is not all is never said to be."""
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def beside(expected: Any, measured: Any) -> dict[str, str]:
    """A predicted growth beside a measured one, both in MiB, and how far apart they are; nothing
    where one is missing."""
    if not (is_number(expected) and is_number(measured) and measured > 0):
        return {}
    off = expected / measured - 1
    word = "too much" if off > 0 else "too little"
    apart = f"{100 * abs(off):.0f} % {word}" if abs(off) >= 0.005 else "the same"
    return {"expected": mib(expected), "measured": mib(measured), "apart": apart}


def grown(result: dict[str, Any]) -> dict[str, str]:
    """Of a run's result: what its process grew by over its libraries, and what was expected."""
    peak, loaded = result.get("peak_mib"), result.get("loaded_mib")
    if peak is None or loaded is None or not (is_number(peak) and is_number(loaded)):
        return {}
    return beside(result.get("predicted_mib"), peak - loaded) or {"measured": mib(peak - loaded)}
