"""The local engine: a recipe as a supervised process on this host.

An engine has one small shape: submit, status, read(path, offset), cancel. Inputs are staged as
links and the artifact stays where it is, since web, supervisor and trainer share this host's disk;
another engine would copy. The trainer gets a session of its own and outlives whoever started it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from training import hosts
from training.inputs import Chosen
from training.models import Run, RunInput
from training.recipes.run_dir import write_json
from training.staging import staged, waited

# What a trainer may know of our environment: no secret, no database. The rest is left out.
PASSED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
          "VIRTUAL_ENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HOME", "TORCH_HOME",
          "XDG_CACHE_HOME")  # fmt: skip
# Only for what may go out: the convert recipe asks the package index, ALLOW_HUB the Hub.
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
           "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # fmt: skip
PASSED_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "PYTORCH_", "ROCR_", "HIP_")
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "annotune")


@dataclass(frozen=True)
class Status:
    """`signal`: what killed a dead one, where its end could be seen."""

    alive: bool
    code: int | None = None

    @property
    def words(self) -> str:
        if self.code is None:
            return "its process is gone"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"its process ended with code {self.code}"


def environment(recipe: str = "") -> dict[str, str]:
    """The environment of the recipe's process."""
    outward = recipe == "convert" or settings.ALLOW_HUB
    names = {*PASSED, *(NETWORK if outward else ())}
    prefixes = (*PASSED_PREFIXES, *(("PIP_",) if recipe == "convert" else ()))
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in names or name.startswith(prefixes)
    }
    return kept | {
        # A run is one process on one device. Where they see more GPUs, TRL's trainers refuse to
        # start and transformers' spreads its batches over all of them.
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0],
        "HF_HUB_OFFLINE": "0" if settings.ALLOW_HUB else "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::FutureWarning",  # of libraries, to whoever calls them: us
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Of what trains, as installed."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def stage(run: Run, directory: Path, inputs: Iterable[Chosen | RunInput]) -> None:
    """Links under inputs/, and spec.json. Raises FileNotFoundError, naming what is gone."""
    folder = directory / "inputs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows, inputs = [], list(inputs)
    for given in staged(inputs):
        path = given.path
        if given.is_local:
            if not Path(path).exists():
                raise FileNotFoundError(f"Its input “{given.name}” is gone: there is no {path}.")
            (folder / given.name).symlink_to(path)
            path = f"inputs/{given.name}"
        rows.append({"name": given.name, "kind": given.kind, "path": path, "sha256": given.sha256})
    write_json(
        directory / "spec.json",
        {
            "run": run.pk or 0,
            "attempt": run.attempt,
            "recipe": run.recipe,
            "config": run.config,
            "seed": run.config.get("seed", 0),
            "inputs": rows,
            "template": run.template,
            "waited": waited(run, inputs),
            "preflight_seconds": settings.PREFLIGHT_SECONDS,
            "versions": versions(),
        },
    )


def recipe_command(run: Run) -> list[str]:
    return [sys.executable, "-m", f"training.recipes.{run.recipe}", str(run.directory)]


class LocalEngine:
    """`command` says what to start for a run; tests give it a trainer of their own."""

    def __init__(self, command: Callable[[Run], list[str]] = recipe_command) -> None:
        self.command = command
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def submit(self, run: Run) -> dict[str, Any]:
        """Stage and start; returns what identifies the process: host, pid, start time.

        A trainer that a supervisor started and could not write down any more is found and returned
        instead: nothing is started twice. Raises OSError where staging or starting fails."""
        if found := self.find(run):
            return found
        directory = run.directory
        directory.mkdir(parents=True, exist_ok=True)
        for left in ("stop", "result.json"):
            (directory / left).unlink(missing_ok=True)
        stage(
            run, directory, run.inputs.select_related("snapshot__dataset", "source").order_by("pk")
        )
        with (directory / "log.txt").open("ab") as output:
            child = subprocess.Popen(
                self.command(run),
                cwd=settings.BASE_DIR,
                env=environment(run.recipe),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children[child.pid] = child
        return hosts.identify(child.pid)

    def find(self, run: Run) -> dict[str, Any] | None:
        """The run's trainer among this host's processes, known by the run directory it got."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if len(words) > 2 and words[-1] == str(run.directory) and "python" in words[0]:
                try:
                    found = hosts.identify(process.pid)
                except psutil.Error:
                    continue
                if hosts.find(found):
                    return found
        return None

    def status(self, process: dict[str, Any]) -> Status:
        """Does the very process that was submitted still run?"""
        child = self._children.get(int(process.get("pid") or 0))
        if child is not None:
            code = child.poll()
            return Status(alive=code is None, code=code)
        return Status(alive=hosts.find(process) is not None)

    def wait(self, process: dict[str, Any], seconds: float) -> None:
        """For so long, or until the process ends."""
        child = self._children.get(int(process.get("pid") or 0))
        found = child or hosts.find(process)
        if found is None:
            time.sleep(seconds)
            return
        with suppress(subprocess.TimeoutExpired, psutil.Error):
            found.wait(seconds)

    def read(self, run: Run, path: str, offset: int, limit: int) -> bytes:
        """Bytes of a file of the run directory; empty where there is none (yet)."""
        try:
            with (run.directory / path).open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def size(self, run: Run, path: str) -> int:
        try:
            return (run.directory / path).stat().st_size
        except FileNotFoundError:
            return 0

    def kept(self, run: Run) -> str:
        """What it can go on from, in words: "its checkpoint", or the answers so far; "" where there
        is nothing."""
        if any((run.directory / "checkpoints").glob("step-*")):
            return "its checkpoint"
        has_answers = run.recipe == "answer" and self.size(run, "artifact/answers.jsonl")
        return "what it answered" if has_answers else ""

    def checkpoints(self, run: Run) -> list[int]:
        """Steps of the complete ones that are still there."""
        names = (path.name[5:] for path in (run.directory / "checkpoints").glob("step-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def cancel(self, run: Run, how: str) -> None:
        """`how`: "stop" asks by file, "term" by signal, "kill" does not ask."""
        if how == "stop":
            if run.directory.is_dir():  # else nothing has begun in it
                (run.directory / "stop").touch()
            return
        process = hosts.find(run.process)
        if process is None:
            return
        try:
            # The trainer leads its session, so its helpers (data loaders) go with it.
            if how == "kill":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.terminate()
        except (ProcessLookupError, PermissionError, psutil.Error):
            return


LOCAL = LocalEngine()
