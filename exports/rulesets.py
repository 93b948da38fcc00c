"""Rules under a name that several datasets share: the only writer of rulesets and their versions.

A version never changes. A dataset follows one version: its `selection` holds the rules in full, and
what belongs to the dataset alone (rules.OWN: projects, stages, people, …) stays its own."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from annotation.errors import Refused
from annotation.models import User, Workspace
from exports.models import Dataset, Ruleset, RulesetVersion
from exports.rule_words import Change, changes, sentences
from exports.rules import FIELDS, OWN, Selection, SelectionError, parse, to_json
from exports.selection import check


def shared(kind: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a stored selection that a ruleset holds, every rule of the kind in it."""
    rules = to_json(kind, Selection()) | dict(stored)
    return {name: rules[name] for name in FIELDS[kind] if name not in OWN}


@transaction.atomic
def save(*, dataset: Dataset, name: str, user: User | None) -> RulesetVersion:
    """The dataset's rules under a name, which it follows from now on: a new ruleset, or the next
    version of the one that has the name. Raises Refused."""
    name = " ".join(name.replace("\0", " ").split())
    if not name:
        raise Refused("Give the rules a name.", field="name")
    if len(name) > 100:
        raise Refused("A name has 100 characters at most.", field="name")
    rows = Ruleset.objects.select_for_update().filter(workspace=dataset.workspace)
    ruleset = rows.filter(name=name).first()
    if ruleset is None:
        ruleset = Ruleset.objects.create(workspace=dataset.workspace, name=name, kind=dataset.kind)
    elif ruleset.kind != dataset.kind:
        raise Refused(
            f"“{name}” is for {ruleset.kind}; this dataset is {dataset.kind}. Take another name.",
            field="name",
        )
    version = _next(ruleset, shared(dataset.kind, dataset.selection), user)
    Dataset.objects.filter(pk=dataset.pk).update(follows=version)
    dataset.follows = version
    return version


@transaction.atomic
def revise(*, ruleset: Ruleset, values: dict[str, Any], user: User | None) -> RulesetVersion:
    """The ruleset's next version; the last one where nothing changed. Datasets stay on theirs.

    Raises SelectionError per field."""
    Ruleset.objects.select_for_update().get(pk=ruleset.pk)
    own = {name: text for name, text in values.items() if name in OWN}
    if own:
        raise SelectionError(dict.fromkeys(own, "belongs to each dataset"))
    return _next(
        ruleset, shared(ruleset.kind, to_json(ruleset.kind, parse(ruleset.kind, values))), user
    )


@transaction.atomic
def use(*, dataset: Dataset, version: RulesetVersion) -> None:
    """The dataset takes these rules over and follows them. Raises Refused, SelectionError."""
    ruleset = version.ruleset
    if ruleset.workspace_id != dataset.workspace_id or ruleset.kind != dataset.kind:
        raise Refused(f"“{ruleset}” is not for datasets of the kind {dataset.kind}.")
    selection = check(dataset.workspace, dataset.kind, after(dataset, version))
    dataset.selection, dataset.follows = to_json(dataset.kind, selection), version
    dataset.save(update_fields=["selection", "follows"])


def after(dataset: Dataset, version: RulesetVersion) -> dict[str, Any]:
    """The dataset's stored selection if it took the version over."""
    known = {name: rule for name, rule in version.rules.items() if name in FIELDS[dataset.kind]}
    return to_json(dataset.kind, Selection()) | dataset.selection | known


def what_changes(dataset: Dataset, version: RulesetVersion) -> list[Change]:
    """Rule by rule, what the dataset would take over."""
    return changes(dataset.kind, dataset.selection, after(dataset, version))


def newer(dataset: Dataset) -> RulesetVersion | None:
    """The newest version of the rules that the dataset follows, if it is on an older one."""
    if dataset.follows is None:
        return None
    rows = RulesetVersion.objects.filter(ruleset=dataset.follows.ruleset_id)
    rows = rows.filter(number__gt=dataset.follows.number).select_related("ruleset")
    return rows.order_by("-number").first()


def offered(dataset: Dataset) -> list[RulesetVersion]:
    """The newest version of each ruleset for the dataset's kind, by name."""
    rulesets = Ruleset.objects.filter(workspace=dataset.workspace, kind=dataset.kind)
    return [found for ruleset in rulesets.order_by("name") if (found := latest(ruleset))]


def latest(ruleset: Ruleset) -> RulesetVersion | None:
    return ruleset.versions.select_related("ruleset").order_by("-number").first()


def history(ruleset: Ruleset) -> list[dict[str, Any]]:
    """Its versions, newest first: {"version", "says" (in words), "changes" (against the one
    before), "first", "datasets"}."""
    rows = list(ruleset.versions.select_related("created_by").order_by("-number"))
    following: dict[int, list[Dataset]] = {}
    for dataset in Dataset.objects.filter(follows__ruleset=ruleset).order_by("name"):
        following.setdefault(dataset.follows_id or 0, []).append(dataset)
    return [
        {
            "version": row,
            "says": [
                words
                for rule, words in sentences(ruleset.kind, row.rules).items()
                if rule not in OWN
            ],
            "changes": changes(ruleset.kind, before.rules, row.rules, OWN) if before else [],
            "first": before is None,
            "datasets": following.get(row.pk, []),
        }
        for row, before in zip(rows, [*rows[1:], None], strict=True)
    ]


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """The workspace's rulesets by name, each with its newest version and who follows it."""
    found = []
    for ruleset in workspace.rulesets.annotate(last=Max("versions__number")).order_by("name"):
        datasets = Dataset.objects.filter(follows__ruleset=ruleset).select_related("follows")
        found.append({"ruleset": ruleset, "last": ruleset.last, "datasets": list(datasets)})
    return found


def _next(ruleset: Ruleset, rules: dict[str, Any], user: User | None) -> RulesetVersion:
    last = latest(ruleset)
    if last is not None and shared(ruleset.kind, last.rules) == rules:
        return last
    return RulesetVersion.objects.create(
        ruleset=ruleset, number=last.number + 1 if last else 1, rules=rules, created_by=user
    )
