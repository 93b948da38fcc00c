"""Forms made from a recipe's config: one field a knob, its error beside it."""

from dataclasses import Field, fields
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet

from annotation.models import Project, Workspace
from exports.models import Dataset, Snapshot
from training.inputs import Given, base_models
from training.models import Run
from training.recipes.configs import RECIPES, ConfigError, parse
from training.runs import preset_values

PRESETS = [("quick", "Quick: minutes on a processor"), ("sensible", "Sensible: all rows")]
GROUPS = {
    "recipe": "Recipe",
    "model": "Model and rows",
    "adapter": "Adapter",
    "optimiser": "Optimiser",
}
READY = Snapshot.State.READY


def ready_snapshots(workspace: Workspace, kind: str) -> "QuerySet[Snapshot]":
    rows = Snapshot.objects.filter(dataset__workspace=workspace, dataset__kind=kind, state=READY)
    return rows.select_related("dataset").order_by("-pk")


class SnapshotField(forms.ModelChoiceField):
    def label_from_instance(self, snapshot: Snapshot) -> str:
        counts = snapshot.counts or {}
        rows = sum(n for n in counts.values() if isinstance(n, int))
        return f"{snapshot} · {rows:,} rows"


class ModelField(forms.ChoiceField):
    """A base model, a finished run's model, or a Hub id. Cleans to what `create_run` takes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.given: dict[str, Given] = {}

    def offer(self, groups: list[tuple[str, list[tuple[str, Given]]]]) -> None:
        choices: list[Any] = []
        self.given = {}
        for title, entries in groups:
            options = []
            for label, given in entries:
                key = f"run-{given.pk}" if isinstance(given, Run) else f"path-{given}"
                self.given[key] = given
                options.append((key, label))
            if options:
                choices.append((title, options))
        self.choices = choices

    def clean(self, value: Any) -> Any:
        key = super().clean(value)
        return self.given.get(key)


def finished(
    workspace: Workspace, *recipes: str, under_way: bool = False
) -> list[tuple[str, Given]]:
    """Runs of these recipes whose model can be had: (label, run), newest first."""
    states = [
        Run.State.SUCCEEDED,
        *([s for s in Run.State if s not in Run.ENDED] if under_way else []),
    ]
    rows = Run.objects.filter(workspace=workspace, recipe__in=recipes, state__in=states)
    return [
        (f"run {run.pk} · {run.name}" + ("" if run.has_ended else f" ({run.state})"), run)
        for run in rows.order_by("-pk")[:200]
    ]


def knob_field(spec: "Field[Any]", preset: dict[str, Any]) -> forms.Field:
    """A field for a knob. Left empty, it takes the preset's value, which it shows."""
    meta = spec.metadata
    usual = preset.get(spec.name, spec.default)
    common: dict[str, Any] = {
        "label": spec.name.replace("_", " "),
        "help_text": meta["help"],
        "required": False,
    }
    if meta["choices"]:
        options = [("", f"{usual} (preset)"), *((c, c) for c in meta["choices"])]
        return forms.ChoiceField(choices=options, **common)
    shown = f"{usual:g}" if isinstance(usual, float) else str(usual)
    widget = forms.TextInput(
        attrs={"placeholder": shown, "inputmode": "decimal", "autocomplete": "off"}
    )
    return forms.CharField(widget=widget, **common)


class ConfigForm(forms.Form):
    """The knobs of a recipe below its preset."""

    preset = forms.ChoiceField(choices=PRESETS, initial="quick", label="How long")

    def __init__(self, data: Any = None, *, recipe: str) -> None:
        super().__init__(data, prefix=recipe)
        self.recipe = recipe
        chosen = self.data.get(self.add_prefix("preset")) if self.is_bound else "quick"
        preset = preset_values(recipe, "quick" if chosen == "quick" else "")
        self.specs = {spec.name: spec for spec in fields(RECIPES[recipe].config)}
        for name, spec in self.specs.items():
            self.fields[name] = knob_field(spec, preset)

    def clean(self) -> dict[str, Any]:
        """Adds `config`: preset and knobs as JSON values, checked as `create_run` checks them."""
        cleaned = super().clean() or {}
        given = {name: cleaned[name] for name in self.specs if cleaned.get(name) not in (None, "")}
        values = preset_values(self.recipe, cleaned.get("preset", "")) | given
        try:
            parsed = parse(self.recipe, values)
        except ConfigError as error:
            for name, text in error.errors.items():
                self.add_error(name if name in self.fields else None, text)
            return cleaned
        cleaned["config"] = {name: getattr(parsed, name) for name in values}
        return cleaned

    def head(self) -> list[forms.BoundField]:
        """The fields that are no knobs."""
        return [self[name] for name in self.fields if name not in self.specs]

    def groups(self) -> list[dict[str, Any]]:
        """The knobs by group: title and fields."""
        found = []
        for group, title in GROUPS.items():
            bound = [self[n] for n, spec in self.specs.items() if spec.metadata["group"] == group]
            if bound:
                found.append({"title": title, "fields": bound})
        return found

    def has_wrong_knob(self) -> bool:
        return any(name in self.errors for name in self.specs)


class StartForm(ConfigForm):
    """Train on a snapshot of this dataset, from its own page."""

    field_order = ("snapshot", "model", "reward", "hub", "preset")

    def __init__(self, data: Any = None, *, recipe: str, dataset: Dataset) -> None:
        super().__init__(data, recipe=recipe)
        workspace = dataset.workspace
        snapshots = dataset.snapshots.filter(state=READY).order_by("-number")
        self.fields["snapshot"] = SnapshotField(
            snapshots.select_related("dataset"), empty_label=None, label="Version"
        )
        self.fields["model"] = model = ModelField(
            label="Start from", required=not settings.ALLOW_HUB
        )
        tuned = finished(workspace, "sft", "ppo", under_way=True)
        bases = base_models()
        first = [("Runs of this workspace", tuned), ("Base models", bases)]
        model.offer(first if recipe == "ppo" else first[::-1])
        if settings.ALLOW_HUB:
            self.fields["hub"] = forms.CharField(
                label="or a model of the Hub", required=False, help_text="owner/name; downloaded"
            )
        if "reward" in RECIPES[recipe].inputs:
            self.fields["reward"] = reward = ModelField(label="Judged by reward model")
            reward.offer([("Runs", finished(workspace, "reward", under_way=True))])
        rewards = self.fields.get("reward")
        self.lacks_reward = isinstance(rewards, ModelField) and not rewards.given
        self.order_fields(self.field_order)
        self.has_snapshot = snapshots.exists()
        self.has_model = bool(model.given) or settings.ALLOW_HUB

    def inputs(self) -> dict[str, Given]:
        """What `create_run` takes, of a valid form."""
        cleaned = self.cleaned_data
        found = {"snapshot": cleaned["snapshot"], "model": cleaned.get("hub") or cleaned["model"]}
        if cleaned.get("reward"):
            found["reward"] = cleaned["reward"]
        return {name: value for name, value in found.items() if value}


class RlhfForm(forms.Form):
    """SFT, reward model and PPO in one go: a base model and three snapshots."""

    preset = forms.ChoiceField(choices=PRESETS, initial="quick", label="How long")

    def __init__(self, data: Any = None, *, dataset: Dataset) -> None:
        super().__init__(data, prefix="rlhf")
        self.missing = []
        for name, kind, label in [
            ("sft", "sft", "Answers to imitate (SFT)"),
            ("preference", "preference", "Comparisons (reward model)"),
            ("prompts", "prompts", "Prompts to practise on (PPO)"),
        ]:
            rows = ready_snapshots(dataset.workspace, kind)
            mine = rows.filter(dataset=dataset).first()
            self.fields[name] = SnapshotField(rows, empty_label=None, label=label, initial=mine)
            if not rows.exists():
                self.missing.append(kind)
        self.fields["model"] = model = ModelField(label="Base model")
        model.offer([("Base models", base_models())])
        self.has_model = bool(model.given)
        self.order_fields(["model", "sft", "preference", "prompts", "preset"])

    def arguments(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.fields}


class AnswerForm(forms.Form):
    """Which project's prompts a finished model is to answer, and how many of them."""

    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    limit = forms.IntegerField(
        min_value=1,
        required=False,
        label="At most",
        help_text="Empty: all that it has not answered",
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = workspace.projects.filter(archived=None).order_by("name")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]


class ProjectAnswerForm(forms.Form):
    """Which finished model is to answer this project's prompts."""

    model = ModelField()
    limit = AnswerForm.base_fields["limit"]

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.fields["model"]
        assert isinstance(model, ModelField)
        model.offer(
            [
                ("Runs of this workspace", finished(workspace, "sft", "ppo")),
                ("Base models", base_models()),
            ]
        )
        self.has_model = bool(model.given)
