"""Long work in a process that holds a lot already."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 50_000  # objects made since garbage was last looked for; Python's own choice is 700


@contextmanager
def settled() -> Iterator[None]:
    """What is in memory by now is no garbage, and is not looked through again and again, nor is
    what passes through looked at while it does: a quarter of the time of work that makes many small
    objects. Circles of them, of which there are few, wait longer."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(MANY, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
