"""From what was chosen in the explorer to a rule of the dataset, where there is one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from exports.choices import ANSWER_CLASSES
from exports.conditions import Condition, parse_metadata
from exports.filters import Filters
from exports.rules import FIELDS

ACCEPTED = {"accepted", "fixed"}
# Why what is chosen of a facet is no rule: a sentence each.
SILENT = {
    "reason": "Why rows are left out is what the rules say already; each has its line on the "
    "dataset's page.",
    "split": "No rule chooses rows by their split: a hash of the conversation divides them, and "
    "the rules say only how large the shares are.",
    "label": "No rule takes rows by their label: choose by what it comes from, which is people, "
    "stages and metadata.",
    "origin": "A row without an answer belongs to no class of answers.",
    "project": "Rows always have a project.",
    "stage": "What belongs to no stage was imported, and counts whichever stages are chosen; a "
    "stage that is gone or has another's name is no rule either.",
    "annotator": "What nobody known did is left out by choosing those whose work counts.",
    "review": "Of reviews the rules know only what was accepted or fixed, and what waits.",
    "metadata": "A name or a value with such signs, blanks or lines is nothing that a condition "
    "could say.",
    "agreement": "The rule is a least agreement: give the range a lower end.",
    "other": "The bounds of a length hold for both answers: choose by the length of the answer.",
    "prompt_length": "The bounds of a length are about the answer; none is about the prompt.",
}
FOREIGN = "Datasets of this kind have no rule about this."
# Where a facet's rule is not one of all kinds.
_RULES = {
    "origin": ("answers",),
    "stage": ("stages",),
    "annotator": ("annotators",),
    "review": ("review",),
    "agreement": ("min_agreement",),
    "day": ("since",),
}


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


def silent(kind: str, filters: Filters, offered: list[Offer]) -> dict[str, str]:
    """{facet in force that could become none of the rules offered: why, in a sentence}."""
    there = {offer.facet for offer in offered}
    fields = set(FIELDS[kind])
    return {
        facet: FOREIGN
        if not set(_RULES.get(facet, fields)) & fields
        else SILENT[facet.partition(".")[0]]
        for facet in sorted(filters.active() - there)
    }


def _terms(
    facet: str, values: list[str], stored: Mapping[str, Any], stages: Mapping[str, int]
) -> list[Offer]:
    known = [value for value in values if value]
    if facet == "language" and not known:
        return [Offer(facet, "without", "Without those not sure", {"unsure_language": "drop"})]
    if facet == "language":
        rules = {"languages": known, "unsure_language": "keep" if "" in values else "drop"}
        return [Offer(facet, "only", "Only these languages", rules)]
    if facet == "project" and known:
        rules = {"projects": known} | _mix(stored.get("weights", []), known)
        return [Offer(facet, "only", "Only these projects", rules)]
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
    if facet == "review" and values == ["waiting"] and stored.get("review") != "accepted":
        return [Offer(facet, "without", "Without what waits for a review", {"review": "passed"})]
    if facet == "origin" and set(values) <= set(ANSWER_CLASSES):
        return _origin(facet, known, stored)
    if facet.startswith("metadata."):
        return _metadata(facet, values, list(stored.get("metadata", [])))
    return []


def _mix(weights: list[str], known: list[str]) -> dict[str, Any]:
    """A mix without the projects that go; one alone is none."""
    left = [line for line in weights if line.rpartition("=")[0].strip() in known]
    return {"weights": left if len(known) > 1 else []} if weights else {}


def _origin(facet: str, known: list[str], stored: Mapping[str, Any]) -> list[Offer]:
    """Classes of answers; those that are left must be some."""
    left = [one for one in stored.get("answers", []) if one not in known]
    offers = [Offer(facet, "only", "Only these answers", {"answers": known})]
    if left:
        offers.append(Offer(facet, "without", "Without these answers", {"answers": left}))
    return offers


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
