"""manage.py sweep: find what was lost and bring it back. `serve` does it every few seconds."""

from typing import Any

from django.core.management.base import BaseCommand

from training import runs


class Command(BaseCommand):
    help = "Adopt unwatched runs, send lost work again, clear dead imports and freezes."

    def handle(self, **options: Any) -> None:
        counts = runs.sweep()
        self.stdout.write(", ".join(f"{name} {count}" for name, count in counts.items()))
