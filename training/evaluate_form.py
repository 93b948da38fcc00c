"""The form that measures a run's model, on the run's own page."""

from typing import Any

from django import forms

from exports.models import Snapshot
from training.engine import LOCAL
from training.forms import (
    READY,
    ConfigForm,
    ModelField,
    SnapshotField,
    against_field,
    reward_field,
)
from training.inputs import Checkpoint, Given
from training.models import Run
from training.reports import leaves_model

KINDS = {"reward": ("preference", "unpaired", "sft"), "classify": ("labels",)}  # that it can judge
ALL_BUT_LABELS = ("sft", "preference", "prompts", "text", "unpaired")


def usable_steps(run: Run) -> list[int]:
    """Steps of the checkpoints that can be measured."""
    return [step for step in LOCAL.checkpoints(run) if Checkpoint(run, step).is_usable]


def can_be_measured(run: Run) -> bool:
    """By what it left; where it failed or was cancelled, by a checkpoint."""
    return leaves_model(run) or (run.has_ended and bool(usable_steps(run)))


class EvaluateForm(ConfigForm):
    """Measure a run's model, or one of its checkpoints, from the run's own page."""

    field_order = ("weights", "snapshot", "against", "reward", "preset")

    def __init__(self, data: Any = None, *, run: Run) -> None:
        super().__init__(data, recipe="evaluate")
        self.run = run
        left = [("", "what it left")] if leaves_model(run) else []
        self.fields["weights"] = forms.ChoiceField(
            choices=left + [(str(s), f"its checkpoint of step {s}") for s in usable_steps(run)],
            required=False,
            label="Weights",
        )
        rows = Snapshot.objects.filter(
            dataset__workspace=run.workspace,
            dataset__kind__in=KINDS.get(run.recipe, ALL_BUT_LABELS),
            state=READY,
        )
        mine = run.inputs.filter(name="snapshot").values_list("snapshot", flat=True).first()
        self.fields["snapshot"] = SnapshotField(
            rows.select_related("dataset").order_by("-pk"),
            empty_label=None,
            label="Measured on",
            initial=mine,
        )
        if run.recipe not in KINDS:
            self.fields["against"] = against = against_field(run.workspace)
            against.initial = self._begun(against)
            self.fields["reward"] = judge = reward_field(run.workspace, required=False)
            trained_by = run.inputs.filter(name="reward").values_list("source", flat=True).first()
            judge.initial = f"run-{trained_by}" if trained_by else ""
        self.order_fields(self.field_order)
        self.has_snapshot = rows.exists()

    def _begun(self, field: ModelField) -> str:
        """What the run started from, if that can be chosen: after is set against before."""
        rows = {row.name: row for row in self.run.inputs.all()}
        row = rows.get("init") or rows.get("model")
        key = "" if row is None else f"run-{row.source_id}" if row.source_id else f"path-{row.path}"
        return key if key in field.given else ""

    def inputs(self) -> dict[str, Given]:
        """What `create_run` takes, of a valid form."""
        cleaned = self.cleaned_data
        step = cleaned.get("weights")
        found = {
            "model": Checkpoint(self.run, int(step)) if step else self.run,
            "snapshot": cleaned["snapshot"],
            "against": cleaned.get("against"),
            "reward": cleaned.get("reward"),
        }
        return {name: value for name, value in found.items() if value}
