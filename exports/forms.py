"""What a lead types to make a dataset, its rules, shared rules and benchmarks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django import forms

from annotation.models import Workspace
from exports import rule_choices, rule_fields, rule_words
from exports.formats import KINDS
from exports.models import Dataset
from exports.rules import FIELDS, OWN, Selection, SelectionError, to_json


@dataclass
class Group:
    """Some of a form's fields. `kinds`: for dataset.js, the kinds for which they mean something;
    `summary`: what is set, in a line; `open`: shown unfolded, because something is wrong in it."""

    title: str
    kinds: str
    fields: list[tuple[Any, str]]  # each with its own kinds
    summary: str = ""
    open: bool = False
    hidden_fields: list[Any] = field(default_factory=list)


class RulesForm(forms.Form):
    """The rules of a kind, or of all kinds where it is yet to be chosen: dataset.js hides those of
    the others, and they are never read."""

    kind_given = ""
    rules: tuple[str, ...] = ()

    def fill(
        self, workspace: Workspace, dataset: Dataset | None, kinds: Iterable[str], without: Any = ()
    ) -> None:
        """Add the fields of the rules of these kinds, with what there is to choose from."""
        self.kinds = list(kinds)
        known = {rule for kind in self.kinds for rule in FIELDS[kind]}
        self.rules = tuple(r for r in rule_words.TITLES if r in known and r not in without)
        offered = rule_choices.Offered(workspace, dataset)
        for rule in self.rules:
            made = self.fields[rule] = rule_fields.field(rule)
            if rule in rule_fields.TICKS or rule in rule_fields.ASKED:
                chosen = self.initial.get(rule) or []
                chosen = [chosen] if isinstance(chosen, str) else chosen
                made.choices = offered.of(rule, chosen)  # type: ignore[attr-defined]
            if hint := offered.hint(rule):
                made.help_text = f"{made.help_text} {hint}"
        if "weights" in self.fields and len(offered.projects) < 2:
            del self.fields["weights"]  # nothing to mix
        for rule in rule_fields.LINES:
            if isinstance(lines := self.initial.get(rule), list):
                self.initial[rule] = "\n".join(lines)

    def groups(self) -> list[Group]:
        """The fields as the page shows them."""
        said = self._said()
        found = []
        for title, names in rule_fields.GROUPS:
            here = [(self[name], self._kinds(name)) for name in names if name in self.fields]
            if not here:
                continue
            kinds = {kind for _, of in here for kind in of.split()}
            summary = "; ".join(said[name] for name in names if name in said)
            if said and not summary:
                summary = rule_fields.UNSET.get(title, "")
            wrong = any(one.errors for one, _ in here)
            found.append(Group(title, " ".join(sorted(kinds)), here, summary, wrong))
        return found

    def values(self, kind: str) -> dict[str, Any]:
        """The rules of the kind, as exports.rules takes them; what was left empty is default."""
        data = self.cleaned_data
        values = {name: data[name] for name in FIELDS[kind] if name in data}
        empty = {name for name, value in values.items() if value in ("", None, [])}
        # Nothing ticked is a mistake to be told, not a default.
        empty.discard("answers")
        if values.get("personal") in ("mask", "drop"):
            empty.discard("personal_kinds")
        return {name: value for name, value in values.items() if name not in empty}

    def refuse(self, error: SelectionError) -> None:
        """Show the act's refusals beside their fields."""
        for name, text in error.errors.items():
            self.add_error(name if name in self.fields else None, text[:1].upper() + text[1:] + ".")

    def _kinds(self, name: str) -> str:
        of = [kind for kind in self.kinds if name in FIELDS[kind]]
        return " ".join(of if name in self.rules else self.kinds)

    def _said(self) -> dict[str, str]:
        return {}


class DatasetForm(RulesForm):
    name = forms.CharField(max_length=100, help_text="What it is for, e.g. “Support answers”.")

    def __init__(
        self, *args: Any, workspace: Workspace, dataset: Dataset | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("initial", {})
        kwargs["initial"] = first_values(dataset) | kwargs["initial"]
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        if dataset is None:
            self.fields["kind"] = rule_fields.kind_field()
        self.fill(workspace, dataset, [dataset.kind] if dataset else KINDS)

    def _said(self) -> dict[str, str]:
        if self.dataset is None:
            return {}
        return rule_words.sentences(self.dataset.kind, self.dataset.selection)


class RulesetForm(RulesForm):
    """The rules of a ruleset's last version, without what each dataset has of its own."""

    def __init__(
        self, *args: Any, workspace: Workspace, kind: str, stored: dict[str, Any], **kwargs: Any
    ) -> None:
        kwargs["initial"] = _typed(to_json(kind, Selection()) | stored)
        super().__init__(*args, **kwargs)
        self.kind, self.stored = kind, stored
        self.fill(workspace, None, [kind], OWN)

    def _said(self) -> dict[str, str]:
        return rule_words.sentences(self.kind, self.stored)


class NameForm(forms.Form):
    """The name under which a dataset's rules are saved."""

    name = forms.CharField(label="Save these rules as", max_length=100)


class BenchmarkForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="As the rules name it, e.g. “GSM8K test”.")
    file = forms.FileField(
        help_text="Any layout that an import knows. Of each prompt its last turn and the answers "
        "are kept as texts, and nothing else."
    )


def first_values(dataset: Dataset | None) -> dict[str, Any]:
    """What the form starts from: the dataset's rules, or the defaults."""
    default = Selection()
    if dataset is None:
        return _typed(
            {name: stored for kind in KINDS for name, stored in to_json(kind, default).items()}
        )
    return _typed(to_json(dataset.kind, default) | dataset.selection | {"name": dataset.name})


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("stages") == "all":
        values["stages"] = []
    for name in ("test", "validation"):
        values[name] = f"{values[name]:g}"
    return values
