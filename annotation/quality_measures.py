"""The figures of one question: the fitting coefficient first, others beside it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from annotation.agreement import (
    Agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    mean_tau,
    same_top,
)
from annotation.bootstrap import Numbers, interval
from annotation.meaning import said
from annotation.quality_data import Rater
from annotation.quality_questions import Question, Units

MOST_PAIRED = 12  # annotators, the busiest: each two of them are compared
FEW = 5  # units that two have in common: below it a kappa says nothing
NAMES = {
    "nominal": "Krippendorff's alpha, nominal",
    "ordinal": "Krippendorff's alpha, ordinal",
    "interval": "Krippendorff's alpha, interval",
    "fleiss": "Fleiss' kappa",
    "tau": "Kendall's tau-b, mean over pairs",
    "top": "Same best answer",
    "same": "Exactly the same",
}
# The coefficient that a page leads with, then what stands beside it.
METRICS = {
    "choice": ("nominal", "same", "fleiss", "ordinal"),
    "label": ("nominal", "same", "fleiss"),
    "rating": ("ordinal", "interval", "same"),
    "labels": ("same",),
    "ranking": ("tau", "top", "same"),
}


def measured(question: Question) -> dict[str, Any]:
    """As JSON: {"key", "title", "about", "kind", "units", "figures", "verdict", "sentence",
    "options", "pairs", "said"}; `figures` in order of METRICS, each {"metric", "name", "value",
    "low", "high", "units", "raters", "pairs"}."""
    units = question.compared()
    rows = list(units.values())
    found = {metric: _figure(metric, rows) for metric in METRICS[question.kind]}
    lead = next(iter(found))
    options = _options(question, units)
    verdict, sentence = said(lead, found[lead]) if lead != "same" else _said_of_options(options)
    figures = [
        {"metric": metric, "name": NAMES[metric], **_plain(agreement)}
        for metric, agreement in found.items()
        if agreement.value is not None or metric == lead
    ]
    return {
        "key": question.key,
        "title": question.title,
        "about": question.about,
        "kind": question.kind,
        "units": len(question.units),
        "figures": figures,
        "verdict": verdict,
        "sentence": sentence,
        "options": options,
        "pairs": _pairs(question, units),
        "said": _said(question),
    }


def _plain(agreement: Agreement) -> dict[str, Any]:
    names = ("value", "low", "high", "units", "raters", "pairs")
    return {name: getattr(agreement, name) for name in names}


def _figure(metric: str, rows: list[dict[Rater, Any]]) -> Agreement:
    if metric in ("nominal", "ordinal", "interval"):
        return krippendorff_alpha(rows, metric)  # type: ignore[arg-type]
    if metric == "tau":
        return mean_tau(rows)
    if metric == "top":
        return same_top(rows)
    if metric == "same":
        return same_share(rows)
    raters = {rater for row in rows for rater in row}
    pairs = sum(len(row) * (len(row) - 1) // 2 for row in rows)
    return Agreement(fleiss_kappa(rows), None, None, len(rows), len(raters), pairs)


def same_share(rows: Sequence[Mapping[Rater, Any]]) -> Agreement:
    """The share of pairs of annotators of the same unit who said exactly the same; chance is not
    taken off. Resampled by unit."""
    kinds: Counter[tuple[int, int]] = Counter()
    for row in rows:
        alike = sum(n * (n - 1) // 2 for n in Counter(row.values()).values())
        kinds[alike, len(row) * (len(row) - 1) // 2] += 1
    if not kinds:
        return Agreement(None, None, None, 0, 0, 0)
    same, pairs = np.array(list(kinds), float).T
    counts = np.array(list(kinds.values()))

    def share(weights: Numbers) -> Numbers:
        return (weights @ same) / (weights @ pairs)

    low, high = interval(counts, share)
    raters = {rater for row in rows for rater in row}
    return Agreement(
        float(share(counts.astype(float))), low, high, len(rows), len(raters), int(counts @ pairs)
    )


def _options(question: Question, units: Units) -> list[dict[str, Any]]:
    """Of several labels: each option by itself, ticked or not."""
    if question.kind != "labels":
        return []
    lines = []
    for value, label in question.words.items():
        rows = [{rater: value in given for rater, given in row.items()} for row in units.values()]
        ticked = sum(sum(row.values()) for row in rows)
        alpha = krippendorff_alpha(rows, "nominal")
        lines.append({"label": label, "ticked": ticked, **_plain(alpha)})
    return lines


def _said_of_options(options: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Of several labels: about the option that is agreed on least."""
    known = [line for line in options if line["value"] is not None]
    if not known:
        return said("nominal", Agreement(None, None, None, 0, 0, 0))
    least = min(known, key=lambda line: line["value"])
    names = ("value", "low", "high", "units", "raters", "pairs")
    verdict, sentence = said("nominal", Agreement(**{name: least[name] for name in names}))
    return verdict, f"Least agreed on is “{least['label']}”. {sentence}"


def _pairs(question: Question, units: Units) -> list[dict[str, Any]]:
    """Each two of the busiest annotators: Cohen's kappa, for ratings and choices also weighted by
    the square of the distance; of rankings and several labels none."""
    if question.kind not in ("choice", "label", "rating"):
        return []
    busy = Counter(rater for row in units.values() for rater in row).most_common(MOST_PAIRED)
    paired: dict[tuple[Rater, Rater], tuple[list[Any], list[Any]]] = {}
    for row in units.values():
        both = [rater for rater, _ in busy if rater in row]
        for one, other in combinations(both, 2):
            a, b = paired.setdefault((one, other), ([], []))
            a.append(row[one])
            b.append(row[other])
    lines = []
    for (one, other), (a, b) in paired.items():
        if len(a) < FEW:
            continue
        weighted = None
        if question.kind != "label":
            weighted = cohen_kappa(a, b, "quadratic", sorted(question.words))
        lines.append(
            {
                "one": one,
                "other": other,
                "units": len(a),
                "kappa": cohen_kappa(a, b),
                "weighted": weighted,
            }
        )
    return lines


def _said(question: Question) -> list[dict[str, Any]]:
    """How often each answer was given."""
    if question.kind == "ranking":
        return []
    counts: Counter[Any] = Counter()
    total = 0
    for row in question.units.values():
        for value in row.values():
            counts.update(value if isinstance(value, tuple) else [value])
            total += 1
    return [
        {"label": label, "count": counts[value], "share": counts[value] / total}
        for value, label in question.words.items()
        if total
    ]
