"""This host: what it has, and its processes by pid and start: a pid alone is handed out again."""

import os
import socket
import uuid
from pathlib import Path
from typing import Any

import psutil

HOST = socket.gethostname()
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
CGROUP = Path("/sys/fs/cgroup/memory.max")
GPUS = Path("/proc/driver/nvidia/gpus")


def machine() -> str:
    """What a run must fit into here, told without torch: memory within the cgroup, the GPUs, and
    which of them are to be seen. A GiB more or less is the same machine."""
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else ""
    total = min(psutil.virtual_memory().total, int(limit) if limit.isdigit() else 2**63)
    gpus = [
        line.partition(":")[2].strip()
        for about in sorted(GPUS.glob("*/information"))
        for line in about.read_text("utf-8", "replace").splitlines()
        if line.startswith("Model")
    ]
    visible = [f"{name}={os.environ[name]}" for name in VISIBLE if name in os.environ]
    return ", ".join([f"{round(total / 2**30)} GiB", *gpus, *visible])[:300]


def identify(pid: int) -> dict[str, Any]:
    """{"host", "pid", "started"} of a process of this host. Raises psutil.NoSuchProcess."""
    return {"host": HOST, "pid": pid, "started": psutil.Process(pid).create_time()}


def find(process: dict[str, Any]) -> psutil.Process | None:
    """The very process, if it still runs on this host. A zombie does not, once all of its threads
    have ended: one within a driver or a write outlives a killed process's first by a while."""
    if process.get("host") != HOST or not process.get("pid"):
        return None
    try:
        found = psutil.Process(int(process["pid"]))
        same = abs(found.create_time() - float(process["started"])) < 1.0
        runs = found.status() != psutil.STATUS_ZOMBIE or found.num_threads() > 1
        return found if same and runs else None
    except (psutil.Error, ValueError, KeyError):
        return None


def new_supervisor() -> str:
    """A name for who supervises: host, pid, start time, and a word so that each one is new."""
    started = psutil.Process().create_time()
    return f"{HOST}:{os.getpid()}:{started:.2f}:{uuid.uuid4().hex[:8]}"


def host_of(supervisor: str) -> str:
    return supervisor.rsplit(":", 3)[0]


def supervisor_lives(supervisor: str) -> bool:
    """Does the process behind the name still run? Only for supervisors of this host."""
    parts = supervisor.rsplit(":", 3)
    if len(parts) != 4:
        return False
    return find({"host": parts[0], "pid": parts[1], "started": parts[2]}) is not None
