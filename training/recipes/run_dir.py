"""The contract on disk between whoever supervises a run and the recipe that trains (stdlib only).

    spec.json      in: run, attempt, recipe, config, seed, inputs, template, versions; waited, if no
                   preflight could look at it before its inputs were there, and preflight_seconds,
                   how long it may then look itself
    inputs/        in: what was staged: a model, an adapter, a reward run, a snapshot
    events.jsonl   out: one JSON object a line, append-only: seq, attempt, time, kind, step, …
    day.json       out: the day that a chat template is told, on every attempt
    log.txt        out: stdout and stderr of the process
    checkpoints/   out: step-N folders, complete once they bear that name
    artifact/      out: what the run leaves
    result.json    out: state, reason, metrics, samples; written last, by rename
    stop           in: the file's presence (or SIGTERM) asks for a checkpoint and an end

A recipe imports no Django. A torn last line of events.jsonl is ignored by whoever reads it.
"""

import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

KINDS = ("state", "progress", "metrics", "sample", "note", "alarm")


class Stopped(Exception):
    """The run was asked to stop, and does, between two pieces of its work."""


def write_json(path: Path, value: Any) -> None:
    """Write by rename: a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@dataclass(frozen=True)
class Input:
    """Something the run starts from. `path` is relative to the run directory, or a Hub id."""

    name: str
    kind: str  # model, adapter, reward, snapshot, prompts
    path: str
    sha256: str = ""


class RunDir:
    """A run directory as the recipe sees it. Raises ValueError where spec.json is not usable."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        try:
            self.spec: dict[str, Any] = json.loads((self.path / "spec.json").read_text("utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{self.path} holds no spec.json; is it a run directory?") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.path / 'spec.json'} is not JSON: {error}") from None
        self.attempt: int = self.spec.get("attempt", 1)
        self.config: dict[str, Any] = self.spec.get("config", {})
        self.seed: int = self.spec.get("seed", 0)
        self.inputs = {row["name"]: Input(**row) for row in self.spec.get("inputs", [])}
        self.events_path = self.path / "events.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.artifact = self.path / "artifact"
        self._seq = 0
        self._stop = False
        self._events = self.events_path.open("ab")
        self._follow_on()

    def _follow_on(self) -> None:
        """Go on where an earlier process of this run left events.jsonl."""
        with self.events_path.open("rb") as file:
            file.seek(max(0, self._events.tell() - 65536))
            tail = file.read()
        # A torn last line (the process was killed while writing) must not swallow ours.
        if tail and not tail.endswith(b"\n"):
            self._events.write(b"\n")
        # Started twice in one attempt, as by hand: (attempt, seq) names an event once.
        for line in reversed(tail.split(b"\n")):
            try:
                last = json.loads(line)
            except ValueError:
                continue
            if last["attempt"] == self.attempt:
                self._seq = last["seq"]
            break

    def catch_sigterm(self) -> None:
        """From here on SIGTERM asks for a stop, as the file does."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))

    @property
    def stop_requested(self) -> bool:
        return self._stop or (self.path / "stop").exists()

    def input_path(self, name: str) -> str:
        """Absolute path of an input, or the Hub id. Raises ValueError where the run has none."""
        if name not in self.inputs:
            raise ValueError(f"This run has no input named {name!r}; it has {sorted(self.inputs)}.")
        given = self.inputs[name].path
        local = self.path / given
        return str(local) if local.exists() else given

    def day(self) -> str:
        """The day (ISO) on which the run was first looked at, or first began: each attempt is given
        the same."""
        file = self.path / "day.json"
        if not file.exists():
            looked = self.path / "preflight.json"
            found = json.loads(looked.read_text("utf-8")) if looked.exists() else {}
            write_json(file, found.get("day") or date.today().isoformat())
        return str(json.loads(file.read_text("utf-8")))

    def event(self, kind: str, step: int = 0, **data: Any) -> None:
        """Append one event and flush it. `kind` is one of KINDS; values must be JSON."""
        assert kind in KINDS, kind
        self._seq += 1
        line = {
            "seq": self._seq,
            "attempt": self.attempt,
            "time": time.time(),
            "kind": kind,
            "step": step,
            **data,
        }
        self._events.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._events.flush()

    def progress(
        self, step: int, total: int, phase: str, seconds_left: float | None = None
    ) -> None:
        self.event("progress", step, total=total, phase=phase, seconds_left=seconds_left)

    def metrics(self, step: int, **values: float) -> None:
        self.event("metrics", step, values=values)

    def close(self) -> None:
        """Close events.jsonl; nothing can be said afterwards."""
        self._events.close()

    def finish(self, state: str, reason: str = "", **result: Any) -> None:
        """Write result.json, last of all. `state`: succeeded, stopped (resumable) or failed."""
        assert state in ("succeeded", "stopped", "failed"), state
        write_json(
            self.path / "result.json",
            {"state": state, "reason": reason, "attempt": self.attempt, **result},
        )
