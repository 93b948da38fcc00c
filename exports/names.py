"""Names for what looks and selections hold as keys: people, stages, languages."""

from collections.abc import Callable, Iterable

from annotation.models import Stage, User, Workspace
from exports import rule_words

# (facet, value) -> words
Names = Callable[[str, str], str]
EMPTY = {
    "reason": "kept",
    "language": "not sure",
    "review": "not reviewed",
    "annotator": "nobody known",
    "stage": "no stage",
    "split": "none",
}


def people(keys: Iterable[str]) -> dict[str, str]:
    """{"user 12": "Ana Lima", "name Judge": "Judge"}: those that are known."""
    keys = set(keys)
    ids = {int(key[5:]) for key in keys if key.startswith("user ") and key[5:].isdecimal()}
    users = User.objects.in_bulk(ids)
    found = {f"user {pk}": str(user) for pk, user in users.items()}
    return found | {key: key[5:] for key in keys if key.startswith("name ")}


def language(code: str) -> str:
    """“German (de)”; the code alone where it has no name here."""
    known = rule_words.language(code)
    return f"{known} ({code})" if known != code else code


def stages(workspace: Workspace) -> dict[int, str]:
    """{number: “Project / Stage”} of all in the workspace."""
    rows = Stage.objects.filter(project__workspace=workspace).select_related("project")
    rows = rows.order_by("project__name", "position", "pk")
    return {row.pk: f"{row.project} / {row}" for row in rows}


def of(workspace: Workspace, annotators: Iterable[str]) -> Names:
    """Words for the values of facets."""
    known = people(annotators)
    there = {str(pk): name for pk, name in stages(workspace).items()}

    def name(facet: str, value: str) -> str:
        if not value:
            return EMPTY.get(facet, "none")
        if facet == "annotator":
            return known.get(value, value)
        if facet == "stage":
            return there.get(value, value)
        return language(value) if facet == "language" else value

    return name
