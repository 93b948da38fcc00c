"""Watching one run: start its trainer or adopt it, bring in what it says, stop it, settle its end.

Whoever supervises owns the run by name: every write is conditional on it, so a second supervisor,
or one that wakes up after it was given up for dead, writes nothing and leaves.
"""

import json
import logging
import threading
import time
from typing import Any

from django.conf import settings

from annotation.errors import Refused
from training import answers, dispatch, endings, events, hosts, moves, preflights, runs
from training.engine import LOCAL, LocalEngine
from training.models import Run
from training.moves import State

log = logging.getLogger("training.supervisor")
LOADING = ("", "loading", "preflight")  # phases in which a trainer has nothing to save yet
POLL = 1.0  # seconds between two looks at the trainer
SHUTDOWN_SECONDS = 20.0  # what a trainer gets to save itself when the whole installation stops
shutting_down = threading.Event()  # set when this process has been told to end


def supervise(
    pk: int,
    *,
    engine: LocalEngine = LOCAL,
    poll: float = POLL,
    closing: threading.Event = shutting_down,
) -> None:
    """Supervise the run to its end, if it is there to be claimed; else do nothing.

    Orphans of this host come first: their trainers still hold the GPU. One that died while it was
    watched keeps its place before the run that we were woken for, which is sent again."""
    orphans = [orphan for orphan in runs.unwatched_here() if orphan.pk != pk]
    for orphan in orphans:
        if not closing.is_set():
            Watch(orphan, engine, poll, closing).adopt()
    if orphans and (first := runs.first_in_line(pk)) != pk:
        dispatch.send(pk)
        pk = first
    run = Run.objects.filter(pk=pk).first()
    if run is None or closing.is_set():
        return
    watch = Watch(run, engine, poll, closing)
    if run.state == State.QUEUED:
        watch.begin()
    elif run.state in Run.ACTIVE and runs.is_unwatched(run):
        watch.adopt()


class Watch:
    """One supervisor of one run."""

    def __init__(
        self, run: Run, engine: LocalEngine, poll: float, closing: threading.Event
    ) -> None:
        self.run, self.engine, self.poll, self.closing = run, engine, poll, closing
        self.name = hosts.new_supervisor()
        self.asked: dict[str, float] = {}  # "stop", "term", "kill" -> when
        self.log_size = -1
        self.is_mine = True  # as of our own last word

    def begin(self) -> None:
        """Claim a queued run and start its trainer."""
        if not moves.claim(self.run, self.name):
            return
        try:
            answers.write_prompts(self.run, self.tell)
            preflights.keep(self.run)
            process = self.engine.submit(self.run)
        except (OSError, Refused, ValueError) as error:
            if self.is_halted():
                return
            endings.fail(self.run, reason=f"It could not be started: {error}")
            return
        self._runs(process)
        self.follow()

    def _runs(self, process: dict[str, Any]) -> None:
        """The trainer is up: write down which process it is, and that the run is running."""
        mine = moves.beat(self.run, self.name, process=process)
        if mine and self.run.state == State.PREPARING:
            # Lost to a click on Cancel: then it is stopping, and the loop sees it.
            moves.move(self.run, State.RUNNING)

    def tell(self, phase: str, done: int, total: int) -> None:
        """How far our own part of the work is. Raises Refused where it is to end."""
        self.is_mine = moves.beat(self.run, self.name, phase=phase, step=done, total=total)
        if not self.is_mine or self.run.state == State.STOPPING or self.closing.is_set():
            raise Refused("It was stopped.")

    def is_halted(self) -> bool:
        """Did our own part end because it was told to? Then all is said of the run."""
        if self.is_mine and self.run.state == State.STOPPING:
            endings.stopped(self.run)
        elif self.is_mine and self.closing.is_set():
            endings.interrupted(self.run, reason="Annotune was stopped.", crashed=False)
        elif self.is_mine:
            return False
        return True

    def adopt(self) -> None:
        """Take over a run whose supervisor is gone. Its trainer is not started again."""
        silent = self.run.heartbeat
        if not moves.adopt(self.run, self.name):
            return
        process = self.run.process or self.engine.find(self.run) or {}
        died = f" at {silent:%H:%M:%S} UTC" if silent else ""
        if self.engine.status(process).alive:
            self._runs(process)
            moves.note(
                self.run,
                f"The worker died{died}; the run went on, and another worker watches it now.",
                code="adopted",
            )
        else:
            moves.note(self.run, f"The worker died{died}.", code="orphaned")
        self.follow()

    def follow(self) -> None:
        """Until the trainer is gone: ingest, beat, stop it when asked to; then settle its end."""
        while True:
            # Looked at before ingesting: what a dead one wrote last is then read all the same.
            status = self.engine.status(self.run.process)
            if not moves.beat(self.run, self.name):
                log.warning("run lost to another supervisor", extra={"run": self.run.pk})
                return
            if events.ingest(self.run, self.name, self.engine) is None:
                return
            self.log_size = events.keep_log(self.run, self.engine, self.log_size)
            if not status.alive:
                self.settle(status.words)
                return
            if self.result():  # its last word: to leave its libraries takes a trainer seconds
                self.engine.cancel(self.run, "kill")
            self.stop_if_asked()
            hurry = self.run.state == State.STOPPING
            self.engine.wait(self.run.process, self.poll / 4 if hurry else self.poll)

    def stop_if_asked(self) -> None:
        """Stop by file, after a grace by SIGTERM, after another by SIGKILL."""
        if self.closing.is_set():
            # SIGTERM at once: the recipe takes it as it takes the file.
            self._ask("term", after=0)
            self._ask("kill", after=SHUTDOWN_SECONDS)
        elif self.run.state == State.STOPPING and self.run.phase in LOADING:
            self.engine.cancel(self.run, "kill")  # it would hear of it minutes later
        elif self.run.state == State.STOPPING:
            self._ask("stop", after=0)
            self._ask("term", after=settings.RUN_STOP_SECONDS)
            self._ask("kill", after=settings.RUN_STOP_SECONDS + settings.RUN_TERM_SECONDS)

    def _ask(self, how: str, after: float) -> None:
        """Once each, `after` seconds from when we first asked."""
        now = time.monotonic()
        since = min(self.asked.values(), default=now)
        if how in self.asked or now - since < after:
            return
        self.asked[how] = now
        self.engine.cancel(self.run, how)
        if how != "stop" and not self.closing.is_set():
            late = f"It has not stopped {now - since:.0f} s after it was asked to"
            sent = "SIGTERM" if how == "term" else "SIGKILL"
            moves.note(self.run, f"{late}: it was sent {sent}.", code=how)

    def settle(self, words: str) -> None:
        """The trainer is gone: what became of the run? `words`: how the process ended."""
        result = self.result()
        state = result.get("state")
        if state == "succeeded":
            self.succeed(result)
        elif state == "failed":
            reason = str(result.get("reason") or "The recipe failed without saying why.")
            endings.fail(self.run, reason=reason, result=result)
        elif self.run.state == State.STOPPING:
            endings.stopped(self.run, result=result)
        elif state == "stopped" or self.closing.is_set():
            why = "Annotune was stopped" if self.closing.is_set() else "The trainer was stopped"
            endings.interrupted(self.run, reason=f"{why} at step {self.run.step}.", crashed=False)
        else:
            step = f" at step {self.run.step}" if self.run.step else ""
            reason = f"The trainer died{step} ({words})."
            endings.interrupted(self.run, reason=reason, crashed=True)

    def succeed(self, result: dict[str, Any]) -> None:
        """Hand on what the run made, then say that it succeeded: a crash between repeats the first,
        which doubles nothing."""
        if self.run.state == State.PREPARING:
            moves.move(self.run, State.RUNNING)
        if self.run.recipe == "answer":
            try:
                result["delivered"] = answers.deliver(self.run, self.tell)
            except (Refused, ValueError, OSError) as error:
                if self.is_halted():
                    return
                reason = f"The answers were made but not taken in: {error}"
                endings.fail(self.run, reason=reason, result=result)
                return
        endings.succeed(self.run, result=result)

    def result(self) -> dict[str, Any]:
        """result.json of this attempt, within bounds; {} where there is none."""
        raw = self.engine.read(self.run, "result.json", 0, events.CHUNK)
        try:
            found = events.clean(json.loads(raw, parse_constant=lambda _: None))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict) or found.get("attempt") != self.run.attempt:
            return {}
        return found
