"""What a process of ours owes to the one that started it."""

import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

pytestmark = pytest.mark.recipe

CHILD = (
    "import time; from training.recipes.process import end_with_parent;"
    "end_with_parent(); print('here', flush=True); time.sleep(600)"
)
WORKER = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE,
                         start_new_session=True)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_look_ends_with_the_worker_that_was_killed() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    pid, word = worker.stdout.readline().split()
    assert word == "here"
    look = psutil.Process(int(pid))
    worker.kill()
    worker.wait()
    worker.stdout.close()
    with suppress(psutil.NoSuchProcess):
        look.wait(60)
    assert not look.is_running() or look.status() == psutil.STATUS_ZOMBIE
