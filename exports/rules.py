"""What a selection says: its fields, what each may be, and which bear on which kind. Pure."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from exports.formats import KINDS, PROMPT_TEMPLATE, check_prompt_template
from exports.preferences import MODES

ANSWER_CLASSES: dict[str, str] = {
    "written": "written here",
    "corrected": "corrected here (a correction supersedes its original)",
    "imported": "imported",
    "model": "by a model",
}
MARGINS: dict[str, str] = {
    "none": "no margin",
    "strength": "the strength that annotators gave (mean)",
    "places": "places between the two in the ranking (mean)",
}


class SelectionError(ValueError):
    """What was given is no selection. `errors` says per field what is wrong and what is allowed."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))


@dataclass(frozen=True)
class Selection:
    """`stages` None: all of them. `test` and `validation` are per cent of the conversations."""

    projects: tuple[str, ...] = ()
    stages: tuple[int, ...] | None = None
    min_length: int = 0
    prompt_template: str = PROMPT_TEMPLATE
    test: float = 5.0
    validation: float = 5.0
    answers: tuple[str, ...] = ("written", "corrected", "imported")
    best_ranked: bool = False
    include_imported: bool = True
    pairs: str = "all"
    margin: str = "none"
    corrections_as_pairs: bool = False


_ALL = ("projects", "prompt_template", "test", "validation")
FIELDS: dict[str, tuple[str, ...]] = {
    "sft": (*_ALL, "stages", "min_length", "answers", "best_ranked"),
    "preference": (
        *_ALL,
        "stages",
        "min_length",
        "include_imported",
        "pairs",
        "margin",
        "corrections_as_pairs",
    ),
    "prompts": _ALL,
}
_CHOICES: dict[str, dict[str, str]] = {"pairs": MODES, "margin": MARGINS}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
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
    except (TypeError, ValueError):
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
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a {'whole ' if kind is int else ''}number") from None
    # Written so that nan, which compares false with all, is refused.
    if isinstance(value, bool) or not low <= number <= high:
        raise ValueError(f"{number:g} is outside {low:g} to {high:g}")
    return number


def _read(name: str, value: Any) -> Any:
    """The field's value from JSON or typed text. Raises ValueError with a sentence."""
    if name == "projects":
        return _strings(value)
    if name == "stages":
        return _stages(value)
    if name == "answers":
        chosen = _strings(value)
        for one in chosen:
            if one not in ANSWER_CLASSES:
                raise ValueError(f"{one!r} is none of {', '.join(ANSWER_CLASSES)}")
        if not chosen:
            raise ValueError("choose at least one")
        return tuple(one for one in ANSWER_CLASSES if one in chosen)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"{value!r} is none of {', '.join(_CHOICES[name])}")
        return value
    if name == "min_length":
        return _number(value, int, 0, 1_000_000)
    if name in ("test", "validation"):
        return _number(value, float, 0, 90)
    if name == "prompt_template":
        if not isinstance(value, str):
            raise ValueError("a text is wanted")
        check_prompt_template(value)
        return value
    return _boolean(value)


def check_kind(kind: str) -> None:
    """Raises SelectionError for a kind that has no rows yet."""
    if kind not in KINDS:
        text = f"“{kind}” cannot be made yet; choose one of {', '.join(KINDS)}."
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
