"""Forms made from a recipe's config: one field a knob, its error beside it."""

from dataclasses import Field, fields
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet

from annotation.models import Workspace
from exports.models import Dataset, Snapshot
from training import planning
from training.inputs import LANGUAGE, Given, base_models, sources
from training.models import Run
from training.recipes.configs import RECIPES, ConfigError, EvaluateConfig, parse, turned
from training.runs import preset_values

PRESETS = [("quick", "Quick: some minutes"), ("sensible", "Sensible: all rows")]
# What a recipe is for, in a line above its form.
ABOUT = {
    "pretrain": "Learns the documents themselves, token by token.",
    "sft": "Learns to answer as the rows do.",
    "reward": "Learns which of two answers is better; PPO and evaluations are judged by it.",
    "dpo": "Learns from comparisons directly, without a reward model. Start from an SFT run.",
    "kto": "Learns from thumbs up and down. Start from an SFT run.",
    "classify": "Learns to give a text its label.",
    "ppo": "Practises on the prompts; a reward model or a rule judges. Start from an SFT run.",
    "evaluate": "Trains nothing: measures a model on the test rows, alone or against another.",
}
GROUPS = {
    "recipe": "Recipe",
    "model": "Model and rows",
    "adapter": "Adapter",
    "optimiser": "Optimiser",
    "watch": "Watching",
}
READY = Snapshot.State.READY
FROM_SFT = ("ppo", "dpo", "kto")  # recipes that begin with what an SFT run left
NO_JUDGE = (
    "PPO needs a judge. Choose a reward model (a dataset of comparisons trains one), or choose a "
    "rule under All settings."
)


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


def rates(recipe: str, preset: dict[str, Any]) -> str:
    """The learning rates that are taken where none is given: an adapter's, and of all weights."""
    adapter, whole = (
        parse(recipe, turned(preset, {"adaptation": name})).learning_rate
        for name in ("lora", "full")
    )
    return f"{adapter:g}; all weights {whole:g}"


class ConfigForm(forms.Form):
    """The knobs of a recipe below its preset."""

    preset = forms.ChoiceField(choices=PRESETS, initial="quick", label="How long")

    def __init__(self, data: Any = None, *, recipe: str) -> None:
        super().__init__(data, prefix=recipe)
        self.recipe = recipe
        if recipe == "evaluate":
            few, usual = preset_values(recipe, "quick")["eval_rows"], EvaluateConfig().eval_rows
            self.fields["preset"].choices = [  # type: ignore[attr-defined]
                ("quick", f"Quick: {few} rows"),
                ("sensible", f"Sensible: {usual} rows"),
            ]
        chosen = self.data.get(self.add_prefix("preset")) if self.is_bound else "quick"
        preset = preset_values(recipe, "quick" if chosen == "quick" else "")
        self.specs = {spec.name: spec for spec in fields(RECIPES[recipe].config)}
        for name, spec in self.specs.items():
            self.fields[name] = knob_field(spec, preset)
        if "adaptation" in self.specs:
            self.fields["learning_rate"].widget.attrs["placeholder"] = rates(recipe, preset)

    def clean(self) -> dict[str, Any]:
        """Adds `config`: preset and knobs as JSON values, checked as `create_run` checks them."""
        cleaned = super().clean() or {}
        given = {name: cleaned[name] for name in self.specs if cleaned.get(name) not in (None, "")}
        values = turned(preset_values(self.recipe, cleaned.get("preset", "")), given)
        try:
            parsed = planning.read(self.recipe, values)
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
        """The knobs by group, the recipe's own first: title, fields, and has one of them an error
        or been turned, so that it must be seen?"""
        found = []
        for group, title in GROUPS.items():
            bound = [self[n] for n, spec in self.specs.items() if spec.metadata["group"] == group]
            if bound:
                turned = any(field.errors or field.value() for field in bound)
                found.append({"title": title, "fields": bound, "open": turned})
        return found

    def shows_knobs(self) -> bool:
        return any(group["open"] for group in self.groups())


def with_none(field: ModelField) -> ModelField:
    """The field with a first choice of none."""
    offered: Any = field.choices
    field.choices = [("", "none"), *offered]
    return field


def reward_field(workspace: Workspace, *, required: bool) -> ModelField:
    """Which reward model judges; its runs may still work."""
    field = ModelField(label="Judged by reward model", required=required)
    field.offer([("Runs", finished(workspace, "reward", under_way=True))])
    return field if required else with_none(field)


def against_field(workspace: Workspace) -> ModelField:
    """Which language model a measured one is set against, if any."""
    field = ModelField(
        label="Set against",
        required=False,
        help_text="It answers the same prompts; a reward model says who wins",
    )
    tuned = finished(workspace, *LANGUAGE, under_way=True)
    field.offer([("Runs of this workspace", tuned), ("Base models", base_models())])
    return with_none(field)


class StartForm(ConfigForm):
    """Train on a snapshot of this dataset, or measure a model on it, from its own page."""

    field_order = ("snapshot", "model", "hub", "against", "reward", "preset")

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
        evaluates = recipe == "evaluate"
        names = {*sources(recipe, "model"), *sources(recipe, "init")} - {"convert"}
        tuned = finished(workspace, *names, under_way=True)
        groups = [("Base models", base_models()), ("Runs of this workspace", tuned)]
        if evaluates:
            model.label = "Model"
        # What builds on a trained model begins with one: the newest SFT run, if there is one.
        model.offer(groups[::-1] if recipe in (*FROM_SFT, "evaluate") else groups)
        if recipe in FROM_SFT:
            newest = (run for _, run in finished(workspace, "sft", under_way=True))
            model.initial = next((f"run-{run.pk}" for run in newest if isinstance(run, Run)), None)
        if settings.ALLOW_HUB:
            self.fields["hub"] = forms.CharField(
                label="or a model of the Hub", required=False, help_text="owner/name; downloaded"
            )
        needs = RECIPES[recipe].inputs
        if "against" in needs:
            self.fields["against"] = against_field(workspace)
        if "reward" in needs:
            self.fields["reward"] = reward_field(workspace, required=needs["reward"])
        if recipe == "ppo":
            self.fields["reward"].help_text = "With none, a rule judges: under All settings"
        self.order_fields(self.field_order)
        self.has_snapshot = snapshots.exists()
        self.has_model = bool(model.given) or settings.ALLOW_HUB

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        ruled = cleaned.get("config", {"rule": "?"}).get("rule", "none") != "none"
        if self.recipe == "ppo" and not (ruled or cleaned.get("reward") or "reward" in self.errors):
            self.add_error("reward", NO_JUDGE)
        return cleaned

    def inputs(self) -> dict[str, Given]:
        """What `create_run` takes, of a valid form."""
        cleaned = self.cleaned_data
        found = {"snapshot": cleaned["snapshot"], "model": cleaned.get("hub") or cleaned["model"]}
        found |= {name: cleaned.get(name) for name in ("reward", "against")}
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
