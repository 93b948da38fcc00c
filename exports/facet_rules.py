"""From what was chosen in the explorer to a rule of the dataset, where there is one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from exports.conditions import Condition, parse_metadata
from exports.filters import Filters
from exports.rules import FIELDS

ACCEPTED = {"accepted", "fixed"}


@dataclass(frozen=True)
class Offer:
    """A rule that a facet's choice could become. `values`: the fields of the selection."""

    facet: str
    way: str  # only, or without
    label: str
    values: dict[str, Any]


def offers(
    kind: str, stored: Mapping[str, Any], filters: Filters, stages: Mapping[str, int]
) -> list[Offer]:
    """What the filters in force could become; `stages`: {name: number}, `stored`: the rules now."""
    found: list[Offer] = []
    for facet, values in sorted(filters.terms.items()):
        found += _terms(facet, sorted(values), stored, stages)
    for facet, (low, high) in sorted(filters.ranges.items()):
        found += _range(facet, low, high)
    return [offer for offer in found if set(offer.values) <= set(FIELDS[kind])]


def _terms(
    facet: str, values: list[str], stored: Mapping[str, Any], stages: Mapping[str, int]
) -> list[Offer]:
    known = [value for value in values if value]
    if facet == "language" and known:
        rules = {"languages": known, "unsure_language": "keep" if "" in values else "drop"}
        return [Offer(facet, "only", "Only these languages", rules)]
    if facet == "project" and known:
        return [Offer(facet, "only", "Only these projects", {"projects": known})]
    if facet == "stage" and known and all(value in stages for value in known):
        numbers = sorted(stages[value] for value in known)
        return [Offer(facet, "only", "Only work from these stages", {"stages": numbers})]
    if facet == "annotator" and known:
        out = sorted({*stored.get("without_annotators", []), *known})
        return [
            Offer(facet, "only", "Only these annotators", {"annotators": known}),
            Offer(facet, "without", "Without these annotators", {"without_annotators": out}),
        ]
    if facet == "review" and known and set(values) <= ACCEPTED:
        return [Offer(facet, "only", "Only what a reviewer accepted", {"review": "accepted"})]
    if facet.startswith("metadata."):
        return _metadata(facet, values, list(stored.get("metadata", [])))
    return []


def _metadata(facet: str, values: list[str], there: list[str]) -> list[Offer]:
    name = facet.removeprefix("metadata.")
    found = []
    if len(values) == 1:  # conditions must all hold, so no two values can both be asked for
        only = [Condition(name, "=", values[0]) if values[0] else Condition(name, "no")]
        found.append((f"Only this of “{name}”", "only", only))
    without = [Condition(name, "!=", one) if one else Condition(name, "has") for one in values]
    found.append((f"Without these of “{name}”", "without", without))
    return [
        Offer(facet, way, label, _more(there, [str(one) for one in wanted]))
        for label, way, wanted in found
        if all(map(_is_read_alike, wanted))
    ]


def _is_read_alike(condition: Condition) -> bool:
    """A name or a value of the data may hold a sign, or blanks or lines that a rule cannot."""
    line = str(condition)
    try:
        return parse_metadata(line) == condition and line.splitlines() == [line]
    except ValueError:
        return False


def _range(facet: str, low: int | None, high: int | None) -> list[Offer]:
    rules: dict[str, Any] = {}
    if facet == "length":
        rules = {"min_length": max(0, low or 0), "max_length": max(0, high or 0)}
        label = "Only texts of this length"
    elif facet == "agreement" and low is not None:
        rules, label = {"min_agreement": max(0, min(100, low))}, "Only from this agreement on"
    elif facet == "day":
        rules, label = {"since": _day(low), "until": _day(high)}, "Only work of these days"
    return [Offer(facet, "only", label, rules)] if rules else []


def _more(there: list[str], lines: list[str]) -> dict[str, Any]:
    return {"metadata": list(dict.fromkeys([*there, *lines]))}


def _day(number: int | None) -> str:
    try:
        return "" if number is None else (date(1970, 1, 1) + timedelta(days=number)).isoformat()
    except OverflowError:
        return ""
