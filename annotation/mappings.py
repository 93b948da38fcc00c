"""Column mappings kept by name in a workspace: the only writer of ColumnMapping."""

from collections.abc import Collection

from annotation.errors import Refused
from annotation.layouts import check_mapping
from annotation.models import ColumnMapping, User, Workspace

NAME_LENGTH = 100


def keep(
    *,
    workspace: Workspace,
    name: str,
    mapping: dict[str, str],
    user: User | None,
    no_header: bool = False,
) -> ColumnMapping:
    """Save a mapping under a name, over the one that has it. `no_header`: of tables whose first
    line is a row.

    Raises Refused for a name that is none and for a mapping that is none."""
    name = " ".join(name.split())
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise Refused(
            f"Give the mapping a name of 1 to {NAME_LENGTH} characters.", field="mapping_name"
        )
    if not mapping:
        raise Refused("Choose columns first: this mapping is empty.", field="mapping_name")
    check_mapping(mapping)
    row, _ = ColumnMapping.objects.update_or_create(
        workspace=workspace,
        name=name,
        defaults={"mapping": mapping, "no_header": no_header, "created_by": user},
    )
    return row


def remove(row: ColumnMapping) -> None:
    """Forget a name. Imports that were read by it keep their copy of the mapping."""
    row.delete()


def named(workspace: Workspace, name: str) -> ColumnMapping:
    """The mapping of this name. Raises Refused, with the names that there are."""
    rows = {row.name: row for row in ColumnMapping.objects.filter(workspace=workspace)}
    if name not in rows:
        there = ", ".join(f"“{known}”" for known in sorted(rows)) or "none is saved"
        raise Refused(
            f"There is no saved mapping “{name}” in the workspace “{workspace}”: {there}.",
            field="mapping_name",
        )
    return rows[name]


def fits(mapping: dict[str, str], columns: Collection[str]) -> bool:
    """Whether a file with these columns has every column of the mapping.

    As in a row: by the name itself, or by the name in lower case, as tables have it."""
    return bool(mapping) and all(
        column in columns or column.strip().casefold() in columns for column in mapping.values()
    )


def fits_all(mapping: dict[str, str], columns: Collection[str]) -> bool:
    """Whether it fits and no column of the file is left over."""
    used = {column.strip().casefold() for column in mapping.values()}
    return fits(mapping, columns) and {name.strip().casefold() for name in columns} <= used


def offered(
    workspace: Workspace, columns: Collection[str], numbered: Collection[str] = ()
) -> list[ColumnMapping]:
    """The saved mappings that fit a file, that which uses most of its columns first. `numbered`:
    what its columns are called if its first line is a row, where it may be one."""
    rows = ColumnMapping.objects.filter(workspace=workspace).order_by("name", "pk")
    found = [row for row in rows if fits(row.mapping, numbered if row.no_header else columns)]
    return sorted(found, key=lambda row: -len(set(row.mapping.values())))
