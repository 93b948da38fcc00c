"""The file of an import: where it lies and how it is called. What stands in it: see `parsing`."""

from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage

from annotation import folder_rows
from annotation.models import Import
from annotation.parsing import Parsed, Preview, TakeNote, guess, no_layout, opened, parsed, preview

__all__ = [
    "Parsed",
    "Preview",
    "TakeNote",
    "display_name",
    "drop",
    "guess",
    "no_layout",
    "opened",
    "parsed",
    "preview",
    "store",
]


def store(import_row: Import, upload: Any) -> str:
    """Keep an upload under a name of ours; its own name is only ever shown."""
    name = folder_rows.NAME if isinstance(upload, folder_rows.Manifest) else "upload"
    return default_storage.save(f"imports/{import_row.pk}/{name}", upload)


def drop(import_row: Import) -> None:
    """Delete the upload, or what was downloaded; files that a command named are not ours."""
    if import_row.path and not Path(import_row.path).is_absolute():
        if import_row.path.endswith(f"/{folder_rows.NAME}"):
            folder_rows.drop(import_row.path)
        default_storage.delete(import_row.path)


def display_name(name: str) -> str:
    """A file's name without folders and control characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:255] or "file"
