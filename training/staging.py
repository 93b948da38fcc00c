"""What of a run's inputs is put into its run directory. Nothing here writes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from annotation.errors import Refused
from exports import withdrawal
from exports.models import Snapshot
from training.inputs import Chosen, Given, base_of, check_copy, model_path
from training.models import Run, RunInput


@dataclass(frozen=True)
class Staged:
    """An input as the run directory gets it: an absolute path, or a Hub id."""

    name: str
    kind: str
    path: str
    sha256: str = ""
    is_local: bool = True


def staged(rows: Iterable[Chosen | RunInput]) -> list[Staged]:
    """What to put into the run directory; an adapter's base stands beside it as NAME_base.

    Raises Refused where something has been withdrawn or has not succeeded since."""
    found = []
    for row in rows:
        entry = Staged(row.name, row.kind, row.path, row.sha256, row.path.startswith("/"))
        if row.snapshot is not None:
            withdrawal.check(row.snapshot)
            if row.snapshot.state != Snapshot.State.READY:
                raise Refused(f"{row.snapshot} is {row.snapshot.state} now.")
            entry = replace(entry, path=row.snapshot.path, is_local=True)
        elif row.kind == RunInput.Kind.SNAPSHOT:
            check_copy(row.path, row.sha256)
        elif row.source is not None:
            if row.awaited and row.source.state != Run.State.SUCCEEDED:
                raise Refused(f"Run {row.source.pk}, which it starts from, has not succeeded.")
            sha256 = str(row.source.result.get("artifact", {}).get("sha256", ""))
            if not row.path:  # else a checkpoint of it
                entry = replace(entry, path=str(row.source.artifact), sha256=sha256 or entry.sha256)
            entry = replace(entry, is_local=True)
        found.append(entry)
        if row.name in ("reward", "against") and (base := _base(row)):
            found.append(base)
    return found


def waited(run: Run, rows: Iterable[Chosen | RunInput]) -> bool:
    """Was the run made before what it starts from was there? Then nobody has looked at it yet."""
    ends = [row.awaited.finished for row in rows if row.awaited]
    return bool(run.pk) and any(end is not None and end > run.created for end in ends)


def _base(row: Chosen | RunInput) -> Staged | None:
    """What the adapter at this input needs beneath it; none where it is whole or names none."""
    base: Given
    if row.source is not None:
        base = base_of(row.source)
    else:
        about = Path(row.path) / "annotune.json"
        try:
            facts = json.loads(about.read_text("utf-8")) if about.is_file() else {}
            named = str((facts.get("base") or {}).get("path") or "")
        except (ValueError, AttributeError) as error:
            raise Refused(f"{about} does not say what lies beneath it: {error}.") from None
        if not named:
            return None
        base = model_path(named)
    path = str(base.artifact) if isinstance(base, Run) else str(base)
    return Staged(f"{row.name}_base", RunInput.Kind.MODEL, path, is_local=path.startswith("/"))
