"""Who carries a running import out. The heartbeat is the proof: whoever wrote the last one has it.

A worker that was silent for too long is given up, and the import may be started again; if it wakes
after all, its proof is of no worth any more and it writes nothing."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.models import Import, Project
from annotation.removal import others_have_rows

State = Import.State


class Cancelled(Exception):
    """Somebody cancelled the import while it ran, or gave it up."""


def claim(import_row: Import) -> bool:
    """queued -> running, unless another import into the project runs: one at a time.

    One that was cancelled or failed is in the way until its rows are out: this one would take its
    prompts for prompts that are there, and lose with them what it adds."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=import_row.project_id)
        running = Import.objects.filter(project=import_row.project_id, state=State.RUNNING)
        if running.exists() or others_have_rows(import_row):
            return False
        now = timezone.now()
        rows = Import.objects.filter(pk=import_row.pk, state=State.QUEUED)
        if not rows.update(
            state=State.RUNNING,
            heartbeat=now,
            reason="",
            rows_done=0,
            rows_total=None,
            bytes_done=0,
        ):
            return False
    import_row.state, import_row.heartbeat = State.RUNNING.value, now
    return True


class Hold:
    """A claimed import, held by this process for as long as nobody takes it away."""

    def __init__(self, import_row: Import) -> None:
        self.row = import_row
        self.rows = 0  # how far it is: rows written, and bytes of the file read
        self.bytes = 0
        self.total: int | None = None  # of the file, where there is one
        # The last two heartbeats: the later one goes with its transaction, if that is rolled back.
        self._beats = [import_row.heartbeat, import_row.heartbeat]

    def reached(self, size: int) -> None:
        self.bytes = size

    def of(self, size: int) -> None:
        """The size of the file, in bytes."""
        self.total = size
        Import.objects.filter(pk=self.row.pk).update(bytes_total=size)

    def beat(self) -> None:
        """Say that it lives and how far it is. Raises Cancelled when it is no longer wanted."""
        now = timezone.now()
        if not self._mine().update(heartbeat=now, rows_done=self.rows, bytes_done=self.bytes):
            raise Cancelled
        self._beats = [self._beats[1], now]

    def end(self, state: str, **fields: Any) -> bool:
        """running -> whatever it comes to; false if it is this process's no longer."""
        now = timezone.now()
        if not self._mine().update(state=state, finished=now, heartbeat=now, **fields):
            return False
        self.row.state, self.row.heartbeat = state, now
        return True

    def _mine(self) -> Any:
        rows = Import.objects.filter(pk=self.row.pk, state=State.RUNNING)
        return rows.filter(heartbeat__in=self._beats)
