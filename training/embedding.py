"""Embedding a project's prompts: the only writer below HOME/embeddings. A process without Django
does the work; we write its texts, watch it, and put in force what still fits.

One at a time a project, by a lock that goes with its process. What was erased since the texts were
written ends the work and it begins anew; a vector in force whose prompt was erased is cut out by
whoever comes next: the page, this work, or the sweep.
"""

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from celery import current_app
from django.conf import settings
from django.utils import timezone

from annotation.errors import Refused
from annotation.models import Project
from training import embedder, embedding_job, vectors
from training.embedder import Embedder
from training.embedding_job import time_of
from training.engine import environment
from training.vectors import Vectors

log = logging.getLogger("training.embedding")
TASK = "training.tasks.embed"
BUSY = ("queued", "running")
POLL = 1.0  # seconds between two looks at the process
STALE = timedelta(minutes=3)  # queued or running without a word for so long: sent again

Command = Callable[[Path], list[str]]


def home_of(project: int) -> Path:
    return Path(settings.HOME) / "embeddings" / str(project)


def recipe_command(job: Path) -> list[str]:
    return [sys.executable, "-m", "training.recipes.embed", str(job)]


def is_busy(state: dict[str, Any]) -> bool:
    """Queued or at work, and not silent for so long that it is dead."""
    since = timezone.now() - STALE
    return state.get("state") in BUSY and time_of(state.get("heartbeat")) > since


def ask(project: Project) -> None:
    """A worker is asked to embed what is new. Raises Refused where there is no model."""
    embedder.find()
    home = home_of(project.pk)
    if not is_busy(vectors.read_state(home)):
        (home / "stop").unlink(missing_ok=True)
        send(project.pk, progress=0, total=0, left=None, reason="")


def send(project: int, **change: Any) -> None:
    now = timezone.now().isoformat()
    vectors.write_state(home_of(project), state="queued", heartbeat=now, **change)
    try:
        current_app.send_task(TASK, args=[project], expires=STALE.seconds, retry=False)
    except Exception as error:  # whatever the broker's library raises: the sweep sends again
        log.warning("task not sent", extra={"project": project, "error": str(error)})


def stop(project: Project) -> None:
    """What is embedded by now is kept for the next time."""
    home = home_of(project.pk)
    if vectors.read_state(home).get("state") in BUSY:
        (home / "stop").touch()


def run(pk: int, *, command: Command = recipe_command, poll: float = POLL) -> None:
    """The worker's door, with the project's key: one that nobody asked for, or that another worker
    has in hand, is left alone."""
    project = Project.objects.filter(pk=pk).first()
    home = home_of(pk)
    if project is None or vectors.read_state(home).get("state") not in BUSY:
        return
    with vectors.locked(home, "work", wait=False) as ours:
        if not ours:
            return
        try:
            _work(project, home, command, poll)
        except Exception as error:  # a worker outlives whatever this dies of
            if isinstance(error, Refused):
                reason = str(error)
            else:
                log.warning("embedding failed", extra={"project": pk}, exc_info=error)
                reason = f"It broke off ({type(error).__name__}: {error}); the log has more."
            vectors.write_state(home, state="failed", reason=reason)
        finally:
            (home / "stop").unlink(missing_ok=True)


def _beat(home: Path, **change: Any) -> None:
    vectors.write_state(home, state="running", heartbeat=timezone.now().isoformat(), **change)


def _work(project: Project, home: Path, command: Command, poll: float) -> None:
    model = embedder.find()
    job = home / "job"
    while True:
        _beat(home)
        _cut_out(project, home)
        if not _goes_on(project, job, model):
            there = _of(home, model)
            keys = there.keys if there else None
            embedding_job.write_job(project, job, model, keys, lambda: _beat(home))
        began = time.monotonic()
        how = _watch(project, home, job, command(job), poll)
        if how == "erased":
            shutil.rmtree(job, ignore_errors=True)
            continue
        if how == "stopped":
            vectors.write_state(home, state="stopped", reason="")
            return
        _take_in(project, home, job, model, time.monotonic() - began)
        return


def _goes_on(project: Project, job: Path, model: Embedder) -> bool:
    """Is there work of an earlier time to go on with: for the same model, and nothing erased?"""
    mine = embedding_job.spec_of(job).get("model") == model.tag
    return mine and not embedding_job.holds_erased(project, job)


def _of(home: Path, model: Embedder) -> Vectors | None:
    """What is in force, if this model made it."""
    mine = vectors.read_state(home).get("model") == model.tag
    return vectors.open_vectors(home) if mine else None


def _watch(project: Project, home: Path, job: Path, command: list[str], poll: float) -> str:
    """ "done", "stopped" or "erased" (and then it was ended). Raises Refused where it failed."""
    for left in ("stop", "result.json"):
        (job / left).unlink(missing_ok=True)
    with (job / "log.txt").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment(), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while process.poll() is None:
            if (home / "stop").exists():
                (job / "stop").touch()
            _beat(home, **embedding_job.progress(job))
            if embedding_job.holds_erased(project, job):
                return "erased"
            time.sleep(poll)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    result = embedding_job.result(job)
    state = result.get("state")
    if state == "stopped" and (home / "stop").exists():
        return "stopped"
    if state != "succeeded":
        died = f"its process ended with code {process.returncode}"
        raise Refused(str(result.get("reason") or f"The model broke off: {died}."))
    return "done"


def _take_in(project: Project, home: Path, job: Path, model: Embedder, seconds: float) -> None:
    """What was made and what was there, as far as it fits the prompts of this moment."""
    now = timezone.now()
    there = _of(home, model)
    sources = [*vectors.job_parts(job), *([there] if there else [])]
    fits = embedding_job.keys_now(project)
    newest = int(fits["id"][-1]) if len(fits) else 0
    vectors.replace(
        home, sources, fits, state="done", model=model.tag, name=model.name, newest=newest,
        computed=now.isoformat(), looked=now.isoformat(), seconds=round(seconds, 1), reason="",
    )  # fmt: skip
    shutil.rmtree(job, ignore_errors=True)


def _cut_out(project: Project, home: Path) -> None:
    """No vector stays whose prompt was erased since we last looked. Needs the lock."""
    there, now = vectors.open_vectors(home), timezone.now()
    if there is None:
        return
    since = time_of(vectors.read_state(home).get("looked"))
    gone = embedding_job.erased(project, embedding_job.erasures(project, since))
    if gone & set(there.keys["id"].tolist()):
        stays = there.keys[~np.isin(there.keys["id"], list(gone))]
        # One that was cut out of, and lives on with other words, may have been embedded since.
        again = embedding_job.keys_of(project, gone)
        vectors.replace(home, [there], np.sort(np.concatenate([stays, again]), order="id"))
    vectors.write_state(home, looked=now.isoformat())


def forget_erased(project: Project) -> None:
    """Cut out what was erased, unless a worker has the project in hand and does it itself."""
    home = home_of(project.pk)
    state = vectors.read_state(home)
    began = embedding_job.spec_of(home / "job").get("began")
    looked = state.get("looked")
    since = min(time_of(looked or began), time_of(began or looked))
    if not state or not embedding_job.erasures(project, since):
        return
    with vectors.locked(home, "work", wait=False) as ours:
        if ours:
            _cut_out(project, home)
            if embedding_job.holds_erased(project, home / "job"):
                shutil.rmtree(home / "job", ignore_errors=True)


def sweep() -> None:
    """Send again what no worker has in hand; cut out what was erased; harmless at any time."""
    root = Path(settings.HOME) / "embeddings"
    for home in root.iterdir() if root.is_dir() else []:
        project = Project.objects.filter(pk=home.name).first() if home.name.isdecimal() else None
        if project is None:
            continue
        forget_erased(project)
        state = vectors.read_state(home)
        if state.get("state") in BUSY and not is_busy(state):
            send(project.pk)
