"""What a lead types to make a dataset and its rules."""

from dataclasses import dataclass, field
from typing import Any

from django import forms

from annotation.models import Stage, Workspace
from exports.choices import ANSWER_CLASSES, MARGINS
from exports.formats import KINDS
from exports.models import Dataset
from exports.preferences import MODES
from exports.rules import FIELDS, Selection, SelectionError, to_json

GROUPS: list[tuple[str, list[str]]] = [
    ("", ["name", "kind", "projects"]),
    ("Which answers", ["answers", "best_ranked"]),
    ("Which comparisons", ["pairs", "corrections_as_pairs", "include_imported", "margin"]),
    ("What is left out", ["stages", "min_length"]),
    ("Shape and splits", ["prompt_template", "test", "validation"]),
]


@dataclass
class Group:
    """Some of a form's fields, in the shape that `_fields.html` renders."""

    title: str
    kinds: str  # for dataset.js: the kinds for which these fields mean something
    visible_fields: list[Any]
    hidden_fields: list[Any] = field(default_factory=list)


class DatasetForm(forms.Form):
    """All rules of all kinds; those of other kinds are hidden by dataset.js and never read."""

    name = forms.CharField(max_length=100, help_text="What it is for, e.g. “Support answers”.")
    kind = forms.ChoiceField(
        choices=[(kind, f"{kind}: {text}") for kind, (text, _) in KINDS.items()],
        help_text="Cannot be changed later.",
    )
    projects = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    answers = forms.MultipleChoiceField(
        choices=list(ANSWER_CLASSES.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    best_ranked = forms.BooleanField(
        label="Only the best ranked answers",
        required=False,
        help_text="Prompts that nobody ranked are left out.",
    )
    pairs = forms.ChoiceField(
        label="How a ranking becomes pairs",
        choices=list(MODES.items()),
        required=False,
        help_text="Ties give no pair. Where annotators differ, the majority decides.",
    )
    corrections_as_pairs = forms.BooleanField(
        label="A correction is better than its original",
        required=False,
        help_text="Each correction gives a pair, under the prompt as it was corrected.",
    )
    include_imported = forms.BooleanField(label="Imported comparisons too", required=False)
    margin = forms.ChoiceField(
        choices=list(MARGINS.items()),
        required=False,
        help_text="A column that says by how much the chosen answer is better.",
    )
    stages = forms.MultipleChoiceField(
        label="Only work from these stages",
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None ticked: all of them, also those to come.",
    )
    min_length = forms.IntegerField(
        label="Shortest answer, in characters", required=False, min_value=0
    )
    prompt_template = forms.CharField(
        label="The user's turn, where a prompt has a context",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="{prompt} and {context} are filled in.",
    )
    test = forms.FloatField(
        label="Test, per cent of conversations",
        required=False,
        help_text="Read only before and after training.",
    )
    validation = forms.FloatField(
        label="Validation, per cent of conversations",
        required=False,
        help_text="Chooses the best checkpoint. A conversation stays in its split.",
    )

    def __init__(
        self, *args: Any, workspace: Workspace, dataset: Dataset | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("initial", {})
        kwargs["initial"] = first_values(dataset) | kwargs["initial"]
        super().__init__(*args, **kwargs)
        self.kinds = [dataset.kind] if dataset else list(KINDS)
        if dataset:
            del self.fields["kind"]
            for name in set(self.fields) - {"name", *FIELDS[dataset.kind]}:
                del self.fields[name]
        projects = workspace.projects.order_by("name")
        self._choices("projects", [(p.slug, p.name) for p in projects if not p.archived])
        if "stages" in self.fields:
            stages = Stage.objects.filter(project__in=projects).select_related("project")
            stages = stages.order_by("project__name", "position", "pk")
            self._choices("stages", [(s.pk, f"{s.project} / {s} ({s.kind})") for s in stages])

    def _choices(self, name: str, choices: list[tuple[Any, str]]) -> None:
        found = self.fields[name]
        assert isinstance(found, forms.MultipleChoiceField)
        found.choices = choices

    def groups(self) -> list[Group]:
        """The fields as the page shows them, each group with the kinds that it is for."""
        found = []
        for title, names in GROUPS:
            here = [self[name] for name in names if name in self.fields]
            rules = {name for name in names if any(name in FIELDS[kind] for kind in KINDS)}
            kinds = [kind for kind in KINDS if not rules or rules & set(FIELDS[kind])]
            if here:
                found.append(Group(title, " ".join(kinds), here))
        return found

    def values(self, kind: str) -> dict[str, Any]:
        """The rules of the kind, as exports.rules takes them; what was left empty is default."""
        data = self.cleaned_data
        values = {name: data[name] for name in FIELDS[kind] if name in data}
        empty = {name for name, value in values.items() if value in ("", None, [])}
        empty.discard("answers")  # nothing ticked is a mistake to be told, not a default
        return {name: value for name, value in values.items() if name not in empty}

    def refuse(self, error: SelectionError) -> None:
        """Show the act's refusals beside their fields."""
        for name, text in error.errors.items():
            self.add_error(name if name in self.fields else None, text[:1].upper() + text[1:] + ".")


def first_values(dataset: Dataset | None) -> dict[str, Any]:
    """What the form starts from: the dataset's rules, or the defaults."""
    default = Selection()
    if dataset is None:
        values = {name: stored for kind in KINDS for name, stored in to_json(kind, default).items()}
    else:
        values = to_json(dataset.kind, default) | dataset.selection | {"name": dataset.name}
    if values.get("stages") == "all":
        values["stages"] = []
    for name in ("test", "validation"):
        values[name] = f"{values[name]:g}"
    return values
