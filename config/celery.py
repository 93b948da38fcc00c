"""The Celery app; nothing else."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("annotune")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["annotation", "exports", "training"])


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """A listener here keeps Celery from setting up logging of its own: settings.LOGGING holds."""
