"""The rules in the words of the pages: their titles, what is set in a line, what changed, and which
rule left a row out. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf.locale import LANG_INFO

from exports.choices import CHOICES
from exports.rules import FIELDS, Selection, to_json

TITLES = {
    "projects": "Projects",
    "weights": "Mix of projects",
    "stages": "Only work from these stages",
    "review": "Review",
    "min_raters": "Least number of annotators",
    "min_agreement": "Least agreement, in per cent",
    "annotators": "Only these annotators",
    "without_annotators": "Without these annotators",
    "since": "Work from this day on",
    "until": "Work up to this day",
    "metadata": "Conditions on metadata",
    "answers": "Kinds of answers",
    "best_ranked": "Only the best ranked answers",
    "best_rated": "Only the best rated answers, by this question",
    "ratings": "Conditions on ratings",
    "rating_by": "Several ratings become one by",
    "include_imported": "Imported comparisons too",
    "pairs": "How a ranking becomes pairs",
    "votes": "Several rankings become one by",
    "min_strength": "Least strength of a preference, 0 to 4",
    "margin": "Margin",
    "margin_table": "Margin by strength",
    "corrections_as_pairs": "A correction is better than its original",
    "edited_prompts": "Also where the correction changed the prompt",
    "question": "The question that labels",
    "good": "Answers that mean good",
    "label_by": "Several labels become one by",
    "label_text": "The text that is labelled",
    "min_length": "Shortest, in characters",
    "max_length": "Longest, in characters",
    "languages": "Only these languages",
    "unsure_language": "Texts whose language is not sure",
    "boilerplate": "Leave out refusals and boilerplate",
    "personal": "Personal data",
    "personal_kinds": "What counts as personal",
    "near": "Near-duplicates, alike by per cent",
    "near_test": "Too near to a test prompt, alike by per cent",
    "near_validation": "The same beside validation prompts",
    "not_in": "Keep apart from",
    "not_in_words": "Words in a row that count as shared",
    "max_per_prompt": "Most rows of one prompt",
    "max_annotator": "Most rows by one annotator, in per cent",
    "max_longer": "The longer answer wins in at most, per cent",
    "prompt_template": "The user's turn, where a prompt has a context",
    "test": "Test, per cent of conversations",
    "validation": "Validation, per cent of conversations",
}
# Rule -> what its reasons begin with. Longer beginnings are met first.
REASONS: dict[str, tuple[str, ...]] = {
    "review": ("waits for a review", "no reviewer accepted"),
    "min_raters": ("fewer than",),
    "min_agreement": ("annotators agree by less", "one annotator only, agreement",
                      "agreement not measured"),
    "annotators": ("its annotator is not selected",),
    "without_annotators": ("its annotator is left out",),
    "since": ("from before",),
    "until": ("from after",),
    "metadata": ("its metadata",),
    "answers": ("answers ",),
    "best_ranked": ("nobody ranked it", "not the best ranked", "the best ranked, but"),
    "best_rated": ("nobody rated it", "not the best rated"),
    "ratings": ("its rating does not", "nobody answered", "annotators disagree on"),
    "min_strength": ("weaker than",),
    "edited_prompts": ("the correction changed",),
    "margin": ("no strength was given", "its strength is not in"),
    "question": ("nobody judged it", "neither the best nor the worst", "no metadata.", "metadata."),
    "good": ("which values are good",),
    "min_length": ("shorter than",),
    "max_length": ("longer than",),
    "languages": ("in another language",),
    "unsure_language": ("not sure in which language",),
    "boilerplate": ("boilerplate",),
    "personal": ("holds personal data",),
    "near": ("near-duplicate of",),
    "near_test": ("nearly equal to a test prompt",),
    "near_validation": ("nearly equal to a validation prompt",),
    "not_in": ("shares ",),
    "max_per_prompt": ("more than {n} rows of the prompt",),
    "max_annotator": ("more than {n} % by one annotator",),
    "max_longer": ("the longer answer wins",),
    "weights": ("more than the project's share",),
}  # fmt: skip
_PATTERNS = [
    (re.compile(re.escape(start).replace(r"\{n\}", r"\d+")), rule)
    for rule, starts in REASONS.items()
    for start in starts
]
# Said with another rule, and by itself nothing.
_BESIDE = {
    "projects", "personal_kinds", "not_in_words", "margin_table", "unsure_language", "label_by",
    "rating_by", "votes", "label_text", "good", "prompt_template", "test", "validation",
    "include_imported", "pairs", "edited_prompts", "question", "margin", "corrections_as_pairs",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One rule of two selections."""

    title: str
    before: str
    after: str


@dataclass(frozen=True)
class Active:
    """A rule that leaves rows out, and how many by the last look; `reasons`: in whose words."""

    rule: str
    words: str
    rows: int
    reasons: list[str]


def language(code: str) -> str:
    """“German” for de; the code itself where it has no name here."""
    return str({"zh": "Chinese"}.get(code) or LANG_INFO.get(code, {}).get("name", code))


def rule_of(reason: str) -> str:
    """The rule that gives this reason; nothing for what no rule decides (a tie, a duplicate)."""
    return next((rule for pattern, rule in _PATTERNS if pattern.match(reason)), "")


def say(rule: str, value: Any) -> str:
    """A rule's value in a few words: "20", "English", "off"."""
    if rule == "stages":
        return "all" if value in ("all", None) else ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", [], 0):
        return "off" if rule not in ("test", "validation") else "0"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if rule in CHOICES:
        return CHOICES[rule].get(value, str(value))
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def changes(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any], without: Iterable[str] = ()
) -> list[Change]:
    """The rules that two stored selections of a kind set differently, in the order of rules.py."""
    default = to_json(kind, Selection())
    found = []
    for rule in TITLES:
        if rule not in FIELDS[kind] or rule in without:
            continue
        old, new = (each.get(rule, default[rule]) for each in (before, after))
        if old != new:
            found.append(Change(TITLES[rule], say(rule, old), say(rule, new)))
    return found


def sentences(kind: str, stored: Mapping[str, Any]) -> dict[str, str]:
    """{rule: what it says} of those that are set to other than nothing, short enough for a line."""
    rules = to_json(kind, Selection()) | dict(stored)
    default = to_json(kind, Selection())
    found: dict[str, str] = {}

    def put(rule: str, text: str) -> None:
        if rule in rules and rules[rule] not in (None, "", [], 0, False):
            found[rule] = text.format(say(rule, rules[rule]), len(_list(rules[rule])))

    def put_changed(rule: str, text: str) -> None:
        if rule in rules and rules[rule] != default[rule]:
            found[rule] = text.format(say(rule, rules[rule]))

    if rules.get("stages", "all") != "all":
        put("stages", "{1} stage(s) only")
    put("weights", "mixed {0}")
    put_changed("review", "{0}")
    if rules.get("min_raters", 1) > 1:
        put("min_raters", "{0} annotators or more")
    put("min_agreement", "agreement from {0} %")
    put("annotators", "{1} annotator(s) only")
    put("without_annotators", "without {1} annotator(s)")
    put("since", "from {0}")
    put("until", "up to {0}")
    put("metadata", "{0}")
    if "answers" in rules:
        found["answers"] = "answers " + ", ".join(rules["answers"])
    put("best_ranked", "the best ranked only")
    put("best_rated", "the best rated only ({0})")
    put("ratings", "{0}")
    put_changed("pairs", "{0}")
    put_changed("include_imported", "without imported comparisons")
    put("min_strength", "strength from {0}")
    put_changed("margin", "margin: {0}")
    put("corrections_as_pairs", "corrections over their originals")
    put_changed("edited_prompts", "not where the prompt was changed")
    put("question", "by {0}")
    put("good", "good: {0}")
    put_changed("label_text", "text: {0}")
    for rule in ("votes", "rating_by", "label_by"):
        put_changed(rule, "{0}")
    low, high = rules["min_length"], rules["max_length"]
    if low or high:
        span = (
            f"{low:,} to {high:,}"
            if low and high
            else f"from {low:,}"
            if low
            else f"up to {high:,}"
        )
        found["max_length" if high else "min_length"] = f"{span} characters"
    if rules["languages"]:
        found["languages"] = "in " + ", ".join(map(language, rules["languages"]))
    put_changed("unsure_language", "without what is not sure")
    put("boilerplate", "no refusals and boilerplate")
    if rules["personal"] != "keep":
        found["personal"] = (
            f"personal data {'masked' if rules['personal'] == 'mask' else 'left out'}"
        )
    put("near", "no near-duplicates ({0} %)")
    put("near_test", "none too near to a test prompt ({0} %)")
    if rules.get("near_test"):
        put("near_validation", "nor to a validation prompt")
    put("not_in", "apart from {0}")
    put("max_per_prompt", "at most {0} of a prompt")
    put("max_annotator", "at most {0} % by one annotator")
    put("max_longer", "the longer wins in at most {0} %")
    found["test"] = f"test {rules['test']:g} %, validation {rules['validation']:g} %"
    put_changed("prompt_template", "another template")
    return {rule: text for rule, text in found.items() if rule in FIELDS[kind]}


def active(kind: str, stored: Mapping[str, Any], dropped: Mapping[str, int]) -> list[Active]:
    """The rules that leave rows out, each with how many; `dropped`: {reason: rows}."""
    rows: dict[str, int] = {}
    why: dict[str, list[str]] = {}
    for reason, count in dropped.items():
        rule = rule_of(reason)
        rows[rule] = rows.get(rule, 0) + count
        why.setdefault(rule, []).append(reason)
    said = sentences(kind, stored)
    if "max_length" in said and stored.get("min_length"):  # two rules in one sentence
        del said["max_length"]
        said["min_length"] = f"{stored['min_length']:,} characters or more"
        said["max_length"] = f"{stored['max_length']:,} characters or fewer"
    found = [
        Active(rule, text, rows.get(rule, 0), why.get(rule, []))
        for rule, text in said.items()
        if rule not in _BESIDE
    ]
    shown = {one.rule for one in found}
    more = [rule for rule in rows if rule and rule not in shown and rule in TITLES]
    return found + [Active(rule, TITLES[rule].lower(), rows[rule], why[rule]) for rule in more]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
