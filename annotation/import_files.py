"""The file of an import: where it lies and how it is called. What stands in it: see `parsing`."""

from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage

from annotation import folder_rows
from annotation.models import Import


def store(import_row: Import, upload: Any) -> str:
    """Keep an upload under a name of ours; its own name is only ever shown."""
    name = folder_rows.NAME if isinstance(upload, folder_rows.Manifest) else "upload"
    return default_storage.save(f"imports/{import_row.pk}/{name}", upload)


def wanted_path(import_row: Import) -> str:
    """Where the list of what is to be downloaded lies."""
    return f"imports/{import_row.pk}/wanted.json"


def drop(import_row: Import) -> None:
    """Delete the upload, or what was downloaded; files that a command named are not ours."""
    if import_row.path and not Path(import_row.path).is_absolute():
        default_storage.delete(import_row.path)
    if import_row.source.startswith("hub:"):
        default_storage.delete(wanted_path(import_row))
        drop_files(import_row)


def drop_files(import_row: Import) -> None:
    """Delete what was downloaded so far."""
    folder = f"imports/{import_row.pk}/files"
    try:
        names = default_storage.listdir(folder)[1]
    except OSError:  # nothing came
        return
    for name in names:
        default_storage.delete(f"{folder}/{name}")


def display_name(name: str) -> str:
    """A file's name without folders and control characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:255] or "file"
