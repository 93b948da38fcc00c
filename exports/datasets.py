"""Making and changing datasets: the only writer of their rows."""

from typing import Any

from django.db import transaction

from annotation.models import User, Workspace
from annotation.people import with_free_slug
from exports import rulesets
from exports.models import Dataset, RulesetVersion
from exports.rules import SelectionError, check_kind, to_json
from exports.selection import check


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise SelectionError({"name": "give it a name"})
    if len(name) > 100:
        raise SelectionError({"name": "100 characters at most"})
    return name


@transaction.atomic
def create(
    *, workspace: Workspace, name: str, kind: str, values: dict[str, Any], user: User | None
) -> Dataset:
    """A dataset; `values` are its rules (exports.rules). Raises SelectionError per field."""
    name = _name(name)
    check_kind(kind)
    selection = to_json(kind, check(workspace, kind, values))

    def make(slug: str) -> Dataset:
        return workspace.datasets.create(
            name=name, slug=slug, kind=kind, selection=selection, created_by=user
        )

    made = with_free_slug(make, workspace.datasets.all(), name, None, "dataset", length=60)
    assert made is not None  # none is only for a slug that was asked for
    return made


@transaction.atomic
def change(*, dataset: Dataset, name: str, values: dict[str, Any]) -> RulesetVersion | None:
    """Another name and other rules. The kind stays, and so do the snapshots.

    Returns the shared rules that the dataset follows no longer, because its own differ now."""
    dataset.name = _name(name)
    dataset.selection = to_json(dataset.kind, check(dataset.workspace, dataset.kind, values))
    left = dataset.follows
    if left is not None:
        own = rulesets.shared(dataset.kind, dataset.selection)
        left = left if own != rulesets.shared(dataset.kind, left.rules) else None
    if left is not None:
        dataset.follows = None
    dataset.save(update_fields=["name", "selection", "follows"])
    return left
