"""Long work in a process that holds a lot already."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """What is in memory by now is no garbage, and is not looked through again and again: a quarter
    of the time of work that makes many small objects."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
