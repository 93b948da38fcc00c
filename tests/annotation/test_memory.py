"""What long work does to its process."""

import gc
import platform
import subprocess
import sys

import pytest

from annotation.memory import settled

# Forty chunks of work, each of 20 MiB in small pieces and of one large one, none kept: how many
# pages were asked of the system for them, after the first.
CHUNKS = """
import contextlib, resource
from annotation.memory import settled

def chunk():
    pieces = [bytes(2_000) for _ in range(10_000)]
    return len(pieces) + len(bytes(1_000_000))

with settled() if {settle} else contextlib.nullcontext():
    chunk()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        chunk()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(settle: bool) -> int:
    code = CHUNKS.format(settle=settle)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_was_freed_is_used_again() -> None:
    asked_anew, kept = pages(settle=False), pages(settle=True)
    assert asked_anew > 10_000, "it is kept without settling: this shows nothing"
    assert kept < asked_anew / 20


def test_the_collector_goes_on_as_before() -> None:
    usual = gc.get_threshold()
    with settled():
        assert gc.get_threshold() != usual
    assert gc.get_threshold() == usual and gc.get_freeze_count() == 0
