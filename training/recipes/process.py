"""A process that trains, measures or looks: its threads, its memory, and its failure in words."""

import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from training.recipes.configs import ConfigError

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def loaded_mib() -> int:
    """What this process holds now: before the run begins, its libraries. 0 on a GPU, where only
    what a run allocates is counted."""
    if torch.cuda.is_available():
        return 0
    return round(psutil.Process().memory_info().rss / 2**20)


def peak_mib() -> int:
    """The most memory that this process has held: of the GPU where there is one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 2**20)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10))


def end_with_parent() -> None:
    """Linux kills this process when the one that started it ends, however that came: a look whose
    worker was killed would go on with nobody to read it, or to say that it takes too long."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class TookTooLong(BaseException):
    """Raised by the clock amid the work: no `except Exception` there takes it for its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong within once so many seconds are over; 0: never. In the main thread only."""

    def over(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def use_threads() -> None:
    """OMP_NUM_THREADS where it is given; else half of the cores: the web lives here too."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def sentence(error: BaseException) -> str:
    """Why a run failed, for someone who did not write it."""
    text = str(error).strip()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text:
        return "Out of memory: use a smaller batch, shorter rows (max_length) or a smaller model."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full."
    if isinstance(error, FileNotFoundError):
        return f"A file is missing: {error.filename or text}."
    if isinstance(error, ConfigError):
        return f"The config is not usable: {text}."
    if isinstance(error, ValueError):
        return text.splitlines()[0] if text else "A value is not usable."
    first = text.splitlines()[0] if text else "no reason given"
    return f"{type(error).__name__}: {first} (the log has the details)."
