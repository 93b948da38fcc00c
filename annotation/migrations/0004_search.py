"""Full-text search of prompts, kept by the database itself (see annotation/search_index.py)."""

from typing import Any

from django.db import migrations

from annotation import search_index


def make(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        search_index.make(cursor, schema_editor.connection.vendor)


def drop(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        search_index.drop(cursor, schema_editor.connection.vendor)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0003_trusted_work")]

    operations = [migrations.RunPython(make, drop)]
