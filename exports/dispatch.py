"""The one door to the broker: a message is a wake-up that carries a primary key."""

import logging

from celery import current_app
from django.db import transaction

log = logging.getLogger("exports")


def send(task: str, pk: int) -> None:
    """Ask a worker for the task of exports/tasks.py, once the transaction is in.

    A broker that is away costs a log line: the row says what is to be done, the sweeper sends
    again."""
    transaction.on_commit(lambda: _send(f"exports.tasks.{task}", pk))


def _send(name: str, pk: int) -> None:
    try:
        current_app.send_task(name, args=[pk], retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("task not sent", extra={"task": name, "row": pk, "error": str(error)})
