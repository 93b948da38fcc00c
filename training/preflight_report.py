"""preflight.json, made ready for the panel. It was written by a process of its own, by this version
or another: a part that is missing or odd is left out."""

from typing import Any

from training import charts
from training.reports import span
from training.sizes import beside, is_number, mib, per_cent

WHICH = {"longest": "Among the longest", "drawn": "Drawn at random"}
ANSWERS = {"chosen": "The better answer", "rejected": "The other answer"}


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """What the template needs of it."""
    lengths = _dict(found.get("lengths"))
    edges, counts = lengths.get("edges") or [], lengths.get("counts") or []
    samples = [_sample(row) for row in _rows(found.get("samples"))]
    numeric = all(is_number(n) for n in [*edges, *counts])
    return {
        "ok": bool(found.get("ok")),
        "refusals": found.get("refusals") or [],
        "warnings": found.get("warnings") or [],
        "facts": _facts(found),
        "adaptation": str(found.get("adaptation") or ""),
        "lengths": charts.histogram("Rows by length in tokens", edges, counts) if numeric else "",
        "labels": _labels(_dict(found.get("labels"))),
        "samples": samples,
        "marks": {mark for row in samples for text in row["texts"] for _, mark in text["parts"]},
        "memory": _memory(_dict(found.get("memory"))),
        "probe": _probe(_dict(found.get("probe")), _dict(found.get("memory"))),
        "can_probe": bool(found.get("ok") and found.get("adaptation") and not found.get("probe")),
        "fits": [_change(row) for row in _rows(found.get("fits"))],
    }


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    rows = _dict(found.get("rows"))
    if rows:
        names = [name for name in ("train", "validation", "test", "prompts") if name in rows]
        facts.append((" / ".join(f"{rows[name] or 0:,}" for name in names), " / ".join(names)))
    for name, label, show in [
        ("steps", "steps", lambda v: f"{v:,}"),
        ("seconds_estimate", "estimated", span),
        ("truncated_share", "of the rows are cut", per_cent),
        ("untrainable_rows", "rows with nothing to train on", lambda v: f"{v:,}" if v else ""),
    ]:
        if is_number(found.get(name)) and (value := show(found[name])):
            facts.append((value, label))
    packing, thumbs = _dict(found.get("packing")), _dict(found.get("thumbs"))
    if is_number(packing.get("filled")):
        label = f"of each of {packing.get('rows') or 0:,} packed rows is filled"
        facts.append((f"{100 * packing['filled']:.0f} %", label))
    if thumbs:
        facts.append((f"{thumbs.get('up')} / {thumbs.get('down')}", "thumbs up / down"))
    for name, label in (("memory", "memory, needed of free"), ("disk", "disk, needed of free")):
        need = _dict(found.get(name))
        if is_number(need.get("needed_mib")):
            facts.append((f"{mib(need['needed_mib'])} of {mib(need.get('available_mib'))}", label))
    return facts


def _labels(labels: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Name, rows and their share of the most frequent one's, in per cent."""
    counts = {str(name): n for name, n in labels.items() if is_number(n)}
    most = max(counts.values(), default=0) or 1
    return [(name, n, 100 * n / most) for name, n in counts.items()]


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    """A row: which, and its texts with marked parts."""
    return {
        "title": f"{WHICH.get(str(row.get('which')), '')}: row {row.get('row')}",
        "texts": [
            {
                "name": ANSWERS.get(str(text.get("name")), str(text.get("name") or "")),
                "lost_of": ANSWERS.get(str(text.get("name")), "the answer").lower(),
                "tokens": text.get("tokens"),
                "lost": text.get("lost"),
                "parts": [(str(part[0]), str(part[1])) for part in _pairs(text.get("parts"))],
            }
            for text in _rows(row.get("texts"))
        ],
    }


def _memory(memory: dict[str, Any]) -> dict[str, Any]:
    """The terms of the fullest moment, the largest first, with their shares of that in per cent."""
    pairs = [pair for pair in _pairs(memory.get("terms")) if is_number(pair[1])]
    pairs = sorted((pair for pair in pairs if pair[1]), key=lambda pair: -pair[1])
    most = pairs[0][1] if pairs else 1
    terms = [(str(name), mib(size), 100 * size / most) for name, size in pairs]
    return {
        "moment": str(memory.get("moment") or ""),
        "terms": terms,
        "needed": mib(memory.get("needed_mib")),
        "free": mib(memory.get("available_mib")),
    }


def _probe(probe: dict[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
    """Two steps that were tried, beside what was worked out."""
    if not probe:
        return {}
    growth, expected = probe.get("growth_mib"), memory.get("growth_mib")
    return {
        "ok": bool(probe.get("ok")),
        "reason": str(probe.get("reason") or ""),
        "took": span(probe.get("seconds") or 0),
        **beside(expected, growth),
    }


def _change(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": str(row.get("text") or ""),
        "needed": mib(row.get("needed_mib")),
        "fits": bool(row.get("fits")),
        "knobs": list(_dict(row.get("config")).items()),
    }


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _pairs(value: Any) -> list[list[Any]]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, list) and len(row) == 2]
