"""Long work in a process that holds a lot already."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

MANY = 50_000  # objects made since garbage was last looked for; Python's own choice is 700
# Of <malloc.h>, and bytes: what may lie free at the heap's end; what is a mapping of its own.
_TRIM, _FREE = -1, 32 * 2**20
_MMAP, _LARGE = -3, 4 * 2**20


@contextmanager
def settled() -> Iterator[None]:
    """What is in memory by now is no garbage, and is not looked through again and again, nor is
    what passes through looked at while it does: a quarter of the time of work that makes many small
    objects. Circles of them, of which there are few, wait longer."""
    _keep_heap()
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(MANY, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


@cache
def _keep_heap() -> None:
    """What was freed is used again. glibc would give the heap's end back to the system and ask for
    it anew with each chunk of work: a tenth of a freeze's time. For good, as its own choices
    cannot be brought back; `malloc_trim` still gives all back. Without glibc nothing is done."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_TRIM, _FREE)
        set_option(_MMAP, _LARGE)
