"""What a selection says: its fields, what each may be, and which bear on which kind. Pure."""

from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

from exports.choices import ANSWER_CLASSES, CHOICES, PERSONAL, RANGES
from exports.conditions import parse_metadata, parse_rating
from exports.formats import KINDS, PROMPT_TEMPLATE, check_prompt_template


class SelectionError(ValueError):
    """What was given is no selection. `errors` says per field what is wrong and what is allowed."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))


@dataclass(frozen=True)
class Selection:
    """Empty, 0 and False mean that a rule is off. Shares and similarities are per cent.

    `stages` None: all of them. Annotators are named as selection.py names them: "user 12", or
    "name NAME" for imported work. `question`: "7.helpful" is the question helpful of stage 7."""

    projects: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    # Which work
    stages: tuple[int, ...] | None = None
    review: str = "any"
    min_agreement: int = 0
    min_raters: int = 1
    annotators: tuple[str, ...] = ()
    without_annotators: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    metadata: tuple[str, ...] = ()
    # Which answers and comparisons, and how several people's words become one
    answers: tuple[str, ...] = ("written", "corrected", "imported")
    best_ranked: bool = False
    best_rated: str = ""
    ratings: tuple[str, ...] = ()
    rating_by: str = "mean"
    include_imported: bool = True
    pairs: str = "all"
    votes: str = "majority"
    min_strength: int = 0
    margin: str = "none"
    margin_table: tuple[str, ...] = ("1=1", "2=2", "3=3", "4=4")
    corrections_as_pairs: bool = False
    edited_prompts: bool = True
    question: str = ""
    good: tuple[str, ...] = ()
    label_by: str = "majority"
    label_text: str = "both"
    # Which texts
    min_length: int = 0
    max_length: int = 0
    languages: tuple[str, ...] = ()
    unsure_language: str = "keep"
    boilerplate: bool = False
    personal: str = "keep"
    personal_kinds: tuple[str, ...] = tuple(PERSONAL)
    # Which rows beside the others
    near: int = 0
    near_test: int = 70
    near_validation: bool = False
    not_in: tuple[str, ...] = ()
    not_in_words: int = 13
    max_per_prompt: int = 0
    max_annotator: int = 0
    max_longer: int = 0
    # Shape and splits
    prompt_template: str = PROMPT_TEMPLATE
    test: float = 5.0
    validation: float = 5.0


# What belongs to one dataset and is no part of rules that several share.
OWN = ("projects", "weights", "stages", "annotators", "without_annotators", "not_in")
_ALL = (
    "projects", "weights", "metadata", "min_length", "max_length", "languages", "unsure_language",
    "boilerplate", "personal", "personal_kinds", "near", "near_test", "near_validation", "not_in",
    "not_in_words", "test", "validation",
)  # fmt: skip
_WORK = ("stages", "annotators", "without_annotators", "since", "until", "max_annotator")
_JUDGED = ("review", "min_agreement", "min_raters")
FIELDS: dict[str, tuple[str, ...]] = {
    "sft": (*_ALL, *_WORK, "review", "min_raters", "answers", "best_ranked", "best_rated",
            "ratings", "rating_by", "votes", "max_per_prompt", "prompt_template"),
    "preference": (*_ALL, *_WORK, *_JUDGED, "include_imported", "pairs", "votes", "min_strength",
                   "margin", "margin_table", "corrections_as_pairs", "edited_prompts",
                   "max_per_prompt", "max_longer", "prompt_template"),
    "unpaired": (*_ALL, *_WORK, *_JUDGED, "question", "good", "rating_by", "label_by",
                 "max_per_prompt", "prompt_template"),
    "prompts": (*_ALL, "prompt_template"),
    "text": _ALL,
    "labels": (*_ALL, *_WORK, *_JUDGED, "question", "label_by", "rating_by", "label_text",
               "prompt_template"),
}  # fmt: skip
_LISTS = ("projects", "weights", "annotators", "without_annotators", "metadata", "ratings", "good",
          "languages", "not_in", "margin_table")  # fmt: skip
_LINES = ("metadata", "ratings", "good", "annotators", "without_annotators", "not_in")
_FROM_ALL: dict[str, dict[str, str]] = {"answers": ANSWER_CLASSES, "personal_kinds": PERSONAL}
_CONDITIONS = {"metadata": parse_metadata, "ratings": parse_rating}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _strings(value: Any, lines: bool = False) -> tuple[str, ...]:
    """A list as JSON has it, or typed: with commas, or a line each where they may hold commas."""
    if isinstance(value, str):
        value = value.splitlines() if lines else value.replace("\n", ",").split(",")
        value = [part.strip() for part in value if part.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of names is wanted")
    return tuple(dict.fromkeys(value))


def _stages(value: Any) -> tuple[int, ...] | None:
    if value is None or value == "all":
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        found = tuple(sorted({int(one) for one in value}))
    except (TypeError, ValueError, OverflowError):  # JSON's 1e999 is infinite
        raise ValueError("“all”, or the numbers of stages") from None
    return found or None


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in (*_TRUE, *_FALSE):
        return value.strip().lower() in _TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Any, kind: type, low: float, high: float) -> Any:
    try:
        number = kind(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a {'whole ' if kind is int else ''}number") from None
    # Written so that nan, which compares false with all, is refused.
    if isinstance(value, bool) or not low <= number <= high:
        raise ValueError(f"{number:g} is outside {low:g} to {high:g}")
    return number


def _named(value: Any, kind: type, least: float) -> tuple[str, ...]:
    """["name=2", …], each with a number above or at `least`."""
    lines = _strings(value)
    for line in lines:
        name, mark, number = line.partition("=")
        if not name.strip() or not mark:
            raise ValueError(f"{line!r} is not of the form name=number")
        _number(number, kind, least, 1_000_000)
    return lines


def numbers(lines: tuple[str, ...]) -> dict[str, float]:
    """{"support-desk": 2.0} from ("support-desk=2",)."""
    split = (line.partition("=") for line in lines)
    return {name.strip(): float(number) for name, _, number in split}


def _day(value: Any) -> str:
    if value in ("", None):
        return ""
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f"{value!r} is no date; write it as 2026-11-21") from None


def _read(name: str, value: Any) -> Any:
    """The field's value from JSON or typed text. Raises ValueError with a sentence."""
    if name == "stages":
        return _stages(value)
    if name == "weights":
        return _named(value, float, 0.001)
    if name == "margin_table":
        lines = _named(value, float, -1_000_000)
        if unknown := set(numbers(lines)) - set("1234"):
            raise ValueError(f"{min(unknown)!r} is no strength; there are 1 to 4")
        return lines
    if name in _FROM_ALL:
        chosen = _strings(value)
        for one in chosen:
            if one not in _FROM_ALL[name]:
                raise ValueError(f"{one!r} is none of {', '.join(_FROM_ALL[name])}")
        if not chosen:
            raise ValueError("choose at least one")
        return tuple(one for one in _FROM_ALL[name] if one in chosen)
    if name in _LISTS:
        found = _strings(value, lines=name in _LINES)
        for one in found:
            if name in _CONDITIONS:
                _CONDITIONS[name](one)
        return found
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise ValueError(f"{value!r} is none of {', '.join(CHOICES[name])}")
        return value
    if name in RANGES:
        return _number(value, *RANGES[name])
    if name in ("since", "until"):
        return _day(value)
    if name == "prompt_template":
        if not isinstance(value, str):
            raise ValueError("a text is wanted")
        value = value.replace("\r\n", "\n").replace("\r", "\n")  # browsers send CRLF
        check_prompt_template(value)
        return value
    if name in ("best_rated", "question"):
        if not isinstance(value, str):
            raise ValueError("a text is wanted")
        return value.strip()
    return _boolean(value)


def check_kind(kind: str) -> None:
    """Raises SelectionError for what is no kind."""
    if kind not in KINDS:
        text = f"“{kind}” is no kind; choose one of {', '.join(KINDS)}."
        raise SelectionError({"kind": text})


def parse(kind: str, values: dict[str, Any]) -> Selection:
    """A selection from JSON values or typed text; missing fields take their default.

    Raises SelectionError, naming each field that is unknown, foreign to the kind, or wrong."""
    check_kind(kind)
    known, given, errors = FIELDS[kind], {}, {}
    for name, value in values.items():
        if name not in known:
            errors[name] = f"no such rule for {kind}; there are {', '.join(sorted(known))}"
            continue
        try:
            given[name] = _read(name, value)
        except ValueError as error:
            errors[name] = str(error)
    if not errors:
        selection = Selection(**given)
        if selection.test + selection.validation > 90:
            errors["validation"] = "test and validation leave less than 10 % to train on"
        if selection.max_length and selection.max_length < selection.min_length:
            errors["max_length"] = "shorter than the shortest that is allowed"
        if selection.since and selection.until and selection.until < selection.since:
            errors["until"] = "before the first day"
        if kind == "labels" and not selection.question:
            errors["question"] = "which label? “7.topic” of stage 7, or “metadata.topic”"
    if errors:
        raise SelectionError(errors)
    return selection


def to_json(kind: str, selection: Selection) -> dict[str, Any]:
    """What is stored: the fields that bear on the kind. `parse` reads it back."""
    values = asdict(selection)
    stored = {f.name: values[f.name] for f in fields(Selection) if f.name in FIELDS[kind]}
    for name, value in stored.items():
        if isinstance(value, tuple):
            stored[name] = list(value)
    if "stages" in stored and stored["stages"] is None:
        stored["stages"] = "all"
    return stored
