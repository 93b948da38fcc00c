"""Whether a process still runs, as a supervisor sees one that it did not start."""

import platform
import subprocess
import sys
import time

import psutil

from training import hosts

# The first thread ends by itself; the other one lives until its input closes.
HEADLESS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print("up", flush=True)
ctypes.CDLL(None).syscall({exit}, 0)
"""


def test_a_process_is_gone_when_its_last_thread_is() -> None:
    """A process whose first thread has ended is called a zombie while the others go on: killed in
    the midst of a write, a trainer would be started again beside itself."""
    program = HEADLESS.format(exit=60 if platform.machine() == "x86_64" else 93)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as child:
        assert child.stdout and child.stdin
        child.stdout.readline()
        found, known = psutil.Process(child.pid), hosts.identify(child.pid)
        while found.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert hosts.find(known) == found
        child.stdin.close()
        while found.num_threads() > 1:
            time.sleep(0.01)
        assert psutil.pid_exists(child.pid) and hosts.find(known) is None
    assert hosts.find(known) is None
