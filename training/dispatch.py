"""The one door to the broker: a message is a wake-up that carries a primary key."""

import logging

from celery import current_app
from django.db import transaction

from training import moves

log = logging.getLogger("training.runs")
TASK = "training.tasks.supervise"
LOOK = "training.tasks.preflight"


def send(pk: int, *, expires: int | None = None) -> None:
    """Ask a worker to supervise the run, once the transaction is in.

    After `expires` seconds the message is worth nothing. A broker that is away costs a log line:
    the sweeper sends again."""
    transaction.on_commit(lambda: _send(pk, expires))


def _send(pk: int, expires: int | None) -> None:
    try:
        current_app.send_task(TASK, args=[pk], queue="gpu", expires=expires, retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("run not sent", extra={"run": pk, "error": str(error)})
        return
    moves.sent(pk)


def look(pk: int) -> None:
    """Ask a worker for the preflight. Where no message comes through, the page says that nobody has
    taken it up, and offers to ask again."""
    transaction.on_commit(lambda: _look(pk))


def _look(pk: int) -> None:
    try:
        current_app.send_task(LOOK, args=[pk], queue="preflight", retry=False)
    except Exception as error:  # whatever the broker's library raises
        log.warning("preflight not sent", extra={"preflight": pk, "error": str(error)})
