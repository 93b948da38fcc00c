"""Runs and models that learned from a snapshot, and from their models in turn. Reads only: what an
erasure cannot cut out of a model, it names."""

from dataclasses import dataclass
from pathlib import Path

from exports.models import Snapshot
from training.models import Run, RunInput


@dataclass(frozen=True)
class Touched:
    """A run that read the snapshot (`from_run` none), or started from the model of one that did."""

    run: Run
    snapshot: Snapshot
    from_run: int | None

    @property
    def weights(self) -> Path | None:
        """Where its model lies; where it left none, its checkpoints, which can be resumed from and
        measured."""
        if self.run.recipe in ("answer", "evaluate"):
            return None
        if self.run.result.get("artifact") or self.run.state == Run.State.SUCCEEDED:
            return self.run.artifact
        checkpoints = self.run.directory / "checkpoints"
        return checkpoints if checkpoints.is_dir() else None


def touched(snapshots: list[Snapshot]) -> list[Touched]:
    """Every run behind which one of these stands, each once, in the order of their numbers."""
    found: dict[int, Touched] = {}
    direct = RunInput.objects.filter(snapshot__in=snapshots).select_related("run", "snapshot")
    level = [Touched(each.run, each.snapshot, None) for each in direct if each.snapshot]
    while level:
        level = [each for each in level if each.run.pk not in found]
        found |= {each.run.pk: each for each in level}
        sources = {each.run.pk: each for each in level}
        later = RunInput.objects.filter(source__in=sources).select_related("run")
        level = [
            Touched(each.run, sources[each.source_id].snapshot, each.source_id)
            for each in later
            if each.source_id is not None
        ]
    return [found[pk] for pk in sorted(found)]


def behind(run: Run) -> list[Snapshot]:
    """The withdrawn snapshots that the run, or a run that it started from, learned from."""
    seen: set[int] = set()
    level = {run.pk}
    snapshots: dict[int, Snapshot] = {}
    while level:
        seen |= level
        inputs = RunInput.objects.filter(run__in=level).select_related("snapshot__dataset")
        level = set()
        for each in inputs:
            if each.snapshot and each.snapshot.state == Snapshot.State.WITHDRAWN:
                snapshots[each.snapshot.pk] = each.snapshot
            if each.source_id and each.source_id not in seen:
                level.add(each.source_id)
    return [snapshots[pk] for pk in sorted(snapshots)]
